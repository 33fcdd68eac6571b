-- A slot that moves by hand, key by key, while a reader asks for two keys in it: the source still has one of
-- them (TRYAGAIN), then none but still the slot (ASK), then neither (MOVED).
local clock = require "rlab.clock"
local must = require "rlab.must"

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

-- run(lab, client) -> {reads, errors, wrong, ms, stats}: one slot's move, there and (without a reader) back
function M.run(lab, client)
  local view, tag = lab:cluster(), lab:name "move"
  local keys = { ("{%s}:a"):format(tag), ("{%s}:b"):format(tag) }
  local slot = require("rlab.redis").slot(tag)
  local from, primaries = view:owner(slot), view:primaries()
  local to = from == primaries[1] and primaries[2] or primaries[1]
  local seen = { reads = 0, errors = 0, wrong = 0, ms = {} }
  must(client:call("MSET", keys[1], "one", keys[2], "two"))
  local reader = reading(lab, client, keys, seen)
  local function count(what, word, at_least)
    lab:await(what, function() return (client:stats()[word] >= at_least or seen.errors > 0) end)
  end
  count("reads before the move", "commands", client:stats().commands + 20)
  local fault = lab:fault(("slot %d moves from %s to %s"):format(slot, from.address, to.address)):started()
  local move = view:move(slot, to)
  move:keys { keys[1] }
  count("a read of a half-moved slot", "tryagain", 1)
  move:rest()
  count("a read of a slot whose keys are gone", "asked", 1)
  fault:fired(lab.proof.redis("keys of the slot at its new primary", { node = to.address,
    want = { at_least = 2 }, command = { "CLUSTER", "COUNTKEYSINSLOT", slot } }))
  move:finish()
  count("reads after the move", "commands", client:stats().commands + 20)
  seen.over = true
  reader:join()
  fault:over()
  seen.stats = client:stats()
  must(to.conn:call("DEL", keys))
  view:move(slot, from):finish()
  return seen
end

return M
