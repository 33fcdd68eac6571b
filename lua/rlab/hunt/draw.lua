-- What is tried, and in which order: cells (a place that was reached x an act), drawn by the seed; every cell
-- once before any is tried with another number, the likely kinds of act in turn and of each kind the likely
-- places first, then also two at a time.
local schedule = require "rlab.hunt.schedule"
local tables = require "rlab.tables"

local M = {}

local SLEEPS = { "sleep(300ms)", "sleep(1s)", "sleep(2s)" }
local DELAYS = { "200ms", "600ms", "1500ms" }

-- By kind of act, which take turns: a kill finds most, then who is slow.
local TURNS = { "kill", "sleep", "wire", "kill", "sleep", "error" }

-- By the words that a point's name begins with. Who is slow does harm where it holds what it is about to
-- write; who is killed or fails, where one thing has happened and what belongs to it has not.
local LIKELY = { sleep = { "before_", "between" }, kill = { "after_", "in_", "between" },
  error = { "after_", "in_", "before_", "between" } }

-- These serve many at once: where one is slow the others go on and overtake it. In the others' queues nothing
-- is overtaken.
local AT_ONCE = { query = true, command = true }

-- What is done to requests of these, where the arm sends them. Reads are left alone, a client asks again.
local ON_THE_WIRE = {
  kafka = { acts = { "cut-after", "late", "cut-before", "delay" },
    "Produce", "OffsetCommit", "TxnOffsetCommit", "AddPartitionsToTxn", "AddOffsetsToTxn", "EndTxn" },
  mysql = { acts = { "cut-after", "cut-before", "delay" }, "COMMIT", "INSERT", "UPDATE" },
  redis = { acts = { "cut-after", "cut-before", "delay" }, "SET", "DEL", "UNLINK", "EVALSHA", "EVAL",
    "FCALL" },
}

-- What a broker may refuse for good: the client tells, and does not try again by itself.
local REFUSED = { Produce = true }

-- watched() -> {{wire =, api = or statement =}, ...}: the requests that a census counts
function M.watched()
  local list = {}
  for _, wire in ipairs { "kafka", "mysql", "redis" } do
    for _, word in ipairs(ON_THE_WIRE[wire]) do
      list[#list + 1] = { wire = wire, [wire == "mysql" and "statement" or "api"] = word }
    end
  end
  return list
end

local function point_cells(point, list)
  for _, act in ipairs { "kill", "sleep", "error" } do
    list[act][#list[act] + 1] = { service = point.service, point = point.point, act = act,
      times = point.hits }
  end
end

local function wire_cells(request, processes, list)
  for _, name in ipairs(processes) do
    list.kill[#list.kill + 1] = tables.merged(request, { act = "kill", times = request.matched,
      service = name })
  end
  local function add(act)
    list.wire[#list.wire + 1] = { wire = request.wire, api = request.api, statement = request.statement,
      act = act, times = request.matched }
  end
  for _, act in ipairs(ON_THE_WIRE[request.wire].acts) do add(act) end
  if REFUSED[request.api] then add "error" end
end

local function is_likely(cell)
  local last = (cell.point or ""):match "[^.]*$"
  for _, word in ipairs(LIKELY[cell.act] or {}) do
    if last:sub(1, #word) == word then return true end
  end
  return false
end

local function rank(cell)
  if not is_likely(cell) then return 3 end
  return cell.act == "sleep" and AT_ONCE[cell.service:match "^%S+"] and 1 or 2
end

local function likely_first(cells)
  local ranks = { {}, {}, {} }
  for _, cell in ipairs(cells) do table.insert(ranks[rank(cell)], cell) end
  return tables.append(tables.append(ranks[1], ranks[2]), ranks[3])
end

-- cells(census, rng) -> list of {service, point | wire, api, act, times}, in the order in which they are
--   tried first. census: {points = {{service, point, hits}}, requests = {{wire, api, matched}}, processes =
--   names of those that have no failpoints}
function M.cells(census, rng)
  local by_act, list = { kill = {}, wire = {}, sleep = {}, error = {} }, {}
  for _, point in ipairs(census.points) do point_cells(point, by_act) end
  for _, request in ipairs(census.requests) do wire_cells(request, census.processes or {}, by_act) end
  for act, cells in pairs(by_act) do by_act[act] = likely_first(rng:split(act):shuffle(cells)) end
  local left = true
  while left do
    left = false
    for _, act in ipairs(TURNS) do
      local cell = table.remove(by_act[act], 1)
      list[#list + 1], left = cell, left or cell ~= nil
    end
  end
  return list
end

local ACTS = {
  kill = function() return "kill" end,
  sleep = function(rng) return SLEEPS[rng:int(1, #SLEEPS)] end,
  error = function() return "error(1205)" end,
}

-- Who is slow once meets a change of the same thing by chance; who is slow many times meets it sooner. All of
-- it together takes about as long wherever it is.
local SEVERAL, SHARE = 8, 5 -- times at least; a fifth of them all
local TOGETHER, SHORTEST = 4800, 50 -- ms

local function slow_often(cell)
  local times = math.min(cell.times, math.max(SEVERAL, cell.times // SHARE))
  return times, ("sleep(%dms)"):format(math.max(SHORTEST, TOGETHER // math.max(times, SEVERAL)))
end

local function point_term(cell, rng, first)
  local times, act = 1, nil
  if cell.act == "sleep" and (first or rng:chance(0.5)) then times, act = slow_often(cell) end
  return { service = cell.service, point = cell.point, hit = rng:int(1, math.max(1, cell.times - times + 1)),
    times = times > 1 and times or nil, act = act or ACTS[cell.act](rng) }
end

local function term_of(cell, rng, first)
  if not cell.wire then return point_term(cell, rng, first) end
  local number = rng:int(1, math.max(1, cell.times))
  local delayed = cell.act == "late" or cell.act == "delay"
  return { wire = cell.wire, api = cell.api, statement = cell.statement, nth = number, act = cell.act,
    service = cell.service, delay = delayed and DELAYS[rng:int(1, #DELAYS)] or nil }
end

local function same_place(a, b)
  return schedule.place(a) == schedule.place(b)
end

-- Whose a cell is follows from the seed and the cell alone: a place that one machine did not reach moves no
-- other cell.
local function owner(cell, rng, of)
  local name = ("%s %s %s"):format(schedule.place(cell), cell.act, cell.service or "")
  return rng:split("shard of " .. name):int(1, of)
end

local function owned(cells, rng, shard)
  local mine = {}
  for _, cell in ipairs(cells) do
    mine[cell] = not shard or owner(cell, rng, shard.of) == shard.shard or nil
  end
  return mine
end

-- new(census, rng, [shard = {shard =, of =}]) -> f() -> the next schedule | nil where nothing was reached;
--   of a shard the next whose first cell is the shard's, out of the same row of schedules
function M.new(census, rng, shard)
  local cells, n = M.cells(census, rng), 0
  local mine = owned(cells, rng, shard)
  local function one_of_all()
    n = n + 1
    local cell = cells[(n - 1) % #cells + 1]
    local one = { term_of(cell, rng, n <= #cells) }
    if n > #cells and n % 2 == 0 then
      local other = cells[rng:int(1, #cells)]
      if not same_place(cell, other) then one[2] = term_of(other, rng) end
    end
    return one, cell
  end
  return function()
    if not next(mine) then return nil end
    local one, cell
    repeat one, cell = one_of_all() until mine[cell]
    return one
  end
end

return M
