// One record, whole: what became of it, its bytes as a reader would want them, and the form that writes one.
import { fill, h, number, plural } from "./dom.js";
import { action, lua, post, quoted } from "./act.js";

export const FATE = {
  committed: "committed",
  aborted: "aborted",
  open: "open",
  control: "marker or removed",
};

const SAYS = {
  committed: "A reader of read_committed gets it.",
  aborted: "Its transaction was aborted: read_committed passes over it, read_uncommitted delivers it.",
  open: "Behind the last stable offset: its transaction, or one before it, is open; a reader waits there.",
  control: "The offset holds no record: a transaction's commit or abort marker, or what was removed since.",
};

// JSON with line breaks; its numbers and texts stay as they are written, however large.
export function pretty(text) {
  try {
    if (typeof JSON.parse(text) !== "object") return null;
  } catch {
    return null;
  }
  let out = "",
    depth = 0;
  const line = () => "\n" + "  ".repeat(depth);
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}:,]|[^\s[\]{}:,"]+/g)) {
    if (token === "{" || token === "[") {
      depth += 1;
      out += token + line();
    } else if (token === "}" || token === "]") {
      depth -= 1;
      out = /[[{]\s*$/.test(out) ? out.trimEnd() + token : out + line() + token;
    } else if (token === ",") out += token + line();
    else out += token === ":" ? ": " : token;
  }
  return out;
}

const body = (cell) => (cell.kind === "null" ? "null" : (!cell.cut && pretty(cell.text)) || cell.text);

function cellFacts(title, cell, note) {
  const not = cell.kind === "bytes" ? ", not text" : "";
  const size = cell.kind === "null" ? "" : `${plural(cell.size, "byte")}${not}${cell.cut ? ", its beginning" : ""}`;
  return [h("h2", {}, title, h("span", {}, note || size)), h("pre", {}, body(cell))];
}

function valueFacts(r) {
  if (!r.decoded) return cellFacts("Value", r.value);
  return [
    cellFacts("Value", r.decoded, `Avro, schema ${r.decoded.schema}, ${plural(r.value.size, "byte")}`),
    lua(`schema(${r.decoded.schema})`),
  ];
}

function headerFacts(headers) {
  if (headers.length === 0) return null;
  const lines = headers.map((x) => [
    h("dt", { class: "mono" }, x.name),
    h("dd", { class: "mono" }, x.value.kind === "null" ? "null" : x.value.text),
  ]);
  return [h("h2", {}, "Headers"), h("dl", {}, lines)];
}

// ---- writing one ----

const headersOf = (text) =>
  text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const at = line.indexOf("=");
      if (at < 1) throw new Error(`A header is NAME=VALUE, not '${line}'.`);
      return [line.slice(0, at), line.slice(at + 1)];
    });

function luaOf(topic, what) {
  const parts = [];
  if (what.key !== undefined) parts.push(`key = ${quoted(what.key)}`);
  parts.push(`value = ${what.value === null ? "null" : quoted(what.value)}`);
  const pairs = what.headers.map(([name, value]) => `{ ${quoted(name)}, ${quoted(value)} }`);
  if (pairs.length > 0) parts.push(`headers = { ${pairs.join(", ")} }`);
  if (what.partition !== undefined) parts.push(`partition = ${what.partition}`);
  return `produce(${quoted(topic)}, { ${parts.join(", ")} })`;
}

// recordForm(topic, {key, value, headers, partition} as texts, label, done): the fields and the action
export function recordForm(topic, first, label, done) {
  const kept = { key: "", value: "", headers: "", partition: "", tombstone: false, ...first };
  const box = h("div", {});
  const what = () => ({
    key: kept.key === "" ? undefined : kept.key,
    value: kept.tombstone ? null : kept.value,
    headers: headersOf(kept.headers),
    partition: kept.partition === "" ? undefined : Number(kept.partition),
  });
  const line = () => {
    try {
      return luaOf(topic, what());
    } catch (failure) {
      return `-- ${failure.message}`;
    }
  };
  const show = () =>
    fill(
      box,
      action({
        label,
        what: "One record at the end of the topic, with acks=all.",
        lua: line(),
        ask: async () => {
          const size = kept.tombstone ? "a tombstone" : `a record of ${plural(what().value.length, "character")}`;
          return `Write ${size} to ${topic}? Consumers get it as a new one.`;
        },
        run: async () => {
          const at = await post(`/api/topics/${encodeURIComponent(topic)}`, what());
          done();
          return `written to partition ${at.partition} at offset ${at.offset}`;
        },
      }),
    );
  const field = (name, text, tag, properties) => {
    const put = (e) => {
      kept[name] = name === "tombstone" ? e.target.checked : e.target.value;
      show();
    };
    const value =
      name === "tombstone" ? { checked: kept[name] } : tag === "input" ? { value: kept[name] } : {};
    return h("label", {}, text, h(tag, { ...value, ...properties, oninput: put }, tag === "input" ? [] : kept[name]));
  };
  show();
  return [
    h(
      "div",
      { class: "form" },
      field("key", "key", "input", { placeholder: "none" }),
      field("value", "value", "textarea", { rows: 4, spellcheck: "false" }),
      field("tombstone", "no value, a tombstone", "input", { type: "checkbox" }),
      field("headers", "headers", "textarea", { rows: 2, placeholder: "NAME=VALUE, one a line", spellcheck: "false" }),
      field("partition", "partition", "input", { type: "number", min: 0, placeholder: "by the key" }),
    ),
    box,
  ];
}

const editable = (cell) => cell.exact || cell.kind === "null";

function again(topic, r, done) {
  const whole = editable(r.key) && editable(r.value) && r.headers.every((x) => x.value.exact);
  if (!whole) {
    const why = "It is no short text, so it can be sent again at the prompt only, from a file.";
    return h("p", { class: "sub" }, why);
  }
  const first = {
    key: r.key.text,
    value: r.value.text,
    tombstone: r.value.kind === "null",
    headers: r.headers.map((x) => `${x.name}=${x.value.text}`).join("\n"),
  };
  return recordForm(topic, first, "Send it again", done);
}

// recordFacts(topic, partition, record, open transactions of the partition, done)
export function recordFacts(topic, partition, r, open, done) {
  const line = `record(${quoted(topic)}, ${partition}, ${r.offset})`;
  if (r.fate === "control")
    return [h("h2", {}, `Offset ${number(r.offset)}`), h("p", { class: "sub" }, SAYS.control), lua(line)];
  const its = r.fate === "open" && open.length === 1 && open[0];
  return [
    h("h2", {}, `Offset ${number(r.offset)}`, h("span", { class: `fate ${r.fate}` }, FATE[r.fate])),
    h("p", { class: "sub" }, SAYS[r.fate]),
    its && h("p", {}, "Open: ", h("code", {}, its.id || its.producer_id)),
    cellFacts("Key", r.key),
    valueFacts(r),
    headerFacts(r.headers),
    lua(line),
    h("h2", {}, "Edit and send again"),
    again(topic, r, done),
  ];
}
