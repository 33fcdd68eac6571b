-- Judging a round of the canary: what its command led to, by what was seen in the stores and when. Nothing
-- here asks anybody; rlab.canary.rounds keeps the facts:
--   answer: what was said of the command, "ok", "fail" (it was refused, or never sent) or "info" (nobody
--     knows); why: in words
--   unread: why the store of the effects could not be read at the last look | nil
--   row, sent, record: its row is in the ledger, that of the outbox is marked as sent, the record was read
--   effects: how often it was applied; absent_s: when somebody last looked and there was none; came_s: when
--     somebody first saw one. Times are seconds since the command was sent.
local M = {}

local function seconds(s) return ("%.2f s"):format(s) end

-- Of an effect that nobody looked for around the deadline no one can say on which side of it it came.
local function arrived(facts, within)
  if facts.came_s <= within then return "held" end
  if facts.absent_s >= within then
    return "late", ("its effect came after %s, %s past the deadline"):format(seconds(facts.came_s),
      seconds(facts.came_s - within))
  end
  local between = "its effect came between %s and %s: nobody could look at the deadline, %s"
  return "inconclusive", between:format(seconds(facts.absent_s), seconds(facts.came_s), seconds(within))
end

-- The hop that it did not pass.
local function stopped_at(facts)
  if facts.parked then return "the relay has parked its row: " .. facts.parked end
  if facts.record then return "the record is in the topic, the consumer has not applied it" end
  if facts.sent then return "its row is marked as sent, and the record is not in the topic" end
  return "its row of the outbox waits for the relay"
end

local function missing(facts, within)
  if facts.unread then return "inconclusive", "its effect cannot be looked for: " .. facts.unread end
  if facts.row then return "lost", ("no effect within %s: %s"):format(seconds(within), stopped_at(facts)) end
  if facts.answer == "ok" then return "lost", "answered with success, and the ledger has no row of it" end
  return "inconclusive", ("nobody knows whether it was taken (%s): no row of it is in the ledger"):format(
    facts.why)
end

-- of(facts, age, within) -> verdict, why: "held", "late", "lost", "doubled", "inconclusive"; nil while its
--   time has not passed and nothing is certain. age: seconds since the command when the last
--   look began
function M.of(facts, age, within)
  if facts.effects > 1 then return "doubled", ("its effect is there %d times"):format(facts.effects) end
  if facts.effects == 1 then return arrived(facts, within) end
  if facts.answer == "fail" and not facts.row then
    return "inconclusive", "the command was not taken: " .. facts.why
  end
  if age < within then return nil end
  return missing(facts, within)
end

-- settled(verdict, facts) -> whether no effect can come any more that has not
function M.settled(verdict, facts)
  return verdict ~= nil and (facts.effects > 0 or facts.answer == "fail" and not facts.row)
end

return M
