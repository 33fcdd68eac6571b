-- E-027's moment: an event that a relay had in its hands while another took its place.
local bag = require "rlab.bag"

local FENCED = { ["token-only"] = "refused: the lease has another token",
  ["token-and-transactions"] = "nothing to mark", ["asks-the-clock"] = "nothing to mark" }

return function(seen, arm)
  local id = seen.claimed[1]
  local n, old = bag.from(seen.zombie):count(id), seen.old[1]
  return { says = ("the first relay goes on with %s"):format(id),
    { "other relay", id .. " and its successor are sent and marked" },
    { "topic", n == 1 and id .. " once" or ("%s %d times, again behind its successor"):format(id, n), n > 1 },
    { "last record", old and ("account %s at an old version"):format(old) or "the newest of each account",
      old ~= nil },
    { "its mark", FENCED[arm.name] or "on a row that is not its own", #seen.foreign > 0 } }
end
