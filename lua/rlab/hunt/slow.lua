-- Who is slow at a failpoint, and at which of its hits.
local tables = require "rlab.tables"

local M = {}

-- These serve many at once: where one is slow the others go on and overtake it. In the others' queues nothing
-- is overtaken. A reader fills what it has read, and any change overtakes it: each of its hits is slow. A
-- writer is overtaken by the next of the same thing, which must not be slow then.
local AT_ONCE = { query = { "always", "overtaken" }, command = { "overtaken", "always" } }

-- Who is slow once meets a change of the same thing by chance; who is slow many times meets it sooner. All of
-- it together takes about as long wherever it is.
local SEVERAL, SHARE = 8, 5 -- times at least; a fifth of them all
local TOGETHER, SHORTEST = 4800, 50 -- ms
local SIDE_BY_SIDE = 4 -- as many wait at the same time where many are served at once
local NOTICED, ENOUGH = 600, 1500 -- ms that a change takes to get through on a busy machine, and more
local THINGS = 3 -- of a point, those that come most often

local function bounded(ms, least, most) return math.max(least, math.min(most, ms)) end

local function sleep(ms) return ("sleep(%dms)"):format(ms) end

local function term(cell, more)
  return tables.merged({ service = cell.service, point = cell.point }, more)
end

-- ways(point) -> how a service may be slow there, the likely one first: "always" at each hit, "overtaken" at
--   the last hit but one of each thing, "often" at many hits in a row
function M.ways(point)
  local ways = AT_ONCE[point.service:match "^%S+"]
  if not ways then return { "often" } end
  if point.things then return ways end
  return { "always" }
end

local makers = {}

function makers.always(cell)
  local ms = bounded(TOGETHER * SIDE_BY_SIDE // cell.times, NOTICED, ENOUGH)
  return { term(cell, { hit = 1, times = cell.times > 1 and cell.times or nil, act = sleep(ms) }) }
end

local function come_most_often(things, rng)
  local counts, list = things.counts, {}
  for _, name in ipairs(rng:shuffle(tables.sorted_keys(counts))) do
    local i = 1
    while list[i] and counts[list[i]] >= counts[name] do i = i + 1 end
    if counts[name] > 1 then table.insert(list, i, name) end
  end
  return table.move(list, 1, math.min(#list, THINGS), 1, {})
end

function makers.overtaken(cell, rng)
  local names, list = come_most_often(cell.things, rng), {}
  local ms = bounded(TOGETHER // #names, NOTICED, ENOUGH)
  for i, name in ipairs(names) do
    list[i] = term(cell, { hit = cell.things.counts[name] - 1, act = sleep(ms),
      only = ("%s=%s"):format(cell.things.key, name) })
  end
  return list
end

function makers.often(cell, rng)
  local times = math.min(cell.times, math.max(SEVERAL, cell.times // SHARE))
  return { term(cell, { hit = rng:int(1, cell.times - times + 1), times = times > 1 and times or nil,
    act = sleep(math.max(SHORTEST, TOGETHER // math.max(times, SEVERAL))) }) }
end

-- terms(cell, rng) -> the terms of one fault: who is slow there, in the cell's way
function M.terms(cell, rng)
  return makers[cell.way](cell, rng)
end

return M
