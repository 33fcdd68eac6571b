-- E-004: a hundred events, one consumer, killed while it has event 40 in its hands. What decides is where
-- its offset was at that moment.
local tables = require "rlab.tables"

local EVENTS, ACCOUNTS, HELD = 100, 10, 40
-- The client sends them and commits by the clock in one thread: between two of them are two intervals of the
-- automatic commit.
local BEAT, BEATS = "200", 3
local PART = 1 -- all events are on the second partition: the first is not the only one that can lose

-- One record at a time, so that the event in hand is the only one. A static member comes back at once after
-- a crash.
local function settings(arm)
  return {
    commit = arm.settings.commit, workers = arm.settings.workers or 1, batch = 1, fetch = 1, dlq = "-",
    consumer = { ["group.instance.id"] = "one", ["session.timeout.ms"] = "3000",
      ["heartbeat.interval.ms"] = BEAT },
  }
end

local function in_mysql(arm)
  return arm.settings.commit == "mysql"
end

-- Where the group goes on after a crash, says the store that keeps it; nil while it has committed nothing.
local function committed(lab, arm)
  return lab:committed({ offsets = in_mysql(arm) and "mysql" or "kafka" })[tostring(PART)]
end

local function sample(lab)
  lab:watch(lab:event_topic(), PART, "p1")
  lab:gauge(function(row)
    for _, one in ipairs(lab.run:watcher():group_offsets(lab:group()) or {}) do
      if one.topic == lab:event_topic() and one.offset >= 0 then row["p1.committed"] = one.offset end
    end
  end)
  lab:watch_pipeline { "applied" }
end

local function of_part(list)
  for _, row in ipairs(list or {}) do
    if row.partition == PART then return row end
  end
end

-- The highest offset that an OffsetCommit asked for and the broker confirmed, seen on the wire; 0 when
-- there was none.
local function committed_on_wire(log)
  local highest = 0
  for _, request in ipairs(log:exchanges()) do
    local asked, told = of_part(request.partitions), of_part((request.answer or {}).partitions)
    if asked and told and told.error == 0 then highest = math.max(highest, asked.offset or 0) end
  end
  return highest
end

-- On any machine the client had its time to commit then, and what it had sent was answered.
local function await_beats(lab, log)
  local function beats() return #log:rows { api = "Heartbeat", direction = "response" } end
  local due = beats() + BEATS
  lab:await("heartbeats while event 40 is held", function() return beats() >= due end)
end

-- Holds event 40 in its transaction until its offset is committed (or, where that must not happen, for some
-- heartbeats), then kills. Before the transaction where other workers are to go on, who may need its rows.
local function crash(lab, arm, held)
  local point = arm.settings.workers and "consumer.before_begin" or "consumer.in_tx"
  local log, joins = lab:wire_log { api = "OffsetCommit" }, lab:wire_log { api = "JoinGroup" }
  lab:wire_log { api = "Heartbeat" }
  local consumer = lab:service("consumer", settings(arm), { via_proxy = true,
    must_fire = { [point] = "pause if offset=" .. held.offset } })
  consumer:await_hit(point, "20s")
  local function passed()
    local at = committed(lab, arm)
    return at and at > held.offset and at
  end
  if arm.class == "wrong" then
    lab:owed("committed-ahead", "a committed offset behind event 40", passed)
    lab:await("that OffsetCommit on the wire", function() return committed_on_wire(log) > held.offset end)
  else
    await_beats(lab, log)
  end
  if arm.settings.workers then
    lab:owed("worked", "the other workers finish",
      function() return #lab:rows "effect_log.seq" >= EVENTS - 1 end)
    lab:owed("committed", "their offset is committed", function() return committed(lab, arm) == EVENTS end)
  end
  consumer:kill()
  return consumer, committed_on_wire(log), #joins:rows { direction = "request" }
end

local function show_held(lab, seen)
  local lost = lab:effects(seen.held.event) == 0
  lab:picture { title = "Event 40 when its consumer died", records = seen.records,
    note = "The group went on at the committed offset; what lies before it never comes again.",
    partition = PART, around = seen.held.offset, width = 5, marks = { committed = seen.position },
    kind = function(record) return lost and record.id == seen.held.id and "lost" or "plain" end,
    link = { offset = seen.held.offset, store = "effect_log", text = "no row for " .. seen.held.id } }
end

local function says(seen)
  local lost = #(bag.from(seen.ids) - bag.from(seen.applied))
  if lost > 0 then
    return ("went on at offset %d: %d event lost, %+d cents"):format(seen.position, lost,
      seen.sums.view - seen.sums.ledger)
  end
  return ("went on at offset %d: %d came again, none lost"):format(seen.position, seen.again)
end

return experiment {
  id = "E-004",
  title = "Offset committed before the work is done",
  question = "Can I lose a record although Kafka stored it and my consumer read it?",
  claim = "Yes: whenever the offset can be committed before the effect is. With librdkafka's defaults it \z
    can.",
  lesson = "Store an offset after the effect is committed, of the lowest record that is not finished; or \z
    keep it in the effect's transaction.",
  needs = { "kafka", "mysql", "proxy" }, seconds = 4,
  side_by_side = true,
  telling = { { "lost-effect", "events lost" } },
  arms = {
    wrong "commit-first" { says = "commits the offset, then does the work", commit = "before-work" },
    wrong "auto-store" { says = "librdkafka's defaults: an offset is stored when the record is handed over",
      commit = "auto" },
    wrong "pool-commits-highest" { says = "four workers, commits behind the highest finished record",
      commit = "pool-max", workers = 4 },
    right "store-after-work" { says = "stores the offset when the effect is committed; the automatic \z
      commit stays on", commit = "after-work" },
    right "offset-in-mysql" { says = "keeps the offset in the transaction of the effect and seeks to it",
      commit = "mysql" },
  },

  run = function(lab, arm)
    local topic = lab:event_topic { partitions = PART + 1 }
    sample(lab)
    local list = lab:publish { events = EVENTS, accounts = ACCOUNTS, partition = PART }
    local records = lab:records(topic)
    local held = records[HELD]
    local consumer, wire, joins = crash(lab, arm, held)
    local seen = { held = held, wire = wire, joins = joins, records = records, ids = tables.ids_of(list),
      position = committed(lab, arm) or 0,
      before = tables.ids_of(lab:stores().effects), amount = list[HELD].amount }
    seen.again = math.max(0, held.offset + 1 - seen.position)
    if seen.position > held.offset then
      lab:anomaly(("the group goes on at offset %d, event 40 is not applied"):format(seen.position))
    end
    local second = consumer:restart()
    lab:drain { outbox = false, offsets = in_mysql(arm) and "mysql" or "kafka" }
    second:stop() -- a polite end finishes what it has in hand, whose offset may be committed already
    local stores = lab:stores()
    seen.effects, seen.applied, seen.sums, seen.committed = stores.effects, tables.ids_of(stores.effects),
      stores.sums, { [tostring(PART)] = committed(lab, arm) }
    seen.says = says(seen)
    lab:number("lost effects", #(bag.from(seen.ids) - bag.from(seen.applied)))
    lab:number("redelivered", seen.again)
    lab:number("money missing", seen.sums.ledger - seen.sums.view, "cents")
    if arm.name == "auto-store" then show_held(lab, seen) end
    return seen
  end,

  checks = function(lab, seen, arm)
    local lost = { seen.held.id }
    lab.check.lost_effect { of = seen.records, at_least = EVENTS, committed = seen.committed,
      effects = seen.applied }:expect { wrong = lost, right = "holds" }
    lab.check.gap { of = seen.records, position = { [tostring(PART)] = seen.position },
      delivered = seen.before }:expect { wrong = lost, right = "holds" }
    lab.check.bound { name = "committed-on-the-wire", value = math.max(0, seen.wire - seen.held.offset),
      at_most = 0, unit = "records", what = "OffsetCommit was ahead of the work by",
      control = { what = "JoinGroup requests of its group on the same wire", seen = seen.joins } }
      :expect { wrong = "violated", right = "holds" }
    lab.check.duplicate_effect { of = seen.effects,
      at_least = arm.class == "right" and EVENTS or EVENTS - 1 }:expect "holds"
    lab.check.conservation { ledger = seen.sums.ledger, view = seen.sums.view,
      unit = "cents" }:expect { wrong = -seen.amount, right = 0 }
    if arm.class ~= "right" then return end
    if arm.name == "offset-in-mysql" then
      lab.check.equals { name = "redelivered", got = seen.again, want = 1,
        what = "record came again" }:expect "holds"
    else
      lab.check.bound { name = "redelivered", value = seen.again, at_least = 1, unit = "records",
        what = "came again:" }:expect "holds"
    end
  end,

  verdict = function(arms)
    local first, last = arms["commit-first"], arms["store-after-work"]
    local words = first and (
      "Committed before the work, the event in hand is lost when the consumer dies (%+d cents)"):format(
      -first.amount)
    if last then
      words = (words and words .. "; stored after it, " or "Stored after the work, ")
        .. ("%d came again and none was lost"):format(last.again)
    end
    return words and words .. "."
  end,
}
