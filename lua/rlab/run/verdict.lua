-- From checks and proofs to an arm's outcome and a run's exit code. Without proof of its fault nothing may be
-- said of an arm. A right arm's violated check stands for itself, whatever its other checks could not see.
local exit = require "rlab.exit"

local M = {}

local function first(checks, pred)
  for _, check in ipairs(checks) do
    if pred(check) then return check end
  end
end

local function differs(check) return check.expects and not check.as_expected end
local function unknown(check) return check.outcome == "inconclusive" end
local function broken(check) return check.outcome == "violated" and differs(check) end

local function first_wrong(class, checks)
  local one = class == "right" and first(checks, broken)
  if one then return one, "differs" end
  one = first(checks, unknown)
  if one then return one, "inconclusive" end
  return first(checks, differs), "differs"
end

local function predicted_failure(checks)
  for _, check in ipairs(checks) do
    if check.expects and check.expects:find "^violated" and check.as_expected then return true end
  end
end

local words = {
  wrong = { good = "fails as predicted", bad = "did not fail" },
  right = { good = "holds", bad = "violated" },
  observe = { good = "measured", bad = "inconclusive" },
}

local as_predicted = {}
for _, word in pairs(words) do as_predicted[word.good] = true end

-- as_predicted(outcome) -> whether that outcome of an arm is what its class predicts
function M.as_predicted(outcome) return as_predicted[outcome] == true end

-- arm(class, checks, failure) -> outcome, reason
function M.arm(class, checks, failure)
  if failure then return "inconclusive", failure end
  if #checks == 0 then return "inconclusive", "this arm has no checks" end
  local check, kind = first_wrong(class, checks)
  if kind == "inconclusive" then return "inconclusive", check.reason or check.sentence end
  if check then
    return words[class].bad, ("%s: %s (expected: %s)"):format(check.name, check.sentence, check.expects)
  end
  if class == "wrong" and not predicted_failure(checks) then
    return words.wrong.bad, "no check of this arm showed the anomaly"
  end
  return words[class].good
end

local codes = { inconclusive = exit.inconclusive, violated = exit.right_violated,
  ["did not fail"] = exit.wrong_held }
local names = {
  [exit.ok] = "pass", [exit.right_violated] = "right-violated", [exit.wrong_held] = "wrong-did-not-fail",
  [exit.inconclusive] = "inconclusive",
}
-- from the least to what decides
local ranks = { exit.ok, exit.wrong_held, exit.inconclusive, exit.right_violated }
local rank = {}
for i, code in ipairs(ranks) do rank[code] = i end

-- bad_arms(arms) -> the arms that are not as predicted, those that decide the exit code first; arms with
--   one reason share a row
function M.bad_arms(arms)
  local list, told = {}, {}
  for i = #ranks, 2, -1 do
    local worst = ranks[i]
    for _, arm in ipairs(arms) do
      if arm.reason and codes[arm.outcome] == worst and not told[arm.reason] then
        told[arm.reason] = { name = arm.name, outcome = arm.outcome, reason = arm.reason, more = 0 }
        list[#list + 1] = told[arm.reason]
      elseif arm.reason and codes[arm.outcome] == worst then
        told[arm.reason].more = told[arm.reason].more + 1
      end
    end
  end
  return list
end

-- run(arms) -> exit code, verdict word; a violated right arm outranks one that cannot be judged, which
--   outranks a wrong arm that held
function M.run(arms)
  local worst = exit.ok
  for _, arm in ipairs(arms) do
    local code = codes[arm.outcome] or exit.ok
    if rank[code] > rank[worst] then worst = code end
  end
  return worst, names[worst]
end

M.names = names

return M
