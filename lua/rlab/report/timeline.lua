-- The timeline: every arm a lane, all lanes on one time axis. Lines are SVG stretched to the width of the
-- page (strokes keep their width); text is HTML placed in per cent, so it is sharp at any width and on paper.
local html = require "rlab.report.html"
local series = require "rlab.report.series"

local timeline = {}

local MANY = 6 -- more spans of one kind than this become a bar code with one label
local LABEL_SIZE = 11.5
local LAYOUTS = { { name = "w", width = 760, extra = 118 }, { name = "n", width = 330, extra = 0 } }
local TABLE_ROWS = 60
local END_TOP = 9

local function percent(x)
  return (("%.3f"):format(100 * x):gsub("0+$", ""):gsub("%.$", "")) .. "%"
end

-- Every second segment starts from the rounded values of the one before, so nothing adds up.
local function n1(x)
  return (("%.1f"):format(x):gsub("%.0$", ""))
end

local function y_of(panel, v)
  return 96 - 92 * (v - panel.lo) / (panel.hi - panel.lo)
end

-- A step line: a value holds until the next sample says otherwise; where nobody knows it, the line is broken.
local function step_path(panel, s, last)
  local out, pen = {}, false
  for i, p in ipairs(s.points) do
    local x = 1000 * p[1] / last
    if not p[2] then
      if pen then out[#out + 1] = "H" .. n1(x) end
      pen = false
    else
      local y = n1(y_of(panel, p[2]))
      out[#out + 1] = pen and ("H%sV%s"):format(n1(x), y) or ("M%s %s"):format(n1(x), y)
      pen = true
    end
    if i == #s.points and pen then out[#out + 1] = "H" .. n1(math.max(1000 * s.until_t / last, x + 1)) end
  end
  return table.concat(out)
end

local function value_at(s, t)
  local v = false
  for _, p in ipairs(s.points) do
    if p[1] > t then break end
    v = p[2]
  end
  return v
end

-- The area between two watermarks, as rectangles over the instants at which either changes.
local function gap_path(panel, low, high, last)
  local times, seen, out = {}, {}, {}
  for _, s in ipairs { low, high } do
    for _, p in ipairs(s.points) do
      if not seen[p[1]] then
        seen[p[1]] = true
        times[#times + 1] = p[1]
      end
    end
  end
  local stop = math.min(low.until_t, high.until_t)
  table.sort(times)
  times[#times + 1] = stop
  for i = 1, #times - 1 do
    local a, b = value_at(low, times[i]), value_at(high, times[i])
    if a and b and b > a and times[i] < stop then
      out[#out + 1] = ("M%s %sH%sV%sH%sz"):format(n1(1000 * times[i] / last), n1(y_of(panel, b)),
        n1(1000 * times[i + 1] / last), n1(y_of(panel, a)), n1(1000 * times[i] / last))
    end
  end
  return table.concat(out)
end

local function find_kind(panel, kind)
  for _, s in ipairs(panel.series) do
    if s.kind == kind then return s end
  end
end

local GAPS = { { "lso", "hw", "hidden" }, { "hw", "leo", "unreplicated" } }

local function svg_of(panel, last)
  local out = {}
  for _, g in ipairs(GAPS) do
    local low, high = find_kind(panel, g[1]), find_kind(panel, g[2])
    local d = low and high and gap_path(panel, low, high, last) or ""
    if d ~= "" then out[#out + 1] = ('<path class="gap-%s" d="%s"/>'):format(g[3], d) end
  end
  -- LEO is dotted and thin, so it goes on top; the rest from the widest to the thinnest.
  local drawn = {}
  for _, s in ipairs(panel.series) do
    if s.kind ~= "leo" then drawn[#drawn + 1] = s end
  end
  drawn[#drawn + 1] = find_kind(panel, "leo")
  for _, s in ipairs(drawn) do
    out[#out + 1] = ('<path class="s s-%s v%d" d="%s"/>'):format(s.kind, s.variant, step_path(panel, s, last))
  end
  return '<svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
    .. table.concat(out) .. "</svg>"
end

-- Lines that end together are named together, "LSO HW LEO 104", as long as the names fit beside the chart.
local function end_labels(panel, last, height)
  local groups = {}
  for _, s in ipairs(panel.series) do
    if s.last then
      local x, y = s.until_t / last, y_of(panel, s.last) / 100 * height
      local home
      for _, g in ipairs(groups) do
        local room = LAYOUTS[1].extra - 24 - g.width - html.text_width(s.short, LABEL_SIZE)
        if g.value == s.last and math.abs(g.x - x) < 0.01 and room > 0 then home = g end
      end
      if not home then
        home = { x = x, y = y, value = s.last, names = {}, width = 0 }
        groups[#groups + 1] = home
      end
      home.names[#home.names + 1] = ('<i class="t-%s">%s</i>'):format(s.kind, html.escape(s.short))
      home.width = home.width + html.text_width(s.short, LABEL_SIZE) + 5
    end
  end
  table.sort(groups, function(a, b) return a.y < b.y end)
  if groups[1] then groups[1].y = math.max(groups[1].y, END_TOP) end -- not under the labels above the panel
  for i = 2, #groups do groups[i].y = math.max(groups[i].y, groups[i - 1].y + 14) end
  local over = #groups > 0 and groups[#groups].y - (height - 4) or 0
  for i = #groups, 1, -1 do
    if over > 0 then
      groups[i].y = math.min(groups[i].y - over, (groups[i + 1] or { y = math.huge }).y - 14)
    end
  end
  return html.each(groups, function(g)
    return ('<span class="end" style="left:%s;top:%s">%s <b>%s</b></span>'):format(
      percent(g.x), percent(g.y / height), table.concat(g.names, " "), html.escape(html.number(g.value)))
  end)
end

-- Panels of one kind are called by it, and by what it counts.
local NAMED = { lag = "lag, records", backlog = "backlog, rows", unseen = "unseen, records",
  duplicates = "applied twice, events", stale = "stale, accounts", reads = "database reads" }

local function panel_name(panel, lane)
  local what = panel.family == "offset" and "offsets" or "counts"
  if panel.family:find "^unit" then return panel.prefix end
  if panel.family ~= "offset" then
    local kind = panel.series[1].kind
    for _, s in ipairs(panel.series) do kind = s.kind == kind and kind or nil end
    what = NAMED[kind] or what
  end
  if panel.prefix ~= "" then return panel.prefix .. " " .. what end
  return (#lane.panels > 1 or panel.family ~= "offset") and what or "offsets"
end

local function legend_of(panel, lane, index)
  local items = html.each(panel.series, function(s)
    return html.fill('<span class="k"><svg viewBox="0 0 18 6" aria-hidden="true"><path class="s s-{kind} \z
      v{variant}" d="M0 3H18"/></svg>'
      .. '<i class="t-{kind}">{label}</i> <b data-s="{lane}.{key}">{value}</b></span>', {
      kind = s.kind, variant = s.variant, label = s.label, lane = index, key = s.index,
      value = s.last and html.number(s.last) or "–" })
  end)
  return html.fill('<div class="legend"><em>{name}</em>{!items}</div>',
    { name = panel_name(panel, lane), items = items })
end

-- Which lines of one colour need dashes to be told apart, and their place in the data block.
local SAME_COLOUR = { lag = "backlog", duplicates = "backlog", stale = "backlog", unseen = "backlog" }

local function number_series(lane)
  local index = 0
  for _, panel in ipairs(lane.panels) do
    local used = {}
    for _, s in ipairs(panel.series) do
      index = index + 1
      s.index = index
      local colour = SAME_COLOUR[s.kind] or s.kind
      s.variant = math.min(used[colour] or 0, 3)
      used[colour] = (used[colour] or 0) + 1
      s.short = s.kind == "lag" and s.label:match("^lag %((.*)%)$") or s.label
    end
  end
end

-- ---- bands and their labels ----

local function duration_text(item)
  if not item["until"] then return html.seconds(item.at) end
  return html.seconds(item.at) .. " to " .. html.seconds(item["until"])
end

-- Greedy rows, once for a wide and once for a narrow page; style sheets pick the one that fits.
local function place_labels(labels, last)
  local rows = {}
  table.sort(labels, function(a, b) return a.at < b.at end)
  for _, layout in ipairs(LAYOUTS) do
    local ends = {}
    for _, label in ipairs(labels) do
      local text = layout.name == "n" and label.brief or label.text
      local w = math.min(html.text_width(text, label.strong and LABEL_SIZE * 1.08 or LABEL_SIZE) + 10,
        layout.width)
      local x = math.max(0, math.min(label.at / last * layout.width, layout.width + layout.extra - w))
      local row = 1
      while ends[row] and ends[row] > x do row = row + 1 end
      ends[row] = x + w + 10
      label[layout.name] = row - 1
      label[layout.name .. "_width"] = w
    end
    rows[layout.name] = #ends
  end
  return rows
end

local function band(class, at, till, last, title)
  local width = till and math.max(till - at, 0) / last or 0
  return ('<div class="band %s%s" style="left:%s;width:%s" title="%s"></div>'):format(
    class, till and "" or " instant", percent(at / last), percent(width), html.escape(title))
end

local OUTCOMES = { committed = "committed", aborted = "aborted", open = "open" }

local function outcome_of(span)
  if OUTCOMES[span.outcome] then return span.outcome end
  return span.text:find("abort") and "aborted" or span.text:find("open") and "open" or "committed"
end

local function grouped_spans(spans)
  local groups, order = {}, {}
  for _, span in ipairs(spans) do
    local kind = tostring(span.kind or "span")
    if not groups[kind] then
      groups[kind] = {}
      order[#order + 1] = kind
    end
    table.insert(groups[kind], span)
  end
  return groups, order
end

local function bar_code(kind, list, last)
  local aborted = 0
  local bars = html.each(list, function(span)
    local outcome = outcome_of(span)
    if outcome == "aborted" then aborted = aborted + 1 end
    return ('<i class="bar %s" style="left:%s;width:%s" title="%s"></i>'):format(outcome,
      percent(span.at / last),
      percent(math.max((span["until"] or span.at) - span.at, 0) / last), html.escape(span.text))
  end)
  local text = html.plural(#list, kind) .. (aborted > 0 and (", %d aborted"):format(aborted) or "")
  return ('<div class="bars">%s</div>'):format(bars), text
end

-- Everything that lies across a lane: bands, bar codes, the anomaly; and the labels over them.
local function overlays(lane, last)
  local bands, codes, labels = {}, {}, {}
  local name = lane.arm and lane.arm.name
  local function label(at, text, class, brief)
    labels[#labels + 1] = { at = at, text = text, class = class, brief = brief or text,
      strong = class ~= "event" }
  end
  for _, f in ipairs(lane.faults) do
    local class = f.fired == false and "fault missing" or "fault"
    bands[#bands + 1] = band(class, f.at, f["until"], last, f.text .. ", " .. duration_text(f))
    if f.arm == name then label(f.at, f.text .. (f.fired == false and " (did not fire)" or ""), class) end
  end
  local groups, order = grouped_spans(lane.spans)
  for _, kind in ipairs(order) do
    local list = groups[kind]
    if #list > MANY then
      local bars, text = bar_code(kind, list, last)
      codes[#codes + 1] = bars
      label(list[1].at, text, "span")
    else
      for _, span in ipairs(list) do
        local class = kind == "transaction" and "txn " .. outcome_of(span) or kind == "outage" and "fault"
          or "window"
        bands[#bands + 1] = band("span " .. class, span.at, span["until"], last,
          span.text .. ", " .. duration_text(span))
        if span.arm == name then
          label(span.at, (kind == "transaction" and "transaction: " or "") .. span.text, "span " .. class)
        end
      end
    end
  end
  for _, e in ipairs(lane.events) do
    if e.kind ~= "anomaly" then
      bands[#bands + 1] = band("event", e.at, nil, last, e.text .. ", " .. html.seconds(e.at))
      label(e.at, e.text, "event")
    end
  end
  if lane.anomaly then
    local a = lane.anomaly
    bands[#bands + 1] = band("anomaly", a.at, nil, last,
      "first anomaly, " .. html.seconds(a.at) .. ": " .. a.text)
    label(a.at, "first anomaly: " .. a.text, "anomaly", "first anomaly")
  end
  return table.concat(bands), table.concat(codes), labels
end

local function labels_html(labels, last)
  return html.each(labels, function(l)
    local rest = l.text:sub(#l.brief + 1)
    return html.fill('<span class="lab {class}" style="--x:{x};--tw:{tw}px;--tn:{tn}px;--w:{w};--n:{n}" \z
      title="{text}">{brief}{!rest}</span>', {
      class = l.class, x = percent(l.at / last), tw = math.ceil(l.w_width), tn = math.ceil(l.n_width),
      w = l.w, n = l.n,
      text = l.text, brief = l.brief, rest = rest ~= ""
        and '<span class="rest">' .. html.escape(rest) .. "</span>" or "" })
  end)
end

-- ---- lanes ----

local function side_of(lane, index)
  local legends = html.each(lane.panels, function(panel) return legend_of(panel, lane, index) end)
  if not lane.arm then
    return '<div class="side"><p class="cls observe">shared</p><h3>setup</h3><p class="said">what all \z
      arms look at</p>'
      .. legends .. "</div>"
  end
  local first = lane.anomaly and html.fill('<p class="first">First anomaly at {at}: {text}</p>', {
    at = html.seconds(lane.anomaly.at), text = lane.anomaly.text })
  return html.fill('<div class="side"><p class="cls {class}">{word}</p><h3>{name}</h3><p \z
    class="said">{sentence}</p>{!first}{!legends}</div>', {
    first = first,
    class = html.class_of(lane.arm), word = html.CLASSES[html.class_of(lane.arm)], name = lane.arm.name,
    sentence = lane.arm.sentence, legends = legends })
end

local function panel_html(panel, last)
  local height = panel.family == "offset" and 84 or 52
  return html.fill('<div class="panel {family}"><span class="y hi">{hi}</span><span class="y \z
    lo">{lo}</span>{!svg}{!ends}</div>', {
    family = panel.family == "offset" and "offset" or "count",
    hi = html.number(panel.hi), lo = html.number(panel.lo),
    svg = svg_of(panel, last), ends = end_labels(panel, last, height) })
end

local function lane_html(lane, index, last, ticks)
  local bands, codes, labels = overlays(lane, last)
  local rows = place_labels(labels, last)
  local grid = html.each(ticks,
    function(t) return ('<i class="grid" style="left:%s"></i>'):format(percent(t / last)) end)
  return html.fill(
    '<div class="lane {class}">{!side}<div class="plot"><div class="area" style="--rw:{w};--rn:{n}">'
    .. '{!grid}{!life}{!bands}<div class="labels">{!labels}</div>{!codes}{!panels}<i class="cur" \z
      hidden></i></div></div></div>', {
    class = lane.arm and html.class_of(lane.arm) or "observe", side = side_of(lane, index), w = rows.w,
    n = rows.n,
    grid = grid, bands = bands, labels = labels_html(labels, last), codes = codes,
    life = lane.arm and lane.shared and ""
      or ('<i class="ran" style="width:%s"></i>'):format(percent((lane.duration or lane.last) / last)),
    panels = html.each(lane.panels, function(panel) return panel_html(panel, last) end) })
end

local function axis_html(last, ticks, step, whose)
  local marks = html.each(ticks, function(t)
    return ('<span style="left:%s">%s</span>'):format(percent(t / last),
      (step >= 1 and "%d" or step >= 0.1 and "%.1f" or "%.2f"):format(step >= 1 and math.floor(t + 0.5) or t))
  end)
  return '<div class="lane axis"><div class="side"></div><div class="plot"><div class="area">' .. marks
    .. '<output class="now" hidden></output></div></div></div>'
    .. '<p class="unit">seconds since the start of the ' .. whose .. "</p>"
end

-- ---- the tables behind the chart ----

local function lane_name(lane)
  return lane.arm and lane.arm.name or "setup, shared by all arms"
end

local function happenings(lane)
  local list = {}
  local function add(kind, item, text)
    list[#list + 1] = { kind = kind, at = item.at or 0, till = item["until"], text = text }
  end
  for _, f in ipairs(lane.faults) do add("fault", f, f.text) end
  for _, s in ipairs(lane.spans) do add(s.kind, s, s.text) end
  for _, e in ipairs(lane.events) do add(e.kind == "anomaly" and "first anomaly" or "event", e, e.text) end
  table.sort(list, function(a, b) return a.at < b.at end)
  return html.each(list, function(h)
    return html.fill("<tr><td>{kind}</td><td>{text}</td><td class=n>{at}</td><td class=n>{till}</td></tr>", {
      kind = h.kind, text = h.text, at = html.seconds(h.at), till = h.till and html.seconds(h.till) or "" })
  end)
end

local function all_series(lane)
  local list = {}
  for _, panel in ipairs(lane.panels) do
    for _, s in ipairs(panel.series) do list[#list + 1] = s end
  end
  return list
end

-- The instants at which something changes, evenly thinned when there are very many.
local function instants(list)
  local times, seen = {}, {}
  for _, s in ipairs(list) do
    for _, p in ipairs(s.points) do
      if not seen[p[1]] then
        seen[p[1]] = true
        times[#times + 1] = p[1]
      end
    end
  end
  table.sort(times)
  if #times <= TABLE_ROWS then return times, 1 end
  local out, step = {}, math.ceil(#times / TABLE_ROWS)
  for i = 1, #times, step do out[#out + 1] = times[i] end
  return out, step
end

local function table_of(lane)
  local list = all_series(lane)
  local times, step = instants(list)
  local head = html.each(list, function(s) return html.fill("<th scope=col class=n>{key}</th>", s) end)
  local body = html.each(times, function(t)
    return "<tr><td class=n>" .. html.escape(html.seconds(t)) .. "</td>" .. html.each(list, function(s)
      local v = value_at(s, t)
      return "<td class=n>" .. (v and html.escape(html.number(v)) or "–") .. "</td>"
    end) .. "</tr>"
  end)
  local events = happenings(lane)
  local thinned = step > 1 and html.fill(
    "<p class=hint>Every {n}th instant; all of them are in samples.jsonl.</p>", { n = step }) or ""
  return html.fill("<h4>{name}</h4>", { name = lane_name(lane) })
    .. (#list > 0 and '<div class="scroll"><table><thead><tr><th scope=col class=n>time</th>' .. head
      .. "</tr></thead><tbody>" .. body .. "</tbody></table></div>" .. thinned or "")
    .. (events ~= "" and '<div class="scroll"><table><thead><tr><th scope=col>kind</th><th \z
      scope=col>what</th>'
      .. "<th scope=col class=n>from</th><th scope=col class=n>until</th></tr></thead><tbody>" .. events
        .. "</tbody></table></div>" or "")
end

-- ---- the data that the pointer and the arrow keys read ----

local function data_of(lanes, last)
  local out = { last = last, lanes = {} }
  for i, lane in ipairs(lanes) do
    local list = {}
    for _, s in ipairs(all_series(lane)) do
      local flat = {}
      for _, p in ipairs(s.points) do
        flat[#flat + 1] = p[1]
        flat[#flat + 1] = p[2]
      end
      list[s.index] = { name = s.prefix ~= "" and s.prefix .. " " .. s.label or s.label, points = flat,
        stop = s.until_t }
    end
    out.lanes[i] = { name = lane_name(lane), anomaly = lane.anomaly and lane.anomaly.at, series = list }
  end
  return out
end

local INTRO = [[
<section id="timeline"><h2>Timeline</h2>
<p class="lead">Every arm on one axis, each from its own start.
<span class="screen">Point at it, or use the arrow keys, to read values;
<kbd>A</kbd> jumps to the next first anomaly.</span></p>
]]

local GROUP = [[
<div class="tl" tabindex="0" role="slider" aria-label="Time cursor: {what}"
 aria-valuemin="0" aria-valuemax="{last}" aria-valuenow="0" aria-valuetext="no instant chosen">
{!lanes}{!axis}<script type="application/json">{!data}</script></div>
]]

local function group_html(group, encode)
  local lanes, last = group.lanes, group.last
  local ticks, step = series.ticks(last, 8)
  for _, lane in ipairs(lanes) do number_series(lane) end
  local setup_only = #lanes == 1 and not lanes[1].arm
  return html.fill(GROUP, { last = ("%.3f"):format(last),
    what = setup_only and "the shared setup" or "all arms",
    lanes = html.each(lanes, function(lane, i) return lane_html(lane, i - 1, last, ticks) end),
    axis = axis_html(last, ticks, step, lanes[1].arm and "arm" or "setup"),
    data = html.json_block(encode(data_of(lanes, last))) })
end

-- timeline.render(result, samples, encode) -> HTML of the section, or "" when there is nothing to draw.
function timeline.render(result, samples, encode)
  local groups = series.groups(result, samples)
  if #groups == 0 then return "" end
  local drawn = html.each(groups, function(group) return group_html(group, encode) end)
  local tables = html.each(groups, function(group) return html.each(group.lanes, table_of) end)
  return INTRO .. drawn .. '<details class="data"><summary>The timeline as tables</summary>' .. tables
    .. "</details></section>\n"
end

return timeline
