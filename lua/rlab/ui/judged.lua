-- What a check found, as the console is told it.
local json = require "rlab.json"

local M = {}

local function found(check)
  if type(check.value) == "number" then return check.value end
  if check.outcome ~= "violated" then return nil end
  local n = #(check.counterexamples or {}) + (math.type(check.more) == "integer" and check.more or 0)
  return n > 0 and n or nil
end

-- checks(list, arm) -> those of the arm
function M.checks(list, arm)
  local out = {}
  for _, check in ipairs(list or {}) do
    if check.arm == arm then
      out[#out + 1] = { name = check.name, outcome = check.outcome, found = found(check), unit = check.unit,
        expect = check.expect, as_expected = check.as_expected, sentence = check.sentence }
    end
  end
  return json.array(out)
end

return M
