-- The quantities in which the wrong and the right arms of an experiment differ, as it names them:
--   telling = { { "stale", "stale cache entries" }, { "lost + phantom", "events lost or made up" } }
-- The first word is a series of the samples, or else a check or a number of the arm, or several of them with
-- " + " or " - " between; then what a reader calls it, and its unit. A series is known at every sample
-- ("reads per 100 ms" is how fast it grows); the rest only where the arm was judged, from its first anomaly
-- on. A fourth word says which value stands beside it: the last one, "most", "none", the time above zero
-- ("for"), or the one of an instant that was mended afterwards ("then"). A fifth word names the check that
-- judges a series.
local telling = {}

-- terms("a + b - c") -> { { "a", 1 }, { "b", 1 }, { "c", -1 } }
local function terms(text)
  local out, sign, from = {}, 1, 1
  while true do
    local a, b, op = text:find(" ([+-]) ", from)
    out[#out + 1] = { text:sub(from, (a or #text + 1) - 1), sign }
    if not a then return out end
    sign, from = op == "-" and -1 or 1, b + 1
  end
end

-- How much a counter grew in 100 ms, sample by sample; one that began again has not shrunk.
local function with_rate(rows, name)
  local counter = name:match "^(.+) per 100 ms$"
  if not counter then return rows end
  local out, before = {}, nil
  for i, row in ipairs(rows) do
    local v = row[counter]
    out[i] = { t = row.t }
    if type(v) == "number" then
      local took = before and row.t - before.t
      out[i][name] = took and took > 0 and math.floor((v - before.v) * 0.1 / took + 0.5) or 0
      before = { t = row.t, v = v }
    end
  end
  return out
end

local function sampled(rows, name)
  for _, row in ipairs(rows) do
    if type(row[name]) == "number" then return true end
  end
  return false
end

-- What a check found: the number that it measured, else how many counterexamples it has.
local function found_by(check)
  if check.outcome == "inconclusive" and type(check.value) ~= "number" then return nil end
  if type(check.value) == "number" then return check.value, check.unit end
  return #(check.counterexamples or {}) + (math.type(check.more) == "integer" and check.more or 0)
end

local function judged(result, arm, name)
  for _, check in ipairs(result.checks or {}) do
    if check.arm == arm.name and check.name == name then return found_by(check) end
  end
  for _, number in ipairs(arm.numbers or {}) do
    if number.name == name and type(number.value) == "number" then return number.value, number.unit end
  end
end

local function points_of(rows, list)
  local points, last = {}, nil
  for _, row in ipairs(rows) do
    local sum = 0
    for _, term in ipairs(list) do
      local v = row[term[1]]
      sum = sum and type(v) == "number" and sum + term[2] * v
    end
    sum = sum and math.max(sum, 0)
    if sum ~= last and (sum or #points > 0) then points[#points + 1] = { row.t, sum } end
    last = sum
  end
  return points
end

local function series_of(lane, list)
  local mine, rows = {}, with_rate(lane.rows, list[1][1])
  for _, term in ipairs(list) do
    if sampled(rows, term[1]) then mine[#mine + 1] = term end
  end
  if #mine == 0 then return nil end
  local points, until_t, last = points_of(rows, mine), 0, nil
  for _, row in ipairs(rows) do until_t = row.t end
  for _, p in ipairs(points) do last = p[2] or last end
  return #points > 0 and { points = points, until_t = until_t, last = last } or nil
end

local function sum_of(result, lane, list)
  local sum, unit
  for _, term in ipairs(list) do
    local value, its = judged(result, lane.arm, term[1])
    if value then sum, unit = (sum or 0) + term[2] * math.abs(value), unit or its end
  end
  return sum, unit
end

-- The sum of those terms that were ever sampled of `key` | nil: not one was, or not all of them are now.
local function sum_now(row, list, known)
  local sum, any = 0, false
  for _, term in ipairs(list) do
    local v = row[term[1]]
    known[term[1]] = known[term[1]] or type(v) == "number"
    if known[term[1]] then
      if type(v) ~= "number" then return nil end
      sum, any = sum + term[2] * v, true
    end
  end
  return any and math.max(sum, 0) or nil
end

-- source("a + b - c") -> {at(row, key), found(result, arm)}: the same quantity for who follows a run while it
--   goes on: its value at one sample after the other (key: whose samples they are), and what was found of it
function telling.source(text)
  local list, known, before = terms(text), {}, {}
  local source = {}
  function source.at(row, key)
    local two = with_rate({ before[key] or row, row }, list[1][1])
    before[key], known[key] = row, known[key] or {}
    return sum_now(two[2], list, known[key])
  end
  function source.found(result, arm) return (sum_of(result, { arm = arm }, list)) end
  return source
end

telling.LEAST = 0.035 -- of the axis: what is known at the end only is still seen

-- What was found at the end stands there from the first anomaly on.
local function found_at_end(lane, value, last)
  local stop = lane.duration or lane.last
  local at = math.min(value ~= 0 and lane.anomaly and lane.anomaly.at or stop, stop - telling.LEAST * last)
  at = math.max(at, 0)
  return { points = { { 0, false }, { at, value } }, last = value, found = true,
    until_t = math.max(stop, at + telling.LEAST * last) }
end

-- The instant from which a series is above zero until the end.
local function leaves_zero(s)
  local since
  for _, p in ipairs(s.points) do
    if p[2] == 0 then since = nil elseif p[2] then since = since or p[1] end
  end
  return since
end

local SHOWN = {
  none = function() return nil, nil end,
  most = function(s, unit)
    local most = 0
    for _, p in ipairs(s.points) do most = math.max(most, p[2] or 0) end
    return most, unit
  end,
  ["for"] = function(s)
    local time = 0
    for i, p in ipairs(s.points) do
      local stop = s.points[i + 1] and s.points[i + 1][1] or s.until_t
      if p[2] and p[2] > 0 then time = time + stop - p[1] end
    end
    return time, "s"
  end,
}

-- Whether one of these checks was violated in the arm | nil: none of them was asked
local function violated(result, arm, list)
  local asked
  for _, check in ipairs(result.checks or {}) do
    for _, term in ipairs(list) do
      if check.arm == arm.name and check.name == term[1] then
        if check.outcome == "violated" then return true end
        asked = false
      end
    end
  end
  return asked
end

local function given(word) return type(word) == "string" and word ~= "" end

local function panel_of(result, lane, quantity, last)
  local list = terms(quantity[1])
  local s, unit = series_of(lane, list), nil
  if not s then
    local value
    value, unit = sum_of(result, lane, list)
    s = value and found_at_end(lane, value, last)
  end
  if not s then return nil end
  s.kind, s.variant, s.prefix, s.label, s.key = "telling", 0, "", quantity[2], quantity[2]
  unit = quantity[3] ~= "" and quantity[3] or unit
  local shown, its = s.last, unit
  if SHOWN[quantity[4]] then shown, its = SHOWN[quantity[4]](s, unit) end
  return { series = { s }, name = quantity[2], unit = unit, lo = 0, hi = 0, least = 0.07, found = s.found,
    shown = shown, shown_unit = its, live = not SHOWN[quantity[4]],
    rate = quantity[4] == "none", mended = quantity[4] == "then",
    violated = violated(result, lane.arm, given(quantity[5]) and { { quantity[5] } } or list) }
end

-- sound(list) -> those that can be drawn, whatever else stands in a result
function telling.sound(list)
  local out = {}
  for _, q in ipairs(type(list) == "table" and list or {}) do
    if type(q) == "table" and type(q[1]) == "string" and type(q[2]) == "string" then out[#out + 1] = q end
  end
  return out
end

-- Whether that is what a wrong arm does wrong: its check says so, or no check was asked and there is some.
local function tells(panel)
  return panel.violated or panel.violated == nil and panel.found and panel.shown ~= 0
end

-- An arm that fails in another quantity than the first shows that one large.
local function stand_out(lane)
  local first = lane.panels[1]
  if lane.arm.class ~= "wrong" or not first or first.rank ~= 1 or tells(first) then return end
  for _, panel in ipairs(lane.panels) do
    if panel.violated and panel.shown then
      first.large, panel.stands_out = panel, true
      return
    end
  end
end

-- Every wrong arm has a first anomaly: what it was seen to do, or else that it was judged.
local function mark(lane, quiet, last)
  local arm = lane.arm
  if arm.class ~= "wrong" then return end
  local first = lane.panels[1] and lane.panels[1].rank == 1 and lane.panels[1].series[1]
  local at = quiet and first and not first.found and leaves_zero(first)
  if at and (not lane.anomaly or at < lane.anomaly.at) then
    lane.anomaly = { at = at, text = arm.sentence or "" }
  end
  if not lane.anomaly and arm.outcome == "fails as predicted" then
    local stop = lane.duration or lane.last
    lane.anomaly = { at = math.max(stop - telling.LEAST * last, 0), text = arm.sentence or "" }
  end
end

-- Quantities of one unit, and the same one in all arms, stand on one scale from zero.
-- Of a rate (no value stands beside it) one burst would squash the rest: its scale ends a little above what
-- 97 of 100 values reach.
local function rate_scale(sorted)
  local usual = sorted[math.max(math.ceil(0.97 * #sorted), 1)] or 0
  local top = math.ceil(1.15 * usual)
  return usual > 0 and top < sorted[#sorted] and top or nil
end

local function share_scales(lanes, units)
  local values = {}
  local function each(f)
    for _, lane in ipairs(lanes) do
      for _, panel in ipairs(lane.panels) do
        local unit = units[panel.rank]
        f(panel, unit ~= "" and unit or panel.rank)
      end
    end
  end
  each(function(panel, family)
    values[family] = values[family] or {}
    for _, p in ipairs(panel.series[1].points) do
      if p[2] then table.insert(values[family], p[2]) end
    end
  end)
  for _, list in pairs(values) do table.sort(list) end
  each(function(panel, family)
    local list = values[family]
    local most, cut = list[#list] or 0, panel.rate and rate_scale(list)
    panel.hi = cut or most > 0 and most or 1
    if cut then panel.name = ("%s, drawn to %d"):format(panel.name, cut) end
  end)
end

-- No right arm ends above zero: then a wrong one is broken since it left zero for good.
local function right_end_at_zero(lanes)
  for _, lane in ipairs(lanes) do
    local s = lane.arm.class == "right" and lane.panels[1] and lane.panels[1].series[1]
    if s and s.last ~= 0 then return false end
  end
  return true
end

-- group(result, groups) -> {lanes =, last =, names =} of the arms with the panels that tell them apart; nil
--   when the experiment names none or nothing is known of them
function telling.group(result, groups)
  local list = telling.sound(result.telling)
  local arms = groups[#groups]
  if #list == 0 or not arms then return nil end
  local lanes, names, any = {}, {}, {}
  for _, lane in ipairs(arms.lanes) do
    if lane.arm then
      local copy = setmetatable({ panels = {} }, { __index = lane })
      for rank, quantity in ipairs(list) do
        local panel = panel_of(result, lane, quantity, arms.last)
        if panel then
          panel.rank, any[rank] = rank, any[rank] ~= "" and any[rank] or panel.unit or ""
          copy.panels[#copy.panels + 1] = panel
          panel.series[1].index = #copy.panels
        end
      end
      lanes[#lanes + 1] = copy
    end
  end
  if not next(any) then return nil end
  local quiet = right_end_at_zero(lanes)
  for _, lane in ipairs(lanes) do mark(lane, quiet, arms.last) end
  share_scales(lanes, any)
  for _, lane in ipairs(lanes) do stand_out(lane) end
  for rank, quantity in ipairs(list) do
    local unit = any[rank]
    local said = unit == "" or unit and (quantity[2] .. " "):find(unit .. " ", 1, true) == 1
    if unit then names[#names + 1] = said and quantity[2] or quantity[2] .. ", " .. unit end
  end
  return { lanes = lanes, last = arms.last, names = names }
end

return telling
