// Pipeline: what waits between the stores. The outbox by schema, the dead letters with what a re-drive would
// do to each, and the cached accounts beside their rows.
import { ago, fill, h, number, plural, seconds } from "./dom.js";
import { action, ask, lua, post, quoted } from "./act.js";
import { asking, failed, n, newPlace, row, table, told, waiting } from "./place.js";

const place = newPlace();
const page = { topic: null, schema: "", preview: null, failure: null, key: null, asked: null };
const how = { rate: "5/s", cap: "10", stop: true };
let drawnFacts = null,
  redraw = () => {};

// #pipeline, #pipeline/orders, #pipeline/orders/SCHEMA
export function open(rest, draw) {
  redraw = draw;
  const [topic, schema] = rest;
  Object.assign(page, { topic: topic || null, schema: schema || "", preview: null, asked: null, key: null });
  place.watch("/api/pipeline", draw);
}
export function close() {
  place.close();
  drawnFacts = null;
}
export function choose(key) {
  if (key.startsWith("dlq ")) location.hash = `pipeline/${encodeURIComponent(key.slice(4))}`;
  else page.key = key.slice(4);
}

const schema = () => page.schema || place.data?.schema || "";

// The preview is asked for anew when something has come, gone or was sent.
async function look() {
  const state = [page.topic, schema(), waitingOf(page.topic), place.data.redrive?.replayed];
  const wanted = JSON.stringify(state);
  if (!page.topic || page.asked === wanted) return;
  page.asked = wanted;
  try {
    const path = `/api/pipeline/${encodeURIComponent(page.topic)}?schema=${encodeURIComponent(schema())}`;
    page.preview = await ask(path);
    page.failure = null;
  } catch (failure) {
    page.failure = failure.message;
  }
  redraw();
}

const waitingOf = (topic) => (rowsOf("dead").find((d) => d.topic === topic) || {}).waiting;
const rowsOf = (part) => {
  const data = place.data?.[part];
  return Array.isArray(data) ? data : data?.rows || [];
};

// A part that could not be read has one row, of which nothing is known.
const partOf = (part) => (place.data[part].failure ? [{}] : rowsOf(part));

// ---- the outbox ----

const outboxLine = (name) =>
  `sql "select count(*), min(created_at) from ${name}.outbox_event where published_at is null"`;

function outbox() {
  const { failure, more } = place.data.outbox;
  const rows = rowsOf("outbox");
  if (failure) return h("p", { class: "sub" }, failure);
  if (rows.length === 0) {
    return [
      h("p", { class: "sub" }, "No schema has an outbox. Make the tables:"),
      h("pre", { class: "command" }, "rlab migrate"),
    ];
  }
  const columns = ["schema", ["waiting", "n"], ["oldest", "n"], ["parked", "n hide"]];
  const body = rows.map((r) =>
    h(
      "tr",
      {},
      h("td", { class: "mono" }, r.schema),
      n(r.note ? h("span", { class: "unsure" }, r.note) : number(r.waiting), { class: "backlog" }),
      n(seconds(r.oldest)),
      n(number(r.parked), { class: "hide" }),
    ),
  );
  return [
    table(columns, body),
    more > 0 && h("p", { class: "sub" }, `+${number(more)} older schemas`),
    lua(outboxLine(rows[0].schema)),
  ];
}

// ---- dead letters ----

function deadTable() {
  const rows = rowsOf("dead");
  if (place.data.dead.failure) return h("p", { class: "sub" }, place.data.dead.failure);
  if (rows.length === 0) {
    const text = "No topic ends in .dlq. A consumer makes it with the first record that fails for good.";
    return h("p", { class: "sub" }, text);
  }
  const cells = (d) => [
    h("td", { class: "mono" }, d.dlq),
    n(d.note ? h("span", { class: "unsure" }, d.note) : number(d.waiting), { class: "backlog" }),
  ];
  return table(
    ["dead-letter topic", ["not replayed", "n"]],
    rows.map((d) => row(`dlq ${d.topic}`, null, cells(d))),
  );
}

const FATE = {
  replay: "sent",
  parked: "left, at its limit",
  skipped: "skipped",
  partial: "left, not whole",
};

function letterRow(r) {
  const dedup = r.fate !== "replay" ? "" : r.dedup || "not known";
  return h(
    "tr",
    {},
    h("td", { class: "mono" }, r.id),
    h("td", { class: "hide" }, r.class || ""),
    n(String(r.replays), { class: "hide" }),
    h("td", { class: r.fate === "replay" ? null : "muted" }, FATE[r.fate]),
    h("td", { class: /^applies/.test(dedup) ? null : "muted" }, dedup),
    h("td", { class: "mono hide" }, r.fate === "replay" ? r.group || "every group" : ""),
  );
}

function letters() {
  const p = page.preview;
  if (page.failure) return h("p", { class: "unsure" }, page.failure);
  if (!p) return waiting();
  if (p.total === 0) return h("p", { class: "sub" }, "Nothing waits: all of it was sent back, or left.");
  const columns = ["event", ["error", "hide"], ["replays", "n hide"], "a re-drive", "dedup", ["for group", "hide"]];
  return [
    p.unknown && h("p", { class: "unsure" }, `What dedup would do is not known: ${p.unknown}`),
    table(columns, p.rows.map(letterRow)),
    p.total > p.rows.length && h("p", { class: "sub" }, `+${number(p.total - p.rows.length)} more`),
    lua(`rlab replay run ${page.topic} --dry-run --database ${schema()}`),
  ];
}

// ---- the cache ----

function cacheTable() {
  const { failure, cut } = place.data.cached;
  if (failure) return h("p", { class: "sub" }, failure);
  const rows = rowsOf("cached");
  if (rows.length === 0) return h("p", { class: "sub" }, "No account is cached.");
  const columns = ["key", ["entry", "n"], ["row", "n"], ["age", "n hide"], ["to live", "n hide"], ""];
  const cells = (c) => [
    h("td", { class: "mono" }, c.key),
    n(c.state === "value" ? number(c.version) : c.state),
    n(number(c.row_version)),
    n(seconds(c.age), { class: "hide" }),
    n(c.ttl < 0 ? "for ever" : seconds(c.ttl), { class: "hide" }),
    h("td", { class: c.judged === "fresh" ? "muted" : "unsure" }, c.judged),
  ];
  return [
    table(
      columns,
      rows.map((c) => row(`key ${c.key}`, `key ${page.key}`, cells(c))),
    ),
    cut && h("p", { class: "sub" }, `The first ${rows.length} that were found; there are more.`),
  ];
}

// ---- the page ----

function headline() {
  const oldest = Math.max(0, ...rowsOf("outbox").map((r) => r.oldest || 0));
  const stale = rowsOf("cached").filter((c) => c.judged === "stale").length;
  const since = oldest > 0 ? `, the oldest for ${seconds(oldest)}` : "";
  const wait = (sum) => `${plural(sum, "outbox row")} ${sum === 1 ? "waits" : "wait"}${sum > 0 ? since : ""}`;
  const letters = (sum) => plural(sum, "dead letter");
  return (
    `${told(partOf("outbox"), "waiting", wait, "outbox rows are")}; ` +
    `${told(partOf("dead"), "waiting", letters, "dead letters are")}; ${number(stale)} of ${rowsOf("cached").length} cached stale.`
  );
}

const title = (text, note) => h("h2", {}, text, h("span", {}, note));

const overview = () => [
  h("h1", {}, headline()),
  title("Outbox", "rows that no relay has sent yet"),
  outbox(),
  title("Dead letters", "choose one to see what a re-drive would do"),
  deadTable(),
  title("Cache", "each entry beside its row in account_view, compared by version"),
  cacheTable(),
];

function one() {
  const p = page.preview;
  const sum = p ? `${number(p.counts.replay)} would be sent, ${number(p.total - p.counts.replay)} left.` : "";
  return [
    h("p", { class: "sub" }, h("a", { href: "#pipeline" }, "pipeline"), " / dead letters"),
    h("h1", {}, `${page.topic}: ${sum || "asking …"}`),
    letters(),
  ];
}

export function draw(model, main) {
  if (place.failure && !place.data) {
    place.once(main, place.failure, () => failed(place.failure));
    return;
  }
  if (!place.data) {
    place.once(main, "waiting", asking);
    return;
  }
  if (page.topic) {
    look();
    place.once(main, [page, schema()], one);
  } else place.once(main, [place.data, page.key], overview);
}

// ---- what can be done ----

function doing(state) {
  const sent = `${plural(state.replayed, "record")} sent`;
  if (!state.over) return `Under way: ${sent}.${state.ill ? ` Waiting: ${state.ill}` : ""}`;
  if (state.failure) return `It failed after ${sent}: ${state.failure}`;
  const again = state.again;
  if (again) return `Stopped: ${again.id} failed again (${again.class || "no class"}). ${sent}.`;
  const left = state.parked > 0 ? `, ${number(state.parked)} left at their limit` : "";
  return `${state.state === "out of budget" ? "Its cap is reached" : "Ended"}: ${sent}${left}.`;
}

const command = () =>
  `rlab replay run ${page.topic} --rate ${how.rate}` +
  (how.cap ? ` --budget ${how.cap}` : "") +
  (how.stop ? " --stop-on-refailure" : "");

function asked() {
  const p = page.preview;
  if (!p) throw new Error("What it would do is not known yet.");
  const most = how.cap ? Math.min(p.counts.replay, Number(how.cap)) : p.counts.replay;
  if (most === 0) throw new Error("Nothing would be sent.");
  const drops = p.rows.slice(0, most).filter((r) => /^drops/.test(r.dedup || "")).length;
  const to = [...new Set(p.rows.filter((r) => r.to).map((r) => r.to))].join(", ");
  return (
    `Send ${plural(most, "record")} back to ${to} at ${how.rate}? ` +
    (drops > 0 ? `The dedup drops ${number(drops)} of the first ${number(most)}. ` : "") +
    `${number(p.counts.parked)} stay, at their limit of ${p.max} replays.`
  );
}

function form() {
  const box = h("div", {});
  const show = () =>
    fill(
      box,
      action({
        label: "Re-drive",
        what: "Each is sent back to its topic, for the group that failed, and done with once acknowledged.",
        lua: command(),
        ask: async () => asked(),
        run: async () => {
          const what = { topic: page.topic, rate: how.rate, stop: how.stop };
          await post("/api/redrive", how.cap ? { ...what, cap: Number(how.cap) } : what);
          place.again();
          return "begun";
        },
      }),
    );
  const field = (name, label, properties) => {
    const put = (e) => {
      how[name] = properties.type === "checkbox" ? e.target.checked : e.target.value;
      show();
    };
    return h("label", {}, label, h("input", { ...properties, oninput: put }));
  };
  show();
  return [
    h(
      "div",
      { class: "form" },
      field("rate", "rate ", { value: how.rate, size: 6 }),
      field("cap", "at most ", { value: how.cap, type: "number", min: 1, placeholder: "no cap" }),
      field("stop", "stop when one fails again ", { type: "checkbox", checked: how.stop }),
    ),
    box,
  ];
}

const stopping = (state) =>
  action({
    label: "Stop it",
    what: "What is under way is acknowledged first; the rest waits.",
    lua: "Ctrl-C",
    run: async () => {
      await post("/api/redrive/stop", {});
      place.again();
      return `stopped after ${plural(state.replayed, "record")}`;
    },
  });

function letterFacts(state) {
  const going = state && !state.over;
  return [
    h("h2", {}, "Re-drive", h("span", {}, page.topic)),
    state && h("p", { class: "doing", role: "status" }, `${state.topic}: ${doing(state)}`),
    going ? stopping(state) : form(),
  ];
}

function entryFacts(c) {
  const line = `sql "select * from ${c.schema}.account_view where account_id = ${c.account}"`;
  return [
    h("button", { type: "button", class: "button back" }, "Back"),
    h("h2", {}, c.key, h("span", { class: c.judged === "fresh" ? null : "unsure" }, c.judged)),
    table(
      ["", ["version", "n"], ["balance", "n"]],
      [
        ["entry", c.version, c.balance],
        ["row", c.row_version, c.row_balance],
      ].map(([name, version, balance]) => h("tr", {}, h("td", {}, name), n(number(version)), n(number(balance)))),
    ),
    c.note && h("p", { class: "unsure" }, c.note),
    c.age !== undefined && h("p", { class: "sub" }, `Stored ${ago(Date.now() - 1000 * c.age)} ago.`),
    lua(`redis(${quoted("HGETALL")}, ${quoted(c.key)})`),
    c.schema && lua(line),
  ];
}

export function facts(model, aside) {
  const entry = !page.topic && rowsOf("cached").find((c) => c.key === page.key);
  const state = place.data?.redrive;
  const key = JSON.stringify(page.topic ? [page.topic, state, schema()] : [entry && [entry.key, entry.judged]]);
  if (key === drawnFacts && aside.childElementCount > 0) return;
  drawnFacts = key;
  fill(
    aside,
    page.topic
      ? letterFacts(state)
      : entry
        ? entryFacts(entry)
        : h("p", { class: "sub" }, "Choose dead letters, or a cached account."),
  );
}

export const detail = (key) => key.startsWith("key ");
export const count = () =>
  place.data ? told(partOf("outbox"), "waiting", (sum) => `${number(sum)} wait`, "how many wait is") : "";
