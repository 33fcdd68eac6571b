-- The time axis that a timeline's lanes share: where an instant lies, the line of a series, bands over it,
-- the numbers below, and the data that the pointer reads. Lines are SVG stretched to the width of the page
-- (strokes keep their width); text is HTML placed in per cent, so it is sharp at any width and on paper.
local html = require "rlab.report.html"
local series = require "rlab.report.series"

local axis = {}

function axis.percent(x)
  return (("%.3f"):format(100 * x):gsub("0+$", ""):gsub("%.$", "")) .. "%"
end

-- Every second segment starts from the rounded values of the one before, so nothing adds up.
function axis.n1(x)
  return (("%.1f"):format(x):gsub("%.0$", ""))
end

-- panel.least: the share of the height at which what is not zero is drawn at least, so that a 1 beside a 100
-- is still seen.
function axis.y_of(panel, v)
  local share = (v - panel.lo) / (panel.hi - panel.lo)
  if panel.least and v > 0 then share = math.max(share, panel.least) end
  return 96 - 92 * math.min(share, 1)
end

-- A step line: a value holds until the next sample says otherwise; where nobody knows it, the line is broken.
function axis.step_path(panel, s, last)
  local out, pen = {}, false
  for i, p in ipairs(s.points) do
    local x = 1000 * p[1] / last
    if not p[2] then
      if pen then out[#out + 1] = "H" .. axis.n1(x) end
      pen = false
    else
      local y = axis.n1(axis.y_of(panel, p[2]))
      out[#out + 1] = pen and ("H%sV%s"):format(axis.n1(x), y) or ("M%s %s"):format(axis.n1(x), y)
      pen = true
    end
    if i == #s.points and pen then
      out[#out + 1] = "H" .. axis.n1(math.max(1000 * s.until_t / last, x + 1))
    end
  end
  return table.concat(out)
end

-- Where nobody knows a value that was known before: a line at that height, for a reader to look along.
function axis.gap_path(panel, s, last)
  local out, known = {}, nil
  for i, p in ipairs(s.points) do
    if p[2] then
      known = p[2]
    elseif known then
      local stop = s.points[i + 1] and s.points[i + 1][1] or s.until_t
      out[#out + 1] = ("M%s %sH%s"):format(axis.n1(1000 * p[1] / last), axis.n1(axis.y_of(panel, known)),
        axis.n1(1000 * stop / last))
    end
  end
  return table.concat(out)
end

function axis.value_at(s, t)
  local v = false
  for _, p in ipairs(s.points) do
    if p[1] > t then break end
    v = p[2]
  end
  return v
end

function axis.duration_text(item)
  if not item["until"] then return html.seconds(item.at) end
  return html.seconds(item.at) .. " to " .. html.seconds(item["until"])
end

function axis.band(class, at, till, last, title)
  local width = till and math.max(till - at, 0) / last or 0
  return ('<div class="band %s%s" style="left:%s;width:%s" title="%s"></div>'):format(
    class, till and "" or " instant", axis.percent(at / last), axis.percent(width), html.escape(title))
end

-- As many digits as it takes for neighbouring ticks to differ.
local function digits_of(step)
  local digits = 0
  while digits < 6 and step * 10 ^ digits < 0.999 do digits = digits + 1 end
  return digits
end

local CURSOR = 'tabindex="0" role="slider" aria-label="Time cursor: {what}" aria-valuemin="0" \z
  aria-valuemax="{last}" aria-valuenow="0" aria-valuetext="no instant chosen"'

-- The seconds below all lanes. They are the cursor for who has no pointer: a slider holds nothing else that
-- takes the focus, as the lanes do.
local function below(last, ticks, step, since, what)
  local form = ("%%.%df"):format(digits_of(step))
  local marks = html.each(ticks, function(t)
    return ('<span style="left:%s">%s</span>'):format(axis.percent(t / last), form:format(t))
  end)
  return '<div class="lane axis"><div class="side"></div><div class="plot"><div class="area" '
    .. html.fill(CURSOR, { what = what, last = ("%.3f"):format(last) }) .. ">" .. marks
    .. '<output class="now" hidden></output></div></div></div>'
    .. '<p class="unit">seconds since ' .. since .. "</p>"
end

function axis.lane_name(lane)
  return lane.arm and lane.arm.name or "setup, shared by all arms"
end

function axis.all_series(lane)
  local list = {}
  for _, panel in ipairs(lane.panels) do
    for _, s in ipairs(panel.series) do list[#list + 1] = s end
  end
  return list
end

-- ---- the data that the pointer and the arrow keys read ----

function axis.data_of(lanes, last)
  local out = { last = last, lanes = {} }
  for i, lane in ipairs(lanes) do
    local list = {}
    for _, s in ipairs(axis.all_series(lane)) do
      local flat = {}
      for _, p in ipairs(s.points) do
        flat[#flat + 1] = p[1]
        flat[#flat + 1] = p[2]
      end
      list[s.index] = { name = s.prefix ~= "" and s.prefix .. " " .. s.label or s.label, points = flat,
        stop = s.until_t }
    end
    out.lanes[i] = { name = axis.lane_name(lane), anomaly = lane.anomaly and lane.anomaly.at, series = list }
  end
  return out
end

local GROUP = [[
<div class="tl">
{!lanes}{!axis}<script type="application/json">{!data}</script></div>
]]

local function since(group)
  if not group.lanes[1].arm then return "the start of the setup" end
  return group.cut and ("%.1f s after the start of the arm"):format(group.cut) or "the start of the arm"
end

-- group({lanes =, last =, cut =}, encode, draw) -> HTML; draw(lane, index, last, ticks) is one lane of it
function axis.group(group, encode, draw)
  local lanes, last = group.lanes, group.last
  local ticks, step = series.ticks(last, 8)
  local setup_only = #lanes == 1 and not lanes[1].arm
  return html.fill(GROUP, {
    lanes = html.each(lanes, function(lane, i) return draw(lane, i - 1, last, ticks) end),
    axis = below(last, ticks, step, since(group), setup_only and "the shared setup" or "all arms"),
    data = html.json_block(encode(axis.data_of(lanes, last))) })
end

return axis
