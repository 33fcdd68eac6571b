// Elements from data. What a store holds is set as text, never parsed as markup.
const SVG = "http://www.w3.org/2000/svg";

function put(element, properties, children) {
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

export const h = (tag, properties, ...children) => put(document.createElement(tag), properties, children);
export const s = (tag, properties, ...children) =>
  put(document.createElementNS(SVG, tag), properties, children);
export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

export function fill(element, ...children) {
  element.replaceChildren();
  return put(element, null, children);
}

// Sets a text only where it differs, so that nothing moves unless data moved.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function number(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  const whole = Number.isInteger(value);
  return value.toLocaleString("en-US", whole ? {} : { maximumSignificantDigits: 3 });
}

export function seconds(value) {
  if (typeof value !== "number") return "";
  if (value < 120) return value.toFixed(value >= 10 ? 1 : 2) + "\u00a0s";
  const [unit, part] = value < 7200 ? ["min", 60] : value < 172800 ? ["h", 3600] : ["days", 86400];
  return `${(value / part).toFixed(1)}\u00a0${unit}`;
}

export function ago(ms) {
  const t = Math.max(0, (Date.now() - ms) / 1000);
  if (t < 90) return Math.round(t) + " s";
  if (t < 5400) return Math.round(t / 60) + " min";
  return t < 172800 ? Math.round(t / 3600) + " h" : Math.round(t / 86400) + " days";
}

export const plural = (n, word) => `${number(n)} ${word}${n === 1 ? "" : "s"}`;
