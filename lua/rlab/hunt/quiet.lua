-- An arm's story without its own faults, and with those of a schedule: what the lab does for a story while a
-- hunt runs it. A lab's methods are replaced in this one lab; the story does not know.
local draw = require "rlab.hunt.draw"
local fs = require "rlab.fs"
local hit_log = require "rlab.failpoint.log"
local points = require "rlab.failpoint.points"
local schedule = require "rlab.hunt.schedule"
local slips = require "rlab.experiment.slips"
local stand_in = require "rlab.hunt.stand_in"
local tables = require "rlab.tables"
local things = require "rlab.hunt.things"

local M = {}

local REFUSAL = 29 -- TOPIC_AUTHORIZATION_FAILED: of a Produce, which the client does not try again by itself

-- A story waits as long as this for what a fault of its own would have shown on the wire, and goes on.
local SHOWN = "1s"

-- ---- services ----

-- The first of a kind is called by it, the second "consumer 2".
local function named(plan, kind)
  plan.started[kind] = (plan.started[kind] or 0) + 1
  return plan.started[kind] == 1 and kind or ("%s %d"):format(kind, plan.started[kind])
end

-- {point = "off"}: armed so, a point only counts. Of a service of one's own it is what its text names.
local function points_of(name, settings)
  local known = {}
  for _, point in ipairs(points.list(points.closed(name, settings) or name)) do
    if not point.name:find "^rlab%." then known[point.name] = "off" end
  end
  for _, file in ipairs { name, settings.handler } do
    for _, point in ipairs(slips.points(fs.read(file) or "")) do known[point] = "off" end
  end
  return known
end

local function kind_of(name) return name:match "([%w_-]+)%.lua$" or name end

local function options_for(lab, plan, who, opts, own_points)
  return tables.merged(opts, { via_proxy = lab.stack.proxy and true or opts.via_proxy,
    failpoints = plan.census and own_points or {}, must_fire = schedule.of_service(plan.faults, who) })
end

local function let_hang(lab, plan, who, state)
  for _, term in ipairs(plan.faults) do
    if term.service == who and term.act == "hang" then
      lab:background(("the kill of %s, which hangs"):format(who),
        function() stand_in.hang(state, term.point, schedule.hangs_for(term)) end)
    end
  end
end

local function start_service(lab, plan, plain, name, settings, opts)
  opts = opts or {}
  local who = named(plan, kind_of(name))
  plan.armed[who] = points_of(name, settings or {})
  local child = plain.service(lab, name, settings, options_for(lab, plan, who, opts, plan.armed[who]))
  plan.who[child.name] = who
  local handle, state = stand_in.of(lab, child, tables.merged(opts.failpoints, opts.must_fire))
  let_hang(lab, plan, who, state)
  return handle
end

-- Killed while the request is on its way, which the wire keeps until the process is gone.
local function strike(lab, plan, who, state)
  for _, one in ipairs(plan.strikes) do
    if one.term.service == who then
      lab:background("the kill of " .. who, function()
        if lab:within("3m", function() return one.rule:state().fired > 0 end) then stand_in.strike(state) end
        one.rule:remove()
      end)
    end
  end
end

local function start_process(lab, plan, plain, opts)
  opts = tables.merged(opts, { via_proxy = lab.stack.proxy and true or opts.via_proxy })
  local child = plain.process(lab, opts)
  local who = named(plan, (child.name:gsub("%-%d+$", "")))
  plan.who[child.name], plan.processes[#plan.processes + 1] = who, who
  local handle, state = stand_in.of(lab, child, {})
  strike(lab, plan, who, state)
  return handle
end

-- ---- the wire ----

local function rule(lab, plain, term, more)
  return plain.rule(lab, tables.merged({ proto = term.wire, api = term.api, statement = term.statement },
    more))
end

local function served(lab, wire)
  return lab.stack.proxy and (wire == "kafka" and lab.stack.kafka or lab.stack[wire])
end

local function add_rules(lab, plan, plain)
  for _, term in ipairs(plan.faults) do
    if term.wire then
      local made = rule(lab, plain, term, { name = schedule.says(term), nth = term.nth, delay = term.delay,
        action = term.act == "kill" and "black-hole" or term.act,
        code = term.act == "error" and REFUSAL or nil })
      plan.rules[term] = made
      if term.act == "kill" then plan.strikes[#plan.strikes + 1] = { rule = made, term = term } end
    end
  end
end

local function add_counters(lab, plan, plain)
  plan.counters = {}
  for _, request in ipairs(plan.census and draw.watched() or {}) do
    if served(lab, request.wire) then
      local counter = rule(lab, plain, request, { name = "count " .. schedule.place(request),
        action = "count", may_fire = true })
      plan.counters[#plan.counters + 1] = { rule = counter, request = request }
    end
  end
end

-- A row that a story waits for and only its own fault would bring.
local LEFT_OUT = { error = 0, version = 0, partitions = {} }

local function quiet_log(lab, plain, spec)
  local log = plain.wire_log(lab, spec)
  function log.await(_, _, pred)
    return lab:within(SHOWN, function()
      for _, row in ipairs(log:rows()) do
        local value = pred(row)
        if value then return value end
      end
    end) or LEFT_OUT
  end
  return log
end

-- ---- the lab ----

local function ignored() end

-- Gates of the planned work say nothing of a run without the plan; the checks have minima of their own.
local function leave_out_plans(lab, plain)
  for _, word in ipairs { "rule", "freeze", "kill", "terminate", "part", "lock_rows", "reset_offsets" } do
    if plain[word] then lab[word] = stand_in.no_fault end
  end
  lab.issued, lab.accepted = ignored, ignored
  function lab.comes_again(_, service) service:revive() return 0 end
  function lab.outlast(_, _, start) start() return stand_in.no_fault() end
  function lab.wire_log(_, spec) return quiet_log(lab, plain, spec) end
  function lab.commands(_, opts) return plain.commands(lab, tables.merged(opts, { restart = true })) end
end

local function is_many(plan, service, point)
  for _, term in ipairs(plan.faults) do
    if term.service == service and term.point == point and schedule.is_many(term) then return true end
  end
end

-- Only the hunt's own faults must leave a proof, in a search none: there what did not happen is not covered.
-- Of many hits a run may have fewer; that some came is looked up at its end.
local function must_prove(plan)
  local declared = {}
  for _, term in ipairs(plan.search and {} or plan.faults) do
    if term.wire then declared[schedule.says(term)] = true end
    for point, expr in pairs(term.service and schedule.of_service(plan.faults, term.service) or {}) do
      declared[("%s: %s"):format(point, expr)] = not is_many(plan, term.service, point) or nil
    end
  end
  return declared
end

local function declare(lab, plan, plain)
  local declared = must_prove(plan)
  function lab.fault(_, name)
    return (declared[name] and plain.fault or plain.possible_fault)(lab, name)
  end
end

-- begin(lab, plan): from now on. plan: {faults = schedule, census = true where everything is counted}
function M.begin(lab, plan)
  local plain = require("rlab.lab").methods
  plan.started, plan.who, plan.armed, plan.processes, plan.strikes = {}, {}, {}, {}, {}
  plan.rules = {}
  declare(lab, plan, plain)
  leave_out_plans(lab, plain)
  function lab.service(_, name, settings, opts)
    return (start_service(lab, plan, plain, name, settings, opts))
  end
  function lab.process(_, opts) return (start_process(lab, plan, plain, opts)) end
  if lab.stack.proxy then lab:wire() end -- once, before services that start side by side ask for it
  add_rules(lab, plan, plain)
  add_counters(lab, plan, plain)
end

-- ---- what was reached ----

-- Who it is in the hunt's words, in whichever of its lives.
local function who_of(plan, child) return plan.who[child.name:gsub("%.%d+$", "")] end

-- -> {[point] = its hits}, of one life
local function hits_by_point(child)
  local by_point = {}
  for _, line in ipairs(hit_log.read(child.hits_path)) do
    if line.hit then
      by_point[line.name] = by_point[line.name] or {}
      table.insert(by_point[line.name], line)
    end
  end
  return by_point
end

-- Of a service that the story starts again its longest life counts: a hit is asked of one life.
local function counted_points(lab, plan)
  local hits, list = {}, {}
  for _, child in ipairs(lab.children) do
    local who = who_of(plan, child)
    for point, lines in pairs(who and hits_by_point(child) or {}) do
      local key = who .. " " .. point
      if not hits[key] or hits[key].hits < #lines then
        hits[key] = { service = who, point = point, hits = #lines, things = things.of(lines) }
      end
    end
  end
  for _, key in ipairs(tables.sorted_keys(hits)) do list[#list + 1] = hits[key] end
  return list, hits
end

-- Points of services that ran, to which none of them came.
local function not_reached(plan, hits)
  local list = {}
  for who, armed in pairs(plan.armed) do
    for point in pairs(armed) do
      local key = who .. " " .. point
      if not hits[key] then list[#list + 1] = key end
    end
  end
  table.sort(list)
  return list
end

local function counted_requests(plan)
  local list = {}
  for _, one in ipairs(plan.counters) do
    local matched = one.rule:state().matched
    if matched > 0 then list[#list + 1] = tables.merged(one.request, { matched = matched }) end
  end
  return list
end

-- ---- what happened ----

local function acted(lab, plan, term)
  if plan.rules[term] and term.act ~= "kill" then return plan.rules[term]:state().fired > 0 end
  for _, child in ipairs(lab.children) do
    local own = who_of(plan, child) == term.service
    if own and term.wire and child.struck or own and term.point and #child:hits(term.point) > 0 then
      return true
    end
  end
  return false
end

local function note_faults(lab, plan)
  plan.happened = {}
  for _, term in ipairs(plan.faults) do
    if acted(lab, plan, term) then
      table.insert(plan.happened, term)
    elseif not plan.search and schedule.is_many(term) then
      lab:give_up("no proof that this fault happened: %s", schedule.says(term))
    end
  end
end

-- finish(lab, plan): the story is over; plan.happened gets the faults that acted, plan.census {points,
--   not_reached, requests, processes}
function M.finish(lab, plan)
  note_faults(lab, plan)
  local census = plan.census
  if not census then return end
  local hits
  census.points, hits = counted_points(lab, plan)
  census.not_reached, census.requests = not_reached(plan, hits), counted_requests(plan)
  census.processes = plan.processes
end

return M
