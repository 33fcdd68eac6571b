-- E-019's moment: one transfer that MySQL refused, from its error to the money.
local bag = require "rlab.bag"
local tables = require "rlab.tables"

local function waits(seen)
  local stuck = seen.went_on == 0
  return { says = "a deposit needs the lock of a transfer that waits itself",
    { "transfer", "repeats its statement after 1205" }, { "its first lock", "in its hands all the time" },
    { "deposit", stuck and ("waits %.1f s for it"):format(seen.held_s) or "goes on", stuck } }
end

return function(seen, arm)
  if arm.name == "repeats-holding-its-lock" then return waits(seen) end
  local after_1205 = #seen.deadlocked == 0 or arm.name == "begins-without-rollback"
  local id, sums = after_1205 and seen.timed_out[1] or seen.deadlocked[1], seen.sums
  local done = #(bag.from(seen.legs) & bag.from { id .. " debit", id .. " credit" })
  local parked = tables.contains(seen.parked, id)
  return { says = id .. " is refused by MySQL",
    { "MySQL", after_1205 and "1205, lock wait timeout" or "1213, deadlock" },
    { "events.dlq", parked and "parked" or "not in it", parked },
    { "effect rows", ("%d of 2 legs"):format(done), done < 2 },
    { "view", ("%d of %d cents"):format(sums.view, sums.ledger), sums.view ~= sums.ledger } }
end
