-- E-005's moment: the record that each arm fails with, from where it waited to what became of it.
local bag = require "rlab.bag"

local function count_of(rows, id) return bag.from(rows):count(id) end

local function rows(n) return n == 1 and "1 row" or n .. " rows" end

local BLOCKED_MS, MOST_COPIES = 1000, 4
local did = {}

did["sleep-in-handler"] = function(seen)
  return { says = "a record fails and waits for its next attempt", { "failing record", "in the handler" },
    { "healthy ones behind it", ("wait %d ms"):format(seen.blocked_ms), seen.blocked_ms > BLOCKED_MS } }
end

did["one-retry-topic"] = function(seen)
  return { says = "a short retry stands behind a long one", { "retry topic", "one for both delays" },
    { "the short one", ("%d ms late"):format(seen.behind_ms), 2 * seen.behind_ms > seen.gap_ms } }
end

did["dedup-by-position"] = function(seen)
  local id = seen.late[1]
  return { says = id .. " fails after its commit and comes again from the retry topic",
    { "topic", id }, { "retry topic", id .. ", at another position" },
    { "dedup row", "of the first position" },
    { "effect_log", rows(count_of(seen.effects, id)), count_of(seen.effects, id) > 1 } }
end

did["replay-to-everyone"] = function(seen)
  local id = seen.fixed[1]
  return { says = id .. " is sent back from the DLQ", { "events.dlq", id },
    { "topic", id .. " for all groups" },
    { "audit's effects", rows(count_of(seen.audit, id)), count_of(seen.audit, id) > 1 } }
end

did["no-replay-count"] = function(seen)
  return { says = "nobody can decode it, and it is sent back each time", { "events.dlq", "evt-undecodable" },
    { "copies in the topic", tostring(seen.copies), seen.copies > MOST_COPIES } }
end

did["retry-topics"] = function(seen)
  local late, fixed = seen.late[1], seen.fixed[1]
  return { says = ("%s fails after its commit, %s comes back from the DLQ"):format(late, fixed),
    { "healthy ones behind it", ("wait %d ms"):format(seen.blocked_ms) },
    { "effect_log", rows(count_of(seen.effects, late)) .. " of " .. late },
    { "audit's effects", rows(count_of(seen.audit, fixed)) .. " of " .. fixed },
    { "copies of the undecodable", tostring(seen.copies) } }
end

return function(seen, arm) return did[arm.name] and did[arm.name](seen) or nil end
