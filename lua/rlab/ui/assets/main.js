// The page: places, keys, and what is drawn when the stream brings something.
import { $, $$, ago, fill, h, say } from "./dom.js";
import { connect } from "./stream.js";
import * as running from "./running.js";
import * as topics from "./topics.js";
import * as groups from "./groups.js";
import * as pipeline from "./pipeline.js";
import * as services from "./services.js";
import * as faults from "./faults.js";
import * as runs from "./runs.js";

const PLACES = { running, topics, groups, pipeline, services, faults, runs };
const names = Object.keys(PLACES);
const main = $("main"),
  aside = $("aside"),
  dialog = $("dialog");
let place = "running",
  held = false;

const narrow = () => matchMedia("(max-width: 720px)").matches;
const current = () => PLACES[place];

function navigation() {
  const wanted = JSON.stringify(names.map((n) => [n, n === place, PLACES[n].count?.(model)]));
  if (navigation.drawn === wanted) return;
  navigation.drawn = wanted;
  fill(
    $("nav"),
    names.map((n) =>
      h(
        "a",
        { href: "#" + n, "aria-current": n === place ? "page" : null },
        n,
        h("span", {}, PLACES[n].count?.(model) || ""),
      ),
    ),
  );
}

function draw() {
  navigation();
  current().draw(model, main);
  current().facts?.(model, aside);
}

function go() {
  const [name, ...rest] = location.hash.slice(1).split("/").map(decodeURIComponent);
  const next = PLACES[name] ? name : "running";
  if (next !== place) {
    current().close?.();
    fill(main);
    fill(aside);
  }
  place = next;
  document.title = "rlab: " + place;
  document.body.classList.remove("detail");
  current().open?.(rest, draw);
  draw();
}

function choose(key) {
  current().choose?.(key, draw);
  draw();
}

// On a narrow page one thing at a time: what a line shows, and the keyboard goes with it, there and back.
function detail(on) {
  if (document.body.classList.contains("detail") === on) return;
  document.body.classList.toggle("detail", on);
  $(on ? ".back" : "[data-key].on", on ? aside : main)?.focus();
}

function enter(key) {
  choose(key);
  if (narrow() && current().detail?.(key)) detail(true);
}

// To the next line. One that has something to show shows it; one that leads elsewhere waits for Enter.
function step(by) {
  const rows = $$("[data-key]", main);
  if (rows.length === 0) return;
  const focused = rows.indexOf(document.activeElement);
  const at = focused >= 0 ? focused : rows.findLastIndex((r) => r.classList.contains("on"));
  const next = rows[Math.max(0, Math.min(rows.length - 1, at + by))];
  const key = next.dataset.key;
  next.focus();
  const shows = place === "running" || current().detail?.(key);
  if (shows && !next.classList.contains("on")) choose(key);
  next.scrollIntoView({ block: "nearest" });
}

const model = connect(
  (_, changed) => {
    say($("#stack"), model.run?.stack || "");
    if (!held && changed) draw();
  },
  (state, since) => {
    say(
      $("#live"),
      held
        ? "held; the stream goes on"
        : state === "live"
          ? "live"
          : `stalled since ${ago(since)}; numbers are from then`,
    );
  },
);

document.addEventListener("click", (event) => {
  const target = event.target.closest("button, [data-key]");
  if (!target) return;
  if (target.id === "keys") dialog.showModal();
  else if (target.id === "shut") dialog.close();
  else if (target.classList.contains("back")) detail(false);
  else if (target.dataset.key !== undefined) enter(target.dataset.key);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) return;
  const row = event.target.closest("[data-key]");
  if (event.key === "?") dialog.showModal();
  else if (event.key >= "1" && event.key <= String(names.length)) location.hash = names[event.key - 1];
  else if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "Escape") detail(false);
  else if (event.key === "Enter" && row === event.target) {
    event.preventDefault(); // it would press the button that has the keyboard then
    enter(row.dataset.key);
  } else if (event.key === " " && !event.target.closest("button, a")) {
    held = !held;
    say($("#live"), held ? "held; the stream goes on" : "live");
    if (!held) draw();
    event.preventDefault();
  }
});

addEventListener("hashchange", go);
addEventListener("resize", draw);
go();
