-- What the events of a run (rlab.ui.record, rlab.ui.live) add up to, for who draws it in a terminal; the page
-- in a browser has the same in assets/stream.js.
local M = {}

local function new_arm(one)
  return { name = one.name, class = one.class, title = one.title, points = {}, events = {}, faults = {},
    gauges = {} }
end

-- new() -> a model of nothing: run, arms (in their order, and by name), faults, events, verdict, now, replay
function M.new()
  return { arms = {}, by_name = {}, faults = {}, events = {}, now = 0 }
end

local takes = {}

function takes.run(model, e)
  local anew = M.new()
  for name, value in pairs(anew) do model[name] = value end
  model.run, model.verdict = e, nil
  for i, one in ipairs(e.arms) do
    model.arms[i] = new_arm(one)
    model.by_name[one.name] = model.arms[i]
  end
end

function takes.mode(model, e) model.replay = e.replay end

function takes.begins(_, e, arm)
  arm.from, arm.shared = e.at, e.shared
end

function takes.point(_, e, arm)
  arm.points[e.q] = arm.points[e.q] or {}
  table.insert(arm.points[e.q], { e.t, e.v })
end

function takes.gauges(_, e, arm)
  for name, value in pairs(e.values) do arm.gauges[name] = value or nil end
end

function takes.event(model, e, arm)
  if e.anomaly and arm and not arm.anomaly then arm.anomaly = { t = e.t, text = e.text } end
  table.insert((arm or model).events, e)
end

function takes.fault(model, e, arm)
  local list = (arm or model).faults
  list[#list + 1] = { name = e.name, t = e.t, proof = e.proof }
end

function takes.over(model, e, arm)
  local list = (arm or model).faults
  for i = #list, 1, -1 do
    if list[i].name == e.name and not list[i].over then
      list[i].over = e.t
      return
    end
  end
end

function takes.ends(_, e, arm)
  if e.anomaly and (not arm.anomaly or e.anomaly.t < arm.anomaly.t) then arm.anomaly = e.anomaly end
  arm.ended, arm.outcome, arm.sentence, arm.reason = e.t, e.outcome, e.sentence, e.reason
  arm.checks, arm.shown = e.checks or {}, e.shown
end

function takes.verdict(model, e) model.verdict = e end

-- take(model, events) -> model
function M.take(model, events)
  for _, e in ipairs(events) do
    local arm = model.by_name[e.arm]
    local known = e.arm == nil or arm
    if known and takes[e.kind] and (e.kind ~= "begins" or arm) then takes[e.kind](model, e, arm) end
    model.now = math.max(model.now, e.at or 0)
  end
  return model
end

-- reached(model, arm) -> the second of its own time that the arm is at | nil: it has not begun
function M.reached(model, arm)
  if not arm.from then return nil end
  return arm.ended or math.max(0, model.now - arm.from)
end

-- value_at(points, t) -> the last value that was known then | nil
function M.value_at(points, t)
  local value
  for _, p in ipairs(points or {}) do
    if p[1] > t + 1e-9 then break end
    value = p[2]
  end
  return value
end

return M
