-- E-011's moment: where the reads of one key go, and who fails with the node that has it.
local function percent(part, all)
  return ("%.0f %%"):format(100 * part / math.max(all, 1))
end

local function reads(row)
  return ("%d of %d reads fail"):format(row.failed, row.asked)
end

return function(seen, arm)
  if arm.class == "observe" then return nil end
  local all = seen.there.asked + seen.elsewhere.asked
  if arm.settings.kept then
    return { says = "the same, and each process keeps a value for 100 ms",
      { "reads", ("%d, nine of ten of one key"):format(seen.asked) },
      { "all nodes", ("%d GETs"):format(seen.calls) },
      { "other keys, one node frozen", reads(seen.elsewhere) } }
  end
  return { says = "the node with the hot key stands still for a moment",
    { "reads", ("%d, nine of ten of one key"):format(seen.asked) },
    { "busiest node", percent(seen.most, seen.calls) .. " of the GETs", 2 * seen.most > seen.calls },
    { "it stands still", percent(seen.there.failed, all) .. " of all reads fail",
      2 * seen.there.failed > all },
    { "keys of other nodes", reads(seen.elsewhere), 2 * seen.elsewhere.failed > seen.elsewhere.asked } }
end
