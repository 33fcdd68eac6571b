// What the places share that ask the stack: a state that is asked for anew now and then, drawn only when it
// differs, and empty states that say the next command.
import { $$, fill, h, number, plural } from "./dom.js";
import { ask, lua, quoted } from "./act.js";

export function newPlace() {
  const place = { data: null, failure: null, drawn: null, path: null, timer: null, redraw: () => {} };

  async function load() {
    const path = place.path;
    if (!path || document.hidden) return;
    try {
      const data = await ask(path);
      if (path !== place.path) return;
      place.data = data;
      place.failure = null;
    } catch (failure) {
      if (path !== place.path) return;
      place.failure = failure.message;
    }
    place.redraw();
  }

  // watch(path): asks for it now and then as long as the place is open
  place.watch = (path, redraw, every = 2000) => {
    place.redraw = redraw;
    if (path !== place.path) {
      place.data = null;
      place.failure = null;
      place.drawn = null;
    }
    place.path = path;
    clearInterval(place.timer);
    place.timer = setInterval(load, every);
    load();
  };
  place.again = load;
  // ask(path): that from now on, while what stands there stays until the answer comes
  place.ask = (path) => {
    place.path = path;
    load();
  };
  place.close = () => {
    clearInterval(place.timer);
    place.path = null;
    place.drawn = null;
  };

  // once(element, key, children): draws only where something differs from what stands there; the line that has
  // the keyboard keeps it
  place.once = (element, key, children) => {
    const text = JSON.stringify(key);
    if (place.drawn === text && element.childElementCount > 0) return false;
    place.drawn = text;
    const held = element.contains(document.activeElement) && document.activeElement.dataset.key;
    fill(element, children());
    if (held) $$("[data-key]", element).find((r) => r.dataset.key === held)?.focus({ preventScroll: true });
    return true;
  };
  return place;
}

export function failed(text) {
  const noStack = /rlab up/.test(text);
  return [
    h("h1", {}, noStack ? "No servers are running here." : "The servers did not answer."),
    h("p", { class: "sub" }, text),
    noStack && [
      h("p", { class: "sub" }, "Start them; this page sees them as soon as they are up:"),
      h("pre", { class: "command" }, "rlab up"),
    ],
  ];
}

// A part of a page that is not there yet, and a page of which nothing is.
export const waiting = () => h("p", { class: "sub" }, "asking …");
export const asking = () => h("h1", {}, "Asking …");

// told(rows, "waiting", (sum) => words, name) -> those words where all is known; else at least so many, or that it is not
export function told(rows, field, words, name) {
  const known = rows.filter((r) => Number.isFinite(r[field]));
  const sum = known.reduce((total, r) => total + r[field], 0);
  if (known.length === rows.length) return words(sum);
  return sum > 0 ? `at least ${words(sum)}` : `${name} not known`;
}

export function row(key, chosen, ...cells) {
  return h("tr", { "data-key": key, tabindex: 0, class: key === chosen ? "on" : null }, cells);
}

export const n = (text, properties = {}) =>
  h("td", { ...properties, class: `n ${properties.class || ""}` }, text);

// table(["topic", ["lag", "n"]], rows, properties): a column is its name, or that and its class; rows are
// elements, or a tbody that somebody else fills
export function table(columns, rows, properties = {}) {
  const names = columns.map((one) => {
    const [name, kind] = Array.isArray(one) ? one : [one];
    return h(name ? "th" : "td", { class: kind }, name);
  });
  const body = rows instanceof Node ? rows : h("tbody", {}, rows);
  const whole = h("table", properties, h("thead", {}, h("tr", {}, names)), body);
  const reached = body.querySelector("[tabindex]"); // else the keyboard could not scroll it
  return h("div", { class: "scroll", tabindex: reached ? null : 0 }, whole);
}

// listPath("topic", kept): where the list is asked for of which kept.wanted is a part of the names
export const listPath = (word, kept) =>
  `/api/${word}s` + (kept.wanted ? `?with=${encodeURIComponent(kept.wanted)}` : "");

// narrowed(place, kept, {word, columns, cells}): the list of listPath, of which a field above a longer one
// asks for a part; cells(one) are those behind the name
export function narrowed(place, kept, { word, columns, cells }) {
  const { all, found, rows } = place.data;
  const type = (event) => {
    kept.wanted = event.target.value;
    place.ask(listPath(word, kept));
  };
  const old = document.activeElement;
  const field = h("input", { type: "search", placeholder: "part of a name", "aria-label": `${word}s`,
    value: kept.wanted, oninput: type });
  if (old?.getAttribute("aria-label") === `${word}s`)
    queueMicrotask(() => {
      field.focus();
      field.setSelectionRange(old.selectionStart, old.selectionEnd);
    });
  const hidden = found - rows.length;
  const none = found === 0 ? "No name has that in it." : "";
  return [
    h("h1", {}, `${plural(all, word)}.`),
    all > 8 && h("div", { class: "chips" }, field),
    table(
      [word, ...columns],
      rows.map((one) => row(one[word], null, h("td", { class: "mono" }, one[word]), cells(one))),
    ),
    h("p", { class: "sub" }, hidden > 0 ? `+${number(hidden)} more; narrow it down above` : none),
    lua(kept.wanted ? `${word}s ${quoted(kept.wanted.replace(/\W/g, "%$&"))}` : `${word}s()`),
  ];
}
