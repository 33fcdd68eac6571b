-- A stored run as the list of events that the console is told: what began, was sampled, broken, judged, each
-- with `at`, the second of the run at which it is told. What belongs to which arm, and in which quantities
-- arms differ, is read as the report reads it (rlab.report.series, rlab.report.telling).
local gauges = require "rlab.ui.gauges"
local html = require "rlab.report.html"
local json = require "rlab.json"
local judged = require "rlab.ui.judged"
local series = require "rlab.report.series"
local shape = require "rlab.report.shape"
local telling = require "rlab.report.telling"
local words = require "rlab.run.words"

local M = {}

-- ---- the quantities ----

-- Where an experiment names none, the first series of each arm stands for it.
local function first_series(groups)
  local lanes, names = {}, {}
  local group = groups[#groups]
  for _, lane in ipairs(group and group.lanes or {}) do
    local panel = lane.panels[1]
    local s = panel and panel.series[1]
    if lane.arm and s then
      names[1] = names[1] or (panel.prefix ~= "" and panel.prefix .. " " or "") .. s.label
      local one = { rank = 1, series = { s }, hi = panel.hi, shown = s.last }
      lanes[#lanes + 1] = setmetatable({ panels = { one } }, { __index = lane })
    elseif lane.arm then
      lanes[#lanes + 1] = setmetatable({ panels = {} }, { __index = lane })
    end
  end
  return { lanes = lanes, last = group and group.last or 1, names = names }
end

local function quantities_of(group)
  local list = {}
  for i, name in ipairs(group.names) do list[i] = { name = name } end
  for _, lane in ipairs(group.lanes) do
    for _, panel in ipairs(lane.panels) do
      local q = list[panel.rank]
      if q then
        q.top = math.max(q.top or 0, panel.hi or 0)
        q.name, q.unit = panel.name or q.name, panel.unit or q.unit
      end
    end
  end
  return list
end

-- ---- the list ----

local function adder()
  local list = {}
  return list, function(at, event)
    event.at = math.max(at, 0)
    list[#list + 1] = event
  end
end

local function add_points(add, lane, from, stop)
  for _, panel in ipairs(lane.panels) do
    local s = panel.series[1]
    for _, p in ipairs(s.points) do
      add(s.found and stop or from + p[1],
        { kind = "point", arm = lane.arm.name, q = panel.rank, t = p[1], v = p[2] or nil })
    end
  end
end

local function add_gauges(add, lane, from)
  local seen = {}
  for _, row in ipairs(lane.rows or {}) do
    local values = gauges.changed(row, seen)
    if values then add(from + row.t, { kind = "gauges", arm = lane.arm.name, t = row.t, values = values }) end
  end
end

local function add_faults(add, faults, arm, from)
  for _, f in ipairs(faults) do
    local t = type(f.at) == "number" and f.at or 0
    add(from + t,
      { kind = "fault", arm = arm, t = t, name = f.text, fired = f.fired, proof = f.proof })
    if type(f["until"]) == "number" then
      add(from + f["until"], { kind = "over", arm = arm, t = f["until"], name = f.text })
    end
  end
end

local function add_events(add, events, arm, from)
  for _, e in ipairs(events) do
    local anomaly = e.kind == "anomaly" or nil
    add(from + e.at, { kind = "event", arm = arm, t = e.at, text = e.text, anomaly = anomaly })
  end
end

local function shown_of(lane)
  local list = {}
  for _, panel in ipairs(lane.panels) do
    local text = panel.shown and html.quantity(panel.shown, panel.shown_unit) or ""
    list[#list + 1] = { q = panel.rank, text = text }
  end
  return json.array(list)
end

-- What only the end tells of an arm: its first anomaly, when no event of the story was one.
local function add_end(add, result, lane, stop)
  local arm, first = lane.arm, lane.anomaly
  local anomaly = first and arm.class == "wrong" and { t = first.at, text = first.text } or nil
  add(stop, { kind = "ends", arm = arm.name, t = lane.duration or lane.last, outcome = arm.outcome,
    sentence = arm.sentence, reason = arm.reason, checks = judged.checks(result.checks, arm.name),
    shown = shown_of(lane), anomaly = anomaly })
end

local function add_lane(add, result, lane)
  local arm = lane.arm
  local from = lane.shared and 0 or arm.started or 0
  local stop = from + (lane.duration or lane.last)
  local name = arm.name
  add(from, { kind = "begins", arm = name, shared = lane.shared or nil })
  add_points(add, lane, from, stop)
  add_gauges(add, lane, from)
  if not lane.shared then add_faults(add, lane.faults, name, from) end
  add_events(add, lane.events, name, from)
  add_end(add, result, lane, stop)
end

local function versions_of(stack)
  local list = {}
  for _, name in ipairs { "kafka", "mysql", "redis" } do
    if (stack.versions or {})[name] then list[#list + 1] = name .. " " .. tostring(stack.versions[name]) end
  end
  return table.concat(list, " · ")
end

local function head(result, group, name)
  local arms, run = {}, result.run or {}
  for i, lane in ipairs(group.lanes) do
    arms[i] = { name = lane.arm.name, class = html.class_of(lane.arm), title = lane.arm.title }
  end
  return { kind = "run", id = result.id, title = result.title, question = result.question, seed = run.seed,
    name = run.name, started = run.started, stack = versions_of(result.stack or {}), arms = json.array(arms),
    quantities = json.array(quantities_of(group)), last = group.last, duration = run.duration, report = name }
end

-- Every arm has a lane, one of which nothing was drawn too.
local function only_arms(group, result)
  local lanes, by_name = {}, {}
  for _, lane in ipairs(group.lanes) do
    if lane.arm then by_name[lane.arm.name] = lane end
  end
  for i, arm in ipairs(result.arms) do
    lanes[i] = by_name[arm.name] or { arm = arm, panels = {}, faults = {}, events = {},
      duration = arm.duration, last = arm.duration or 0 }
  end
  group.lanes = lanes
  return group
end

-- events{result=, samples=}, name -> list, in the order of `at`; `name` is the run's, "E-009/20261123-131502"
function M.events(data, name)
  local result = shape.sound(data.result)
  local groups = series.groups(result, data.samples)
  local group = only_arms(telling.group(result, groups) or first_series(groups), result)
  local list, add = adder()
  add(0, head(result, group, name))
  add_faults(add, M.shared_faults(result), nil, 0)
  for _, lane in ipairs(group.lanes) do add_lane(add, result, lane) end
  local word, tone = words.of(result.verdict)
  local order = {}
  for i, event in ipairs(list) do order[event] = i end
  table.sort(list, function(a, b)
    if a.at ~= b.at then return a.at < b.at end
    return order[a] < order[b]
  end)
  add(list[#list].at, { kind = "verdict", verdict = result.verdict, word = word, tone = tone,
    sentence = result.sentence, exit = result.exit })
  return list
end

-- shared_faults(result) -> those of the setup, which every arm lives through
function M.shared_faults(result)
  local list = {}
  for _, f in ipairs(result.faults) do
    if f.arm == nil then
      list[#list + 1] = { at = f.at, ["until"] = f["until"], fired = f.fired, proof = f.proof,
        text = f.name or "" }
    end
  end
  return list
end

return M
