-- E-026's moment: the command that committed behind its neighbours, from its outbox row to the money.
local bag = require "rlab.bag"

local COMES_BY = { ["status-flag"] = "finds it below the last row", ["stops-at-holes"] = "has waited for it" }

return function(seen, arm)
  if arm.class == "observe" then return nil end
  local there, sums = bag.from(seen.records):count(seen.held) > 0, seen.sums
  local place = seen.overtook > 0 and ("behind %d later ones"):format(seen.overtook) or "in its place"
  return { says = ("%s took its id first and commits last"):format(seen.held),
    { "outbox_event", "its row is there" },
    { "relay", COMES_BY[arm.name] or "its cursor is past it", not there },
    { "topic", there and place or "not in it", not there },
    { "view", ("%d of %d cents"):format(sums.view, sums.ledger), sums.view ~= sums.ledger } }
end
