-- A slot that moves while readers ask for two keys in it. By hand, key by key: the source still has one of
-- them (TRYAGAIN), then none but still the slot (ASK), then neither (MOVED). In one step, where the server
-- has that: MOVED alone.
local clock = require "rlab.clock"
local must = require "rlab.must"
local redis = require "rlab.redis"

local M = {}

local function reading(lab, client, keys, seen)
  return lab:background("reads of two keys", function()
    while not seen.over do
      local began = clock.ns()
      local got, failure = client:call("MGET", keys)
      seen.reads, seen.ms[#seen.ms + 1] = seen.reads + 1, (clock.ns() - began) / 1e6
      if failure then
        seen.errors = seen.errors + 1
        seen.first = seen.first or tostring(failure)
      elseif got[1] ~= "one" or got[2] ~= "two" then
        seen.wrong = seen.wrong + 1
      end
    end
  end)
end

local function begin(lab)
  local view, tag = lab:cluster(), lab:name "move"
  local move = { keys = { ("{%s}:a"):format(tag), ("{%s}:b"):format(tag) }, slot = redis.slot(tag),
    reads = 0, errors = 0, wrong = 0, ms = {} }
  local primaries = view:primaries()
  move.from = view:owner(move.slot)
  move.to = move.from == primaries[1] and primaries[2] or primaries[1]
  return move
end

local function await_count(lab, seen, what, client, word, at_least)
  lab:await(what, function() return client:stats()[word] >= at_least or seen.errors > 0 end)
end

local function more_reads(lab, seen, what, client)
  await_count(lab, seen, what, client, "commands", client:stats().commands + 20)
end

local function fault_of(lab, seen)
  return lab:fault(("slot %d moves from %s to %s"):format(seen.slot, seen.from.address, seen.to.address))
    :started()
end

local function arrived(lab, seen)
  return lab.proof.redis("keys of the slot at its new primary", { node = seen.to.address,
    want = { at_least = 2 }, command = { "CLUSTER", "COUNTKEYSINSLOT", seen.slot } })
end

-- What was seen, as a result keeps it.
local function by_address(seen)
  seen.from, seen.to = seen.from.address, seen.to.address
  return seen
end

-- by_hand(lab, client) -> {reads, errors, wrong, ms, stats}: one slot's move, there and (without a reader)
--   back
function M.by_hand(lab, client)
  local seen = begin(lab)
  local keys, slot = seen.keys, seen.slot
  must(client:call("MSET", keys[1], "one", keys[2], "two"))
  local reader = reading(lab, client, keys, seen)
  more_reads(lab, seen, "reads before the move", client)
  local fault = fault_of(lab, seen)
  local move = lab:cluster():move(slot, seen.to)
  move:keys { keys[1] }
  await_count(lab, seen, "a read of a half-moved slot", client, "tryagain", 1)
  move:rest()
  await_count(lab, seen, "a read of a slot whose keys are gone", client, "asked", 1)
  more_reads(lab, seen, "reads of a slot whose keys are gone", client) -- that one has its answer
  fault:fired(arrived(lab, seen))
  move:finish()
  more_reads(lab, seen, "reads after the move", client)
  seen.over = true
  reader:join()
  fault:over()
  seen.stats = client:stats()
  must(seen.to.conn:call("DEL", keys))
  lab:cluster():move(slot, seen.from):finish()
  return by_address(seen)
end

local READERS = 3

local function migrated(lab, seen)
  lab:await("the slot's new primary", function()
    local owner = lab:cluster():owner(seen.slot)
    return owner == seen.to or seen.errors > 0
  end)
end

-- in_one_step(lab, client) -> the same for three clients that read at once; stats: of all, and moved_once,
--   how many of them were told once that it moved
function M.in_one_step(lab, client)
  local seen, readers = begin(lab), {}
  local clients = lab:cluster_clients(READERS, {})
  must(client:call("MSET", seen.keys[1], "one", seen.keys[2], "two"))
  for i, one in ipairs(clients) do readers[i] = reading(lab, one, seen.keys, seen) end
  for _, one in ipairs(clients) do more_reads(lab, seen, "reads before the move", one) end
  local fault = fault_of(lab, seen)
  must(seen.from.conn:call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", seen.slot, seen.slot, "NODE", seen.to.id))
  migrated(lab, seen)
  fault:fired(arrived(lab, seen))
  for _, one in ipairs(clients) do more_reads(lab, seen, "reads after the move", one) end
  seen.over = true
  for _, reader in ipairs(readers) do reader:join() end
  fault:over()
  seen.stats, seen.moved_once = { commands = 0, moved = 0, asked = 0, tryagain = 0 }, 0
  for _, one in ipairs(clients) do
    local stats = one:stats()
    for word, sum in pairs(seen.stats) do seen.stats[word] = sum + stats[word] end
    seen.moved_once = seen.moved_once + (stats.moved == 1 and 1 or 0)
  end
  return by_address(seen)
end

M.READERS = READERS

return M
