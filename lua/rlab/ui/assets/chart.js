// The timeline of an arm: its telling quantity on one scale for all arms, faults as hatched bands across, the
// first anomaly, and a strip in the colour of its class.
import { s, number } from "./dom.js";
import { reached } from "./stream.js";

const LEFT = 34;
const RIGHT = 8;
const TOP = 6;
const STRIP = 8;

// Few arms leave room for taller ones.
const heightOf = (model) => (model.run.arms.length <= 4 ? 64 : 44);

export function axisEnd(model) {
  let last = model.run.last || 0;
  for (const arm of model.arms.values()) last = Math.max(last, reached(model, arm) || 0);
  return last > 0 ? last : 1;
}

export function topOf(model) {
  let top = model.run.quantities[0]?.top || 0;
  for (const arm of model.arms.values())
    for (const p of arm.points[0] || []) top = Math.max(top, p[1] || 0);
  return top > 0 ? top : 1;
}

export function ticks(last, count) {
  let step = 10 ** Math.floor(Math.log10(last / count));
  step *= [1, 2, 5, 10].find((m) => last / (step * m) <= count) || 10;
  const list = [];
  for (let n = 0; n * step <= last + 1e-9; n++) list.push(Number((n * step).toPrecision(6)));
  return list;
}

const hatch = (id) =>
  s(
    "defs",
    {},
    s(
      "pattern",
      { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      s("rect", { class: "hatch-ground", width: 6, height: 6 }),
      s("line", { class: "hatch-line", y2: 6 }),
    ),
  );

// Segments of [t, value] up to now; null is "nobody could measure" and interrupts the line.
function segments(points, now) {
  const list = [];
  let open = null;
  points.forEach((p, i) => {
    if (p[0] > now + 1e-9) return;
    const until = Math.min(points[i + 1] ? points[i + 1][0] : now, now);
    if (p[1] === null) {
      open = null;
      return;
    }
    if (!open) list.push((open = []));
    open.push([p[0], p[1], Math.max(until, p[0])]);
  });
  return list;
}

function line(x, y, parts) {
  let d = "";
  for (const [i, p] of parts.entries()) d += `${i === 0 ? "M" : "L"}${x(p[0])} ${y(p[1])}H${x(p[2])}`;
  return d;
}

function bands(faults, x, now, height, id) {
  return faults
    .filter((f) => f.t <= now + 1e-9)
    .map((f) => {
      const until = Math.min(f.until ?? f.t, now);
      if (until - f.t < 0.02) {
        return s(
          "line",
          { class: "fault-line", x1: x(f.t), x2: x(f.t), y1: 0, y2: height },
          s("title", {}, f.name),
        );
      }
      return s(
        "rect",
        { x: x(f.t), y: 0, width: Math.max(x(until) - x(f.t), 1), height, fill: `url(#${id})` },
        s("title", {}, f.name),
      );
    });
}

function strip(arm, x, now, bottom) {
  const y = bottom + 4;
  const from = arm.anomaly && arm.class === "wrong" && arm.anomaly.t <= now ? arm.anomaly.t : null;
  const quiet = arm.class === "wrong" ? "strip quiet" : `strip ${arm.class}`;
  return [
    s("rect", { class: quiet, x: x(0), y, width: Math.max(x(now) - x(0), 0), height: 3 }),
    from !== null &&
      s("rect", {
        class: "strip wrong",
        x: x(from),
        y: y - 1.5,
        height: 6,
        width: Math.max(x(now) - x(from), 2),
      }),
  ];
}

function mark(arm, x, y, now, value) {
  if (!arm.anomaly || arm.class !== "wrong" || arm.anomaly.t > now + 1e-9) return null;
  const at = Math.max(y(value || 0) - 9, 6);
  const cx = x(arm.anomaly.t);
  return s(
    "path",
    { class: "anomaly", d: `M${cx} ${at - 5}l5 5l-5 5l-5 -5Z` },
    s("title", {}, `first anomaly: ${arm.anomaly.text}`),
  );
}

export function armChart(model, arm, width, id) {
  const last = axisEnd(model),
    top = topOf(model),
    now = reached(model, arm);
  const height = heightOf(model),
    bottom = TOP + height;
  const x = (t) => Math.round((LEFT + ((width - LEFT - RIGHT) * t) / last) * 10) / 10;
  const y = (v) => Math.round((TOP + height * (1 - Math.min(v / top, 1))) * 10) / 10;
  const all = { width, height: bottom + STRIP + 4, role: "img" };
  const frame = [
    s("line", { class: "base", x1: LEFT, x2: width - RIGHT, y1: y(0), y2: y(0) }),
    s("line", { class: "rule", x1: LEFT, x2: width - RIGHT, y1: y(top), y2: y(top) }),
    s("text", { class: "tick", x: LEFT - 6, y: y(top) + 8, "text-anchor": "end" }, number(top)),
    s("text", { class: "tick", x: LEFT - 6, y: y(0) + 1, "text-anchor": "end" }, "0"),
  ];
  if (now === null) return s("svg", { ...all, "aria-label": `${arm.name} has not begun` }, frame);
  const points = arm.points[0] || [];
  const lines = segments(points, now).map((parts) => {
    const d = line(x, y, parts);
    const end = parts[parts.length - 1][2];
    return [
      s("path", { class: "area", d: `${d}V${y(0)}H${x(parts[0][0])}Z` }),
      s("path", { class: "series", d: d || `M${x(end)} ${y(0)}` }),
    ];
  });
  const anomalous = arm.anomaly
    ? points
        .filter((p) => p[0] <= now)
        .reduce((v, p) => (p[0] <= arm.anomaly.t + 0.3 && p[1] !== null ? p[1] : v), 0)
    : 0;
  return s(
    "svg",
    { ...all, "aria-label": `${arm.name}: ${model.run.quantities[0]?.name || "its course"}` },
    hatch(id),
    bands(arm.shared ? model.faults : arm.faults, x, now, bottom, id),
    frame,
    lines,
    strip(arm, x, now, bottom),
    mark(arm, x, y, now, anomalous),
    arm.ended === null && s("line", { class: "now", x1: x(now), x2: x(now), y1: 0, y2: bottom + STRIP }),
  );
}

export function axisChart(model, width) {
  const last = axisEnd(model);
  const x = (t) => LEFT + ((width - LEFT - RIGHT) * t) / last;
  return s(
    "svg",
    { width, height: 32, "aria-hidden": "true" },
    ticks(last, width < 420 ? 4 : 8).map((t) =>
      s("text", { class: "tick", x: x(t), y: 13, "text-anchor": "middle" }, String(t)),
    ),
    s(
      "text",
      { class: "tick", x: width - RIGHT, y: 29, "text-anchor": "end" },
      "s, each arm from its own start",
    ),
  );
}
