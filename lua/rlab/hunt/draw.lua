-- What is tried, and in which order: cells (a place that was reached x an act), drawn by the seed; every cell
-- once before any is tried with another number. Who is slow and who breaks do harm in different ways, so one
-- of each comes together from the first trial on; the kinds of break take turns, and of each kind the likely
-- places come first. Then also any two.
local schedule = require "rlab.hunt.schedule"
local slow = require "rlab.hunt.slow"
local tables = require "rlab.tables"

local M = {}

local SLEEPS = { "sleep(300ms)", "sleep(1s)", "sleep(2s)" }
local DELAYS = { "200ms", "600ms", "1500ms" }

-- The kinds of break, which take turns: a kill finds most.
local TURNS = { "kill", "hang", "wire", "kill", "wire", "error" }

-- By the words that a point's name begins with. Who is slow does harm where it holds what it is about to
-- write; who hangs, before its work is done, while others go on as if it were; who is killed or fails, where
-- one thing has happened and what belongs to it has not. Of who is slow the first word comes first.
local LIKELY = { sleep = { "before_", "between", "after_" }, hang = { "in_", "before_", "between" },
  kill = { "after_", "in_", "between" }, error = { "after_", "in_", "before_", "between" } }

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
  local function add(act, more)
    table.insert(list[act], tables.merged({ service = point.service, point = point.point, act = act,
      times = point.hits }, more))
  end
  for _, act in ipairs { "kill", "hang", "error" } do add(act) end
  for i, way in ipairs(slow.ways(point)) do
    add("sleep", { way = way, likely = i == 1 and way ~= "often", things = point.things })
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

-- Where the words of its act have that with which the point's name begins | nil
local function likely_at(cell)
  local last = (cell.point or ""):match "[^.]*$"
  for i, word in ipairs(LIKELY[cell.act] or {}) do
    if last:sub(1, #word) == word then return i end
  end
end

local RANKS = 5

local function rank(cell)
  local at = likely_at(cell)
  if not at then return RANKS end
  if cell.act ~= "sleep" then return 1 end
  return cell.likely and at or RANKS - 1
end

local function likely_first(cells)
  local ranks, list = {}, {}
  for i = 1, RANKS do ranks[i] = {} end
  for _, cell in ipairs(cells) do table.insert(ranks[rank(cell)], cell) end
  for i = 1, RANKS do tables.append(list, ranks[i]) end
  return list
end

-- -> those that break something, in their order
local function in_turns(by_act)
  local list, left = {}, true
  while left do
    left = false
    for _, act in ipairs(TURNS) do
      local cell = table.remove(by_act[act], 1)
      list[#list + 1], left = cell, left or cell ~= nil
    end
  end
  return list
end

-- cells(census, rng) -> those that are slow, those that break something, each in the order in which they are
--   tried first: lists of {service, point | wire, api, act, times}. census: {points = {{service, point, hits,
--   things}}, requests = {{wire, api, matched}}, processes = names of those that have no failpoints}
function M.cells(census, rng)
  local by_act = { kill = {}, hang = {}, wire = {}, sleep = {}, error = {} }
  for _, point in ipairs(census.points) do point_cells(point, by_act) end
  for _, request in ipairs(census.requests) do wire_cells(request, census.processes or {}, by_act) end
  for act, cells in pairs(by_act) do by_act[act] = likely_first(rng:split(act):shuffle(cells)) end
  return by_act.sleep, in_turns(by_act)
end

local ACTS = { kill = "kill", hang = "hang", error = "error(1205)" }

local function one_hit(cell, rng)
  return { { service = cell.service, point = cell.point, hit = rng:int(1, math.max(1, cell.times)),
    act = ACTS[cell.act] or SLEEPS[rng:int(1, #SLEEPS)] } }
end

local function point_terms(cell, rng, first)
  if cell.act == "sleep" and (first or rng:chance(0.5)) then return slow.terms(cell, rng) end
  return one_hit(cell, rng)
end

-- The terms of one fault, of which who is slow for several things has several.
local function terms_of(cell, rng, first)
  if not cell.wire then return point_terms(cell, rng, first) end
  local number = rng:int(1, math.max(1, cell.times))
  local delayed = cell.act == "late" or cell.act == "delay"
  return { { wire = cell.wire, api = cell.api, statement = cell.statement, nth = number, act = cell.act,
    service = cell.service, delay = delayed and DELAYS[rng:int(1, #DELAYS)] or nil } }
end

local function same_place(a, b)
  return schedule.place(a) == schedule.place(b)
end

-- Whose a cell is and with which numbers it is tried follow from the seed and the cell alone: a place that
-- one machine did not reach moves no other cell.
local function name_of(cell)
  return ("%s %s %s %s"):format(schedule.place(cell), cell.act, cell.service or "", cell.way or "")
end

local function is_mine(cell, rng, shard)
  return not shard or rng:split("shard of " .. name_of(cell)):int(1, shard.of) == shard.shard
end

local function mine_of(cells, rng, shard)
  local list = {}
  for _, cell in ipairs(cells) do
    if is_mine(cell, rng, shard) then list[#list + 1] = cell end
  end
  return list
end

local function terms_of_all(cells, rng, round)
  local list = {}
  for _, cell in ipairs(cells) do
    local own = rng:split(("round %d of %s"):format(round, name_of(cell)))
    tables.append(list, terms_of(cell, own, round == 0))
  end
  return list
end

local function of_another_service(a, b)
  return a.service ~= b.service
end

local function of_another_place(a, b)
  return not same_place(a, b)
end

-- The first of them that leaves it alone, which is taken out: a service that is killed counts its hits anew.
local function partner(cells, one)
  for _, apart in ipairs { of_another_service, of_another_place } do
    for i, cell in ipairs(cells) do
      if apart(cell, one) then return table.remove(cells, i) end
    end
  end
end

-- first(slows, breaks, rng) -> schedules that try each of these cells once: one that is slow and one that
--   breaks something at another place, as long as there are both
function M.first(slows, breaks, rng)
  local list, left = {}, tables.append({}, breaks)
  for _, cell in ipairs(slows) do
    list[#list + 1] = terms_of_all({ cell, partner(left, cell) }, rng, 0)
  end
  for _, cell in ipairs(left) do list[#list + 1] = terms_of_all({ cell }, rng, 0) end
  return list
end

-- One cell, and every other time one more.
local function later(cells, n, rng)
  local one, other = cells[(n - 1) % #cells + 1], nil
  if n % 2 == 0 then other = cells[rng:split("beside " .. n):int(1, #cells)] end
  return terms_of_all({ one, other and not same_place(one, other) and other or nil }, rng, n), one
end

-- new(census, rng, [shard = {shard =, of =}]) -> f() -> the next schedule | nil where nothing was reached, or
--   nothing that is the shard's: first its own cells, then of the row of later schedules those whose first
--   cell is its own
function M.new(census, rng, shard)
  local slows, breaks = M.cells(census, rng)
  local cells, n, k = tables.append(tables.append({}, breaks), slows), 0, 0
  local rounds = M.first(mine_of(slows, rng, shard), mine_of(breaks, rng, shard), rng)
  return function()
    n = n + 1
    if rounds[n] or #rounds == 0 then return rounds[n] end
    local one, cell
    repeat
      k = k + 1
      one, cell = later(cells, k, rng)
    until is_mine(cell, rng, shard)
    return one
  end
end

return M
