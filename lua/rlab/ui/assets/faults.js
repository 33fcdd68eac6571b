// Faults that are armed: the proxy's rules, and the failpoints of a service by its port.
import { fill, h, number, plural } from "./dom.js";
import { action, ask, lua, post, quoted } from "./act.js";
import { failed, n, newPlace, row, table, waiting } from "./place.js";

const place = newPlace();
const page = { rule: null, port: "", points: null, point: null, failure: null };
let drawnFacts = null,
  redraw = () => {};

export function open([port], draw) {
  redraw = draw;
  if (port && port !== page.port) {
    Object.assign(page, { port, points: null, point: null, failure: null });
    load();
  }
  place.watch("/api/faults", draw);
}
export function close() {
  place.close();
  drawnFacts = null;
}
export function choose(key) {
  page.rule = key.startsWith("rule ") ? Number(key.slice(5)) : null;
  page.point = key.startsWith("point ") ? key.slice(6) : null;
}

async function load() {
  try {
    page.points = (await ask(`/api/failpoints/${encodeURIComponent(page.port)}`)).points;
    page.failure = null;
  } catch (failure) {
    page.points = null;
    page.failure = failure.message;
  }
  redraw();
}

function ruleTable(rules) {
  if (rules.length === 0) {
    return [
      h("p", { class: "sub" }, "No rule is armed. At the prompt:"),
      lua('rule { api = "Produce", nth = 3, action = "cut-after" }'),
    ];
  }
  const names = [["id", "n"], "does", "of", "matches", ["matched", "n"], ["fired", "n"], ["holds now", "n"]];
  const body = rules.map((r) =>
    row(
      `rule ${r.id}`,
      `rule ${page.rule}`,
      n(String(r.id)),
      h("td", { class: "mono" }, r.action),
      h("td", {}, r.proto),
      h("td", { class: "mono" }, r.on),
      n(number(r.matched)),
      n(number(r.fired)),
      n(number(r.held || 0)),
    ),
  );
  return table(names, body);
}

function proxyTable(proxies) {
  const names = ["proxy", "listens", ["upstream", "hide"], "state", ["open", "n"], "toxics"];
  const body = proxies.map((p) =>
    h(
      "tr",
      {},
      h("td", { class: "mono" }, p.name),
      h("td", { class: "mono" }, p.listen),
      h("td", { class: "mono hide" }, p.upstream),
      h("td", { class: p.state === "up" ? "muted" : "unsure" }, p.state),
      n(number(p.open || 0)),
      h("td", { class: "mono" }, p.toxic_names),
    ),
  );
  return table(names, body);
}

function proxyPart() {
  if (!place.data) return place.failure ? h("p", { class: "sub" }, place.failure) : waiting();
  const { rules, proxies } = place.data;
  return [
    ruleTable(rules),
    h("h2", {}, "Proxies", h("span", {}, plural(proxies.length, "gate"))),
    proxyTable(proxies),
  ];
}

function pointTable() {
  if (page.failure) return h("p", { class: "unsure" }, page.failure);
  if (!page.points)
    return h("p", { class: "sub" }, "A service says its port when it is ready; it needs --failpoints.");
  const names = ["point", "does", ["reached", "n"], ["fired", "n"]];
  const body = page.points.map((p) =>
    row(
      `point ${p.name}`,
      `point ${page.point}`,
      h("td", { class: "mono" }, p.name, h("small", {}, p.help)),
      h("td", { class: "mono" }, p.expr || h("span", { class: "muted" }, "off")),
      n(number(p.hits ?? 0)),
      n(number(p.fired ?? 0)),
    ),
  );
  return table(names, body);
}

function portForm() {
  const input = h("input", {
    type: "number",
    min: 1,
    max: 65535,
    value: page.port,
    "aria-label": "Port of a service",
    placeholder: "port",
    class: "jump",
  });
  input.addEventListener("change", () => {
    page.port = input.value;
    page.point = null;
    if (page.port !== "") load();
  });
  return h("div", { class: "chips" }, h("label", {}, "of the service on port ", input));
}

function headline() {
  const rules = place.data?.rules.length ?? 0;
  const armed = (page.points || []).filter((p) => p.expr && p.expr !== "off").length;
  const held = place.data?.rules.reduce((sum, r) => sum + (r.held || 0), 0) ?? 0;
  return `${plural(rules, "rule")} and ${plural(armed, "failpoint")} armed${
    held > 0 ? `; ${plural(held, "request")} held` : ""
  }.`;
}

export function draw(model, main) {
  place.once(main, [place.data, place.failure, page], () => [
    place.failure && !place.data && /is not running/.test(place.failure) && !/proxy/.test(place.failure)
      ? failed(place.failure)
      : h("h1", {}, headline()),
    h("p", { class: "sub" }, "Armed is not reached, and reached is not fired: each is counted."),
    h("h2", {}, "Rules of the proxy"),
    proxyPart(),
    h("h2", {}, "Failpoints"),
    portForm(),
    pointTable(),
  ]);
}

// ---- what one can do ----

function ruleFacts(r) {
  return [
    h("h2", {}, `Rule ${r.id}`, h("span", {}, r.owner)),
    h(
      "p",
      {},
      `${r.action} of ${r.proto}${r.on ? `, ${r.on}` : ""}: `,
      `matched ${number(r.matched)}, fired ${number(r.fired)}.`,
    ),
    h("h2", {}, "Actions"),
    action({
      label: "Take it away",
      what: "What it holds goes on, late.",
      lua: `unrule(${r.id})`,
      ask: async () =>
        `Take rule ${r.id} away? ${
          r.held > 0 ? `${plural(r.held, "held request")} goes on now, late.` : "It holds nothing now."
        }`,
      run: async () => {
        await post("/api/faults", { unrule: r.id });
        place.again();
        return "taken away";
      },
    }),
  ];
}

function pointFacts(p) {
  const input = h("input", {
    value: p.expr && p.expr !== "off" ? p.expr : "#1 kill",
    "aria-label": "What it does",
    class: "mono",
  });
  const box = h("div", {});
  const send = async (expr) => {
    await post(`/api/failpoints/${encodeURIComponent(page.port)}`, { name: p.name, expr });
    await load();
  };
  const line = (expr) => `failpoint(${page.port}, ${quoted(p.name)}, ${quoted(expr)})`;
  const show = () =>
    fill(
      box,
      action({
        label: "Arm it",
        what: "It takes the place of what is armed there now.",
        lua: line(input.value),
        ask: async () =>
          `Arm ${p.name} with ${input.value}? ${
            /kill|exit/.test(input.value)
              ? "The service ends there and is not started again."
              : "The service does that to every client."
          }`,
        run: async () => {
          await send(input.value);
          return "armed";
        },
      }),
    );
  input.addEventListener("input", show);
  show();
  return [
    h("h2", {}, p.name),
    h("p", { class: "sub" }, p.help),
    h("p", {}, `Reached ${number(p.hits ?? 0)}, fired ${number(p.fired ?? 0)}.`),
    h("h2", {}, "Actions"),
    h("div", { class: "chips" }, h("label", {}, "does ", input)),
    box,
    action({
      label: "Disarm it",
      what: "The service goes on.",
      lua: line("off"),
      run: async () => {
        await send("off");
        return "off";
      },
    }),
  ];
}

export function facts(model, aside) {
  const rule = place.data?.rules.find((r) => r.id === page.rule);
  const point = page.points?.find((p) => p.name === page.point);
  const key = JSON.stringify([rule, point]);
  if (key === drawnFacts && aside.childElementCount > 0) return;
  drawnFacts = key;
  fill(
    aside,
    h("button", { type: "button", class: "button back" }, "Back"),
    rule
      ? ruleFacts(rule)
      : point
        ? pointFacts(point)
        : h("p", { class: "sub" }, "Choose a rule or a failpoint."),
  );
}

export const detail = (key) => key.startsWith("rule ") || key.startsWith("point ");
export const count = () => (place.data ? `${place.data.rules.length} armed` : "");
