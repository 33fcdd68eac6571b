-- E-014's moment: an event of ten days ago that comes again, as each store has it; else what the clean-up
-- left behind it, or who waited for it.
local bag = require "rlab.bag"
local tables = require "rlab.tables"

local LONG_MS = 300 -- longer than an insert beside it

local function rows_of(effects, id)
  local n = bag.from(effects):count(id)
  return n == 1 and "1 row" or n .. " rows"
end

-- How an arm's old event fares: it is known, refused, or taken for a new one.
local function again(seen, arm)
  local id = seen.too_old[1] or seen.old[#seen.old]
  local s, twice = arm.settings, bag.from(seen.effects):count(id) > 1
  local row = s.day == "today" and "a second row, of another day" or "its row is gone"
  local known = not twice and not s.refuses
  return { says = ("%s comes again, rows are kept for %d days"):format(id, s.keep),
    { "topic", id .. " once more" },
    { "dedup table", known and "its row is there" or row, twice },
    { "events.dlq", tables.contains(tables.ids_of(seen.dead), id) and "refused as too old" or "not in it" },
    { "effect_log", rows_of(seen.effects, id), twice } }
end

local function waited(seen, arm)
  local drop = arm.settings.way ~= "one-delete"
  return { says = "an insert meets the clean-up",
    { "clean-up", drop and "DROP PARTITION behind a reader" or "one DELETE of all old rows" },
    { "insert", ("waits %.0f ms"):format(seen.longest), seen.excess > LONG_MS },
    { "consumer", ("no commit for %.0f ms"):format(seen.still), seen.excess > LONG_MS } }
end

local function left(seen)
  return { says = "traffic never stands still",
    { "clean-up", "waits for 200 ms without an event" },
    { "dedup table", ("%d old rows, %d were to be left"):format(seen.left, seen.expected),
      seen.left > seen.expected } }
end

return function(seen, arm)
  local way = arm.settings.way
  if arm.class == "observe" then return nil end
  if way == "one-delete" or way == "drop-waiting" then return waited(seen, arm) end
  return way == "when-idle" and left(seen) or again(seen, arm)
end
