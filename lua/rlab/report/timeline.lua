-- The timeline: every arm a lane, all lanes on one time axis. Where the experiment says which quantities tell
-- its arms apart, those come first (rlab.report.difference) and all that was sampled is folded below.
local axis = require "rlab.report.axis"
local difference = require "rlab.report.difference"
local html = require "rlab.report.html"
local instants = require "rlab.report.instants"
local onset = require "rlab.report.onset"
local series = require "rlab.report.series"

local timeline = {}

local MANY = 6 -- more spans of one kind than this become a bar code with one label
local LABEL_SIZE, BOLD = 11.5, 1.3 -- a bold label needs so much more room
local LAYOUTS = { { name = "w", width = 760, extra = 118 }, { name = "n", width = 330, extra = 0 } }
local END_TOP = 9
local END_MOST = 16 -- characters of a name beside a chart; the legend has all of it
local DEEP = 2 -- labels stack no deeper: more of them are numbered, and listed below the lane

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
    local a, b = axis.value_at(low, times[i]), axis.value_at(high, times[i])
    if a and b and b > a and times[i] < stop then
      out[#out + 1] = ("M%s %sH%sV%sH%sz"):format(axis.n1(1000 * times[i] / last),
        axis.n1(axis.y_of(panel, b)),
        axis.n1(1000 * times[i + 1] / last), axis.n1(axis.y_of(panel, a)), axis.n1(1000 * times[i] / last))
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
    out[#out + 1] = ('<path class="s s-%s v%d" d="%s"/>'):format(s.kind, s.variant,
      axis.step_path(panel, s, last))
  end
  return '<svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
    .. table.concat(out) .. "</svg>"
end

-- Lines that end together are named together, "LSO HW LEO 104", as long as the names fit beside the chart.
local function end_labels(panel, last, height)
  local groups = {}
  for _, s in ipairs(panel.series) do
    if s.last then
      local x, y = s.until_t / last, axis.y_of(panel, s.last) / 100 * height
      local short = html.head(s.short, END_MOST)
      local home
      for _, g in ipairs(groups) do
        local room = LAYOUTS[1].extra - 24 - g.width - html.text_width(short, LABEL_SIZE)
        if g.value == s.last and math.abs(g.x - x) < 0.01 and room > 0 then home = g end
      end
      if not home then
        home = { x = x, y = y, value = s.last, names = {}, width = 0 }
        groups[#groups + 1] = home
      end
      home.names[#home.names + 1] = ('<i class="t-%s">%s</i>'):format(s.kind, html.escape(short))
      home.width = home.width + html.text_width(short, LABEL_SIZE) + 5
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
      axis.percent(g.x), axis.percent(g.y / height), table.concat(g.names, " "),
      html.escape(html.number(g.value)))
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

-- Greedy rows, once for a wide and once for a narrow page; style sheets pick the one that fits.
local function place_labels(labels, last)
  local rows = {}
  table.sort(labels, function(a, b) return a.at < b.at end)
  for _, layout in ipairs(LAYOUTS) do
    local ends = {}
    for _, label in ipairs(labels) do
      local text = layout.name == "n" and label.brief or label.text
      local w = math.min(html.text_width(text, label.strong and LABEL_SIZE * BOLD or LABEL_SIZE) + 10,
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

local function chip_of(label, n)
  return { at = label.at, first = n, last = n, class = label.class, text = tostring(n) }
end

local function join(chip, label, n)
  chip.last, chip.text = n, ("%d–%d"):format(chip.first, n)
  if label.class == "anomaly" or not chip.class:find "anomaly" and label.class:find "fault" then
    chip.class = label.class
  end
end

-- Numbers in place of labels, in the order of time; what would stand deeper shares the number before it,
-- "3–5".
local function numbers_for(labels, last)
  local chips, ends = {}, {}
  for n, label in ipairs(labels) do
    local x, row = label.at / last * LAYOUTS[2].width, 1
    while row <= DEEP and ends[row] and ends[row] > x do row = row + 1 end
    local chip = chips[#chips]
    if row <= DEEP then
      chip = chip_of(label, n)
      chip.w, chip.n, chip.x = row - 1, row - 1, x
      chips[#chips + 1] = chip
    else
      join(chip, label, n)
    end
    chip.w_width = html.text_width(chip.text, LABEL_SIZE * BOLD) + 10
    chip.n_width, ends[chip.w + 1] = chip.w_width, chip.x + chip.w_width + 6
  end
  for _, chip in ipairs(chips) do
    chip.brief, chip.title = chip.text, labels[chip.first].text
    if chip.last > chip.first then chip.title = chip.title .. "; ..." end
  end
  return chips
end

local function listed(labels)
  return '<ol class="marks">' .. html.each(labels, function(label, n)
    return html.fill('<li><b>{n}</b> {at} {text}</li>', { n = tostring(n), at = html.seconds(label.at),
      text = label.text })
  end) .. "</ol>"
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
      axis.percent(span.at / last),
      axis.percent(math.max((span["until"] or span.at) - span.at, 0) / last), html.escape(span.text))
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
    bands[#bands + 1] = axis.band(class, f.at, f["until"], last, f.text .. ", " .. axis.duration_text(f))
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
        bands[#bands + 1] = axis.band("span " .. class, span.at, span["until"], last,
          span.text .. ", " .. axis.duration_text(span))
        if span.arm == name then
          label(span.at, (kind == "transaction" and "transaction: " or "") .. span.text, "span " .. class)
        end
      end
    end
  end
  for _, e in ipairs(lane.events) do
    if e.kind ~= "anomaly" then
      bands[#bands + 1] = axis.band("event", e.at, nil, last, e.text .. ", " .. html.seconds(e.at))
      label(e.at, e.text, "event")
    end
  end
  if lane.anomaly then
    local a = lane.anomaly
    bands[#bands + 1] = axis.band("anomaly", a.at, nil, last,
      "first anomaly, " .. html.seconds(a.at) .. ": " .. a.text)
    label(a.at, "first anomaly: " .. a.text, "anomaly", "first anomaly")
  end
  return table.concat(bands), table.concat(codes), labels
end

local function labels_html(labels, last)
  return html.each(labels, function(l)
    local rest = l.text:sub(#l.brief + 1)
    return html.fill('<span class="lab {class}" style="--x:{x};--tw:{tw}px;--tn:{tn}px;--w:{w};--n:{n}" \z
      title="{title}">{brief}{!rest}</span>', {
      class = l.class, x = axis.percent(l.at / last), tw = math.ceil(l.w_width), tn = math.ceil(l.n_width),
      w = l.w, n = l.n,
      title = l.title or l.text, brief = l.brief, rest = rest ~= ""
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
  local rows, list = place_labels(labels, last), ""
  if math.max(rows.w, rows.n) > DEEP then
    list, labels, rows = listed(labels), numbers_for(labels, last), { w = DEEP, n = DEEP }
  end
  local grid = html.each(ticks,
    function(t) return ('<i class="grid" style="left:%s"></i>'):format(axis.percent(t / last)) end)
  return html.fill(
    '<div class="lane {class}">{!side}<div class="plot"><div class="area" style="--rw:{w};--rn:{n}">'
    .. '{!grid}{!life}{!bands}<div class="labels">{!labels}</div>{!codes}{!panels}<i class="cur" \z
      hidden></i></div>{!list}</div></div>', {
    class = lane.arm and html.class_of(lane.arm) or "observe", side = side_of(lane, index), w = rows.w,
    n = rows.n,
    grid = grid, bands = bands, labels = labels_html(labels, last), codes = codes, list = list,
    life = lane.arm and lane.shared and ""
      or ('<i class="ran" style="width:%s"></i>'):format(axis.percent((lane.duration or lane.last) / last)),
    panels = html.each(lane.panels, function(panel) return panel_html(panel, last) end) })
end

local INTRO = [[
<section id="timeline"><h2>Timeline</h2>
<p class="lead">Every arm on one axis, each from its own start.{cut}
<span class="screen">Point at it, or use the arrow keys, to read values;
<kbd>A</kbd> jumps to the next first anomaly.</span></p>
]]

-- timeline.render(result, samples, encode) -> HTML of the section, or "" when there is nothing to draw.
function timeline.render(result, samples, encode)
  result, samples = onset.cut(result, samples)
  local groups = series.groups(result, samples)
  local told, told_table = difference.render(result, groups, encode)
  if #groups == 0 and told == "" then return "" end
  local drawn = html.each(groups, function(group)
    for _, lane in ipairs(group.lanes) do number_series(lane) end
    group.cut = result.cut
    return axis.group(group, encode, lane_html)
  end)
  local tables = html.each(groups, function(group) return html.each(group.lanes, instants.of) end)
  tables = '<details class="data"><summary>The timeline as tables</summary>' .. told_table
    .. tables .. "</details>"
  if told == "" then
    return html.fill(INTRO, { cut = onset.said(result) }) .. drawn .. tables .. "</section>\n"
  end
  return told .. '<details class="data rest"><summary>All that was sampled, and when what happened</summary>'
    .. drawn .. "</details>" .. tables .. "</section>\n"
end

return timeline
