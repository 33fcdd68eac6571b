-- Checks: each compares sets or numbers that the census read, and says holds, violated or inconclusive, one
-- plain sentence, and up to eight concrete counterexamples. They work on plain values, so `rlab check DIR`
-- can judge a stored run again. By topic: rlab.check.sets, .order, .numbers, and .kafka for histories of
-- sends and polls; docs/checks.md says what each of them means.
local contract = require "rlab.check.contract"
local contracts = require "rlab.check.contracts"
local core = require "rlab.check.core"
local json = require "rlab.json"
local options = require "rlab.options"
local tables = require "rlab.tables"

local M = {}

local checkers = {}
for _, topic in ipairs { "sets", "order", "numbers", "kafka" } do
  for name, checker in pairs(require("rlab.check." .. topic)) do checkers[name] = checker end
end

-- custom{name =, control =, judge = f}: f() -> ok, sentence, counterexamples; for a scenario's own check. ok
--   = nil means inconclusive. Nobody else knows what f must have seen: its control is not optional.
function checkers.custom(lab, a)
  local ok, sentence, found = a.judge()
  if ok == nil then return core.inconclusive(lab, a.name, "%s", sentence or "it could not be judged") end
  return core.add(lab, a.name, { outcome = ok and "holds" or "violated", sentence = sentence or a.name,
    counterexamples = found })
end

local names = tables.append(tables.sorted_keys(checkers), { "agree" })

-- A check is made at one place of the script: what is wrong with its arguments is said with that line.
local function made(lab, name, a, level)
  local ok, why = pcall(contract.check, name, contracts[name], a)
  if not ok then error(why, level + 1) end
  local silent = contract.silent(contracts[name], a)
  if silent then
    return core.inconclusive(lab, a.name or contracts[name].named or a.class or name, "%s", silent)
  end
  local judged, check = pcall(checkers[name], lab, a)
  if judged then return check end
  local complaint = tostring(check):match "check%.%l.*$" -- without the place inside rlab
  error(complaint or check, complaint and level + 1 or 0)
end

for name in pairs(checkers) do
  assert(contracts[name], "rlab.check.contracts does not say what the check takes: " .. name)
end

-- agree{ {name, got, want, what, control =}, ... }: several of equals, each expected to hold
local function agree(lab, rows, level)
  local ok, why = pcall(contract.agree, rows)
  if not ok then error(why, level + 1) end
  for _, row in ipairs(rows) do
    local check = made(lab, "equals", { name = row[1], got = row[2], want = row[3], what = row[4],
      control = row.control }, level + 1)
    check:expect "holds"
  end
end

-- bind(lab) -> the table behind lab.check: lab.check.lost{...}:expect{...}
function M.bind(lab)
  return setmetatable({}, {
    __index = function(_, name)
      if name == "agree" then
        return function(rows) agree(lab, rows, 2) end
      end
      if not checkers[name] then
        error(("there is no check '%s'%s"):format(tostring(name), options.hint(name, names)), 2)
      end
      return function(a)
        local check = made(lab, name, a, 2) -- no tail call: the level counts this frame
        return check
      end
    end,
  })
end

-- plain(check) -> the row that result.json keeps
function M.plain(check)
  return {
    arm = check.arm, name = check.name, outcome = check.outcome, expect = check.expects or "measured",
    as_expected = check.as_expected,
    sentence = check.sentence, reason = check.reason, value = check.value, unit = check.unit,
    counterexamples = json.array(check.counterexamples), more = check.more, debt = check.debt,
    stores = check.stores,
  }
end

return M
