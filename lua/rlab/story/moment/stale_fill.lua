-- E-031's moment: the account that stays stale, or else the one whose old fill was refused.
local function row_of(rows, key)
  for _, row in ipairs(rows) do
    if tostring(row.key) == key then return row end
  end
end

local function words(row)
  return row and ("version %s, %d cents"):format(row.version, row.balance) or "none"
end

return function(seen)
  local one = seen.drift[#seen.drift]
  local key = one and one.id or "1"
  local first, view, entry = row_of(seen.first, key), row_of(seen.views, key), row_of(seen.cache, key)
  return { says = ("account %s, when all is quiet"):format(key), { "before the races", words(first) },
    { "view row", words(view) }, { "cache entry", words(entry), one ~= nil },
    { "fills refused", tostring(seen.refused) } }
end
