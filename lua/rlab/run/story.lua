-- One story: an arm (or the setup that all arms share) from its beginning to its last check. What happened is
-- handed on as a table; a run writes it down (rlab.run.result).
local defer = require "rlab.defer"
local disturbance = require "rlab.run.disturbance"
local err = require "rlab.err"
local interrupt = require "rlab.interrupt"
local json = require "rlab.json"
local judge = require "rlab.run.judge"
local lab_of = require "rlab.lab"
local owed = require "rlab.lab.owed"
local rights = require "rlab.stack.secure.rights"
local script = require "rlab.experiment.script"
local task = require "rlab.task"
local units = require "rlab.units"

local M = {}

local STEP_LIMIT = "1h" -- with --step a person reads at every event

local ENDS = { INTERRUPTED = true, TERMINATED = true, CANCELLED = true, SCRIPT = true }

-- A failure of the world or of the proof is a reason; a failure of the script is the script's, and ends the
-- run.
local function reason_of(session, failure)
  if not err.is(failure) then error(script.error(failure, session.experiment.path), 0) end
  if ENDS[failure.name] then error(failure, 0) end
  local why = failure.name == "INCONCLUSIVE" and failure.message or tostring(failure)
  local external = session.stack and session.stack.kind == "external"
  local lacks = external and rights.missing(why)
  return lacks and why .. "; " .. lacks or why
end

local function closing_reason(failure)
  if err.is(failure) and failure.name == "SCRIPT" then error(failure, 0) end
  return err.is(failure) and failure.name == "INCONCLUSIVE" and failure.message
    or "closing: " .. tostring(failure)
end

-- A run with abort conditions can be cut short by one.
local function guarded(session, f)
  local guard = session.guard
  return guard and function(...) return guard:during(f, ...) end or f
end

local function within_limit(session, f, ...)
  local args = table.pack(...)
  return xpcall(function()
    local limit = session.step and STEP_LIMIT or session.experiment.limit or "3m"
    interrupt.limit(units.duration(limit))
    local _ <close> = defer(interrupt.unlimit)
    local result, late = task.timeout(limit, guarded(session, f), table.unpack(args, 1, args.n))
    if result == nil and late then error(late, 0) end
    return result
  end, script.traced)
end

-- The first failure of the closing that is not a broken debt, as a reason; whether there was a broken debt.
local function closing_of(failures)
  local debt = false
  for _, failure in ipairs(failures) do
    if not owed.is_broken(failure) then return closing_reason(failure), debt end
    debt = true
  end
  return nil, debt
end

-- -> what the story saw | nil, why nothing can be said. A debt that was not kept ends a story, which has seen
-- that and no more: whether faults that were still to come had a proof says nothing then, unless this end was
-- expected of the arm.
local function call(session, lab, f, ...)
  local ok, seen = within_limit(session, f, ...)
  local disturbances = json.array(session.heartbeat:disturbances(lab))
  local unclosed, debt = closing_of(lab:close())
  local cut = debt or (not ok and owed.is_broken(seen))
  if not ok and not owed.is_broken(seen) then
    return nil, reason_of(session, seen) .. disturbance.of_wait(disturbances, seen.waited)
      .. (unclosed and "; " .. unclosed or "")
  end
  if unclosed then return nil, unclosed end
  if owed.unforeseen(lab.debts, session.experiment.owes, lab.arm) then
    return { owed = lab.debts, disturbances = disturbances }
  end
  local unproved = lab:unproved()
  if unproved[1] then return nil, "no proof that this fault happened: " .. table.concat(unproved, ", ") end
  seen = ok and not cut and seen or {}
  seen.disturbances = disturbances
  if lab.arm then seen.owed = json.array(lab.debts) end
  return seen
end

local function live(session, lab, closed, f, ...)
  local story = { lab = lab, failure = closed }
  if not story.failure then
    lab:begin()
    story.seen, story.failure = call(session, lab, f, lab, ...)
  end
  story.took, story.happened = lab:now(), lab:happened()
  return story
end

-- setup(session) -> story {seen, failure, took, happened}
function M.setup(session)
  local lab = lab_of.new(session, nil)
  session.view:setup_starts(lab)
  return live(session, lab, session:gate "before the setup", session.experiment.setup)
end

-- arm(session, arm, {shared =, company =, closed =}) -> story {arm, seen, failure, took, happened}: what the
--   setup saw, the arms that run beside it, and why none of these can begin, if the stack is not whole
function M.arm(session, arm, given)
  local lab = lab_of.new(session, arm, given.shared)
  lab.company = given.company
  local _ <close> = defer(function() given.company:leave(lab) end)
  session.view:arm_starts(arm, lab)
  local story = live(session, lab, given.closed, session.experiment.run, arm)
  story.arm = arm
  return story
end

-- judge(session, story): the experiment's checks on what the arm saw, and its debts; happened.checks has them
--   then. Where a debt that was not kept ended the story there is nothing else to judge.
function M.judge(session, story)
  local failure = judge.checks(session.experiment, story.lab, story.seen, story.arm)
  if failure then story.failure = reason_of(session, failure) end
  story.happened = story.lab:happened()
end

return M
