-- The timeline's first sight: of each arm only the quantities in which wrong and right differ, on one scale
-- for all arms, the first one tall. Faults are numbered bands, listed below; from the first anomaly on a
-- wrong arm has a strip in its colour.
local axis = require "rlab.report.axis"
local held = require "rlab.report.held"
local html = require "rlab.report.html"
local onset = require "rlab.report.onset"
local telling = require "rlab.report.telling"
local unit_for = require("rlab.check.core").unit_for

local difference = {}

local LAYOUTS = { { name = "wide", width = 640 }, { name = "slim", width = 300 } }
local CHIP = 18
local DEEP = 2 -- chips stack no deeper
local MOST = 96 -- characters of a fault in the list; the whole of it stands under the proofs

-- The same process has another number in each arm.
local function without_number(text) return (text:gsub("^(SIG%u+ %a[%w_.]*)%-[%d.]+$", "%1")) end

-- The number of each fault: the same fault has the same one in every arm.
local function numbered(lanes)
  local list, known = {}, {}
  for _, lane in ipairs(lanes) do
    local faults = { table.unpack(lane.faults) }
    table.sort(faults, function(a, b) return a.at < b.at end)
    for _, f in ipairs(faults) do
      local text = without_number(f.text)
      known[text] = known[text] or { text = text, proof = f.proof, fired = f.fired, n = #list + 1 }
      list[known[text].n] = known[text]
    end
  end
  return list, known
end

-- Chips that would lie over one another are one, "2 3"; those close to it go one row lower.
local function place(faults, known, last, layout)
  local chips, ends = {}, {}
  table.sort(faults, function(a, b) return a.at < b.at end)
  for _, f in ipairs(faults) do
    local x, n, row = f.at / last * layout.width, tostring(known[without_number(f.text)].n), 1
    while row <= DEEP and ends[row] and ends[row] > x do row = row + 1 end
    local before = chips[#chips]
    if row <= DEEP then
      chips[#chips + 1] = { at = f.at, row = row, text = n, title = f.text }
      ends[row] = x + CHIP
    elseif not (" " .. before.text .. " "):find(" " .. n .. " ", 1, true) then
      before.text, before.title = before.text .. " " .. n, before.title .. "; " .. f.text
      ends[before.row] = ends[before.row] + 8
    end
  end
  return chips
end

local function chips_of(lane, known, last)
  return html.each(LAYOUTS, function(layout)
    return html.each(place({ table.unpack(lane.faults) }, known, last, layout), function(chip)
      return html.fill('<span class="chip {layout}" style="--x:{x};top:{top}px" \z
        title="{title}">{text}</span>', {
        layout = layout.name, x = axis.percent(chip.at / last), top = tostring(2 + 17 * (chip.row - 1)),
        title = chip.title, text = chip.text })
    end)
  end)
end

local function bands_of(lane, last)
  local faults = html.each(lane.faults, function(f)
    return axis.band(f.fired == false and "fault missing" or "fault", f.at, f["until"], last,
      f.text .. ", " .. axis.duration_text(f))
  end)
  return faults .. html.each(lane.events, function(e)
    if e.kind == "anomaly" then return "" end
    return axis.band("event", e.at, nil, last, e.text .. ", " .. html.seconds(e.at))
  end)
end

-- Where an arm was judged only at its end, the mark stands where the column of what was found begins.
local function anomaly_at(lane, last)
  if not lane.anomaly or lane.arm.class ~= "wrong" then return nil end
  return math.max(math.min(lane.anomaly.at, (lane.duration or lane.last) - telling.LEAST * last), 0)
end

-- The strip: grey while the arm ran, in the colour of wrong from the first anomaly on, hatched after the end
-- when the damage is still there.
local function strip(lane, last)
  local stop = lane.duration or lane.last
  local out = ('<i class="ran" style="width:%s"></i>'):format(axis.percent(stop / last))
  local at = anomaly_at(lane, last)
  if not at then return out end
  out = out .. ('<i class="broken" style="left:%s;width:%s"></i>'):format(axis.percent(at / last),
    axis.percent((stop - at) / last))
  local first = lane.panels[1]
  if first and not first.mended and first.series[1].last ~= 0 and stop < last then
    out = out .. ('<i class="broken stays" style="left:%s;width:%s"></i>'):format(axis.percent(stop / last),
      axis.percent(1 - stop / last))
  end
  return out
end

local function diamond(lane, last, target)
  local a, at = lane.anomaly, anomaly_at(lane, last)
  if not at then return "" end
  return html.fill('<a class="dia" href="#{target}" style="left:{x}" title="first anomaly, {at}: {text}" \z
    aria-label="first anomaly of {arm}, {at}: {text}"></a>', {
    target = target, x = axis.percent(at / last), at = html.seconds(a.at), text = a.text,
    arm = lane.arm.name })
end

-- Whether nobody knew for a while what was known before.
local function has_gap(panel)
  for i, p in ipairs(panel.series[1].points) do
    if not p[2] and i > 1 then return not panel.found end
  end
  return false
end

local function svg_of(panel, last)
  local s, out = panel.series[1], {}
  local line = axis.step_path(panel, s, last)
  if panel.found then
    out[1] = ('<path class="unknown" d="M0 96H%s"/>'):format(axis.n1(1000 * s.points[2][1] / last))
  elseif has_gap(panel) then
    out[1] = ('<path class="unknown" d="%s"/>'):format(axis.gap_path(panel, s, last))
  end
  for piece in line:gmatch "M[^M]+" do
    local x = piece:match "^M([%d.]+)"
    local stop = piece:match ".*H([%d.]+)"
    if stop then out[#out + 1] = ('<path class="fill" d="%sV96H%sz"/>'):format(piece, x) end
  end
  out[#out + 1] = ('<path class="s s-telling" d="%s"/>'):format(line)
  return '<svg viewBox="0 4 1000 92" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
    .. table.concat(out) .. "</svg>"
end

-- The unit before the name, where the name does not begin with it: "ms · slowest insert".
local function unit_of(unit, name, value)
  local said = (" " .. name .. " "):find(" " .. (unit or "") .. " ", 1, true) == 1
  return unit and unit ~= "" and not said and unit_for(value, unit) .. " · " or ""
end

-- "1 record delivered again", "2 records delivered again"
local function name_of(panel, value) return unit_for(value, panel.name) end

-- What an arm was found to do besides has no course over time: a bar for each, the same ones in every arm.
local function bars_of(lane, ranks, names)
  local mine, any = {}, false
  for _, panel in ipairs(lane.panels) do mine[panel.rank] = panel end
  for _, rank in ipairs(ranks) do any = any or mine[rank] end
  if not any then return "" end
  return ('<ul class="found" style="--n:%d">'):format(#ranks) .. html.each(ranks, function(rank)
    local panel = mine[rank]
    if not panel then return html.fill('<li class="none"><b>–</b> {name}</li>', { name = names[rank] }) end
    local value = panel.series[1].last
    local calm = value ~= 0 and panel.violated == false
    return html.fill('<li class="{z}{calm}"><i style="width:{width}"></i><b>{value}</b> {unit}{name}</li>', {
      z = value == 0 and not panel.violated and "z" or "", calm = calm and "calm" or "",
      width = axis.percent(value / panel.hi), value = html.number(value),
      unit = unit_of(panel.unit, panel.name, value), name = name_of(panel, value) })
  end) .. "</ul>"
end

local function names_of(lanes)
  local names = {}
  for _, lane in ipairs(lanes) do
    for _, panel in ipairs(lane.panels) do names[panel.rank] = panel.name end
  end
  return names
end

-- The quantities after the first that no arm has a series of.
local function bar_ranks(lanes)
  local found, sampled = {}, {}
  for _, lane in ipairs(lanes) do
    for _, panel in ipairs(lane.panels) do
      if panel.found and panel.rank > 1 then found[panel.rank] = true else sampled[panel.rank] = true end
    end
  end
  local ranks = {}
  for rank in pairs(found) do
    if not sampled[rank] then ranks[#ranks + 1] = rank end
  end
  table.sort(ranks)
  return ranks
end

local function panel_html(panel, index, last)
  local s, large = panel.series[1], panel.large or panel
  local value = large.shown and not panel.stands_out and html.number(large.shown) or ""
  local live = large == panel and panel.live
  return html.fill('<div class="tell {rank}"><p class="big {z}"><b{!live}>{value}</b> \z
    <span{!many}>{unit}{name}</span></p><div class="cv">{!scale}{!svg}</div></div>', {
    rank = panel.rank == 1 and "first" or panel.violated and "also fails" or "also",
    z = large.shown == 0 and not large.violated and "z" or "",
    live = live and (' data-s="%d.%d"'):format(index, s.index) or "",
    many = live and large.shown == 1 and html.fill(' data-many="{unit}{name}"', {
      unit = unit_of(large.shown_unit, large.name, 0), name = large.name }) or "",
    value = value, unit = value ~= "" and unit_of(large.shown_unit, large.name, large.shown) or "",
    name = name_of(large, large.shown), svg = svg_of(panel, last),
    scale = panel.rank == 1 and html.fill('<span class="y hi">{hi}</span><span class="y lo">0</span>',
      { hi = html.number(panel.hi) }) or "" })
end

local function side_of(lane)
  return html.fill('<div class="side"><p class="cls {class}">{word}</p><h3>{name}</h3><p \z
    class="said">{sentence}</p></div>', { class = html.class_of(lane.arm),
    word = html.CLASSES[html.class_of(lane.arm)], name = lane.arm.name, sentence = lane.arm.sentence })
end

local UNASKED = '<p class="unasked">not asked of this arm</p>'

-- The quantities of one arm, the first one on top: where it was not asked, its place says so.
local function panels_of(lane, index, last, bars)
  local first = lane.panels[1] and lane.panels[1].rank == 1
  return (first and "" or UNASKED) .. html.each(lane.panels, function(panel)
    return bars.drawn[panel.rank] and "" or panel_html(panel, index, last)
  end) .. bars_of(lane, bars.ranks, bars.names)
end

local function drawer(lanes, known, target)
  local bars = { ranks = bar_ranks(lanes), drawn = {}, names = names_of(lanes) }
  for _, rank in ipairs(bars.ranks) do bars.drawn[rank] = true end
  return function(lane, index, last, ticks)
    return html.fill('<div class="lane {class}">{!side}<div class="plot"><div class="area">{!grid}{!bands}\z
      {!chips}{!strip}{!panels}{!dia}<i class="cur" hidden></i></div></div></div>', {
      class = html.class_of(lane.arm), side = side_of(lane),
      grid = html.each(ticks, function(t)
        return ('<i class="grid" style="left:%s"></i>'):format(axis.percent(t / last))
      end),
      bands = bands_of(lane, last), chips = chips_of(lane, known, last), strip = strip(lane, last),
      dia = diamond(lane, last, target),
      panels = panels_of(lane, index, last, bars) })
  end
end

local KEY = {
  { "line", "sampled", '<path class="fill" d="M0 3H26V14H0z"/><path class="s s-telling" d="M0 3H26"/>' },
  { "found", "not known before the arm was judged", '<path class="unknown" d="M0 8H26"/>' },
  { "gap", "nobody could measure it", '<path class="unknown" d="M0 8H26"/>' },
  { "none", "not asked of this arm", '<path class="dash" d="M9 7H17"/>' },
  { "fault", "fault", '<path class="mark" d="M4 1V14M22 1V14"/>' },
  { "anomaly", "first anomaly", '<path class="gem" d="M13 1l6 6l-6 6l-6-6z"/>' },
  { "broken", "wrong from here on", '<path class="torn" d="M0 7H26"/>' },
}

-- Whether some of these quantities, and not all, are unknown of an arm.
local function lacks(lane, ranks)
  local asked = 0
  for _, rank in ipairs(ranks) do
    for _, panel in ipairs(lane.panels) do asked = asked + (panel.rank == rank and 1 or 0) end
  end
  return asked > 0 and asked < #ranks
end

local function key_of(group, faults)
  local there = { line = false, found = false, fault = #faults > 0 }
  local bars = bar_ranks(group.lanes)
  for _, lane in ipairs(group.lanes) do
    there.none = there.none or lacks(lane, bars)
    for _, panel in ipairs(lane.panels) do
      there[panel.found and "found" or "line"] = true
      there.gap = there.gap or has_gap(panel)
    end
    if lane.anomaly and lane.arm.class == "wrong" then there.anomaly, there.broken = true, true end
  end
  return '<ul class="key">' .. html.each(KEY, function(k)
    if not there[k[1]] then return "" end
    return ('<li><svg viewBox="0 0 26 14" aria-hidden="true">%s</svg>%s</li>'):format(k[3], k[2])
  end) .. "</ul>"
end

local function faults_of(list)
  if #list == 0 then return "" end
  return '<ol class="faults">' .. html.each(list, function(f)
    local text = html.head(f.text, MOST)
    return html.fill('<li><span class="chip">{n}</span> <span title="{all}">{text}{off}</span></li>', {
      n = tostring(f.n), text = text, all = text ~= f.text and f.text or "",
      off = f.fired == false and " (did not fire)" or "" })
  end) .. "</ol>"
end

local INTRO = [[
<section id="timeline"><h2>Timeline: {name}</h2>
<p class="lead">{also}One scale for all arms, each from its own start.{cut}
<span class="screen">Point at it, or use the arrow keys, to read values;
<kbd>A</kbd> jumps to the next first anomaly.</span></p>
]]

-- The same for those who do not see the drawing: each arm, its values, and when it was wrong first.
local function table_of(group)
  local ranks, heads = {}, names_of(group.lanes)
  for rank in pairs(heads) do ranks[#ranks + 1] = rank end
  table.sort(ranks)
  local body = html.each(group.lanes, function(lane)
    local mine = {}
    for _, panel in ipairs(lane.panels) do
      mine[panel.rank] = panel.shown and html.quantity(panel.shown, panel.shown_unit) or nil
    end
    local at = anomaly_at(lane, group.last) and html.seconds(lane.anomaly.at) or "none"
    return html.fill("<tr><th scope=row>{name}</th>{!values}<td class=n>{at}</td></tr>", {
      name = lane.arm.name, at = at, values = html.each(ranks, function(rank)
        return "<td class=n>" .. html.escape(mine[rank] or "–") .. "</td>"
      end) })
  end)
  return "<h3>what tells the arms apart</h3><div class=\"scroll\"><table><thead><tr><th scope=col>arm</th>"
    .. html.each(ranks, function(rank)
      return html.fill("<th scope=col class=n>{name}</th>", { name = heads[rank] })
    end)
    .. "<th scope=col class=n>first anomaly</th></tr></thead><tbody>" .. body .. "</tbody></table></div>"
end

-- render(result, groups, encode) -> HTML that opens the section, and the table of what it draws; "" and ""
--   when nothing tells the arms apart
function difference.render(result, groups, encode)
  local group = telling.group(result, groups)
  if not group then return "", "" end
  local faults, known = numbered(group.lanes)
  local also = table.concat(group.names, "; ", 2)
  local target = (result.moment or held.any(result)) and "moment" or "checks"
  local draw = drawer(group.lanes, known, target)
  group.cut = result.cut
  return html.fill(INTRO, { name = group.names[1], cut = onset.said(result),
    also = also ~= "" and "Below it: " .. also .. ". " or "" })
    .. '<div class="telling">' .. axis.group(group, encode, draw)
    .. key_of(group, faults) .. faults_of(faults) .. "</div>", table_of(group)
end

return difference
