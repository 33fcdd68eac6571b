-- E-005: sixty records on one partition, every kind of failure among them. Who blocks whom, what ends in
-- the DLQ, and what does a replay do twice?
local retries = require "rlab.story.retries"

local EVENTS, ACCOUNTS = 59, 6 -- and one record that nobody can decode
local UNDECODABLE = { id = "evt-undecodable", event = "00000000-0000-7000-8000-00000000dead" }
-- Places in the plan: how many attempts fail, which fail until it is mended, and which after their commit.
local ATTEMPTS, UNTIL_FIXED, LATE = { [1] = 1, [2] = 2, [8] = 2, [12] = 1, [18] = 1 }, { 15, 30 }, { 10, 45 }
local FIRST_TWICE, HEALTHY = 2, { 3, 4, 5, 6, 7, 9 } -- those stand behind the first one that fails twice
-- The first is held until the last short retry before it is tried, that is, until long ones wait; the next
-- one fails then, and its short retry stands behind those where there is one topic for both.
local WAITS_AT, BEHIND = 11, 12
local SCALE, SHORT_MS, LONG_MS = 0.04, 200, 2400 -- 5 s and 1 m at 1:25
local RATE, MAX_REPLAYS, BUDGET = "50/s", 3, 50
local BLOCKED_MS, LEAST_GAP_MS = (SHORT_MS + LONG_MS) // 2, 400

local function plan(lab, sleeps)
  local list = lab:name_events(lab:plan(EVENTS, ACCOUNTS, "evt"))
  return list, retries.plan(list, { attempts = ATTEMPTS, until_fixed = UNTIL_FIXED, late = LATE,
    together = not sleeps and { { WAITS_AT, 1 }, { LATE[1], 2 } } or nil })
end

local function ids_at(list, places)
  local ids = {}
  for i, place in ipairs(places) do ids[i] = list[place].id end
  return ids
end

local function replay(lab, s, chain)
  local replayer, repeated = chain:replay { rate = RATE, max_replays = MAX_REPLAYS, target = s.target,
    guard = s.guard, budget = s.guard == false and BUDGET or nil }
  if s.guard ~= false then
    chain:quiet("replay-count", true)
    return repeated
  end
  chain:spent(replayer)
  lab:anomaly("the undecodable record went round until the budget ended it")
  chain:quiet "drained"
  return repeated
end

local function copies(records, id)
  return id and bag.from(records):count(id) or 0
end

local function says(arm, seen)
  local words = {
    ["sleep-in-handler"] = ("healthy records stood still for %d ms and more"):format(seen.blocked_ms or 0),
    ["one-retry-topic"] = ("a retry due after %d ms came %d ms late"):format(SHORT_MS, seen.behind_ms or 0),
    ["dedup-by-position"] = ("%d effects of %d events"):format(#seen.effects, #bag.from(seen.effects):ids()),
    ["replay-to-everyone"] = ("group audit applied %d events again"):format(
      #bag.from(seen.audit):duplicates()),
    ["no-replay-count"] = ("the undecodable record was sent %d times"):format(seen.copies),
  }
  return words[arm.name] or ("each event once, 1 parked after %d replays; retries at most %d ms late"):format(
    MAX_REPLAYS, retries.latest(seen) or 0)
end

local function numbers(lab, seen)
  local most = 0
  for _, hit in ipairs(seen.hits) do most = math.max(most, hit.attempt) end
  lab:number("attempts of one id", most)
  lab:number("lateness of retries", retries.latest(seen), "ms")
  lab:number("records in the DLQ", #seen.parked_rows)
  lab:number("copies of the undecodable record", seen.copies)
end

local function run(lab, arm)
  local s = arm.settings
  local sleeps = s.retry_wait == "sleep"
  local events, planned = plan(lab, sleeps)
  local chain = retries.new(lab, { one_topic = s.one_topic, in_handler = sleeps })
  if arm.class == "right" then chain:watch() end
  local fault = lab:fault "planned failures by id and attempt, in the handler and after the commit"
  chain:start({ dedup = s.dedup, retry_wait = s.retry_wait, retry_scale = SCALE }, planned.points)
  chain:publish(events, UNDECODABLE)
  chain:fail(planned, LONG_MS)
  chain:quiet("drained", false, "20s") -- the delays of all retries are in it
  lab:issued("first failures", retries.first_failures(chain:hits()), planned.events)
  lab:owed("parked", "what fails for good is in the DLQ", function()
    local ends = lab:offsets(chain.dlq, 0)
    return ends and (ends.hw or 0) >= #UNTIL_FIXED + 1 -- and the undecodable one
  end)
  lab:event "all retries are done; what fails is mended"
  chain.consumer:failpoint("consumer.handle", "off")
  chain:prove(fault, planned.points):over()
  local repeated = replay(lab, s, chain)
  local seen = chain:look()
  lab:issued("records", #bag.from(seen.records):ids(), EVENTS + 1)
  seen.planned, seen.repeated = planned.hits, repeated
  seen.fixed, seen.late = ids_at(events, UNTIL_FIXED), ids_at(events, LATE)
  seen.blocked_ms = retries.blocked_for(seen, events[FIRST_TWICE].id, ids_at(events, HEALTHY))
  seen.behind_ms, seen.gap_ms = retries.behind_long(seen, events[BEHIND].id)
  seen.parked = retries.parked(seen.parked_rows, MAX_REPLAYS)
  seen.copies = copies(seen.records, UNDECODABLE.id)
  local odd = retries.odd_delays(seen, { SHORT_MS, LONG_MS })
  if #odd == 0 and seen.gap_ms and seen.gap_ms < LEAST_GAP_MS then
    lab:give_up("the machine is too slow: the long retry was due %d ms after the short one behind it",
      seen.gap_ms)
  end
  seen.says = says(arm, seen)
  numbers(lab, seen)
  if arm.class == "right" then
    lab:picture { title = "The dead-letter topic at the end", topic = "events.dlq",
      records = seen.parked_rows,
      note = "The undecodable record came back with each replay until its count reached the limit; the \z
        others came once.",
      kind = function(row)
        return row.id == UNDECODABLE.id and "parked" or "plain", ("replayed %d times"):format(row.replays)
      end }
  end
  return seen
end

local function check_retries(lab, seen, arm)
  lab.check.bound { name = "blocked", value = seen.blocked_ms, at_most = BLOCKED_MS, unit = "ms",
    what = "healthy records behind a failing one waited", why = "half of its two delays",
    control = #seen.effects }
    :expect { ["sleep-in-handler"] = "violated", wrong = "holds", right = "holds" }
  if arm.settings.retry_wait == "sleep" then return end
  retries.check_delays(lab, seen, { SHORT_MS, LONG_MS }):expect "holds"
  retries.check_not_too_early(lab, seen):expect "holds"
  lab.check.bound { name = "behind-a-long-one", value = seen.gap_ms and seen.behind_ms,
    at_most = (seen.gap_ms or LEAST_GAP_MS) // 2, unit = "ms", what = "a short retry came late by",
    why = "half of what the long one before it has to wait", control = #seen.timed }
    :expect { ["one-retry-topic"] = "violated", wrong = "holds", right = "holds" }
end

local function check_replay(lab, seen, arm)
  local again = arm.settings.target == "none" and seen.fixed or "holds"
  lab.check.agree { { "repeated-by-the-crash", copies(seen.records, seen.repeated), 3,
    "copies of " .. tostring(seen.repeated) .. " in the topic" } }
  lab.check.duplicate_effect { name = "audit", of = seen.audit, at_least = EVENTS }:expect(again)
  lab.check.amplification { operations = seen.copies, logical = 1, at_most = MAX_REPLAYS + 1,
    what = "copies of the undecodable record", unit = "copies" }
    :expect { ["no-replay-count"] = "violated", wrong = "holds", right = "holds" }
  if arm.settings.guard == false then return end
  lab.check.same { name = "parked", got = seen.parked, want = { UNDECODABLE.id }, what = "parked id" }
    :expect "holds"
  if not arm.settings.dedup then retries.check_exactly_one(lab, seen):expect "holds" end
end

return experiment {
  id = "E-005",
  title = "Retry, dead letters and replay",
  question = "How do I retry without blocking the partition, and replay the DLQ without applying things \z
    twice?",
  claim = "One retry topic per delay, the event's own id as dedup key, and a replayer with its own group, \z
    a count and a target group.",
  lesson = "One topic per delay, the original event id as dedup key, a replayer with own group, cap and \z
    guard.",
  needs = { "kafka", "mysql", "redis" }, seconds = 15,
  side_by_side = true,
  telling = { { "blocked", "healthy records waited", "ms" },
    { "behind-a-long-one", "a short retry was late", "ms" }, { "duplicate-effect", "events applied again" },
    { "audit", "applied again by another group" }, { "amplification", "copies of the undecodable record" } },
  arms = {
    wrong "sleep-in-handler" { says = "waits for the next attempt in the handler", retry_wait = "sleep" },
    wrong "one-retry-topic" { says = "one retry topic for both delays", one_topic = true },
    wrong "dedup-by-position" { says = "topic, partition and offset as the dedup key", dedup = "position" },
    wrong "replay-to-everyone" { says = "replays into the main topic without a target group",
      target = "none" },
    wrong "no-replay-count" { says = "replays without counting; a budget of 50 copies ends it",
      guard = false },
    right "retry-topics" { says = "a topic per delay, dedup by event id, replays counted and addressed" },
  },

  run = run,

  moment = require "rlab.story.moment.retries",
  checks = function(lab, seen, arm)
    local hits = {}
    for i, hit in ipairs(seen.hits) do hits[i] = ("%s attempt %d"):format(hit.id, hit.attempt) end
    lab.check.same { name = "failures", got = hits, want = seen.planned, what = "planned failures" }
      :expect "holds"
    lab.check.lost_effect { name = "dlq-leak", of = seen.records, committed = seen.committed,
      effects = seen.effects, dlq = seen.parked_rows }:expect "holds"
    -- with another dedup key what failed after its commit is applied again, and so is the copy that the
    -- replayer's crash repeated
    lab.check.duplicate_effect { of = seen.effects }:expect(arm.settings.dedup
      and { seen.repeated, table.unpack(seen.late) } or "holds")
    retries.check_stories(lab, seen, { undecodable = UNDECODABLE.id, late = seen.late,
      in_handler = arm.settings.retry_wait == "sleep" }):expect "holds"
    check_retries(lab, seen, arm)
    check_replay(lab, seen, arm)
  end,

  verdict = function(arms)
    local right, sleep, open = arms["retry-topics"], arms["sleep-in-handler"], arms["no-replay-count"]
    if not (right and sleep and open) then return nil end
    return ("With a topic per delay healthy records waited %d ms behind a failing one, with a sleep %d \z
      ms; uncounted, one record was replayed %d times."):format(right.blocked_ms, sleep.blocked_ms,
      open.copies - 1)
  end,
}
