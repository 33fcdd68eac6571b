-- Which experiments may run at the same time on one stack: one that freezes or kills a part of it has nobody
-- beside it who needs that part, and one that measures times has nobody at all. An onlooker (rlab canary) is
-- there to see what happens, so nobody waits for it. Of each only `needs`, `disrupts`, `undisturbed` and
-- `onlooker` are read, which the ledger keeps, too.
local tables = require "rlab.tables"

local M = {}

-- One that says true, or does not say what it needs, is taken for one of everything.
local function hurts(one, other)
  if type(one.disrupts) ~= "table" or not other.needs then return one.disrupts and true or false end
  for _, part in ipairs(one.disrupts) do
    if tables.contains(other.needs, part) then return true end
  end
  return false
end

-- agree(one, other) -> whether they may run at the same time
function M.agree(one, other)
  if one.onlooker or other.onlooker then return true end
  if one.undisturbed or other.undisturbed then return false end
  return not hurts(one, other) and not hurts(other, one)
end

-- agrees_with_all(one, others) -> whether it may run beside each value of that table
function M.agrees_with_all(one, others)
  for _, other in pairs(others) do
    if not M.agree(one, other) then return false end
  end
  return true
end

return M
