// Topics: each partition as one bar with low, LSO, HW; its records, and what became of each of them.
import { $, ago, fill, h, number, s } from "./dom.js";
import { ask, lua, quoted } from "./act.js";
import { FATE, recordFacts, recordForm } from "./record.js";
import { asking, failed, listPath, n, narrowed, newPlace, row, table, waiting } from "./place.js";

const place = newPlace();
const page = {
  topic: null,
  partition: null,
  from: null,
  records: null,
  failure: null,
  filter: "all",
  offset: null,
  sought: "",
  note: null,
  line: null,
};
const UNSOUGHT = { sought: "", note: null, line: null };
const WINDOW = 50,
  kept = { wanted: "" };
let drawnFacts = null,
  loading = false,
  redraw = () => {};

// ---- what is looked at: #topics, #topics/orders, #topics/orders/0/112 ----

export function open(rest, draw) {
  redraw = draw;
  const [topic, partition, offset] = rest;
  const moved = topic !== page.topic || partition !== page.partition;
  if (moved) Object.assign(page, { records: null, failure: null, from: null, offset: null, filter: "all", ...UNSOUGHT });
  page.topic = topic || null;
  page.partition = partition ?? null;
  if (offset !== undefined) page.offset = Number(offset);
  if (moved && offset !== undefined) page.from = Math.max(0, page.offset - 10);
  place.watch(topic ? `/api/topics/${encodeURIComponent(topic)}` : listPath("topic", kept), redraw);
  if (moved && partition !== undefined) load();
}

export function close() {
  place.close();
  drawnFacts = null;
  page.topic = page.partition = undefined;
}

async function load() {
  loading = true;
  const from = page.from === null ? "" : `from=${page.from}&`;
  try {
    page.records = await ask(
      `/api/topics/${encodeURIComponent(page.topic)}/${page.partition}?${from}n=${WINDOW}`,
    );
    page.failure = null;
  } catch (failure) {
    page.failure = failure.message;
  }
  loading = false;
  redraw();
}

export function choose(key) {
  if (!page.topic) location.hash = `topics/${encodeURIComponent(key)}`;
  else if (key.startsWith("p")) location.hash = `topics/${encodeURIComponent(page.topic)}/${key.slice(1)}`;
  else {
    page.offset = Number(key.slice(1));
    page.from ??= page.records.from; // the end is not followed away from what one looks at
    history.replaceState(
      null,
      "",
      `#topics/${encodeURIComponent(page.topic)}/${page.partition}/${page.offset}`,
    );
  }
}

// ---- the list ----

const inSync = (t) => (t["in sync"] ? "in sync" : t["in sync"] === false ? "not all in sync" : "");

const list = () =>
  narrowed(place, kept, {
    word: "topic",
    columns: [["partitions", "n"], ["replicas", "n"], ""],
    cells: (t) => [
      n(t.partitions === undefined ? "" : number(t.partitions)),
      n(t.replicas === undefined ? "" : number(t.replicas)),
      h("td", { class: t["in sync"] === false ? "unsure" : "muted" }, t.note || inSync(t)),
    ],
  });

function noTopics() {
  return [
    h("h1", {}, "There are no topics."),
    h("p", { class: "sub" }, "Make one at the prompt (rlab):"),
    h("pre", { class: "command" }, 'create "orders"'),
    h("p", { class: "sub" }, "An experiment's topics are gone when it has ended, unless it keeps them:"),
    h("pre", { class: "command" }, "rlab E-012 --keep"),
  ];
}

// ---- a topic ----

function bar(p, top) {
  const W = 100,
    x = (v) => (top > 0 ? (W * v) / top : 0);
  if (p.hw === undefined) return h("span", { class: "unsure" }, p.note || "no leader");
  const lso = p.lso ?? p.hw;
  return s(
    "svg",
    {
      class: "marks",
      viewBox: `0 0 ${W} 14`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": `low ${p.low}, LSO ${lso}, HW ${p.hw}`,
    },
    s("rect", { class: "gone", x: 0, y: 4, width: x(p.low || 0), height: 6 }),
    s("rect", {
      class: "kept",
      x: x(p.low || 0),
      y: 4,
      width: Math.max(x(lso) - x(p.low || 0), 0),
      height: 6,
    }),
    s("rect", { class: "hidden", x: x(lso), y: 4, width: Math.max(x(p.hw) - x(lso), 0), height: 6 }),
    s("line", { class: "m-lso", x1: x(lso), x2: x(lso), y1: 0, y2: 14 }),
    s("line", { class: "m-hw", x1: x(p.hw), x2: x(p.hw), y1: 0, y2: 14 }),
  );
}

function openOnes(partitions) {
  const open = partitions.flatMap((p) => (p.open || []).map((t) => ({ ...t, partition: p.partition })));
  if (open.length === 0) return null;
  return h(
    "p",
    { class: "unsure" },
    open.map((t, i) => [
      i > 0 && "; ",
      `transaction ${t.id || `of producer ${t.producer_id}`} is open `,
      `on partition ${t.partition} since offset ${t.from}`,
      t.holds_lso && " and holds the LSO back",
    ]),
    ".",
  );
}

function partitionTable(partitions) {
  const top = Math.max(...partitions.map((p) => p.hw || 0), 0);
  const chosen = page.partition !== null ? "p" + page.partition : null;
  return table(
    [
      "partition",
      ["", "wide"],
      ["low", "n"],
      ["LSO", "n lso"],
      ["HW", "n hw"],
      ["LEO", "n hide"],
      ["leader", "n hide"],
      ["ISR", "hide"],
    ],
    partitions.map((p) =>
      row(
        "p" + p.partition,
        chosen,
        h("td", {}, String(p.partition)),
        h("td", { class: "wide" }, bar(p, top)),
        n(number(p.low)),
        n(number(p.lso)),
        n(number(p.hw)),
        n(number(p.leo), { class: "hide" }),
        n(String(p.leader ?? "none"), { class: "hide" }),
        h("td", { class: "hide" }, p.isr),
      ),
    ),
  );
}

const FATES = ["all", "committed", "aborted", "open", "control"];

function cellText(cell) {
  if (!cell) return "";
  if (cell.kind === "null") return h("span", { class: "muted" }, "null");
  return (
    (cell.kind === "bytes" ? "0x " : "") +
    cell.text.slice(0, 160) +
    (cell.cut || cell.text.length > 160 ? " …" : "")
  );
}

function recordRow(r) {
  return h(
    "tr",
    { "data-key": "r" + r.offset, tabindex: 0, class: `${r.fate} ${page.offset === r.offset ? "on" : ""}` },
    n(number(r.offset)),
    h("td", {}, h("span", { class: `fate ${r.fate}` }, FATE[r.fate])),
    h("td", { class: "mono key" }, cellText(r.key)),
    h("td", { class: "mono val" }, cellText(r.decoded || r.value)),
    n(r.timestamp > 0 ? ago(r.timestamp) : "", { class: "hide" }),
  );
}

function move(from) {
  page.from = from;
  page.offset = null;
  load();
}

// To an offset, or to the first record that is not older than a time.
async function seek(where) {
  page.sought = where;
  page.note = null;
  if (where === "") return move(null);
  if (/^\d+$/.test(where)) return move(Number(where));
  try {
    const time = encodeURIComponent(where);
    const at = await ask(`/api/topics/${encodeURIComponent(page.topic)}/${page.partition}/at?time=${time}`);
    const since = new Date(at.ms).toISOString().slice(0, 19).replace("T", " ");
    page.note = at.after ? `No record is of ${since} UTC or later.` : `From ${since} UTC on.`;
    page.line = `admin():list_offsets { { topic = ${quoted(page.topic)}, partition = ${page.partition}, at = ${at.ms} } }`;
    move(at.after ? null : at.offset);
  } catch (failure) {
    page.note = failure.message;
    redraw();
  }
}

function browser() {
  if (page.failure) return h("p", { class: "unsure" }, page.failure);
  const got = page.records;
  if (!got) return waiting();
  const counts = Object.fromEntries(FATES.map((f) => [f, got.records.filter((r) => r.fate === f).length]));
  counts.all = got.records.length;
  const jump = h("input", {
    "aria-label": "Offset or time",
    placeholder: "offset, -5m or a time",
    class: "jump",
    value: page.sought,
    onchange: (event) => seek(event.target.value.trim()),
  });
  const button = (label, go, off) =>
    h("button", { type: "button", class: "button", disabled: off, onclick: go }, label);
  return [
    h(
      "h2",
      {},
      `Records of partition ${got.partition}`,
      h(
        "span",
        {},
        `offsets ${number(got.from)} to ${number(Math.max(got.to - 1, got.from))} of ` +
          `${number(got.low)} to ${number(got.hw)}`,
      ),
    ),
    h(
      "div",
      { class: "chips" },
      FATES.filter((f) => f === "all" || counts[f] > 0).map((f) =>
        h(
          "button",
          {
            type: "button",
            class: "button",
            "aria-pressed": String(page.filter === f),
            onclick: () => {
              page.filter = f;
              redraw();
            },
          },
          `${FATE[f] || f} ${counts[f]}`,
        ),
      ),
      button("Older", () => move(Math.max(got.low || 0, got.from - WINDOW)), got.from <= (got.low || 0)),
      button("Newer", () => move(got.to), got.to >= got.hw),
      button("Latest", () => move(null)),
      jump,
    ),
    page.note && [h("p", { class: "sub", role: "status" }, page.note), page.line && lua(page.line)],
    got.records.length === 0
      ? [
          h("p", { class: "sub" }, "The partition is empty. Write a record at the prompt:"),
          lua(`produce(${quoted(page.topic)}, { key = "k", value = "v" })`),
        ]
      : table(
          [["offset", "n"], "became", "key", "value", ["age", "n hide"]],
          got.records.filter((r) => page.filter === "all" || r.fate === page.filter).map(recordRow),
          { class: "records" },
        ),
  ];
}

// The end of a partition is followed as long as one looks at it.
function followEnd() {
  const now = place.data?.partitions?.find((p) => String(p.partition) === page.partition);
  if (!now || !page.records || page.from !== null || page.failure || loading) return;
  if (now.hw !== page.records.hw || now.lso !== page.records.lso) load();
}

export function draw(model, main) {
  followEnd();
  if (place.failure && !place.data) {
    place.once(main, place.failure, () => failed(place.failure));
    return;
  }
  if (!place.data) {
    place.once(main, "waiting", asking);
    return;
  }
  if (!page.topic) {
    place.once(main, place.data, () =>
      place.data.all > 0 ? list() : noTopics(),
    );
    return;
  }
  place.once(main, [place.data, page], () => [
    h("p", { class: "sub" }, h("a", { href: "#topics" }, "topics"), " / "),
    h("h1", {}, page.topic),
    openOnes(place.data.partitions),
    partitionTable(place.data.partitions),
    page.partition !== null
      ? browser()
      : h("p", { class: "sub" }, "Choose a partition to see its records."),
    lua(`offsets ${quoted(page.topic)}`),
  ]);
}

const openOn = () => place.data?.partitions?.find((p) => String(p.partition) === page.partition)?.open || [];

export function facts(model, aside) {
  const r = page.records?.records.find((x) => x.offset === page.offset);
  const key = JSON.stringify([page.topic, page.partition, r || null]);
  if (key === drawnFacts && aside.childElementCount > 0) return;
  drawnFacts = key;
  fill(
    aside,
    h("button", { type: "button", class: "button back" }, "Back"),
    r
      ? recordFacts(page.topic, page.partition, r, openOn(), load)
      : page.topic
        ? [
            h("h2", {}, "Write a record"),
            recordForm(page.topic, { partition: page.partition ?? "" }, "Write it", load),
          ]
        : h("p", { class: "sub" }, "Green: kept. Violet: hidden behind the LSO, until a transaction ends."),
  );
}

export const detail = (key) => key.startsWith("r") && page.partition !== null;
export const count = () => (place.data?.rows ? number(place.data.all) : "");
