-- What several hunts say together, as an exit code.
local exit = require "rlab.exit"

local M = {}

local function code_of(one)
  if one.failure or one.incomplete and not one.found then return exit.inconclusive end
  if one.arm.class == "wrong" then return one.found and exit.ok or exit.wrong_held end
  return one.found and one.arm.class == "right" and exit.right_violated or exit.ok
end

-- code(hunts) -> the same decides as in a run: a right arm that is broken, one that nobody can judge, a wrong
--   one that held
function M.code(hunts)
  local seen = {}
  for _, one in ipairs(hunts) do seen[code_of(one)] = true end
  for _, code in ipairs { exit.right_violated, exit.inconclusive, exit.wrong_held } do
    if seen[code] then return code end
  end
  return exit.ok
end

return M
