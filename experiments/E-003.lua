-- E-003: five ways in which an event comes twice, each against nothing, against an idempotent producer, and
-- against a dedup row. And a dedup that loses.
local half_way = require "rlab.story.half_way"
local tables = require "rlab.tables"

local EVENTS, ACCOUNTS, CHOSEN, RELAY_BATCH = 100, 10, 40, 10
local ROW, SAME = "processed-event", "the same, with a dedup row"
-- how a consumer works, and how long it may be silent
local CAREFUL = { batch = 1, fetch = 1, commit = "sync-after-work", drop_lost = false }
local PLAIN = { batch = 50, fetch = 50, commit = "after-work" }
local PATIENT = { ["session.timeout.ms"] = "6000" }
local MORTAL = { ["session.timeout.ms"] = "1000", ["heartbeat.interval.ms"] = "200" }

local function consumer(lab, arm, pace, session, must_fire, via_proxy)
  local settings = { dedup = arm.settings.dedup, workers = 1, dlq = "-", consumer = session }
  for key, value in pairs(pace) do settings[key] = value end
  return lab:service("consumer", settings, { must_fire = must_fire, via_proxy = via_proxy })
end

local function publish(lab)
  local list = lab:publish { events = EVENTS, accounts = ACCOUNTS }
  return list, lab:record_of(lab:records(lab:event_topic()), list[CHOSEN].id).offset
end

-- Events, and the ids of those that are copied in the topic, applied twice, or lost.
local sources = {}
-- The relay dies between the acknowledgement of its third batch and the mark: its successor sends it again.
sources["relay-crash"] = function(lab, arm)
  local list = lab:publish { events = EVENTS, accounts = ACCOUNTS, outbox = true }
  consumer(lab, arm, PLAIN, PATIENT)
  local relay = lab:service("relay", { batch = RELAY_BATCH, in_flight = 1, lease = "2s" },
    { must_fire = { ["relay.after_ack"] = "#3 kill" } })
  relay:revive()
  lab:drain {}
  local twice = relay:batch("relay.after_ack", lab:stores().request)
  lab:issued("events of the batch", #twice, RELAY_BATCH)
  return list, { copied = twice, repeated = twice }
end

-- The broker appends the fifth batch of one and its answer is lost: the producer sends it again.
sources["lost-response"] = function(lab, arm)
  local list = lab:publish { events = EVENTS, accounts = ACCOUNTS, outbox = true }
  consumer(lab, arm, PLAIN, PATIENT)
  local idempotent, topic = arm.settings.idempotence, lab:event_topic()
  local log = lab:wire_log { api = "Produce", topic = topic }
  local cut = lab:rule { api = "Produce", topic = topic, nth = 5, action = "cut-after",
    name = "the 5th Produce is answered and the answer lost" }
  lab:service("relay", { batch = RELAY_BATCH, in_flight = 1,
    producer = { ["enable.idempotence"] = not idempotent and "false" or nil, ["batch.num.messages"] = "1",
    ["max.in.flight.requests.per.connection"] = "1", ["linger.ms"] = "0" } }, { via_proxy = true })
  cut:await "20s"
  lab:drain {}
  local copied = idempotent and {} or { list[5].id }
  return list, { copied = copied, repeated = copied, carried = log:carrying(list[5].event) }
end

-- The consumer dies when the effect is committed and its offset is not.
sources["consumer-crash"] = function(lab, arm)
  local list, held = publish(lab)
  consumer(lab, arm, CAREFUL, PATIENT, { ["consumer.after_db_commit"] = "kill if offset=" .. held }):revive()
  lab:drain { outbox = false }
  return list, { repeated = { list[CHOSEN].id } }
end

-- A member stands still with event 40 for longer than its session, another applies it, the first goes on.
sources["rebalance"] = function(lab, arm)
  local list, held = publish(lab)
  local first = consumer(lab, arm, CAREFUL, MORTAL,
    { ["consumer.before_begin"] = "pause if offset=" .. held })
  first:await_hit("consumer.before_begin", "20s")
  lab:outlast(first, function() consumer(lab, arm, PLAIN, MORTAL) end, "the other member applies event 40",
    function() return lab:effects(list[CHOSEN].event) == 1 end)
  first:resume "consumer.before_begin"
  lab:drain { outbox = false }
  lab:owed("resumed", "the first member finishes event 40", function() return first:handled() >= CHOSEN end)
  return list, { repeated = { list[CHOSEN].id } }
end

-- Somebody sets the offsets of the empty group back to the beginning.
sources["offset-reset"] = function(lab, arm)
  local list = publish(lab)
  local one = consumer(lab, arm, PLAIN, MORTAL)
  lab:owed("applied", "all events", function() return one:handled() >= EVENTS end)
  one:stop()
  lab:reset_offsets(0)
  one:restart()
  lab:drain { outbox = false }
  return list, { repeated = tables.ids_of(list) }
end

-- The consumer dies in its transaction; where a row knows the event, once more with such a row on its way.
sources["half-way"] = function(lab, arm)
  local list, held = publish(lab)
  local crash = arm.settings.dedup == ROW and half_way.at(lab, { statement = "INSERT INTO processed_event",
    nth = CHOSEN + 10, name = "the INSERT of a dedup row is swallowed" })
  local first = consumer(lab, arm, CAREFUL, PATIENT, { ["consumer.in_tx"] = "kill if offset=" .. held }, true)
  local second = first:revive()
  if crash then crash:strike(second) second:restart() end
  lab:drain { outbox = false }
  return list, { lost = crash and {} or { list[CHOSEN].id } }
end

local function says(seen)
  local copies, twice = #seen.records - EVENTS, #seen.effects - #bag.from(seen.effects):distinct()
  if #seen.lost > 0 then return ("refused %s as seen: %+d cents"):format(seen.lost[1], seen.off) end
  if twice == 0 then return ("%d sent twice, none applied twice"):format(copies) end
  return ("%d sent twice, %d applied twice: %+d cents"):format(copies, twice, seen.off)
end

return experiment {
  id = "E-003",
  title = "Where duplicates come from",
  question = "Which duplicates does an idempotent producer remove, and which need a dedup table?",
  claim = "Producer idempotence removes one source of five; a dedup row written with the effect removes \z
    all five.",
  lesson = "Write the event's id with its effect, in one transaction. Anything before that transaction \z
    turns a duplicate into a loss.",
  needs = { "kafka", "mysql", "redis", "proxy" }, seconds = 9,
  side_by_side = true,
  telling = { { "duplicate-effect + lost-effect", "effects too many or too few" } },
  arms = {
    wrong "relay-crash" { says = "the relay dies between acknowledgement and mark; no dedup",
      source = "relay-crash", dedup = "none", idempotence = true },
    right "relay-crash-dedup" { says = SAME, source = "relay-crash", dedup = ROW, idempotence = true },
    wrong "lost-response" { says = "an answer is lost and the producer sends again; no dedup",
      source = "lost-response", dedup = "none", idempotence = false },
    right "lost-response-idempotent" { says = "the same, with an idempotent producer",
      source = "lost-response", dedup = "none", idempotence = true },
    right "lost-response-dedup" { says = SAME, source = "lost-response", dedup = ROW, idempotence = false },
    wrong "consumer-crash" { says = "the consumer dies between effect and offset; no dedup",
      source = "consumer-crash", dedup = "none", idempotence = true },
    right "consumer-crash-dedup" { says = SAME, source = "consumer-crash", dedup = ROW, idempotence = true },
    wrong "rebalance" { says = "a frozen member wakes up after its partition has moved; no dedup",
      source = "rebalance", dedup = "none", idempotence = true },
    right "rebalance-dedup" { says = SAME, source = "rebalance", dedup = ROW, idempotence = true },
    wrong "offset-reset" { says = "the group's offsets are set back; no dedup", source = "offset-reset",
      dedup = "none", idempotence = true },
    right "offset-reset-dedup" { says = SAME, source = "offset-reset", dedup = ROW, idempotence = true },
    wrong "dedup-in-redis" { says = "SET NX in Redis before the transaction", source = "half-way",
      dedup = "redis", idempotence = true },
    right "dedup-in-transaction" { says = SAME, source = "half-way", dedup = ROW, idempotence = true },
  },

  run = function(lab, arm)
    lab:event_topic { partitions = 1 }
    lab:watch_pipeline { "lag", "applied", "duplicates" }
    local list, found = sources[arm.settings.source](lab, arm)
    local stores = lab:stores()
    local seen = { records = lab:records(lab:event_topic()), effects = stores.effects, sums = stores.sums,
      copied = found.copied or {}, repeated = found.repeated or {}, lost = found.lost or {},
      carried = found.carried, committed = lab:committed(), amounts = {},
      off = stores.sums.view - stores.sums.ledger }
    for _, event in ipairs(list) do seen.amounts[event.id] = event.amount end
    seen.says = says(seen)
    lab:number("topic copies", #seen.records - EVENTS)
    lab:number("applied twice", #bag.from(seen.effects):duplicates())
    lab:number("money off", seen.off, "cents")
    if arm.name == "relay-crash" then lab:show_copies(seen.records, seen.effects, arm.says) end
    if seen.off ~= 0 then lab:anomaly(seen.says) end
    return seen
  end,

  checks = function(lab, seen, arm)
    local wrong, off = arm.class == "wrong", 0
    for _, id in ipairs(seen.repeated) do off = off + seen.amounts[id] end
    for _, id in ipairs(seen.lost) do off = off - seen.amounts[id] end
    lab.check.duplicate_publish { of = seen.records, at_least = EVENTS }:expect(seen.copied)
    lab.check.lost_effect { of = seen.records, committed = seen.committed, effects = seen.effects }
      :expect(seen.lost)
    if arm.settings.source ~= "half-way" and arm.name ~= "lost-response-idempotent" then
      lab.check.lost { name = "applied-at-all", of = seen.repeated, in_ = seen.effects }:expect "holds"
    end
    if arm.name == "rebalance" then
      -- what else lay in the first member's queue may come twice too
      lab.check.duplicate_effect { of = seen.effects }:expect "violated"
      lab.check.lost { name = "event 40 is among them", of = seen.repeated,
        in_ = bag.from(seen.effects):duplicates() }:expect "holds"
      return
    end
    lab.check.duplicate_effect { of = seen.effects }:expect(wrong and seen.repeated or "holds")
    lab.check.conservation { ledger = seen.sums.ledger, view = seen.sums.view, unit = "cents" }
      :expect(wrong and off or 0)
    if arm.settings.source ~= "lost-response" then return end
    local first, last = seen.carried[1] or {}, seen.carried[#seen.carried] or {}
    lab.check.agree { { "sent-on-the-wire", #seen.carried, 2, "Produce requests carry it" },
      { "offset-given-twice", last.base_offset == first.base_offset, arm.settings.idempotence,
        "(the same offset both times)" } }
  end,

  verdict = function(arms)
    local removed, tried = 0, 0
    for name, seen in pairs(arms) do
      local twice = name:match "%-dedup$" and #bag.from(seen.effects):duplicates()
      tried, removed = tried + (twice and 1 or 0), removed + (twice == 0 and 1 or 0)
    end
    return tried > 0 and ("A dedup row removed %d of %d sources, producer idempotence one; dedup in Redis \z
      before the transaction lost an event."):format(removed, tried) or nil
  end,
}
