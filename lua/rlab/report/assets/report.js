// The time cursor of the timeline (pointer and arrow keys), links that open what they point at, and printing.
(function () {
  "use strict";

  function valueAt(series, t) {
    if (t > series.stop + 0.05) return null;
    var value = null;
    for (var i = 0; i < series.points.length && series.points[i] <= t; i += 2) value = series.points[i + 1];
    return value === false ? null : value;
  }

  function write(value) {
    if (value === null || value === undefined) return "–";
    return value.toLocaleString("en", { maximumFractionDigits: 2 });
  }

  function timeline(root, data, first) {
    var areas = root.querySelectorAll(".lane:not(.axis) .area");
    var now = root.querySelector(".now"), slider = root.querySelector("[role=slider]");
    var cells = root.querySelectorAll("[data-s]");
    var rest = Array.prototype.map.call(cells, function (c) { return c.textContent; });
    var words = root.querySelectorAll("[data-many]"); // beside a value of 1
    var one = Array.prototype.map.call(words, function (w) { return w.textContent; });
    var at = null;

    function each(list, f) { Array.prototype.forEach.call(list, f); }

    function seriesOf(cell) {
      var key = cell.getAttribute("data-s").split(".");
      return data.lanes[+key[0]].series[+key[1] - 1];
    }

    function spoken(t) {
      return t.toFixed(2) + " seconds. " + data.lanes.map(function (lane) {
        var values = (lane.series.length ? lane.series : []).map(function (s) {
          var v = valueAt(s, t);
          return v === null ? null : s.name + " " + write(v);
        }).filter(Boolean);
        return values.length ? lane.name + ": " + values.join(", ") : null;
      }).filter(Boolean).join("; ");
    }

    function show(t) {
      at = Math.max(0, Math.min(data.last, t));
      var left = 100 * at / data.last + "%";
      each(areas, function (area) {
        var line = area.querySelector(".cur");
        line.hidden = false;
        line.style.left = left;
      });
      now.hidden = false;
      now.style.left = left;
      now.textContent = at.toFixed(2);
      each(cells, function (c) { c.textContent = write(valueAt(seriesOf(c), at)); });
      each(words, function (w, i) {
        w.textContent = w.parentNode.querySelector("b").textContent === "1" ? one[i] : w.dataset.many;
      });
      slider.setAttribute("aria-valuenow", at.toFixed(2));
    }

    function clear() {
      at = null;
      each(areas, function (area) { area.querySelector(".cur").hidden = true; });
      now.hidden = true;
      each(cells, function (c, i) { c.textContent = rest[i]; });
      each(words, function (w, i) { w.textContent = one[i]; });
      slider.setAttribute("aria-valuetext", "no instant chosen");
    }

    function nextAnomaly() {
      var list = data.lanes.map(function (l) { return l.anomaly; })
        .filter(function (a) { return typeof a === "number"; })
        .sort(function (a, b) { return a - b; });
      var after = list.filter(function (a) { return at === null || a > at + 1e-6; });
      if (list.length) show(after.length ? after[0] : list[0]);
    }

    root.addEventListener("pointermove", function (event) {
      var box = areas[0].getBoundingClientRect();
      var t = (event.clientX - box.left) / box.width * data.last;
      if (t >= -0.02 * data.last && t <= 1.02 * data.last) show(t); else if (event.pointerType === "mouse") clear();
    });
    root.addEventListener("pointerdown", function (event) {
      if (event.target.closest("a")) return;
      slider.focus({ preventScroll: true });
      event.preventDefault();
    });
    root.addEventListener("pointerleave", function (event) {
      if (event.pointerType === "mouse" && document.activeElement !== slider) clear();
    });
    // The timeline that comes first has the key wherever the focus is, unless one writes or another has it.
    if (first) document.addEventListener("keydown", function (event) {
      if (event.ctrlKey || event.metaKey || event.altKey || !/^a$/i.test(event.key)) return;
      if (event.target.closest && event.target.closest("input, textarea, select, .tl")) return;
      nextAnomaly();
      slider.setAttribute("aria-valuetext", spoken(at));
    });
    root.addEventListener("keydown", function (event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      var step = event.shiftKey ? data.last / 10 : Math.max(data.last / 100, 0.01);
      var from = at === null ? 0 : at;
      switch (event.key) {
        case "ArrowRight": case "ArrowUp": show(from + step); break;
        case "ArrowLeft": case "ArrowDown": show(from - step); break;
        case "PageUp": show(from + data.last / 10); break;
        case "PageDown": show(from - data.last / 10); break;
        case "Home": show(0); break;
        case "End": show(data.last); break;
        case "a": case "A": nextAnomaly(); break;
        case "Escape": clear(); return;
        default: return;
      }
      slider.setAttribute("aria-valuetext", spoken(at));
      event.preventDefault();
    });
    slider.addEventListener("blur", clear);
    window.addEventListener("beforeprint", clear);
  }

  function openTarget() {
    var id = decodeURIComponent(location.hash.slice(1));
    var target = id && document.getElementById(id);
    if (!target) return;
    for (var at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target.scrollIntoView({ block: "center" });
  }

  Array.prototype.forEach.call(document.querySelectorAll(".tl"), function (root, i) {
    timeline(root, JSON.parse(root.querySelector("script").textContent), i === 0);
  });
  window.addEventListener("hashchange", openTarget);
  openTarget();

  // A cell of the checks unfolds in place, below its row; without this the link jumps to the check itself.
  function unfold(event) {
    var link = event.target.closest("table.grid td a");
    if (!link) return;
    var row = link.closest("tr"), below = row.nextElementSibling;
    var was = link.getAttribute("aria-expanded") === "true";
    if (below && below.className === "det") below.remove();
    Array.prototype.forEach.call(row.querySelectorAll("a[aria-expanded]"), function (a) {
      a.setAttribute("aria-expanded", "false");
    });
    event.preventDefault();
    if (was) return;
    var source = document.getElementById(link.hash.slice(1));
    var copy = source.cloneNode(true), cell = document.createElement("td");
    copy.removeAttribute("id");
    if (copy.tagName === "DETAILS") copy.open = true;
    cell.colSpan = row.children.length;
    cell.appendChild(copy);
    below = document.createElement("tr");
    below.className = "det";
    below.appendChild(cell);
    row.after(below);
    link.setAttribute("aria-expanded", "true");
  }
  document.addEventListener("click", unfold);

  // A table that is wider than the page scrolls, so the keyboard must be able to reach it, by a name of its own.
  function reachable() {
    var names = {};
    Array.prototype.forEach.call(document.querySelectorAll(".scroll"), function (box) {
      if (box.scrollWidth > box.clientWidth + 1) {
        box.tabIndex = 0;
        box.setAttribute("role", "region");
        var part = box.closest("details, section"), title = part && part.querySelector("summary, h2");
        var name = (title ? title.textContent.trim() + ": " : "") + "table, scrolls sideways";
        names[name] = (names[name] || 0) + 1;
        box.setAttribute("aria-label", names[name] > 1 ? name + " (" + names[name] + ")" : name);
      } else {
        box.removeAttribute("tabindex");
        box.removeAttribute("role");
        box.removeAttribute("aria-label");
      }
    });
  }
  window.addEventListener("resize", reachable);
  document.addEventListener("toggle", reachable, true);
  reachable();

  // On paper nothing unfolds, so the evidence is unfolded before printing and folded again after.
  var opened = [];
  window.addEventListener("beforeprint", function () {
    opened = Array.prototype.filter.call(document.querySelectorAll("details.check"), function (d) { return !d.open; });
    opened.forEach(function (d) { d.open = true; });
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (d) { d.open = false; });
  });
})();
