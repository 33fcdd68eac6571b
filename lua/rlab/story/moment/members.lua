-- E-018's moment: the slow event, or the member that stands still, from the group to the effect.
local bag = require "rlab.bag"

local function times(n, what)
  return ("%d %s%s"):format(n, what, n == 1 and "" or "s")
end

local function frozen(seen)
  return { says = "a member stands still for 1.5 s, three times",
    { "topic", times(#seen.records, "record") },
    { "group", times(seen.rebalances, "rebalance"), seen.rebalances > 0 },
    { "deliveries", times(seen.again, "record") .. " again", seen.again > 0 } }
end

return function(seen, arm)
  if arm.class == "observe" then return nil end
  if arm.settings.frozen then return frozen(seen) end
  local slow, committed = seen.slow[1], seen.committed["0"] or 0
  local again, rows = bag.from(seen.deliveries):count(slow.id), bag.from(seen.effects):count(slow.id)
  return { says = ("%s at offset %d takes longer than its member may be silent"):format(slow.id, slow.offset),
    { "group", times(seen.rebalances, "rebalance"), seen.rebalances > 0 },
    { "deliveries of it", tostring(again), again > 1 },
    { "committed offset", committed > slow.offset and ("%d, past it"):format(committed)
      or ("%d, still at it"):format(committed), committed <= slow.offset },
    { "effect_log", times(rows, "row"), rows > 1 } }
end
