-- What the stores held of one thing in each arm, as the experiment's `moment` tells it from what was seen.
-- It judges nothing: an arm of which it cannot tell is left out, with the reason in place of the picture.
local json = require "rlab.json"
local owed = require "rlab.lab.owed"

local M = {}

local function stores_of(told)
  local stores = json.array {}
  for i, one in ipairs(told) do
    stores[i] = { store = tostring(one[1]), text = tostring(one[2]), agrees = not one[3] }
  end
  return stores
end

local function row_of(exp, arm, seen, shared)
  local ok, told = pcall(exp.moment, seen, arm, shared)
  if ok and told == nil then return nil end
  if not ok or type(told) ~= "table" then
    return { arm = arm.name, says = "no picture: " .. tostring(told), stores = json.array {} }
  end
  return { arm = arm.name, says = tostring(told.says or ""), stores = stores_of(told) }
end

-- of(experiment, evidence) -> list of {arm, says, stores = list of {store, text, agrees}} | nil; moment(seen,
--   arm, shared) says nil of an arm that is not shown, else { says =, { store, text [, "off"] }, ... }, from
--   the cause to the effect
function M.of(exp, evidence)
  if not exp.moment then return nil end
  local list = json.array {}
  for _, arm in ipairs(exp.arms) do
    local seen = evidence.arms[arm.name]
    if seen and not owed.broken(seen.owed) then
      list[#list + 1] = row_of(exp, arm, seen, evidence.shared)
    end
  end
  return list
end

return M
