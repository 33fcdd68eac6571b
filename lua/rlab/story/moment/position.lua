-- E-030's moment: the group comes back and its place is gone.
local bag = require "rlab.bag"

local says = { forgotten = "the brokers have forgotten the committed offset",
  deleted = "the log begins behind the committed offset",
  grown = "a partition was added and written at once" }

return function(seen, arm)
  local records, effects = bag.from(seen.records), bag.from(seen.effects)
  local lost, twice = #(records - effects), #effects:duplicates()
  local applied = twice > 0 and ("%d twice"):format(twice)
    or ("%d of %d"):format(#effects:distinct(), #records:distinct())
  return { says = says[arm.settings.place], { "auto.offset.reset", arm.settings.reset },
    { "consumer says", seen.told > 0 and "no position" or "nothing", lost + twice > 0 },
    { "events applied", applied, lost + twice > 0 },
    { "view", ("%d of %d cents"):format(seen.sums.view, seen.sums.ledger),
      seen.sums.view ~= seen.sums.ledger } }
end
