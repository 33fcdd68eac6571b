-- The hunt: faults that nobody planned, tried against one arm until something that its stores must hold is
-- violated; what was found is tried once more, and shrunk.
local clock = require "rlab.clock"
local coverage_of = require "rlab.hunt.coverage"
local draw = require "rlab.hunt.draw"
local fs = require "rlab.fs"
local json = require "rlab.json"
local note = require "rlab.note"
local rng = require "rlab.rng"
local shrink = require "rlab.hunt.shrink"
local tables = require "rlab.tables"
local task = require "rlab.task"
local trial = require "rlab.hunt.trial"

local M = {}

local Hunt = {}
Hunt.__index = Hunt

local SHRINK_AT_MOST = 16 -- trials

local function since(hunt) return (clock.ns() - hunt.began_ns) / 1e9 end

local function try(hunt, faults)
  local read = trial.try(hunt.base, { arm = hunt.arm.name, faults = faults, breaks = hunt.promises }, hunt)
  hunt.trials[#hunt.trials + 1] = { faults = json.array(faults), broken = json.array(read.broken),
    judged = read.judged, happened = #read.happened, says = read.says or read.reason, seconds = read.seconds,
    dir = read.dir }
  return read
end

-- Both times the same check: what was violated once by luck is no find.
local function confirmed(hunt)
  local again = try(hunt, hunt.suspect.faults)
  local both = {}
  for _, name in ipairs(again.broken) do
    if tables.contains(hunt.suspect.read.broken, name) then both[#both + 1] = name end
  end
  hunt.view:again(hunt, hunt.suspect, #both > 0)
  if #both == 0 then return false end
  again.broken, hunt.found = both, { faults = hunt.suspect.faults, read = again }
  return true
end

-- ---- before the search ----

-- What the arm is not to violate: of a right arm what its own run expects to hold, of a wrong one what its
-- own run shows violated, too, for without its faults that holds.
local function promises_of(class, result, kinds, only)
  local list = {}
  for _, check in ipairs(result.checks) do
    local held = check.expect == "holds" and check.outcome == "holds"
    local meant = kinds[check.name] and (#only == 0 or tables.contains(only, check.name))
    if meant and (held or class == "wrong" and check.outcome == "violated") then
      list[#list + 1] = check.name
    end
  end
  return list
end

-- -> why it cannot be hunted | nil
local function look_as_is(hunt)
  local plan = { arm = hunt.arm.name, faults = {}, breaks = {}, as_is = true, kinds = {} }
  local result, failure = trial.run(hunt.base, plan, hunt)
  if not result then return failure end
  if result.exit ~= 0 then return "it is not as predicted with its own faults: " .. result.sentence end
  hunt.promises = promises_of(hunt.arm.class, result, plan.kinds, hunt.only or {})
  hunt.view:as_is(hunt, result)
  if not hunt.keep then fs.remove(result.dir) end
  if #hunt.promises == 0 then return "no such check of it compares what stores hold" end
end

-- A right arm's promise that does not hold without any fault is a check that needs the planned fault.
local function without(promises, broken)
  local rest = {}
  for _, name in ipairs(promises) do
    if not tables.contains(broken, name) then rest[#rest + 1] = name end
  end
  return rest
end

local function look_plain(hunt)
  local plan = { arm = hunt.arm.name, faults = {}, breaks = hunt.promises, census = {} }
  local read = trial.try(hunt.base, plan, hunt)
  if not read.judged then return "without its own faults it cannot be judged: " .. tostring(read.reason) end
  local own = hunt.arm.class == "right" and not hunt.given
  if own then hunt.promises = without(hunt.promises, read.broken) end
  hunt.census, hunt.coverage = plan.census, coverage_of.new(plan.census)
  hunt.view:plain(hunt, read)
  if own or #read.broken == 0 then return end
  hunt.suspect = { faults = {}, read = read }
  if hunt.arm.class == "wrong" then hunt.found = hunt.suspect else confirmed(hunt) end
end

-- ---- the search ----

local function note_find(hunt, faults, read)
  if hunt.suspect then return end
  hunt.view:suspects(hunt, faults, read)
  hunt.suspect = { faults = faults, read = read }
end

local function one_trial(hunt, faults)
  local read = try(hunt, faults)
  hunt.coverage:note(read.happened, read.judged)
  hunt.view:tried(hunt, faults, read)
  if #read.broken > 0 then note_find(hunt, faults, read) end
end

-- Without a trial "nothing" means nothing.
local function goes_on(hunt)
  return not hunt.suspect and (since(hunt) < hunt.budget or #hunt.trials == 0)
end

-- Until one breaks it or the time is over; those that are under way are waited for.
local function search(hunt, next_one)
  task.group(function(group)
    for _ = 1, hunt.jobs do
      group:spawn(function()
        while goes_on(hunt) do
          local faults = next_one()
          if not faults then return end
          one_trial(hunt, faults)
        end
      end)
    end
  end)
end

-- What was found is seen twice, and so is the shortest of it; else it stays as it was found.
local function make_short(hunt)
  local found, last = hunt.found, nil
  local function breaks(faults)
    local read = try(hunt, faults)
    local broken = #read.broken > 0
    hunt.view:shrinks(hunt, faults, broken)
    if broken then last = read end
    return broken
  end
  local faults = shrink.shrink(found.faults, breaks, SHRINK_AT_MOST)
  if last and breaks(faults) then found.faults, found.read = faults, last end
end

-- -> why its trials say nothing | nil
local function look_for(hunt)
  local next_one = draw.new(hunt.census, rng.new(hunt.seed):split(hunt.arm.name), hunt.shard)
  while not hunt.found do
    hunt.suspect = nil
    search(hunt, next_one)
    if not hunt.suspect then break end
    if confirmed(hunt) and hunt.shrink then make_short(hunt) end
  end
  if hunt.shard and #hunt.trials == 0 then return nil end -- every cell is another shard's
  if not hunt.found and hunt.coverage.judged == 0 then
    return ("none of its %d trials could be judged, the last: %s"):format(#hunt.trials,
      tostring((hunt.trials[#hunt.trials] or {}).says or "nothing was reached"))
  end
end

-- A trial's topics and groups are removed beside the next: a member that was killed stays in its group until
-- its session ends, for which nobody has to wait.
local function beside_closings(hunt, work)
  task.group(function(closings)
    function hunt.close_later(close)
      closings:spawn(function()
        local ok, failure = pcall(task.shielded, close)
        if not ok and failure.name ~= "CANCELLED" then note(tostring(failure)) end
      end)
    end
    work()
  end)
end

-- hunt:record() -> all of it as plain values, for a file
function Hunt:record()
  local found, coverage = self.found, self.coverage
  return { experiment = self.base.id, title = self.base.title, arm = self.arm.name, class = self.arm.class,
    started = self.started, seed = self.seed, shard = self.shard, budget = self.budget,
    seconds = self.seconds, why_not = self.failure,
    promises = json.array(self.promises or {}), trials = json.array(self.trials),
    search = coverage and { trials = coverage.trials, judged = coverage.judged } or nil,
    not_reached = coverage and json.array(coverage.not_reached) or nil,
    covered = coverage and json.array(coverage:rows_of()) or nil,
    found = found and { faults = json.array(found.faults), breaks = json.array(found.read.broken),
      says = found.read.says, dir = found.read.dir } or nil }
end

-- hunt{base = experiment, arm =, budget = seconds, seed =, jobs =, runs = folder, view =, only = checks,
--   shrink = boolean, promises = those of another hunt of this arm | nil, shard = {shard =, of =} | nil} ->
--   hunt: .found {faults, read} | nil, .failure (why it could not be hunted), .promises, .census, .coverage,
--   .trials
function M.hunt(opts)
  local hunt = setmetatable(tables.merged(opts, { trials = {}, began_ns = clock.ns(),
    started = clock.iso() }), Hunt)
  hunt.given = hunt.promises ~= nil
  hunt.view:begins(hunt)
  beside_closings(hunt, function()
    hunt.failure = not hunt.given and look_as_is(hunt) or look_plain(hunt)
    if not hunt.failure and not hunt.found then hunt.failure = look_for(hunt) end
    hunt.seconds = since(hunt)
  end)
  hunt.view:ends(hunt)
  return hunt
end

return M
