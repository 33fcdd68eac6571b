// The runs that are kept: what came out last, the runs before, their reports, and replay.
import { fill, h, plural, seconds } from "./dom.js";
import { action, ask, lua, post } from "./act.js";
import { asking, failed, newPlace, row, table } from "./place.js";

const place = newPlace();
let chosen = null,
  pair = [], // two runs of the chosen experiment that are compared; the latest one where no second is named
  compared = null,
  redraw = () => {},
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

// #runs, #runs/E-012, #runs/E-012/20261123-131502, #runs/E-012/20261123-131502/20261123-140000
export function open([id, ...runs], draw) {
  redraw = draw;
  if (id) chosen = id;
  pair = runs;
  compared = null;
  place.watch("/api/runs", draw, 5000);
}
export function close() {
  place.close();
  drawnFacts = null;
}
export function choose(key) {
  chosen = key;
  history.replaceState(null, "", `#runs/${key}`);
}

const when = (run) =>
  String(run.started || "")
    .replace("T", " ")
    .slice(0, 16);

const runTable = (runs) =>
  table(
    ["id", "what came out", "last runs", ["started, UTC", "hide"], ["took", "n hide"]],
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
  );

// Those that were run, and those that were not yet.
function rows() {
  const { runs, experiments } = place.data;
  const kept = new Set(runs.map((r) => r.id));
  const others = experiments
    .filter((e) => !kept.has(e.id))
    .map((e) => ({ ...e, past: [], word: "not run yet" }));
  return [...runs, ...others].sort((a, b) => a.id.localeCompare(b.id));
}

function startedLine() {
  const one = place.data.started;
  if (!one) return null;
  if (!one.over)
    return h(
      "p",
      { class: "sub" },
      `${one.id} is running, seed ${one.seed}: see `,
      h("a", { href: "#running" }, "running"),
      ".",
    );
  return one.said && h("p", { class: "unsure" }, `${one.id} came to no verdict: ${one.said}`);
}

// ---- two runs of one experiment ----

async function compare(a, b) {
  const asked = "/api/runs/" + [chosen, a, b].map(encodeURIComponent).join("/");
  if (compared?.asked === asked) return;
  compared = { asked, a, b };
  try {
    compared.rows = (await ask(asked)).rows;
  } catch (failure) {
    compared.failure = failure.message;
  }
  redraw();
}

// One of the kept runs in the place of the first or the second; one that was given by its address stays.
function choice(run, at) {
  const { a, b } = compared;
  const given = [a, b][at];
  const kept = [...run.past].reverse().filter((r) => r.name !== [b, a][at]);
  if (!kept.some((r) => r.name === given)) kept.push({ name: given, word: "not among the last" });
  const options = kept.map((r) =>
    h("option", { value: r.name, selected: r.name === given }, `${r.name}: ${r.word}`),
  );
  const go = (event) => {
    const names = at === 0 ? [event.target.value, b] : [a, event.target.value];
    location.hash = ["runs", chosen, ...names].join("/");
  };
  return h("select", { "aria-label": ["first run", "second run"][at], onchange: go }, options);
}

function comparison(run) {
  const { rows, failure, a, b } = compared;
  const same = rows?.length === 0;
  const body = (rows || []).map((r) =>
    h("tr", {}, h("td", {}, r.what), h("td", {}, r.a), h("td", {}, r.b)),
  );
  return [
    h("p", { class: "sub" }, h("a", { href: "#runs" }, "runs"), ` / ${chosen}`),
    h("h1", {}, same ? "The two runs say the same." : `${chosen}: where two runs differ.`),
    h("div", { class: "chips" }, choice(run, 0), choice(run, 1)),
    failure && h("p", { class: "unsure" }, failure),
    rows && !same && table(["what", a, b], body),
    lua(`rlab diff runs/${chosen}/${a} runs/${chosen}/${b}`),
  ];
}

const nameOf = (run) => run.name.split("/")[1];

export function draw(model, main) {
  const runs = place.data?.runs;
  if (!runs) {
    place.once(main, place.failure, () => (place.failure ? failed(place.failure) : asking()));
    return;
  }
  const one = pair[0] && runs.find((r) => r.id === chosen);
  if (one) {
    compare(pair[0], pair[1] || compared?.b || nameOf(one));
    place.once(main, [compared, one.past], () => comparison(one));
    return;
  }
  const all = runs.reduce((sum, r) => sum + r.past.length, 0);
  place.once(main, [place.data, chosen], () => [
    runs.length > 0
      ? h("h1", {}, `${plural(runs.length, "experiment")} with ${plural(all, "run")} kept.`)
      : [
          h("h1", {}, "No run is kept here yet."),
          h("p", { class: "sub" }, "Choose one to start it, or run it in a terminal:"),
          h("pre", { class: "command" }, "rlab E-012"),
        ],
    startedLine(),
    runTable(rows()),
  ]);
}

// How often each arm was as predicted in all runs, and why not.
function record(run) {
  if (!run.record) return null;
  const lines = run.record.arms.map((arm) =>
    h(
      "tr",
      {},
      h("td", {}, arm.name, ...arm.reasons.map((r) => h("small", {}, `${r.times} x ${r.says}`))),
      h("td", { class: arm.right ? "" : "unsure" }, arm.says),
    ),
  );
  return [
    h("h2", {}, "Track record", h("span", {}, run.record.says)),
    table(["arm", "runs"], lines),
  ];
}

// Each run that is kept, the newest first, with its report and the way to a comparison: with the latest at
// first.
function keptRuns(run) {
  const latest = nameOf(run);
  const link = (href, text, outside) =>
    h("a", outside ? { href, target: "_blank", rel: "noopener" } : { href }, text);
  const lines = [...run.past].reverse().map((r) =>
    h(
      "tr",
      {},
      h(
        "td",
        {},
        r.report ? link(`/runs/${run.id}/${r.name}/report.html`, r.name, true) : r.name,
        h("small", {}, h("span", { class: r.tone }, r.word), `, seed ${r.seed ?? "?"}`),
      ),
      h("td", {}, r.name === latest ? "" : link(`#runs/${run.id}/${r.name}`, "compare")),
    ),
  );
  return [
    h("h2", {}, "Runs kept", h("span", {}, plural(run.past.length, "run"))),
    table(["run", ""], lines),
  ];
}

const about = (id) => place.data.experiments.find((e) => e.id === id) || {};

// What it will touch, before it is begun.
function asked(run) {
  const { needs, disrupts, seconds: took } = about(run.id);
  const hurt = disrupts ? `It kills, freezes or cuts off ${disrupts}; other runs wait. ` : "";
  const long = took ? ` It takes about ${took} s.` : "";
  const made = "It makes topics, groups and schemas of its own and removes them.";
  return `Start ${run.id}? It needs ${needs || "no servers"}. ${hurt}${made}${long}`;
}

function starting(run, going) {
  if (going) {
    return action({
      label: `End ${going.id}`,
      what: "It is interrupted, mends the servers and removes what it made; it comes to no verdict.",
      lua: "Ctrl-C",
      ask: async () => `End ${going.id} now?`,
      run: async () => {
        await post("/api/stop", {});
        place.again();
        return "ended";
      },
    });
  }
  const seed = run.seed ?? 7;
  return action({
    label: run.name ? "Run it again" : "Run it",
    what: "A process of its own; this page follows it.",
    lua: `rlab ${run.id} --seed ${seed}`,
    ask: async () => asked(run),
    run: async () => {
      await post("/api/runs", { id: run.id, seed });
      place.again();
      location.hash = "running";
      return `started with seed ${seed}`;
    },
  });
}

export function facts(model, aside) {
  const run = place.data && rows().find((r) => r.id === chosen);
  const going = place.data?.started && !place.data.started.over ? place.data.started : null;
  const key = JSON.stringify([run || null, going]);
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
    run.name &&
      h(
        "dl",
        {},
        h("dt", {}, "seed"),
        h("dd", {}, String(run.seed ?? "")),
        h("dt", {}, "took"),
        h("dd", {}, seconds(run.duration)),
        h("dt", {}, "kept in"),
        h("dd", { class: "mono" }, `runs/${run.name}`),
      ),
    run.name && record(run),
    run.name && keptRuns(run),
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
    run.name &&
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
    starting(run, going),
  );
}

export const detail = () => true;
export const count = () => (place.data ? String(place.data.runs.length) : "");
