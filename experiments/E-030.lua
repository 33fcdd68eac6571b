-- E-030: a group comes back and its place in the log is gone: forgotten, deleted, or in a partition that it
-- never had. Where does it go on, and who hears of it?
local position = require "rlab.story.log.position"
local tables = require "rlab.tables"

local ACCOUNTS, DELETED = 10, 50 -- the log begins there after DeleteRecords
local DONE, WAITING, AFTER = 20, 80, 10 -- events applied, written while nobody consumes, written at the end
local NEW = 20 -- events of the new partition before anybody reads it

local function write(lab, list, to, opts)
  local from = (lab.written or 0) + 1
  lab.written = to
  local part = table.move(list, from, to, 1, {})
  local operation = lab:invoke("writer", "commit", part)
  lab:publish(tables.merged({ list = part }, opts))
  operation:over "ok"
end

local function drain(lab, arm)
  lab:drain { offsets = arm.settings.commit == "mysql" and "mysql" or nil, at_most = "20s" }
end

-- With auto.offset.reset=error the partition stands still until somebody says where to go on, and what
-- becomes of the events in between.
local function decide(lab, relay, consumer, seen)
  lab:owed("stands-still", "the consumer says that it has no position",
    function() return position.complaints(lab, consumer) > 0 end, "15s")
  lab:event "the consumer says that its offset is out of range, and stands still"
  seen.lag, seen.stood = lab:lag {}, lab:committed()["0"]
  consumer:stop()
  seen.resent = position.resend(lab, relay)
  lab:reset_offsets(DELETED)
  return consumer:restart()
end

local lose = {
  forgotten = position.forgotten,
  deleted = function(lab) position.deleted(lab, DELETED) end,
}

-- The group is away while its place is lost, and comes back.
local function away(lab, arm)
  local s, list, seen = arm.settings, lab:plan(DONE + WAITING + AFTER, ACCOUNTS, "evt"), { resent = {} }
  local relay, consumer = lab:service("relay", {}), position.start(lab, s)
  write(lab, list, DONE, { outbox = true })
  drain(lab, arm)
  consumer:stop()
  write(lab, list, DONE + WAITING, { outbox = true })
  lab:drain { consumer = false }
  seen.records = lab:records(lab:event_topic())
  lose[s.place](lab)
  consumer = consumer:restart()
  local back = consumer
  if s.reset == "error" then consumer = decide(lab, relay, consumer, seen) end
  drain(lab, arm)
  write(lab, list, #list, { outbox = true })
  drain(lab, arm)
  seen.told, seen.again = position.complaints(lab, back), consumer:metric "rlab_consumer_seen_total"
  return seen
end

-- Partitions are added for a second member, and have records before it comes.
local function grown(lab, arm)
  local list, seen = lab:plan(DONE + NEW + AFTER, ACCOUNTS, "evt"), { resent = {} }
  position.start(lab, arm.settings)
  write(lab, list, DONE, { partition = 0 })
  drain(lab, arm)
  position.grown(lab, function()
    write(lab, list, DONE + NEW, { partition = 1, producer = lab:producer {} })
  end, NEW)
  local second = position.start(lab, arm.settings)
  lab:owed("new-partition", "the group is at the end of the new partition",
    function() return lab:committed()["1"] == NEW end, "20s")
  seen.records = {}
  write(lab, list, #list, { partition = 1, producer = lab:producer {} })
  lab:owed("drained", "the group is at the end", function() return lab:committed()["1"] == NEW + AFTER end,
    "20s")
  seen.told = position.complaints(lab, second)
  return seen
end

local function says(seen, arm)
  local lost, twice = #(bag.from(seen.records) - bag.from(seen.effects)), #bag.from(seen.effects):duplicates()
  if lost > 0 then
    return ("no error, no lag: %d of %d events are never applied, %+d cents"):format(lost,
      #bag.from(seen.records):distinct(), seen.sums.view - seen.sums.ledger)
  elseif twice > 0 then
    return ("%d events are applied again, %+d cents"):format(twice, seen.sums.view - seen.sums.ledger)
  elseif #seen.resent > 0 then
    return ("an error, lag %d; %d events sent again, each applied once"):format(seen.lag, #seen.resent)
  end
  return seen.again and ("goes on, %d came again, each applied once"):format(seen.again)
    or ("each of %d events applied once"):format(#seen.effects)
end

-- All that the log ever had: what it has now, and what it had before the place was lost.
local function all_of(before, now)
  local last = before[#before]
  for _, record in ipairs(now) do
    if not last or record.partition > 0 or record.offset > last.offset then before[#before + 1] = record end
  end
  return before
end

local function run(lab, arm)
  local topic, s = lab:event_topic { partitions = 1 }, arm.settings
  position.begin(lab)
  lab:watch(topic, 0, "p0")
  lab:watch_pipeline { "applied", "lag" }
  local seen = (s.place == "grown" and grown or away)(lab, arm)
  seen.records = all_of(seen.records, lab:records(topic))
  local stores = lab:stores()
  seen.effects, seen.sums, seen.outbox = stores.effects, stores.sums, stores.outbox
  seen.committed = lab:committed { offsets = s.commit == "mysql" and "mysql" or nil }
  seen.says = says(seen, arm)
  lab:number("never applied", #(bag.from(seen.records) - bag.from(seen.effects)), "events")
  lab:number("came again", seen.again, "events")
  if arm.class == "wrong" then lab:anomaly(seen.says) end
  if arm.name == "latest" then
    local gone = tables.set_of(tables.ids_of(position.range(seen.records, 0, DONE, DONE + WAITING)))
    lab:picture { title = "Where the group goes on with auto.offset.reset=latest", records = seen.records,
      note = "The brokers forgot offset 20; what lay between it and the end is passed without a word.",
      kind = function(record) return gone[record.id] and "lost" or "plain" end,
      marks = { committed = seen.committed["0"] } }
  end
  return seen
end

return experiment {
  id = "E-030", title = "Committed offset gone, then auto.offset.reset",
  question = "Where does a group go on whose committed offset is gone, and does anybody hear of it?",
  claim = "latest, the default, passes all that waits, and shows lag 0; earliest repeats all, or begins \z
    behind what was deleted. Neither says a word. error stands still and says so.",
  lesson = "auto.offset.reset=error where a record must not be lost, and a decision when it comes; earliest \z
    with dedup where the log is complete; offsets in the effect's transaction.",
  needs = { "kafka", "mysql" }, seconds = 16,
  side_by_side = { { "latest", "earliest-no-dedup", "earliest-deleted", "latest-new-partition" },
    { "earliest-dedup", "offset-in-mysql", "error", "earliest-new-partition" } },
  telling = { { "lost-effect + duplicate-effect", "events never applied, or more than once" } },
  arms = {
    wrong "latest" { says = "the default; the brokers have forgotten the offset", reset = "latest",
      place = "forgotten" },
    wrong "earliest-no-dedup" { says = "earliest and no dedup; the offset is forgotten", reset = "earliest",
      dedup = "none", place = "forgotten" },
    wrong "earliest-deleted" { says = "earliest; retention has passed the offset", reset = "earliest",
      place = "deleted" },
    wrong "latest-new-partition" { says = "the default; a partition is added and written at once",
      reset = "latest", place = "grown" },
    right "earliest-dedup" { says = "earliest and dedup; the offset is forgotten", reset = "earliest",
      place = "forgotten" },
    right "offset-in-mysql" { says = "the offset is in the effect's transaction; the brokers' is forgotten",
      reset = "latest", commit = "mysql", place = "forgotten" },
    right "error" { says = "stands still; what was deleted is sent again from the outbox", reset = "error",
      place = "deleted" },
    right "earliest-new-partition" { says = "a partition is added and written at once", reset = "earliest",
      place = "grown" },
  },

  run = run,

  moment = require "rlab.story.moment.position",
  checks = function(lab, seen, arm)
    local function range(partition, from, to) return position.range(seen.records, partition, from, to) end
    local waiting, gone, new, done = range(0, DONE, DONE + WAITING), range(0, DONE, DELETED),
      range(1, 0, NEW), range(0, 0, DONE)
    local lost = ({ latest = waiting, ["earliest-deleted"] = gone, ["latest-new-partition"] = new })[arm.name]
    local twice = arm.name == "earliest-no-dedup" and done or nil
    lab.check.lost_effect { of = seen.records, committed = seen.committed, effects = seen.effects,
      at_least = DONE + NEW + AFTER }:expect(lost and tables.ids_of(lost) or "holds")
    lab.check.duplicate_effect { of = seen.effects }:expect(twice and tables.ids_of(twice) or "holds")
    lab.check.conservation { ledger = seen.sums.ledger, view = seen.sums.view, unit = "cents",
      control = #seen.effects }:expect(lost and -position.sum(lost) or twice and position.sum(twice) or 0)
    lab.check.equals { name = "told", got = seen.told > 0, want = arm.name == "error",
      what = "is whether the consumer said that it had no position", control = #seen.effects }:expect "holds"
    if arm.settings.place ~= "grown" then
      lab.check.stranger { of = seen.records, outbox = seen.outbox }:expect "holds"
    end
    if arm.name == "error" then
      lab.check.agree { { "lag", seen.lag, DONE + WAITING - DELETED, "is the lag while it stands still" },
        { "stood", seen.stood, DONE, "is its committed offset meanwhile" } }
      lab.check.same { name = "resent", got = seen.resent, want = tables.ids_of(gone),
        what = "events sent again, those that the log has no more" }:expect "holds"
    elseif arm.class == "right" and arm.settings.place == "forgotten" then
      lab.check.equals { name = "came-again", got = seen.again, control = #seen.effects,
        want = arm.settings.commit == "mysql" and 0 or DONE, what = "records came again" }:expect "holds"
    end
  end,

  verdict = function(arms)
    local latest, deleted, error_arm = arms.latest, arms["earliest-deleted"], arms.error
    if not (latest and deleted and error_arm) then return nil end
    local function lost(seen) return #(bag.from(seen.records) - bag.from(seen.effects)) end
    return ("With latest %d events were never applied, with earliest %d, and neither said so; error stood \z
      still, and %d were lost."):format(lost(latest), lost(deleted), lost(error_arm))
  end,
}
