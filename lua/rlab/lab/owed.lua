-- Debts: what the system under test owes an arm, waited for. One that is not kept in time ends the story and
-- is a violated check of its own name, not a doubt; what the environment owes (servers, faults, the lab's
-- tools) is lab:await's. The debts are stored with what the arm saw, so `rlab check` judges them again.
local clock = require "rlab.clock"
local core = require "rlab.check.core"
local err = require "rlab.err"
local task = require "rlab.task"
local units = require "rlab.units"

local M = {}

-- A broken arm is to end within 1.5 times its time: a debt may take half of what the arm took so far, which
-- also grows with a slow machine, and not less than LEAST, so that a short arm has room for a group that goes
-- on by itself and a broker that answers late.
local SHARE, LEAST = 0.5, 4.0

-- A look is not to be the load itself: after one that asks the brokers comes a pause nine times as long.
local EVERY, LONGEST, PAUSES = 0.01, 0.1, 9

local function limit_of(lab, at_most)
  return math.max(at_most and units.duration(at_most) or LEAST, SHARE * lab:now())
end

local function missed(row)
  if row.hopeless then return ("cannot happen any more, as %s: %s"):format(row.hopeless, row.what) end
  return ("did not happen within %.1f s: %s"):format(row.limit, row.what)
end

local function message_of(row) return row.name .. ": " .. missed(row) end

local function broken_error(row)
  return err.new { domain = "rlab", code = 0, name = "OWED", message = message_of(row) }
end

-- A debt's time counts quiet seconds only; after so many times its limit by the clock on the wall without
-- enough of them nobody can say.
local PATIENCE = 4

-- Seconds of quiet time so far; where no run watches the machine, all time is.
local function quiet(lab)
  return lab.run and lab.run.heartbeat and lab.run.heartbeat:quiet() or clock.ns() / 1e9
end

-- Polls until pred's value, or until the limit has passed since pred last said that less was left.
local function wait(lab, row, pred)
  local began, least, since, since_quiet = clock.ns(), math.huge, clock.ns(), quiet(lab)
  while true do
    local asked = clock.ns()
    local value, left, hopeless = pred()
    local took = (clock.ns() - asked) / 1e9
    row.seconds = (clock.ns() - began) / 1e9
    row.hopeless = hopeless
    if value or hopeless then return value end
    if left and left < least then least, since, since_quiet = left, clock.ns(), quiet(lab) end
    local was_quiet, passed = quiet(lab) - since_quiet, (clock.ns() - since) / 1e9
    if was_quiet >= row.limit then return nil end
    if passed >= PATIENCE * row.limit then
      lab:give_up("%s: did not happen within %.1f s, of which %.1f s were quiet: the machine is too busy",
        row.name, passed, was_quiet)
    end
    task.sleep(math.min(math.max(EVERY, PAUSES * took), LONGEST))
  end
end

-- owed(name, what, pred, at_most) -> pred's value, which the system under test owes within at_most, or within
--   half of the arm's time so far where that is longer. Else the story ends and the arm gets the violated
--   check `name`. what: the state that is owed, in words, or a function that says how far it is. pred may
--   return a second value, how much is left: while that falls, the work goes on and the time begins anew; and
--   a third, why it cannot come true any more, in words: then nobody waits.
function M.owed(lab, name, what, pred, at_most)
  if not lab.arm then error("lab:owed: a debt is an arm's, the setup has none", 2) end
  local row = { name = name, limit = limit_of(lab, at_most) }
  local value = wait(lab, row, pred)
  row.kept, row.at = value and true or false, lab:now()
  row.what = type(what) == "function" and what() or what
  lab.debts[#lab.debts + 1] = row
  if value then return value end
  lab:anomaly(message_of(row))
  error(broken_error(row), 0)
end

-- is_broken(failure) -> whether this error is that of a debt that was not kept
function M.is_broken(failure)
  return err.is(failure) and failure.name == "OWED"
end

-- broken(rows) -> the debt that ended the story | nil
function M.broken(rows)
  for _, row in ipairs(rows or {}) do
    if not row.kept then return row end
  end
end

local function sentence_of(list, worst)
  if not worst.kept then return missed(worst) end
  local times = #list > 1 and (" (the slowest of %d)"):format(#list) or ""
  return ("after %.2f s, at most %.1f s without progress%s: %s"):format(worst.seconds, worst.limit, times,
    worst.what)
end

local function worse(a, b)
  if not b or a.kept ~= b.kept then return not b or not a.kept end
  return a.seconds / a.limit > b.seconds / b.limit
end

-- foretold(want, arm) -> "violated" where the experiment expects that the arm does not keep the debt, else
--   "holds". want: what its `owes` says of the debt, a word, or words by arm and class
function M.foretold(want, arm)
  if type(want) == "table" then want = want[arm.name] or want[arm.class] end
  return want or "holds"
end

-- unforeseen(rows, owes, arm) -> the debt that ended the story, where the experiment expected it to be kept,
--   else nil
function M.unforeseen(rows, owes, arm)
  local row = M.broken(rows)
  return row and M.foretold(owes[row.name], arm) == "holds" and row or nil
end

local function judge_name(lab, name, list, want)
  local worst
  for _, row in ipairs(list) do
    if worse(row, worst) then worst = row end
  end
  local sentence = sentence_of(list, worst)
  local check = core.add(lab, name, { debt = true, outcome = worst.kept and "holds" or "violated",
    value = worst.seconds, unit = "s", sentence = sentence,
    counterexamples = worst.kept and {} or { { id = name, note = sentence } } })
  return check:expect(M.foretold(want, lab.arm))
end

-- judge(lab, rows, owes): one check for each name among an arm's debts, which is expected to hold unless the
--   experiment's `owes` says otherwise. For the runner and `rlab check`.
function M.judge(lab, rows, owes)
  local order, by_name = {}, {}
  for _, row in ipairs(rows or {}) do
    if not by_name[row.name] then
      order[#order + 1], by_name[row.name] = row.name, {}
    end
    table.insert(by_name[row.name], row)
  end
  for _, name in ipairs(order) do judge_name(lab, name, by_name[name], owes[name]) end
end

return M
