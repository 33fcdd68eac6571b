// The runs that are kept: what came out last, the runs before, their reports, and replay.
import { $, fill, h, plural, seconds } from "./dom.js";
import { action, lua, post } from "./act.js";
import { newPlace, row } from "./place.js";

const place = newPlace();
let chosen = null,
  drawnFacts = null;

function past(list) {
  return h(
    "span",
    {
      class: "past",
      role: "img",
      "aria-label": `${list.filter((r) => r.tone === "right").length} of ${list.length} as predicted`,
    },
    list.map((r) => h("i", { class: r.tone, title: `${r.name}: ${r.word}` })),
  );
}

export function open(_, redraw) {
  place.watch("/api/runs", redraw, 5000);
}
export function close() {
  place.close();
  drawnFacts = null;
}
export function choose(key) {
  chosen = key;
}

const when = (run) =>
  String(run.started || "")
    .replace("T", " ")
    .slice(0, 16);

function table(runs) {
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", {}, "id"),
          h("th", {}, "what came out"),
          h("th", {}, "last runs"),
          h("th", { class: "hide" }, "started, UTC"),
          h("th", { class: "n hide" }, "took"),
        ),
      ),
      h(
        "tbody",
        {},
        runs.map((r) =>
          row(
            r.id,
            chosen,
            h("td", { class: "mono" }, r.id),
            h(
              "td",
              {},
              h("b", { class: r.tone }, r.word),
              h("small", {}, r.title),
              h("div", {}, r.sentence),
            ),
            h("td", {}, past(r.past)),
            h("td", { class: "hide when" }, when(r)),
            h("td", { class: "n hide" }, seconds(r.duration)),
          ),
        ),
      ),
    ),
  );
}

export function draw(model, main) {
  const runs = place.data?.runs;
  if (!runs) {
    place.once(main, place.failure, () => h("p", { class: "sub" }, place.failure || "asking …"));
    return;
  }
  const all = runs.reduce((sum, r) => sum + r.past.length, 0);
  place.once(main, [runs, chosen], () =>
    runs.length > 0
      ? [h("h1", {}, `${plural(runs.length, "experiment")} with ${plural(all, "run")} kept.`), table(runs)]
      : [
          h("h1", {}, "No run is kept here yet."),
          h("p", { class: "sub" }, "Run one; its report stays in runs/:"),
          h("pre", { class: "command" }, "rlab E-012"),
        ],
  );
}

export function facts(model, aside) {
  const run = place.data?.runs.find((r) => r.id === chosen);
  const key = JSON.stringify(run || null);
  if (key === drawnFacts && aside.childElementCount > 0) return;
  drawnFacts = key;
  if (!run) {
    fill(aside, h("p", { class: "sub" }, "Choose an experiment."));
    return;
  }
  fill(
    aside,
    h("button", { type: "button", class: "button back" }, "Back"),
    h("h2", {}, run.id),
    h("p", {}, run.title),
    h(
      "dl",
      {},
      h("dt", {}, "seed"),
      h("dd", {}, String(run.seed ?? "")),
      h("dt", {}, "took"),
      h("dd", {}, seconds(run.duration)),
      h("dt", {}, "kept in"),
      h("dd", { class: "mono" }, `runs/${run.name}`),
      h("dt", {}, "as predicted"),
      h("dd", {}, `${run.past.filter((r) => r.tone === "right").length} of the last ${run.past.length}`),
    ),
    h("h2", {}, "Actions"),
    run.report &&
      h(
        "p",
        { class: "act" },
        h(
          "a",
          { class: "button", href: `/runs/${run.name}/report.html`, target: "_blank", rel: "noopener" },
          "Open the report",
        ),
      ),
    action({
      label: "Replay it here",
      what: "As it happened, at its own pace. What runs now is not followed then.",
      lua: `rlab ui --replay runs/${run.name}`,
      run: async () => {
        await post("/api/replay", { run: run.name });
        location.hash = "running";
        return "replaying";
      },
    }),
    h(
      "div",
      { class: "act" },
      h("p", {}, "Run it again, with the same seed:"),
      lua(`rlab ${run.id} --seed ${run.seed}`),
    ),
  );
}

export const detail = () => true;
export const count = () => (place.data ? String(place.data.runs.length) : "");
