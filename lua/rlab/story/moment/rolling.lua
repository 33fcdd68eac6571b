-- E-034's moment: a restart, or two of one name, from the member to the others.
local function restart(seen)
  local n = seen.rebalances
  return { says = "each of four members ends and comes back",
    { "the three others", ("%d rebalance%s"):format(n, n == 1 and "" or "s"), n > 0 },
    { "members", ("%.1f s without a partition"):format(seen.idle_s) },
    { "deliveries", ("%d of %d again"):format(seen.again, #seen.records), seen.again > 0 } }
end

return function(seen, arm)
  if not arm.settings.rival then return restart(seen) end
  local one = seen.refused[1]
  return { says = "a second process comes with the name of one that lives",
    { "coordinator", ("error %d"):format(one.code), true },
    { "refused", one.member, true },
    { "effect_log", ("%d of %d records applied"):format(#seen.effects, #seen.records) } }
end
