// What is running now: the arms side by side with their timelines, faults and checks.
import { $, fill, h, number, plural, say, seconds } from "./dom.js";
import { armChart, axisChart } from "./chart.js";
import { reached, valueAt } from "./stream.js";
import { action, post } from "./act.js";

const WORDS = { wrong: "wrong", right: "right", observe: "observed" };
let shown = null; // the run that the page is laid out for
let chosen = null;

// What the page is laid out for: a run, by its arms too.
const layout = (run) => [run.name, run.started, ...run.arms.map((a) => a.name)].join(" ");

export const title = "running";

function toneOf(check, arm) {
  if (check.outcome === "inconclusive") return "unsure";
  if (check.outcome !== "violated") return "right";
  return check.as_expected && arm.class !== "wrong" ? "calm" : "wrong";
}

function wordOf(check, arm) {
  if (check.outcome !== "violated") return check.outcome;
  const count = check.found === undefined ? "" : number(check.found) + (check.unit ? " " + check.unit : "");
  if (check.as_expected && arm.class !== "wrong") return `${count} as expected`;
  return count === "" ? "violated" : `violated, ${count}`;
}

function pips(arm) {
  return h(
    "span",
    { class: "pips", "aria-hidden": "true" },
    (arm.checks || []).map((c) => h("i", { class: toneOf(c, arm) })),
  );
}

function judgement(arm) {
  if (arm.from === null) return [h("span", { class: "muted" }, "not begun")];
  if (!arm.checks) return [h("span", { class: "muted" }, "checks come at its end")];
  const tone = { "fails as predicted": "wrong", holds: "right", measured: "calm" }[arm.outcome] || "unsure";
  return [pips(arm), h("span", { class: `${tone} said` }, arm.outcome)];
}

function figures(model, arm) {
  const now = reached(model, arm);
  if (now === null) return [];
  const end = arm.ended === null ? null : arm.shown.find((x) => x.q === 1);
  const value = valueAt(arm.points[0], now);
  const first = end ? end.text : number(value);
  const other = model.run.quantities[1];
  const second = other && valueAt(arm.points[1], now);
  const zero = value === 0 || value === null;
  const unit = other?.unit ? ` ${other.unit}` : "";
  return [
    first !== "" && h("b", { class: zero ? "zero" : "" }, first),
    second && h("small", {}, `${number(second)}${unit} ${other.name}`),
  ];
}

function row(arm, i) {
  return h(
    "div",
    {
      class: `arm ${arm.class}`,
      "data-key": arm.name,
      tabindex: 0,
      role: "button",
    },
    h(
      "div",
      { class: "label" },
      h("span", { class: `cls ${arm.class}` }, WORDS[arm.class]),
      h("b", {}, arm.name),
    ),
    h("div", { class: "plot", "data-i": i }),
    h("div", { class: "value" }),
    h("div", { class: "judged" }),
  );
}

function headline(model) {
  if (model.verdict) return model.verdict.sentence;
  const busy = [...model.arms.values()].filter((a) => a.from !== null && a.ended === null);
  if (busy.length === 0) return model.run.question || model.run.title;
  const bad = busy.filter((a) => a.class === "wrong" && a.anomaly);
  if (bad.length > 0) return bad.map((a) => `${a.name}: ${a.anomaly.text}`).join("; ");
  return busy.length === 1
    ? `${busy[0].name} is running; nothing is wrong so far.`
    : `${plural(busy.length, "arm")} are running; nothing is wrong so far.`;
}

const named = (quantity) => quantity.name + (quantity.unit ? ", " + quantity.unit : "");

function layOut(model, main) {
  const quantity = model.run.quantities[0];
  const arms = [...model.arms.values()];
  fill(
    main,
    h("h1", {}),
    h("p", { class: "sub", id: "run-facts" }),
    h("p", { class: "sub", id: "run-verdict" }),
    h("div", { class: "arms" }, arms.map(row)),
    h("div", { class: "arm axis" }, h("div", { class: "label" }), h("div", { class: "plot", id: "axis" })),
    h(
      "p",
      { class: "sub" },
      quantity && `Line and number: ${named(quantity)}; one scale for all arms. `,
      "Hatched or a bar: a fault. Diamond: the first anomaly.",
    ),
  );
  shown = layout(model.run);
}

function empty(main) {
  shown = null;
  fill(
    main,
    h("h1", {}, "Nothing is running."),
    h("p", { class: "sub" }, "Start an experiment in another terminal; it is shown here as it goes:"),
    h("pre", { class: "command" }, "rlab E-012"),
    h("p", { class: "sub" }, "Or look at a stored run again, at the pace at which it happened:"),
    h("pre", { class: "command" }, "rlab ui --replay runs/E-012/latest"),
  );
}

export function draw(model, main) {
  if (!model.run) {
    if (shown !== null || !$("h1", main)) empty(main);
    return;
  }
  if (shown !== layout(model.run) || !$(".arms", main)) layOut(model, main);
  say($("h1", main), headline(model));
  const state = model.verdict ? "took" : "in flight";
  const { id, title: about, seed } = model.run;
  say($("#run-facts"), `${id} ${about} · ${state} ${seconds(model.now)} · seed ${seed}`);
  const verdict = $("#run-verdict");
  say(verdict, model.verdict ? model.verdict.word : "");
  verdict.className = `sub verdict ${model.verdict ? model.verdict.tone : ""}`;
  verdict.hidden = !model.verdict;
  for (const element of main.querySelectorAll(".arm[data-key]")) {
    const arm = model.arms.get(element.dataset.key);
    const plot = $(".plot", element);
    element.classList.toggle("on", element.dataset.key === chosen);
    fill(plot, armChart(model, arm, plot.clientWidth, `fault-${plot.dataset.i}`));
    fill($(".value", element), figures(model, arm));
    fill($(".judged", element), judgement(arm));
  }
  const axis = $("#axis");
  fill(axis, axisChart(model, axis.clientWidth));
}

// ---- the facts beside it ----

function happenings(model) {
  const list = [];
  const add = (one, arm) =>
    list.push({
      at: (arm && !arm.shared ? arm.from : 0) + one.t,
      t: one.t,
      arm: arm && !arm.shared ? arm.name : one.arm,
      text: one.name || one.text,
      proof: one.proof,
      anomaly: one.anomaly,
    });
  for (const f of model.faults) add(f);
  for (const e of model.events || []) add(e);
  for (const arm of model.arms.values()) {
    for (const f of arm.faults) add(f, arm);
    for (const e of arm.events) add(e, arm);
  }
  return list.sort((a, b) => b.at - a.at);
}

function happened(model) {
  const list = happenings(model);
  if (list.length === 0) return h("p", { class: "sub" }, "Nothing yet.");
  return h(
    "ul",
    { class: "log" },
    list
      .slice(0, 40)
      .map((one) =>
        h(
          "li",
          {},
          h("span", {}, one.t.toFixed(2)),
          h(
            "div",
            {},
            h("b", { class: one.anomaly ? "wrong" : "" }, one.text),
            one.arm && h("small", {}, one.arm),
            one.proof && h("small", {}, one.proof),
          ),
        ),
      ),
    list.length > 40 && h("li", {}, h("span"), h("small", {}, `+${list.length - 40} more in the report`)),
  );
}

function checks(arm) {
  if (!arm.checks) return h("p", { class: "sub" }, "The arm is judged at its end.");
  return h(
    "table",
    {},
    h(
      "tbody",
      {},
      arm.checks.map((c) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, c.name, h("small", {}, c.sentence)),
          h("td", { class: toneOf(c, arm) }, wordOf(c, arm)),
        ),
      ),
    ),
  );
}

function armFacts(arm) {
  return [
    h("h2", {}, arm.name, h("span", { class: `cls ${arm.class}` }, WORDS[arm.class])),
    arm.title && h("p", { class: "sub" }, arm.title),
    arm.sentence && h("p", {}, arm.sentence),
    arm.reason && arm.reason !== arm.sentence && h("p", { class: "unsure" }, arm.reason),
    h("h2", {}, "Checks"),
    checks(arm),
  ];
}

function actions(model) {
  if (!model.verdict) return null;
  return [
    h("h2", {}, "Actions"),
    h(
      "p",
      { class: "act" },
      h(
        "a",
        {
          class: "button",
          href: `/runs/${model.run.report}/report.html`,
          target: "_blank",
          rel: "noopener",
        },
        "Open the report",
      ),
    ),
    action({
      label: "Replay it",
      what: "From its first event, at the pace at which it happened.",
      lua: `rlab ui --replay runs/${model.run.report}`,
      run: async () => {
        await post("/api/replay", { run: model.run.name });
        return "replaying";
      },
    }),
    model.replay &&
      action({
        label: "Follow what runs now",
        what: "Leaves the replay.",
        lua: "rlab ui",
        run: async () => {
          await post("/api/follow", {});
          return "following";
        },
      }),
  ];
}

let drawn = null;
export function facts(model, aside) {
  if (!model.run) {
    fill(aside);
    drawn = null;
    return;
  }
  const arm = chosen && model.arms.get(chosen);
  const key = JSON.stringify([
    chosen,
    model.run.name,
    happenings(model).length,
    arm?.checks,
    model.verdict,
  ]);
  if (key === drawn && aside.childElementCount > 0) return;
  drawn = key;
  fill(
    aside,
    h("button", { type: "button", class: "button back" }, "Back"),
    arm ? armFacts(arm) : null,
    h("h2", {}, "Faults and events", h("span", {}, "seconds of the arm, newest first")),
    happened(model),
    actions(model),
  );
}

export function choose(key) {
  chosen = key === chosen ? null : key;
  drawn = null;
}
export const detail = () => chosen !== null;
export const count = (model) => (!model.run ? "" : model.verdict ? "ended" : "in flight");
