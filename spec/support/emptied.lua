-- Stored evidence with one value emptied or taken away, judged again: where a check reads the value, no arm
-- may stay green. Whether one is read is found out by putting a number in its place, which nothing can use
-- for a list.
local judge = require "rlab.run.judge"

local M = {}

local GREEN = { ["fails as predicted"] = true, holds = true, measured = true }
-- Takes a check's word away and gives it none: without it the check says what it has seen.
local DOUBTS = { ["seen.disturbances"] = true, ["seen.missed"] = true }
local FEW = 5 -- of a longer list only the first entry is looked into: the others are like it

-- f(holder, key, path) for each table below, and for each value that is directly in the holder
local function places(holder, path, f)
  local direct = not path:find(".", 1, true)
  for key, value in pairs(holder) do
    local here = ("%s.%s"):format(path, key)
    local full = type(value) == "table" and next(value) ~= nil
    if DOUBTS[here] then full = false end
    if full or direct and type(value) ~= "table" then f(holder, key, here) end
    if full and #value == 0 then places(value, here, f) end
    for i = 1, full and (#value <= FEW and #value or 1) or 0 do
      if type(value[i]) == "table" then places(value[i], here .. "." .. i, f) end
    end
  end
end

-- Whether the arm is as predicted with that value in its place.
local function green_with(run, old, holder, key, value)
  local kept, arm = holder[key], run.experiment:arm(old.name)
  holder[key] = value
  local ok, row = pcall(judge.stored_arm, run.experiment, arm, run.result, old, run.evidence)
  holder[key] = kept
  return ok and GREEN[row.outcome] or false
end

local function try(run, old, holder, key)
  local value = holder[key]
  if green_with(run, old, holder, key, type(value) == "number" and {} or 7) then return 0, nil end
  if type(value) == "table" and green_with(run, old, holder, key, {}) then return 1, "emptied" end
  return 1, green_with(run, old, holder, key, nil) and "taken away" or nil
end

-- survivors{experiment =, result =, evidence =} -> how many values the checks read, list of "arm: path
--   emptied" of those that left their arm green
function M.survivors(run)
  local read, found = 0, {}
  for _, old in ipairs(run.result.arms) do
    local function each(holder, key, path)
      local one, how = try(run, old, holder, key)
      read = read + one
      if how then found[#found + 1] = ("%s: %s %s"):format(old.name, path, how) end
    end
    places(run.evidence.arms[old.name] or {}, "seen", each)
    if type(run.evidence.shared) == "table" then places(run.evidence.shared, "shared", each) end
  end
  table.sort(found)
  return read, found
end

return M
