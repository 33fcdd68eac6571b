-- E-029's moment: what L had acknowledged alone, when L is dead and when it is back.
local bag = require "rlab.bag"

local function of_reader(seen)
  local gone = #(bag.from(seen.effects) & (bag.from(seen.A.acked) - bag.from(seen.in_topic)))
  return { says = "a reader of the log that was cut", { "had read", ("%d records"):format(#seen.A.acked) },
    { "of them in the log", ("%d"):format(#seen.A.acked - gone), gone > 0 },
    { "effects that stay", tostring(gone), gone > 0 },
    { "was told", seen.told > 0 and "yes, -140" or "nothing", seen.told == 0 } }
end

local function of_transaction(seen, arm)
  local read = bag.from(seen.read)
  local behind, own = #(bag.from(seen.behind) & read), #(bag.from(seen.ids) & read)
  return { says = "a committed transaction whose marker only L had",
    { "coordinator", "committed" }, { "F's log", arm.settings.aborted and "aborted" or "still open",
      not arm.settings.aborted },
    { "its records", ("%d of %d are read"):format(own, #seen.ids), own < #seen.ids },
    { "behind it", ("%d of %d are read"):format(behind, #seen.behind), behind < #seen.behind } }
end

return function(seen, arm)
  if arm.settings.aborted ~= nil then return of_transaction(seen, arm) end
  if arm.settings.reset then return of_reader(seen) end
  local lost = #(bag.from(seen.A.acked) - bag.from(seen.in_topic))
  local leader = seen.leader_then == 0 and "nobody" or ("broker %d"):format(seen.leader_then)
  return { says = "L dies, alone in the ISR", { "L acknowledged", ("%d records"):format(#seen.A.acked) },
    { "leads while L is dead", leader }, { "acknowledged then", ("%d records"):format(#seen.B.acked) },
    { "of L's, at the end", ("%d of %d"):format(#seen.A.acked - lost, #seen.A.acked), lost > 0 } }
end
