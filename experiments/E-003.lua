-- E-003: five ways in which an event comes twice, each against nothing, against an idempotent producer, and
-- against a dedup row. And a dedup that loses.
local EVENTS, ACCOUNTS, CHOSEN, RELAY_BATCH = 100, 10, 40, 10

local function consumer_settings(arm, more)
  local settings = { dedup = arm.settings.dedup, batch = 1, fetch = 1, workers = 1, dlq = "-",
    commit = "sync-after-work",
    consumer = { ["session.timeout.ms"] = "6000" } }
  for key, value in pairs(more or {}) do settings[key] = value end
  return settings
end

-- Where the consumer does nothing special, and for the rest of the work after a crash.
local function plain(arm)
  return consumer_settings(arm, { batch = 50, fetch = 50, commit = "after-work" })
end

-- A static member comes back at once after a crash.
local function static(settings)
  settings.consumer["group.instance.id"] = "one"
  return settings
end

-- One record at a time, killed at a failpoint on event 40; its successor does the rest.
local function crash(lab, arm, point, offset)
  local consumer = lab:service("consumer", static(consumer_settings(arm)),
    { must_fire = { [point] = "kill if offset=" .. offset } })
  consumer:wait_exit { signal = "KILL", at_most = "30s" }
  lab:service("consumer", static(plain(arm)))
  lab:drain { outbox = false }
end

local function offset_of(lab, list, i)
  for _, record in ipairs(lab:records(lab:event_topic())) do
    if record.id == list[i].id then return record.offset end
  end
end

-- A session short enough to be outlasted.
local function mortal(settings)
  settings.consumer = { ["session.timeout.ms"] = "1000", ["heartbeat.interval.ms"] = "200" }
  return settings
end

local function members(lab)
  local group = lab.run.admin:group(lab:group())
  return group and #group.members
end

-- ---- the sources ----

local sources = {}

-- The relay dies when its third batch is acknowledged and not yet marked: its successor sends the ten
-- again. No producer can know.
sources["relay-crash"] = function(lab, arm)
  local list = lab:publish { events = EVENTS, accounts = ACCOUNTS, outbox = true }
  lab:service("consumer", plain(arm))
  local relay = lab:service("relay", { batch = RELAY_BATCH, in_flight = 1, lease = "2s" },
    { must_fire = { ["relay.after_ack"] = "#3 kill" } })
  relay:wait_exit { signal = "KILL", at_most = "30s" }
  local batch = {}
  for id in relay:hits("relay.after_ack")[1].ctx.ids:gmatch "[^,]+" do batch[id] = true end
  relay:restart()
  lab:drain {}
  local twice = {}
  for _, event in ipairs(list) do
    if batch[event.event] then twice[#twice + 1] = event.id end
  end
  lab:issued("events of the batch", #twice, RELAY_BATCH)
  return list, twice, twice
end

-- The broker appends the fifth batch of one and its answer is lost: the producer sends it again.
sources["lost-response"] = function(lab, arm)
  local list = lab:publish { events = EVENTS, accounts = ACCOUNTS, outbox = true }
  lab:service("consumer", plain(arm))
  local idempotent = arm.settings.idempotence
  local log = lab:wire_log { api = "Produce", topic = lab:event_topic() }
  local cut = lab:rule { api = "Produce", topic = lab:event_topic(), nth = 5, action = "cut-after",
    name = "the 5th Produce is answered and the answer lost" }
  lab:service("relay", { batch = RELAY_BATCH, in_flight = 1,
    producer = { ["enable.idempotence"] = tostring(idempotent), ["batch.num.messages"] = "1",
    ["max.in.flight.requests.per.connection"] = "1", ["linger.ms"] = "0" } }, { via_proxy = true })
  cut:await "20s"
  lab:drain {}
  return list, idempotent and {} or { list[5].id }, idempotent and {} or { list[5].id }, log:rows()
end

-- The consumer dies when the effect is committed and its offset is not.
sources["consumer-crash"] = function(lab, arm)
  local list = lab:publish { events = EVENTS, accounts = ACCOUNTS }
  crash(lab, arm, "consumer.after_db_commit", offset_of(lab, list, CHOSEN))
  return list, {}, { list[CHOSEN].id }
end

-- A member stands still with event 40 in its hands for longer than its session; another one applies it;
-- then the first goes on.
sources["rebalance"] = function(lab, arm)
  local list = lab:publish { events = EVENTS, accounts = ACCOUNTS }
  local held = offset_of(lab, list, CHOSEN)
  local first = lab:service("consumer", mortal(consumer_settings(arm, { drop_lost = false })), {
    must_fire = { ["consumer.before_begin"] = "pause if offset=" .. held } })
  first:await_hit("consumer.before_begin", "20s")
  local frozen = first:freeze()
  lab:service("consumer", mortal(plain(arm)))
  lab:await("the other member to apply event 40", function()
    return #lab:rows("effect_log.seq",
      { where = ("event_id = UUID_TO_BIN('%s')"):format(list[CHOSEN].event) }) == 1
  end, "20s")
  local left = members(lab)
  if left ~= 1 then lab:give_up("the group has %s members while one is frozen", tostring(left)) end
  lab:event("the frozen member is out of the group, the other applied event 40")
  frozen.thaw()
  first:resume "consumer.before_begin"
  lab:drain { outbox = false }
  lab:await("the first member to finish event 40", function()
    local metrics = first:metrics()
    return (metrics.rlab_consumer_applied_total or 0) + (metrics.rlab_consumer_seen_total or 0) >= CHOSEN
  end)
  return list, {}, { list[CHOSEN].id }
end

-- Somebody sets the offsets of the empty group back to the beginning.
sources["offset-reset"] = function(lab, arm)
  local list = lab:publish { events = EVENTS, accounts = ACCOUNTS }
  local consumer = lab:service("consumer", mortal(plain(arm)))
  lab:drain { outbox = false }
  consumer:stop()
  lab:await("the group to be empty", function() return members(lab) == 0 end)
  local reset = lab:fault "offsets of the group set to 0"
  must(lab.run.admin:alter_group_offsets(lab:group(),
    { { topic = lab:event_topic(), partition = 0, offset = 0 } }))
  local at = must(lab.run.admin:group_offsets(lab:group()))[1].offset
  if at == 0 then reset:fired("the broker says offset %d", at):over() end
  consumer:restart()
  lab:drain { outbox = false }
  local ids = {}
  for i, event in ipairs(list) do ids[i] = event.id end
  return list, {}, ids
end

-- The dedup key is in Redis before the transaction commits; then the consumer dies. The event comes again
-- and is refused.
sources["redis-first"] = function(lab, arm)
  local list = lab:publish { events = EVENTS, accounts = ACCOUNTS }
  crash(lab, arm, "consumer.in_tx", offset_of(lab, list, CHOSEN))
  return list, {}, {}, nil, { list[CHOSEN].id }
end

-- ---- the story ----

local function committed(lab)
  return { ["0"] = must(lab.run.admin:group_offsets(lab:group()))[1].offset }
end

local function says(seen)
  local copies, twice = #seen.records - EVENTS, #seen.effects - #bag.from(seen.effects):distinct()
  if #seen.lost > 0 then return ("refused %s as seen: %+d cents"):format(seen.lost[1], seen.off) end
  if twice > 0 then return ("%d sent twice, %d applied twice: %+d cents"):format(copies, twice, seen.off) end
  return ("%d sent twice, none applied twice"):format(copies)
end

local function has(row, event)
  for _, part in ipairs(row.partitions or {}) do
    for _, id in ipairs(part.ids or {}) do
      if id == event then return true end
    end
  end
end

-- Produce requests that carried the event on the wire, with the error and the offset that the broker
-- answered.
local function carried(rows, event)
  local list, answers = {}, {}
  for _, row in ipairs(rows) do
    if row.direction == "response" then answers[row.conn .. " " .. row.correlation] = row.partitions[1] end
  end
  for _, row in ipairs(rows) do
    local answer = answers[("%s %s"):format(row.conn, row.correlation)] or {}
    if row.direction == "request" and has(row, event) then
      list[#list + 1] = { error = answer.error, base_offset = answer.base_offset }
    end
  end
  return list
end

local AROUND = 3

-- The copies around the first record that came again, each with what it did to the read model.
local function picture(seen, arm)
  local first_again, count, cells = nil, bag.from(seen.records), {}
  local met = {}
  for _, record in ipairs(seen.records) do
    if met[record.id] then first_again = first_again or record.offset end
    met[record.id] = true
  end
  if not first_again then return nil end
  for _, record in ipairs(seen.records) do
    if math.abs(record.offset - first_again) <= AROUND + RELAY_BATCH then
      cells[#cells + 1] = { offset = record.offset, kind = count:count(record.id) > 1 and "doubled"
        or "plain", id = record.id, key = record.key }
    end
  end
  local id = seen.copied[1]
  return {
    title = ("%s in the log twice"):format(#seen.copied == 1 and "One event is"
      or ("%d events are"):format(#seen.copied)),
    note = ("%s: the second copies begin at offset %d."):format(arm.says, first_again),
    partitions = { { topic = "events", partition = 0, marks = {}, cells = cells } },
    links = { { partition = 0, offset = first_again, store = "effect_log",
      text = ("%d rows for %s"):format(bag.from(seen.effects):count(id), id) } },
  }
end

return experiment {
  id = "E-003",
  title = "Where duplicates come from",
  question = "Which duplicates does an idempotent producer remove, and which need a dedup table?",
  claim = "Producer idempotence removes one source of five; a dedup row written with the effect removes \z
    all five.",
  lesson = "Write the event's id with its effect, in one transaction. Anything before that transaction \z
    turns a duplicate into a loss.",
  needs = { "kafka", "mysql", "redis", "proxy" },
  side_by_side = true,

  arms = {
    wrong "relay-crash" { says = "the relay dies between acknowledgement and mark; no dedup",
      source = "relay-crash", dedup = "none", idempotence = true },
    right "relay-crash-dedup" { says = "the same, with a dedup row", source = "relay-crash",
      dedup = "processed-event", idempotence = true },
    wrong "lost-response" { says = "an answer is lost and the producer sends again; no dedup",
      source = "lost-response", dedup = "none", idempotence = false },
    right "lost-response-idempotent" { says = "the same, with an idempotent producer",
      source = "lost-response", dedup = "none", idempotence = true },
    right "lost-response-dedup" { says = "the same, with a dedup row", source = "lost-response",
      dedup = "processed-event", idempotence = false },
    wrong "consumer-crash" { says = "the consumer dies between effect and offset; no dedup",
      source = "consumer-crash", dedup = "none", idempotence = true },
    right "consumer-crash-dedup" { says = "the same, with a dedup row", source = "consumer-crash",
      dedup = "processed-event", idempotence = true },
    wrong "rebalance" { says = "a frozen member wakes up after its partition has moved; no dedup",
      source = "rebalance", dedup = "none", idempotence = true },
    right "rebalance-dedup" { says = "the same, with a dedup row", source = "rebalance",
      dedup = "processed-event", idempotence = true },
    wrong "offset-reset" { says = "the group's offsets are set back; no dedup", source = "offset-reset",
      dedup = "none", idempotence = true },
    right "offset-reset-dedup" { says = "the same, with a dedup row", source = "offset-reset",
      dedup = "processed-event", idempotence = true },
    wrong "dedup-in-redis" { says = "SET NX in Redis before the transaction", source = "redis-first",
      dedup = "redis", idempotence = true },
  },

  run = function(lab, arm)
    lab:event_topic { partitions = 1 }
    lab:watch_pipeline { "lag", "applied", "duplicates" }
    local list, copied, repeated, wire, lost = sources[arm.settings.source](lab, arm)
    local stores = lab:stores()
    local seen = { records = lab:records(lab:event_topic()), effects = stores.effects, sums = stores.sums,
      copied = copied, repeated = repeated,
      lost = lost or {}, committed = committed(lab), amounts = {},
      off = stores.sums.view - stores.sums.ledger }
    for _, event in ipairs(list) do seen.amounts[event.id] = event.amount end
    if wire then seen.carried = carried(wire, list[5].event) end
    seen.says = says(seen)
    lab:number("topic copies", #seen.records - EVENTS)
    lab:number("applied twice", #bag.from(seen.effects):duplicates())
    lab:number("money off", seen.off, "cents")
    if arm.name == "relay-crash" then lab:moment(picture(seen, arm)) end
    if seen.off ~= 0 then lab:anomaly(seen.says) end
    return seen
  end,

  checks = function(lab, seen, arm)
    local wrong, several = arm.class == "wrong", arm.name == "rebalance"
    local off = 0
    for _, id in ipairs(seen.repeated) do off = off + seen.amounts[id] end
    for _, id in ipairs(seen.lost) do off = off - seen.amounts[id] end
    lab.check.duplicate_publish { of = seen.records }:expect(seen.copied)
    lab.check.lost_effect { of = seen.records, committed = seen.committed,
      effects = seen.effects }:expect(seen.lost)
    if several then
      -- what else lay in the first member's queue may come twice too
      lab.check.duplicate_effect { of = seen.effects }:expect "violated"
      local twice = bag.new {}
      for _, id in ipairs(bag.from(seen.effects):duplicates()) do twice:add(id.id) end
      lab.check.lost { name = "event 40 is among them", of = seen.repeated, in_ = twice }:expect "holds"
      return
    end
    lab.check.duplicate_effect { of = seen.effects }:expect(wrong and seen.repeated or "holds")
    lab.check.conservation { ledger = seen.sums.ledger, view = seen.sums.view,
      unit = "cents" }:expect(wrong and off or 0)
    if not seen.carried then return end
    local first, last = seen.carried[1] or {}, seen.carried[#seen.carried] or {}
    lab.check.equals { name = "sent-on-the-wire", got = #seen.carried, want = 2,
      what = "Produce requests carry it" }:expect "holds"
    lab.check.equals { name = "offset-given-twice", got = last.base_offset == first.base_offset,
      want = arm.settings.idempotence,
      what = "(the same offset both times)" }:expect "holds"
  end,

  verdict = function(arms)
    local removed, sources_seen = 0, 0
    for name, seen in pairs(arms) do
      if name:match "%-dedup$" then
        sources_seen = sources_seen + 1
        if #bag.from(seen.effects):duplicates() == 0 then removed = removed + 1 end
      end
    end
    if sources_seen == 0 then return nil end
    return ("A dedup row removed %d of %d sources, producer idempotence one; dedup in Redis before the \z
      transaction lost an event."):format(
      removed, sources_seen)
  end,
}
