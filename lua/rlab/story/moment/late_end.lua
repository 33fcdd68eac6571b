-- E-028's moment: a record of the second transaction, from the producer to the reader.
local bag = require "rlab.bag"

return function(seen, arm)
  local round = seen.rounds[arm.name == "fresh-producer" and 1 or #seen.rounds]
  local first, given = round.second.acked[1].id, bag.from(round.rc)
  local id = first:match "[^/]+$"
  local committed = round.held == "abort"
  local there = given:count(first) > 0
  return { says = ("T1's %s arrives while T2 is open"):format(round.held),
    { "producer", ("%s, T2 %s"):format(id, committed and "committed" or "aborted") },
    { "late EndTxn", round.second.late == 0 and "ends T2 in the middle"
      or ("is refused: error %d"):format(round.second.late), round.second.late == 0 },
    { "read_committed reader", there and "is given " .. id or "is not given " .. id,
      there ~= committed } }
end
