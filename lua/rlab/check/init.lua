-- Checks: each compares sets or numbers that the census read, and says holds, violated or inconclusive, one
-- plain sentence, and up to eight concrete counterexamples. They work on plain values, so `rlab check DIR`
-- can judge a stored run again. By topic: rlab.check.sets, .order, .numbers, and .kafka for histories of
-- sends and polls; docs/checks.md says what each of them means.
local core = require "rlab.check.core"
local json = require "rlab.json"
local options = require "rlab.options"
local tables = require "rlab.tables"

local M = {}

local checkers = {}
for _, topic in ipairs { "sets", "order", "numbers", "kafka" } do
  for name, checker in pairs(require("rlab.check." .. topic)) do checkers[name] = checker end
end

-- custom(name, fn): fn() -> ok, sentence, counterexamples; for a scenario's own check. ok = nil means
--   inconclusive.
function checkers.custom(lab, name, fn)
  local ok, sentence, found = fn()
  return core.add(lab, name, {
    outcome = ok and "holds" or ok == nil and "inconclusive" or "violated", sentence = sentence or name,
    counterexamples = found,
    reason = ok == nil and sentence or nil,
  })
end

-- bind(lab) -> the table behind lab.check: lab.check.lost{...}:expect{...}
function M.bind(lab)
  return setmetatable({}, {
    __index = function(_, name)
      local checker = checkers[name]
      if not checker then
        error(("there is no check '%s'%s"):format(tostring(name),
          options.hint(name, tables.sorted_keys(checkers))), 2)
      end
      return function(...) return checker(lab, ...) end
    end,
  })
end

-- plain(check) -> the row that result.json keeps
function M.plain(check)
  return {
    arm = check.arm, name = check.name, outcome = check.outcome, expect = check.expects or "measured",
    as_expected = check.as_expected,
    sentence = check.sentence, reason = check.reason, value = check.value, unit = check.unit,
    counterexamples = json.array(check.counterexamples), more = check.more,
  }
end

return M
