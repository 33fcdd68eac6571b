-- One arm of an experiment with the faults of a schedule in place of its own, as an experiment of its own:
-- what a hunt tries, and what it writes down when it has found something.
local experiment = require "rlab.experiment"
local options = require "rlab.options"
local quiet = require "rlab.hunt.quiet"
local schedule = require "rlab.hunt.schedule"
local script = require "rlab.experiment.script"
local tables = require "rlab.tables"

local M = {}

-- Checks of numbers, as a rule, are about the planned fault itself; the others compare what the stores hold.
local ABOUT_NUMBERS = { bound = true, equals = true, enough = true, same = true, agree = true,
  amplification = true }

-- ---- checks ----

-- lab.check, which remembers of which kind each check is.
local function recorded(check, kinds)
  return setmetatable({}, { __index = function(_, kind)
    local make = check[kind]
    if ABOUT_NUMBERS[kind] then return make end
    return function(args)
      local made = make(args)
      kinds[made] = kind
      return made
    end
  end })
end

-- An expectation may name any arm of the experiment, of which the hunt runs one.
local function judge_with(base, lab, seen, arm, kinds)
  local plain = lab.check
  lab.check, lab.arm_names = recorded(plain, kinds), tables.names_of(base.arms)
  local ok, failure = xpcall(base.checks, script.traced, lab, seen, arm)
  lab.check = plain
  return ok, failure
end

-- In a search a wrong arm's check may go either way.
local function expected(plan, check, class)
  if class ~= "wrong" then return "holds" end
  return plan.search and check.outcome == "holds" and "holds" or "violated"
end

-- What disturbed a trial takes nothing from it: what stores must hold they hold under any fault, that of the
-- machine, too, and a find is tried again. On a machine that is always busy nothing would ever be found.
local NEVER = { from = -1, to = -1 }

local function judged(plan, check, class)
  check:expect(expected(plan, check, class))
  return plan.search and check:explained_by(NEVER) or check
end

-- Only what the hunt is after is judged: the arm's own expectations are of its own faults.
local function judge_promises(base, plan, lab, seen, arm)
  local kinds, before, kept = {}, #lab.checks, {}
  local ok, failure = judge_with(base, lab, seen, base:arm(arm.name), kinds)
  for i = before + 1, #lab.checks do
    local check = lab.checks[i]
    if kinds[check] and tables.contains(plan.breaks, check.name) then
      kept[#kept + 1] = judged(plan, check, arm.class)
    end
    lab.checks[i] = nil
  end
  if not ok and #kept == 0 then error(failure, 0) end
  table.move(kept, 1, #kept, before + 1, lab.checks)
end

-- As the experiment judges; plan.kinds learns what could be a promise.
local function judge_as_is(base, plan, lab, seen, arm)
  local kinds = {}
  local ok, failure = judge_with(base, lab, seen, arm, kinds)
  if not ok then error(failure, 0) end
  for check in pairs(kinds) do plan.kinds[check.name] = true end
end

-- ---- the story ----

local function run(base, plan, lab, arm)
  if plan.as_is then return base.run(lab, arm) end
  quiet.begin(lab, plan)
  local seen = base.run(lab, base:arm(arm.name))
  quiet.finish(lab, plan)
  return seen
end

local function arm_of(base, plan)
  local arm = base:arm(plan.arm)
  if not arm then
    script.fail("%s has no arm '%s'; %s", base.id, tostring(plan.arm),
      options.advice(plan.arm, tables.names_of(base.arms)))
  end
  return { class = arm.class, name = arm.name, settings = arm.settings,
    says = plan.as_is and arm.says or schedule.words(plan.faults) }
end

-- What the experiment needs, and the proxy, where there is a store, for faults on the wire.
local function needs_of(base, plan)
  if plan.as_is or #base.needs == 0 or tables.contains(base.needs, "proxy") then return base.needs end
  return tables.append({ "proxy" }, base.needs)
end

-- definition(base, plan) -> what experiment{} takes. plan: {arm =, faults =, breaks = names of checks};
--   census = {} is filled with what was reached; search: nobody knows how it ends; as_is: with its own
--   faults, kinds = {} is filled with the checks of what stores hold
function M.definition(base, plan)
  local judge = plan.as_is and judge_as_is or judge_promises
  return { id = base.id .. "-hunt", title = base.title, question = base.question,
    claim = ("%s, %s: %s"):format(base.id, plan.arm, schedule.words(plan.faults)),
    needs = needs_of(base, plan), disrupts = base.disrupts, faults = base.faults,
    limit = base.limit, options = base.options, roles = base.roles,
    owes = plan.as_is and base.owes or nil, setup = base.setup, arms = { arm_of(base, plan) },
    run = function(lab, arm) return run(base, plan, lab, arm) end,
    checks = function(lab, seen, arm) judge(base, plan, lab, seen, arm) end }
end

-- of{of = "E-004" or a path, arm =, breaks = {...}, faults = schedule} -> the same, for a file
function M.of(found)
  local base = experiment.load(experiment.find(found.of), true)
  return M.definition(base, { arm = found.arm, faults = schedule.check(found.faults or {}),
    breaks = found.breaks or {} })
end

-- ---- as a file ----

local FILE = [=[
-- Found by: %s
-- %s
-- Run it: rlab hunt --replay %s
local found = require "rlab.hunt.scenario"

return experiment(found.of {
  of = %q, arm = %q, breaks = { %s },
  faults = {
%s  },
})
]=]

-- text(found, by, says, path) -> the file. by: the command that found it; says: what it breaks, in words
function M.text(found, by, says, path)
  local terms, breaks = {}, {}
  for i, term in ipairs(found.faults) do terms[i] = "    " .. schedule.text(term) .. ",\n" end
  for i, name in ipairs(found.breaks) do breaks[i] = ("%q"):format(name) end
  return FILE:format(by, (says:gsub("\n", " ")), path, found.of, found.arm, table.concat(breaks, ", "),
    table.concat(terms))
end

return M
