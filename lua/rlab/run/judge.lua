-- Judging: an experiment's checks on what an arm saw, and what follows from them. The runner and `rlab check`
-- judge by the same rules; only where the evidence comes from differs.
local disturbance = require "rlab.run.disturbance"
local err = require "rlab.err"
local owed = require "rlab.lab.owed"
local proof = require "rlab.proof"
local script = require "rlab.experiment.script"
local sentence = require "rlab.experiment.sentence"
local tables = require "rlab.tables"
local verdict = require "rlab.run.verdict"

local M = {}

local function without_expectation(exp, lab, arm)
  for _, check in ipairs(lab.checks) do
    if not check.expects then
      return err.new { domain = "rlab", code = 0, name = "SCRIPT",
        message = ("%s: check '%s' of arm '%s' has no :expect"):format(exp.path, check.name, arm.name) }
    end
  end
end

-- checks(exp, lab, seen, arm) -> nil when each check has spoken (lab.checks), else the failure: an error of
--   the world or of the script. Where a debt that was not kept ended the story, only debts are judged.
--   What a disturbance explains is inconclusive then.
function M.checks(exp, lab, seen, arm)
  if not owed.broken(seen.owed) then
    local ok, failure = xpcall(exp.checks, script.traced, lab, seen, arm)
    if not ok then return script.error(failure, exp.path) end
  end
  owed.judge(lab, seen.owed, exp.owes)
  local failure = without_expectation(exp, lab, arm)
  if not failure then disturbance.judge(lab.checks, seen, lab.shared) end
  return failure
end

-- ---- stored evidence ----

-- What a check finds of a lab when nothing runs.
local function stored_lab(exp, arm, shared)
  local lab = { label = arm.name, arm = arm, checks = {}, shared = shared,
    arm_names = tables.names_of(exp.arms) }
  function lab.give_up(_, fmt, ...)
    error(err.new { domain = "rlab", code = 0, name = "INCONCLUSIVE", message = sentence.of(fmt, ...) }, 0)
  end
  lab.check = require("rlab.check").bind(lab)
  return lab
end

-- Debts that the run judged and the evidence has no more.
local function lost_debts(stored, old, seen)
  if #(seen.owed or {}) > 0 then return nil end
  for _, row in ipairs(stored.checks) do
    if row.arm == old.name and row.debt then
      return ("the evidence has no debts, the run judged '%s'"):format(row.name)
    end
  end
end

-- Why an arm has no verdict whatever its checks say: the run's history is not well-formed, it left no
-- evidence, or a fault of its own or of the setup has no proof, judged again by what was stored of it.
local function void_reason(exp, arm, stored, evidence, old, seen)
  if stored.malformed then return stored.malformed end
  if not seen then return old.reason or "no evidence was stored" end
  local lost = lost_debts(stored, old, seen)
  if lost or owed.unforeseen(seen.owed, exp.owes, arm) then return lost end
  local names = proof.lacking(stored.faults or {}, evidence.faults or {}, old.name)
  return names[1] and "no proof that this fault happened: " .. table.concat(names, ", ")
end

-- stored(dir, read) -> the run's result and evidence, read(path) of each file; the result knows whether the
--   history is well-formed
function M.stored(dir, read)
  local stored, evidence = read(dir .. "/result.json"), read(dir .. "/evidence.json")
  stored.malformed = require("rlab.check.form").problem(dir .. "/history.jsonl")
  return stored, evidence
end

-- stored_arm(exp, arm, stored, old, evidence) -> row {name, class, outcome, reason, before}, its checks; old
--   is its row in the stored result
function M.stored_arm(exp, arm, stored, old, evidence)
  local seen = evidence.arms[old.name]
  local void, checks = void_reason(exp, arm, stored, evidence, old, seen), {}
  if seen then
    local lab = stored_lab(exp, arm, evidence.shared)
    local failure = M.checks(exp, lab, seen, arm)
    checks = lab.checks
    if failure then void = void or "the evidence cannot be judged: " .. tostring(failure) end
  end
  local outcome, reason = verdict.arm(arm.class, checks, void)
  return { name = arm.name, class = arm.class, outcome = outcome, reason = reason, before = old.outcome },
    checks
end

return M
