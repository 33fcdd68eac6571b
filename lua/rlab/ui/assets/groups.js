// Groups: members, what each holds, and the lag in its three meanings; moving offsets with a dry run.
import { fill, h, number, plural, seconds } from "./dom.js";
import { action, ask, lua, post, quoted } from "./act.js";
import { asking, failed, listPath, n, narrowed, newPlace, row, table, told } from "./place.js";

const place = newPlace();
const kept = { wanted: "" };
let group = null,
  txn = null,
  drawnFacts = null;

const path = () => `/api/groups/${encodeURIComponent(group)}`;

export function open(rest, redraw) {
  group = rest[0] || null;
  place.watch(group ? path() : listPath("group", kept), redraw);
}
export function close() {
  place.close();
  drawnFacts = null;
}
export function choose(key) {
  if (key.startsWith("txn ")) txn = key.slice(4);
  else if (!group) location.hash = `groups/${encodeURIComponent(key)}`;
}

const list = () =>
  narrowed(place, kept, {
    word: "group",
    columns: ["state", ["members", "n"], ["coordinator", "n hide"]],
    cells: (g) => [
      h("td", { class: "muted" }, g.state),
      n(g.members === undefined ? "" : number(g.members)),
      n(String(g.coordinator ?? ""), { class: "hide" }),
    ],
  });

// ---- open transactions ----

function openOnes() {
  const open = place.data.open;
  const title = h("h2", {}, "Open transactions", h("span", {}, "choose one to abort it"));
  if (open.failure) return [title, h("p", { class: "unsure" }, open.failure)];
  if (open.length === 0) return null;
  const cells = (t) => [
    h("td", { class: "mono" }, t.id),
    h("td", { class: "muted hide" }, t.state),
    n(t.open ?? ""),
    n(t.timeout ?? "", { class: "hide" }),
    h("td", { class: t.holds ? "unsure" : "muted" }, t.holds || "nothing"),
  ];
  return [
    title,
    table(
      ["transactional id", ["state", "hide"], ["open for", "n"], ["timeout", "n hide"], "holds back"],
      open.map((t) => row(`txn ${t.id}`, `txn ${txn}`, cells(t))),
    ),
    lua("txns()"),
  ];
}

function txnFacts(t) {
  const end = `After ${t.timeout || "its timeout"} it would be aborted by itself.`;
  return [
    h("button", { type: "button", class: "button back" }, "Back"),
    h("h2", {}, t.id),
    h("p", {}, `${t.state}, open for ${t.open ?? "an unknown time"}. ${end}`),
    t.holds && h("p", { class: "unsure" }, `It holds back ${t.holds}.`),
    action({
      label: "Abort it",
      what: "Its producer is fenced: whoever holds it can write no more under this id.",
      lua: `fence ${quoted(t.id)}`,
      ask: async () =>
        `Abort the transaction of ${t.id}, open for ${t.open ?? "an unknown time"}? What it wrote is passed ` +
        "over by read_committed, and its producer ends with an error at its next step.",
      run: async () => {
        const done = await post("/api/fence", { id: t.id });
        place.again();
        return `${done.before} before, ${done.now} now`;
      },
    }),
  ];
}

const noGroups = () => [
  h("h1", {}, "There are no groups."),
  h(
    "p",
    { class: "sub" },
    "A group is there once a consumer of it has joined or committed. Watch one at work:",
  ),
  h("pre", { class: "command" }, "rlab E-004 --keep"),
];

function members(list_) {
  if (list_.length === 0) return h("p", { class: "sub" }, "No member is alive: its offsets can be moved.");
  return table(
    ["member", "host", "holds"],
    list_.map((m) =>
      h(
        "tr",
        {},
        h("td", { class: "mono" }, m.client || m.id),
        h("td", { class: "muted" }, m.host),
        h("td", { class: "mono" }, m.partitions.join(" ") || "nothing"),
      ),
    ),
  );
}

function lags(rows) {
  if (rows.length === 0) return h("p", { class: "sub" }, "It has committed nothing and holds nothing.");
  return table(
    [
      "topic",
      ["partition", "n"],
      ["committed", "n hide"],
      ["to HW", "n hw"],
      ["to LSO", "n lso hide"],
      ["readable", "n"],
      ["behind", "n"],
      ["", "hide"],
    ],
    rows.map((r) =>
      h(
        "tr",
        {},
        h("td", { class: "mono" }, r.topic),
        n(String(r.partition)),
        n(number(r.committed), { class: "hide" }),
        n(number(r.lag)),
        n(number(r.stable), { class: "hide" }),
        n(h("b", {}, number(r.readable))),
        n(seconds(r.seconds)),
        h("td", { class: "hide muted" }, r.note),
      ),
    ),
  );
}

function headline(data) {
  const where = data.members.length === 0 ? "no member is alive" : plural(data.members.length, "member");
  const behind = Math.max(...data.lag.map((r) => r.seconds ?? -1));
  const since = behind >= 0 ? `, the oldest ${seconds(behind)} old` : "";
  const words = (sum) => (sum === 0 ? "nothing is left to read" : `${plural(sum, "record")} to read${since}`);
  const left = told(data.lag, "readable", words, "what is left to read is");
  return `${data.id}: ${left}, ${where}.`;
}

export function draw(model, main) {
  if (place.failure && !place.data) {
    place.once(main, place.failure, () => [
      group && h("p", { class: "sub" }, h("a", { href: "#groups" }, "groups"), " / "),
      failed(place.failure),
    ]);
    return;
  }
  if (!place.data) {
    place.once(main, "waiting", asking);
    return;
  }
  place.once(main, [place.data, txn], () => {
    if (!group) return [place.data.all > 0 ? list() : noGroups(), openOnes()];
    return [
      h("p", { class: "sub" }, h("a", { href: "#groups" }, "groups"), " / "),
      h("h1", {}, headline(place.data)),
      h("p", { class: "sub" }, place.data.state),
      h(
        "h2",
        {},
        "Lag",
        h(
          "span",
          {},
          "to HW and to LSO count offsets, markers too; readable counts what read_committed will get; behind: " +
            "how old the first of them is",
        ),
      ),
      lags(place.data.lag),
      lua(`lag ${quoted(group)}`),
      h("h2", {}, "Members"),
      members(place.data.members),
    ];
  });
}

// ---- moving offsets ----

function planned(plan) {
  const lines = plan.rows.map(
    (r) =>
      `${r.topic} ${r.partition}: ${r.before ?? "nothing"} to ${r.offset}` +
      (r.before === undefined
        ? ""
        : r.offset < r.before
          ? `, ${plural(r.before - r.offset, "offset")} read again`
          : `, ${plural(r.offset - r.before, "offset")} passed over`),
  );
  if (plan.refused) throw new Error(`It would move ${lines.join("; ")}. Refused now: ${plan.refused}`);
  return `Move ${lines.join("; ")}?`;
}

function mover(topics) {
  const topic = h(
    "select",
    { "aria-label": "Topic" },
    topics.map((t) => h("option", { value: t }, t)),
  );
  const where = h("input", { value: "earliest", "aria-label": "Where", list: null, size: 18 });
  const box = h("div", {});
  const show = () => {
    const at = /^\d+$/.test(where.value) ? where.value : quoted(where.value);
    fill(
      box,
      action({
        label: "Move the offsets",
        what:
          'To "earliest", "latest", an offset, "-5m" or a time. ' +
          "First it says what would be; nobody of the group may be alive.",
        lua: `seek(${quoted(group)}, ${quoted(topic.value)}, ${at})`,
        ask: async () =>
          planned(
            await ask(
              `${path()}/plan?topic=${encodeURIComponent(topic.value)}` +
                `&where=${encodeURIComponent(where.value)}`,
            ),
          ),
        run: async () => {
          const done = await post(path(), { topic: topic.value, where: where.value });
          place.again();
          return `moved: ${done.rows.map((r) => `${r.partition} at ${r.offset}`).join(", ")}`;
        },
      }),
    );
  };
  topic.addEventListener("change", show);
  where.addEventListener("input", show);
  show();
  return [h("h2", {}, "Set offsets"), h("div", { class: "chips" }, topic, where), box];
}

// What is open grows older: only another one, or another state, is drawn anew.
function once(aside, t) {
  const key = JSON.stringify([t.id, t.state, t.holds]);
  if (key !== drawnFacts || aside.childElementCount === 0) fill(aside, txnFacts(t));
  return key;
}

export function facts(model, aside) {
  const one = !group && place.data?.open?.find?.((t) => t.id === txn);
  if (one) {
    drawnFacts = once(aside, one);
    return;
  }
  const topics = group && place.data?.lag ? [...new Set(place.data.lag.map((r) => r.topic))] : [];
  const key = JSON.stringify([group, topics]);
  if (key === drawnFacts && aside.childElementCount > 0) return;
  drawnFacts = key;
  fill(
    aside,
    topics.length > 0
      ? mover(topics)
      : h("p", { class: "sub" }, group ? "Nothing to move: it has committed nothing." : "Choose a group."),
  );
}

export const detail = (key) => key.startsWith("txn ");
export const count = () => (place.data?.rows ? number(place.data.all) : "");
