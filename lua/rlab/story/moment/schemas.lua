-- E-015's moment: one record of the new schema (after a reset, of the old one), from the registry's answer to
-- the money.
local bag = require "rlab.bag"
local tables = require "rlab.tables"

local function money(seen)
  local sums = seen.sums
  return { "view", ("%d of %d cents"):format(sums.view, sums.ledger), sums.view ~= sums.ledger }
end

local function effect(seen, id)
  local n = bag.from(seen.effects):count(id)
  return { "effect_log", n == 1 and "1 row" or n .. " rows", n ~= 1 }
end

local function two_topics(seen)
  local id = seen.both[1]
  return { says = id .. " is written to two topics", { "topic", id },
    { "the other topic", tables.contains(seen.second, id) and id or "without it" }, effect(seen, id),
    money(seen) }
end

return function(seen, arm)
  local s = arm.settings
  if s.grid then return nil end
  if s.topics then return two_topics(seen) end
  local id, last = seen.parked[1] or seen.new[1], seen.asked[#seen.asked]
  local parked = tables.contains(seen.parked, id)
  return { says = ("%s under %s"):format(s.change, s.mode),
    { "registry", ("says %d"):format(last.status) }, { "topic", id },
    { "consumer", parked and "cannot read it: parked" or "reads it", parked }, effect(seen, id),
    money(seen) }
end
