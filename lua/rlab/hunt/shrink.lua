-- From a schedule that breaks an arm to the shortest that still does: fault after fault is left out, then
-- numbers and delays are made smaller.
local tables = require "rlab.tables"
local units = require "rlab.units"

local M = {}

local SHORTEST = 0.2 -- seconds; a shorter wait is told from none by luck alone

local function without(schedule, i)
  local rest = tables.append({}, schedule)
  table.remove(rest, i)
  return rest
end

local function with(schedule, i, changes)
  local changed = tables.append({}, schedule)
  changed[i] = tables.merged(schedule[i], changes)
  return changed
end

-- Smaller values of a whole number, the smallest first.
local function smaller_numbers(n)
  local list = {}
  for _, one in ipairs { 1, n // 4, n // 2 } do
    if one >= 1 and one < n and one ~= list[#list] then list[#list + 1] = one end
  end
  return list
end

local function halved(text)
  local half = units.duration(text) / 2
  return half >= SHORTEST and units.print_duration(half):gsub(" ", "") or nil
end

local function shorter(term)
  local sleep = term.act:match "^sleep%((.+)%)$"
  local half = sleep and halved(sleep)
  if half then return { act = ("sleep(%s)"):format(half) } end
  half = term.delay and halved(term.delay)
  return half and { delay = half } or nil
end

local function halves(schedule)
  local n = #schedule // 2
  return { table.move(schedule, 1, n, 1, {}), table.move(schedule, n + 1, #schedule, 1, {}) }
end

-- Half of many at a time, as long as one half is enough; then one by one.
local function drop(schedule, breaks)
  if #schedule > 2 then
    for _, half in ipairs(halves(schedule)) do
      if breaks(half) then return drop(half, breaks) end
    end
  end
  local i = 1
  while #schedule > 1 and i <= #schedule do
    local rest = without(schedule, i)
    if breaks(rest) then schedule = rest else i = i + 1 end
  end
  return schedule
end

local function part(schedule, i, hit, times)
  local changed = with(schedule, i, { hit = hit })
  changed[i].times = times > 1 and times or nil
  return changed
end

-- The half in which it happens, again and again.
local function fewer(schedule, i, breaks)
  local hit, times = schedule[i].hit, schedule[i].times
  if not times then return schedule end
  local half = times // 2
  for _, changed in ipairs { part(schedule, i, hit, half), part(schedule, i, hit + half, times - half) } do
    if breaks(changed) then return fewer(changed, i, breaks) end
  end
  return schedule
end

local function lower(schedule, i, breaks)
  local key = schedule[i].wire and "nth" or "hit"
  for _, n in ipairs(smaller_numbers(schedule[i][key])) do
    local changed = with(schedule, i, { [key] = n })
    if breaks(changed) then return changed end
  end
  return schedule
end

local function shorten(schedule, i, breaks)
  local changes = shorter(schedule[i])
  while changes do
    local changed = with(schedule, i, changes)
    if not breaks(changed) then return schedule end
    schedule, changes = changed, shorter(changed[i])
  end
  return schedule
end

-- shrink(schedule, breaks, at_most) -> the shortest that still breaks it, how often breaks(schedule) ->
--   boolean was asked; after at_most questions it stays as it is
function M.shrink(schedule, breaks, at_most)
  local asked = 0
  local function ask(changed)
    if asked >= at_most then return false end
    asked = asked + 1
    return breaks(changed)
  end
  schedule = drop(schedule, ask)
  for i = 1, #schedule do schedule = shorten(lower(fewer(schedule, i, ask), i, ask), i, ask) end
  return schedule, asked
end

return M
