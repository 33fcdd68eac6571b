-- E-006: a field is renamed and the producer goes first. Sixty events, twenty of them before the switch, and
-- consumers that were not upgraded: what do they do, and what can be had back?
local schemas = require "rlab.story.schemas"

local EVENTS, BEFORE, MOVED, ACCOUNTS, PARTITIONS = 60, 20, 40, 6, 3
-- the names of the amount that a reader of version 1, and one of both, knows
local READS = { "amount", "amount,amount_minor" }

local function event(e, more)
  more.event_id, more.account_id, more.version = e.event, e.account, e.version
  return json.encode(more)
end

local writers = {
  ["1"] = function(e) return event(e, { amount = e.amount }) end,
  ["2"] = function(e) return event(e, { amount_minor = e.amount, currency = "EUR" }) end,
  both = function(e) return event(e, { amount = e.amount, amount_minor = e.amount, currency = "EUR" }) end,
}

-- Who writes what, and when the consumer moves.
local PRODUCER_FIRST = { { "1", 1, BEFORE }, { "2", BEFORE + 1, EVENTS } }
local plans = {
  ["consumer-first"] = { { "1", 1, BEFORE }, "upgrade", { "2", BEFORE + 1, EVENTS } },
  ["expand-contract"] = { { "1", 1, BEFORE }, { "both", BEFORE + 1, MOVED }, "upgrade",
    { "2", MOVED + 1, EVENTS } },
}

local function rest(lab, story, arm)
  if arm.name ~= "block" then return story:drain() end
  lab:owed("stuck", "the first new record of each partition fails", function()
    return (story.consumer:metric "rlab_consumer_failed_total" or 0) >= PARTITIONS
  end)
end

local function upgrade(story)
  story:upgrade { amount = READS[2] }
  return story.consumer.ready
end

local function follow(lab, story, arm)
  local ready, written = story.consumer.ready, {}
  local fault = lab:fault "the producer switches from version 1 to 2"
  for i, step in ipairs(plans[arm.name] or PRODUCER_FIRST) do
    if step == "upgrade" then
      ready = upgrade(story)
    else
      story:write(table.unpack(step))
      written[step[1]] = step[3] - step[2] + 1
      if i > 1 then rest(lab, story, arm) else story:drain() end
    end
  end
  story:wrote(written, fault)
  return ready
end

-- The upgraded consumer goes on where the group is; then, where that is not enough, from the beginning.
local function recover(story, arm, seen)
  upgrade(story)
  if arm.name == "dead-letter" then story:replay() end
  story:drain()
  seen.upgraded = story:look()
  if not arm.settings.reset then return end
  story:reset()
  story:drain()
  seen.reset = story:look()
end

local function says(seen, arm)
  local at = seen.switched
  if arm.class == "right" then
    return ("%d of %d applied, none parked"):format(#at.effects, EVENTS)
  end
  local after = seen.reset or seen.upgraded
  local words = { skip = ("%d passed over, lag %d"):format(#seen.ids - #at.effects, at.lag),
    block = ("stuck: lag %d"):format(at.lag), ["dead-letter"] = ("%d parked"):format(#at.parked),
    lenient = ("no error, %+d cents"):format(at.sums.view - at.sums.ledger) }
  return ("%s; after %s %+d cents"):format(words[arm.name], seen.reset and "the reset" or "the upgrade",
    after.sums.view - after.sums.ledger)
end

local function numbers(lab, seen)
  local at = seen.switched
  lab:number("not applied at the switch", schemas.missing(seen.ids, at.effects))
  lab:number("lag at the switch", at.lag)
  lab:number("parked at the switch", #at.parked)
  lab:number("wrong money", at.sums.view - at.sums.ledger, "cents")
  for _, when in ipairs { "upgraded", "reset" } do
    local now = seen[when]
    if now then
      lab:number("not applied when " .. when, schemas.missing(seen.ids, now.effects))
      lab:number("wrong money when " .. when, now.sums.view - now.sums.ledger, "cents")
    end
  end
end

local function check_recovery(lab, seen, arm)
  local all, off, after = seen.ids, -seen.new_money, seen.upgraded
  lab.check.lost { name = "lost-after-upgrade", of = all, in_ = after.effects }
    :expect { skip = seen.new, wrong = "holds" }
  lab.check.conservation { name = "money-after-upgrade", ledger = after.sums.ledger, view = after.sums.view,
    unit = "cents" }:expect { skip = off, lenient = off, wrong = 0 }
  lab.check.duplicate_effect { name = "twice-after-upgrade", of = after.effects }:expect "holds"
  if not arm.settings.reset then return end
  lab.check.lost { name = "lost-after-reset", of = all, in_ = seen.reset.effects }:expect "holds"
  lab.check.conservation { name = "money-after-reset", ledger = seen.reset.sums.ledger,
    view = seen.reset.sums.view, unit = "cents" }:expect { skip = 0, lenient = off }
end

return experiment {
  id = "E-006",
  title = "Breaking schema change, producer first",
  question = "What does a renamed field do to consumers that were not upgraded?",
  claim = "They skip it, get stuck on it, park it, or apply it wrongly; the broker refuses none of it, and \z
    what is applied wrongly stays so.",
  lesson = "Consumer first, or expand and contract; a field that is missing is an error, never a 0.",
  needs = { "kafka", "mysql" }, seconds = 12,
  side_by_side = true,
  telling = { { "conservation", "money off at the switch", "cents", "then" },
    { "unseen", "events not applied at the switch" },
    { "money-after-reset", "money off after all was read again" } },
  arms = {
    wrong "skip" { says = "passes over what it cannot decode", undecodable = "pass-over", reset = true },
    wrong "block" { says = "tries it on and on", dlq = "-" },
    wrong "dead-letter" { says = "parks it" },
    wrong "lenient" { says = "reads a field that is missing as 0", missing = "zero", reset = true },
    right "consumer-first" { says = "rolls out a reader of both versions, then the producer switches" },
    right "expand-contract" { says = "writes both fields until the consumers have moved" },
  },

  run = function(lab, arm)
    local s = arm.settings
    local story = schemas.new(lab, { events = EVENTS, accounts = ACCOUNTS, partitions = PARTITIONS,
      writers = writers, settings = { dlq = s.dlq, undecodable = s.undecodable, missing = s.missing } })
    story:watch()
    story:start { amount = READS[1] }
    local ready = follow(lab, story, arm)
    local seen = { ids = schemas.ids(story.list, 1, EVENTS), records = story:records(),
      new = schemas.ids(story.list, BEFORE + 1, EVENTS), reads = ready.reads.amount, ready_ms = ready.at_ms,
      new_money = schemas.sum(story.list, BEFORE + 1, EVENTS), switched = story:look() }
    seen.first_new_ms = schemas.first_of(seen.records, "2")
    if arm.class == "wrong" then recover(story, arm, seen) end
    seen.says = says(seen, arm)
    if #seen.switched.effects < EVENTS or seen.switched.sums.view ~= seen.switched.sums.ledger then
      lab:anomaly(seen.says)
    end
    numbers(lab, seen)
    return seen
  end,

  checks = function(lab, seen, arm)
    local at = seen.switched
    lab.check.agree { { "reader-version", seen.reads, READS[arm.class == "right" and 2 or 1],
      "is what it reads" } }
    lab.check.lost_effect { of = seen.records, committed = at.committed, effects = at.effects,
      dlq = at.parked, at_least = EVENTS }:expect { skip = seen.new, wrong = "holds", right = "holds" }
    lab.check.unseen { of = seen.ids, seen = at.effects, log = seen.records, at_least = EVENTS }
      :expect { lenient = "holds", wrong = seen.new, right = "holds" }
    lab.check.equals { name = "lag", got = at.lag, want = 0, what = "records behind", unit = "records",
      control = #at.effects }
      :expect { block = "violated", wrong = "holds", right = "holds" }
    lab.check.phantom { name = "dead-letters", of = at.parked, in_ = {}, control = #seen.records }
      :expect { ["dead-letter"] = seen.new, wrong = "holds", right = "holds" }
    lab.check.duplicate_effect { of = at.effects }:expect "holds"
    lab.check.conservation { ledger = at.sums.ledger, view = at.sums.view, unit = "cents" }
      :expect { wrong = -seen.new_money, right = 0 }
    if arm.name == "block" then
      lab.check.agree { { "lag-at-the-switch", at.lag, EVENTS - BEFORE, "records behind" } }
    elseif arm.name ~= "dead-letter" then
      lab.check.agree { { "complaints", at.failed, 0, "failures", control = #at.effects } }
    end
    if arm.class == "wrong" then return check_recovery(lab, seen, arm) end
    lab.check.bound { name = "reader-first", value = seen.first_new_ms - seen.ready_ms, at_least = 0,
      unit = "ms", what = "the first new record came after its reader by" }:expect "holds"
  end,

  verdict = function(arms)
    local skip, lenient, right = arms.skip, arms.lenient, arms["consumer-first"]
    if not (skip and lenient and right) then return nil end
    return ("Producer first, an old consumer skips %d of %d events or books %d cents wrongly without an \z
      error, for good; consumer first applies all %d."):format(EVENTS - #skip.switched.effects, EVENTS,
      lenient.reset.sums.ledger - lenient.reset.sums.view, #right.switched.effects)
  end,
}
