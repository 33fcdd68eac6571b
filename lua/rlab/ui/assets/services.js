// Services that run on this machine, with their health and the way to their failpoints.
import { fill, h, plural } from "./dom.js";
import { lua } from "./act.js";
import { asking, failed, n, newPlace, row, table } from "./place.js";

const place = newPlace();
let chosen = null,
  drawnFacts = null;

export function open(rest, redraw) {
  if (rest[0]) chosen = rest[0];
  place.watch("/api/services", redraw);
}
export function close() {
  place.close();
  drawnFacts = null;
}
export function choose(key) {
  chosen = key;
  history.replaceState(null, "", `#services/${key}`);
}

const tone = (status) => (status === "UP" ? "muted" : "unsure");
const down = (one) => one.components.filter((c) => c.status !== "UP").map((c) => c.name);

const none = () => [
  h("h1", {}, "No service runs here."),
  h("p", { class: "sub" }, "Start one; an experiment's own come and go with its arms:"),
  h("pre", { class: "command" }, "rlab service command --failpoints"),
];

function list(services) {
  const ill = services.filter((one) => one.status !== "UP").length;
  const cells = (one) => [
    h("td", { class: "mono" }, one.name),
    h("td", { class: "hide" }, one.service),
    n(String(one.port)),
    h("td", { class: tone(one.status) }, one.status),
    h("td", { class: "unsure" }, down(one).join(", ")),
  ];
  return [
    h("h1", {}, `${plural(services.length, "service")}, ${ill === 0 ? "all of them up" : `${ill} not up`}.`),
    table(
      ["service", ["of kind", "hide"], ["port", "n"], "health", "down"],
      services.map((one) => row(String(one.port), chosen, cells(one))),
    ),
  ];
}

export function draw(model, main) {
  const services = place.data?.services;
  if (!services) {
    place.once(main, place.failure, () => (place.failure ? failed(place.failure) : asking()));
    return;
  }
  place.once(main, [services, chosen], () => (services.length > 0 ? list(services) : none()));
}

function serviceFacts(one) {
  const lines = one.components.map((c) => [
    h("dt", {}, c.name),
    h("dd", { class: tone(c.status) }, c.why ? `${c.status}: ${c.why}` : c.status),
  ]);
  return [
    h("button", { type: "button", class: "button back" }, "Back"),
    h("h2", {}, one.name, h("span", {}, `port ${one.port}`)),
    h("p", { class: tone(one.status) }, one.why ? `${one.status}: ${one.why}` : one.status),
    lines.length > 0 && h("dl", {}, lines),
    lua(`http.get("http://127.0.0.1:${one.port}/actuator/health").body`),
    h("p", { class: "act" }, h("a", { class: "button", href: `#faults/${one.port}` }, "Its failpoints")),
    lua(`failpoints(${one.port})`),
  ];
}

export function facts(model, aside) {
  const one = place.data?.services.find((x) => String(x.port) === chosen);
  const key = JSON.stringify(one ?? null);
  if (key === drawnFacts && aside.childElementCount > 0) return;
  drawnFacts = key;
  fill(aside, one ? serviceFacts(one) : h("p", { class: "sub" }, "Choose a service."));
}

export const detail = () => true;
export const count = () => (place.data ? String(place.data.services.length) : "");
