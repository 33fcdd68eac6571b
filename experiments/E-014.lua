-- E-014: the dedup table has the rows of the last 20 days, and somebody cleans it up under live traffic.
-- Afterwards 20 old events come again, out of a DLQ.
local retention = require "rlab.story.retention"
local traffic = require "rlab.story.traffic"

local AGES, EACH = { 3, 10 }, 10
local LONG, SHORT = 15, 7 -- days that rows are kept; a record is replayed after 10 at most
local LIVE, BEFORE, AFTER = 20, 40, 60
local LIMIT, STANDSTILL = 300, 900

local function services(lab, s)
  lab:event_topic {}
  lab.dead = lab:topic("events.dlq", { partitions = 1 })
  local consumer
  retention.prepare(lab, s, function()
    consumer = lab:service("consumer", { workers = 3, batch = 20, lock_wait = "1s",
      handler = s.refuses and retention.handler(lab, s.keep) or nil,
      consumer = { ["session.timeout.ms"] = "6000" } })
  end)
  lab:together() -- nobody's preparation stands in the others' inserts
  return consumer
end

local function story(lab, s, seen)
  local consumer, began, at = services(lab, s), lab:now(), { probe = retention.probe(lab) }
  traffic.watch(lab)
  retention.watch(lab, at.probe)
  at.traffic = traffic.start(lab, { accounts = LIVE, apart = 10, each = lab.options.live // 10,
    every = "100ms" })
  at.traffic:applied(1)
  local quiet = traffic.mark(lab)
  at.traffic:applied(BEFORE)
  local from = traffic.mark(lab)
  seen.mib_before = retention.size(lab)
  seen.seconds = retention.clean(lab, s.way, s, at)
  at.traffic:applied(AFTER)
  local to = traffic.mark(lab)
  at.probe:stop()
  seen.probed = { from = began, to = lab:now() }
  seen.left, seen.mib_after = retention.left(lab), retention.size(lab)
  seen.undo = retention.history_length(lab)
  seen.longest, seen.beside, seen.excess = at.probe.longest, at.probe.beside.longest, at.probe.excess
  seen.inserts, seen.refused = at.probe.inserts, at.probe.refused
  seen.still = retention.standstill(lab, from, to)
  seen.before, seen.during = traffic.delay(lab, quiet, from, 99), traffic.delay(lab, from, to, 99)
  if s.day == "today" then retention.midnight(lab) end
  retention.again(lab, lab.shared.old)
  seen.ok = at.traffic:stop()
  lab:drain { outbox = false }
  seen.conflicts = (consumer:metric "rlab_consumer_lock_waits_total" or 0)
    + (consumer:metric "rlab_consumer_deadlocks_total" or 0)
end

local function says(seen, twice)
  local text = ("longest insert %.0f ms"):format(seen.longest)
  if seen.refused > 0 then text = text .. (", %d refused after a second"):format(seen.refused) end
  if twice > 0 then text = text .. (", %d of 20 old events applied twice"):format(twice) end
  local more = seen.left - seen.expected
  if more > 0 then text = text .. (", %d rows too many"):format(more) end
  return text
end

local function numbers(lab, seen)
  lab:number("commit to view before, p99", seen.before, "ms")
  lab:number("commit to view during, p99", seen.during, "ms")
  lab:number("longest insert", seen.longest, "ms")
  lab:number("longest insert beside it", seen.beside, "ms")
  lab:number("longer than beside it at most", seen.excess, "ms")
  lab:number("longest without a commit", seen.still, "ms")
  lab:number("the clean-up took", seen.seconds, "s")
  lab:number("table before", seen.mib_before, "MiB")
  lab:number("table after", seen.mib_after, "MiB")
  lab:number("undo kept", seen.undo, "records")
end

local function run(lab, arm)
  local s, old = arm.settings, lab.shared.old
  local seen = retention.kept(lab, s.keep)
  story(lab, s, seen)
  seen.effects, seen.records = retention.effects(lab), lab:records(lab:event_topic())
  seen.dead, seen.committed = lab:records(lab.dead), lab:committed()
  lab:issued("old events again", #(bag.from(seen.records) & bag.from(seen.old)), #old)
  local twice = bag.from(seen.effects):duplicates()
  seen.says = says(seen, #twice)
  numbers(lab, seen)
  if arm.class == "wrong" then lab:anomaly(seen.says) end
  return seen
end

return experiment {
  id = "E-014",
  title = "Retention of the dedup table",
  question = "How do I keep the dedup table small without stalling consumers or re-applying old events?",
  claim = "Partitions of event time or small chunks cost live traffic nothing; rows outlive every \z
    redelivery, and what is older is refused.",
  lesson = "Drop partitions of event time or delete in chunks, keep longer than any redelivery, refuse what \z
    is older.",
  needs = { "kafka", "mysql" },
  disrupts = true, -- statements that take long, and inserts whose time is judged: MySQL is for it alone
  side_by_side = 4,
  telling = { { "insert, ms.longest", "slowest insert", "ms", "most" },
    { "commit to view, ms.longest", "slowest commit to view", "ms", "most" },
    { "table, MiB.size", "table", "MiB" }, { "duplicate-effect", "old events applied twice" },
    { "rows-left", "rows left that should be gone", "rows" } },
  arms = {
    wrong "one-delete" { says = "one DELETE of all old rows, no index on their time", way = "one-delete",
      keep = LONG },
    wrong "kept-too-short" { says = "keeps 7 days of rows, a DLQ keeps records for 10", way = "chunks",
      keep = SHORT, index = true },
    wrong "day-of-insert" { says = "partitions by the day of the insert, which is part of the key",
      way = "drop", keep = LONG, day = "today" },
    wrong "drop-behind-reader" { says = "DROP PARTITION waits behind a reader for as long as it takes",
      way = "drop-waiting", keep = LONG, day = "event" },
    wrong "when-idle" { says = "cleans up when nothing has come for 200 ms", way = "when-idle", keep = LONG,
      index = true },
    right "chunks" { says = "1,000 rows at a time by an index, READ COMMITTED, after live traffic",
      way = "chunks", keep = LONG, index = true },
    right "day-of-event" { says = "DROP PARTITION by the event's day, given up after 100 ms and tried \z
      again; older events go to the DLQ", way = "drop-impatient", keep = SHORT, day = "event",
      refuses = true },
    observe "archive" { says = "the same, the oldest partition exchanged with a table of its own",
      way = "exchange", keep = SHORT, day = "event", refuses = true },
  },

  options = { a_day = { default = 1000, from = 100, to = 10000, help = "old rows of each of the 20 days" },
    live = { default = 100, from = 10, to = 200, help = "live events a second" } },
  setup = function(lab)
    return retention.load(lab, { a_day = lab.options.a_day, ages = AGES, each = EACH })
  end,
  run = run,

  moment = require "rlab.story.moment.retention",
  checks = function(lab, seen, arm)
    local s, inserts = arm.settings, { what = "inserts of the probe", seen = seen.inserts }
    local applied = { what = "records of the topic", seen = #seen.records }
    if s.way ~= "one-delete" then
      lab.check.bound { name = "longest-insert", value = seen.excess, at_most = LIMIT, unit = "ms",
        what = "an insert waited longer than beside it by", control = inserts }
        :expect { ["drop-behind-reader"] = "violated", wrong = "holds", right = "holds", observe = "holds" }
        :explained_by(seen.probed)
    end
    lab.check.equals { name = "no-lock-errors", got = seen.refused + seen.conflicts, want = 0,
      what = "statements ended by 1205 or 1213", unit = "statements", control = inserts }
      :expect { ["one-delete"] = "violated", wrong = "holds", right = "holds", observe = "holds" }
    if s.way == "one-delete" then
      lab.check.bound { name = "standstill", value = seen.still, at_most = STANDSTILL, unit = "ms",
        what = "the consumer committed nothing for" }:expect "violated"
    end
    lab.check.duplicate_effect { of = seen.effects, at_least = BEFORE }:expect {
      ["kept-too-short"] = seen.too_old, ["day-of-insert"] = seen.old, wrong = "holds", right = "holds",
      observe = "holds" }
    lab.check.same { name = "refused-as-too-old", got = seen.dead, what = "record in the DLQ",
      want = s.refuses and seen.too_old or {}, control = applied }:expect "holds"
    lab.check.lost { of = seen.ok, in_ = seen.effects, at_least = BEFORE }:expect "holds"
    lab.check.lost_effect { of = seen.records, committed = seen.committed, effects = seen.effects,
      dlq = seen.dead }:expect "holds"
    lab.check.equals { name = "rows-left", got = seen.left - seen.expected, want = 0,
      what = "old rows too many", unit = "rows", control = { what = "old rows that stay", seen = seen.left } }
      :expect { ["when-idle"] = "violated", wrong = "holds", right = "holds", observe = "holds" }
  end,

  verdict = function(arms)
    local one, drop, right = arms["one-delete"], arms["drop-behind-reader"], arms["day-of-event"]
    if not (one and drop and right) then return nil end
    return ("An insert waited %.0f ms behind one DELETE, %.0f ms behind a DROP that waits, and %.0f ms \z
      behind one that gives up; kept too short or by the day of the insert, old events are applied \z
      twice."):format(one.longest, drop.longest, right.longest)
  end,
}
