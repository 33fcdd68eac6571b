-- E-008's moment: who asks, what the cache has of it, and what that costs MySQL.

local M = {}
local FEW = 2 -- one for each process

local function selects(n, of)
  return ("%d SELECT%s of %s"):format(n, n == 1 and "" or "s", of)
end

M["one key"] = function(seen, arm)
  local soft = arm.settings.soft_ttl
  return { says = ("%d readers ask for account 7 at once"):format(#seen.answers),
    { "cache entry", soft and "past its soft deadline: the old value" or "account 7: has run out" },
    { "readers", soft and ("%d answered with the old value"):format(seen.before_load)
      or ("%d find nothing"):format(#seen.answers) },
    { "MySQL", selects(seen.selects, "one row"), seen.selects > FEW } }
end

function M.missing(seen, arm)
  return { says = ("%d reads of account 404, which does not exist"):format(#seen.answers),
    { "view row", "none" },
    { "cache entry", arm.settings.negative_ttl and "kept: no such account" or "none either" },
    { "MySQL", selects(seen.selects, "no row"), seen.selects > FEW } }
end

M["many keys"] = function(seen)
  return { says = ("%d keys that were filled together"):format(#seen.lifetimes),
    { "cache entries", seen.spread == 0 and "end at one instant"
      or ("end within %d ms"):format(seen.spread) },
    { "MySQL", ("at worst %d SELECTs in 100 ms"):format(seen.peak), 2 * seen.peak > #seen.lifetimes } }
end

function M.leader(seen)
  return { says = ("%d readers wait for one load, which fails"):format(#seen.answers),
    { "MySQL", "the first load fails" },
    { "second load", seen.selects == 0 and "none" or selects(seen.selects, "the row") },
    { "readers", ("%d answered, %d failed"):format(#seen.answers - seen.failed, seen.failed),
      seen.failed > 0 } }
end

return function(seen, arm)
  local of = M[arm.settings.story]
  return of and of(seen, arm) or nil
end
