-- E-013's moment: an account whose entry differs from the database, or else the one that was changed most.
local function row_of(rows, key)
  for _, row in ipairs(rows) do
    if tostring(row.key) == tostring(key) then return row end
  end
end

local function most_changed(rows)
  local found = rows[1]
  for _, row in ipairs(rows) do
    if row.version > found.version then found = row end
  end
  return found
end

local function words(row)
  return row and ("version %s, %d cents"):format(row.version, row.balance) or "none"
end

local function two_writes(seen)
  local off = seen.second_key ~= "hash"
  return { says = "a script of two writes meets a key of another type",
    { "first key", "is written" }, { "second key", "is a " .. seen.second_key, off },
    { "events.dlq", ("%d event"):format(seen.dlq), seen.dlq > 0 } }
end

return function(seen, arm)
  if arm.settings.cache == "two-step" then return two_writes(seen) end
  local key = seen.drift[1] and seen.drift[1].id or most_changed(seen.views).key
  local view, entry = row_of(seen.views, key), row_of(seen.cache, key)
  return { says = ("account %s, when all is quiet"):format(key), { "view row", words(view) },
    { "cache entry", words(entry), entry and entry.balance ~= view.balance } }
end
