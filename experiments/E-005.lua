-- E-005: sixty records on one partition, every kind of failure among them. Who blocks whom, what ends in
-- the DLQ, and what does a replay do twice?
local dlq = require "rlab.dlq"

local EVENTS, ACCOUNTS = 59, 6 -- and one record that nobody can decode
local ONCE, TWICE, UNTIL_FIXED, LATE = { 1, 12, 18 }, { 2, 8 }, { 15, 30 }, { 10, 45 } -- places in the plan
-- The first is held until the last short retry before it is tried, that is, until long ones wait; the next
-- one fails then, and its short retry stands behind those where there is one topic for both.
local WAITS_AT, BEHIND = 11, 12
local SCALE, SHORT_MS, LONG_MS = 0.04, 200, 2400 -- 5 s and 1 m at 1:25
local RATE, MAX_REPLAYS, BUDGET = "50/s", 3, 50
local UNDECODABLE = { id = "evt-undecodable", event = "00000000-0000-7000-8000-00000000dead" }
local BLOCKED_MS, LEAST_GAP_MS = SHORT_MS + LONG_MS, 400
-- the arms run side by side: nobody is to lose its partition on a busy machine
local PATIENT = { ["session.timeout.ms"] = "6000" }

-- ---- the plan of failures ----

local function term(event, attempt)
  return ("error(planned) if id=%s%s"):format(event.event, attempt and " and attempt=" .. attempt or "")
end

-- Which attempts are to fail: failpoints by id and attempt, and the list of what must be seen of them.
local function failures(list, arm)
  local handle, late, hits = {}, {}, {}
  local function plan(terms, event, attempt)
    terms[#terms + 1] = term(event, attempt)
    hits[#hits + 1] = ("%s attempt %d"):format(event.id, attempt)
  end
  for _, place in ipairs(ONCE) do plan(handle, list[place], 1) end
  for _, place in ipairs(TWICE) do
    for attempt = 1, 2 do plan(handle, list[place], attempt) end
  end
  for _, place in ipairs(UNTIL_FIXED) do
    handle[#handle + 1] = term(list[place])
    for attempt = 1, 3 do hits[#hits + 1] = ("%s attempt %d"):format(list[place].id, attempt) end
  end
  for _, place in ipairs(LATE) do plan(late, list[place], 1) end
  if arm.settings.retry_wait ~= "sleep" then
    handle[#handle + 1] = ("barrier(behind,2) if id=%s and attempt=1"):format(list[WAITS_AT].event)
    handle[#handle + 1] = ("barrier(behind,2) if id=%s and attempt=2"):format(list[LATE[1]].event)
  end
  return { points = { ["consumer.handle"] = table.concat(handle, " -> "),
    ["consumer.before_invalidate"] = table.concat(late, " -> ") }, hits = hits }
end

local function ids_at(list, places)
  local ids = {}
  for i, place in ipairs(places) do ids[i] = list[place].id end
  return ids
end

-- ---- topics and services ----

local function make_topics(lab)
  local t = { main = lab:event_topic { partitions = 1 }, replay_group = lab:name "replay",
    audit_group = lab:name "audit" }
  local jobs = { function() lab:schema() end }
  for name, word in pairs { short = "events.retry.5s", long = "events.retry.1m", dlq = "events.dlq",
    audit_dlq = "audit.dlq" } do
    jobs[#jobs + 1] = function() t[name] = lab:topic(word, { partitions = 1 }) end
  end
  lab:each(jobs, function(job) job() end)
  return t
end

local function assigned(service, topic)
  for name in pairs(service:metrics()) do
    if name:find("^rlab_consumer_position{") and name:find('"' .. topic .. '"', 1, true) then return true end
  end
end

-- The consumer under test, one record at a time, and the group "audit", which keeps no table of what it has
-- seen.
local function start_consumers(lab, arm, t, planned)
  local s, consumer, audit = arm.settings, nil, nil
  lab:each({
    function()
      consumer = lab:service("consumer",
        { batch = 1, fetch = 1, cache = "del-after", dedup = s.dedup, retry_wait = s.retry_wait,
        retry_scale = SCALE, consumer = PATIENT, dlq = t.dlq, seed = lab.seed,
        retry = ("5s:%s,1m:%s"):format(t.short, s.one_topic and t.short or t.long) },
          { failpoints = planned.points })
    end,
    function()
      audit = lab:service("consumer",
        { group = t.audit_group, consumer_name = "audit", dedup = "none", dlq = t.audit_dlq,
        consumer = PATIENT })
    end,
  }, function(start) start() end)
  for _, one in ipairs { consumer, audit } do
    lab:await(one.name .. " to have its partition", function() return assigned(one, t.main) end, "25s")
  end
  return consumer, audit
end

local function hits_of(consumer, names)
  local list = {}
  for _, point in ipairs { "consumer.handle", "consumer.before_invalidate" } do
    for _, hit in ipairs(consumer:hits(point)) do
      if hit.action == "error" then
        list[#list + 1] = { id = names[hit.ctx.id], attempt = hit.ctx.attempt, at_ms = hit.time // 1000000 }
      end
    end
  end
  return list
end

-- The expressions name events by their ids: the report says in words what they are for.
local function prove_failures(lab, fault, hits, planned)
  if #hits == #planned.hits then
    fault:fired("%d hits, logged with id and attempt before each acted", #hits)
  end
  fault:over()
end

-- ---- quiescence ----

-- The ends of the topics, in words; nil while a broker does not say.
local function ends_of(lab, places)
  local ends, words = {}, {}
  for i, place in ipairs(places) do
    local now = lab:offsets(place.topic, 0)
    if not (now and now.hw) then return nil end
    ends[place.topic], words[i] = now.hw, now.hw
  end
  return ends, table.concat(words, " ")
end

local function all_done(lab, places, ends)
  local done = {}
  for _, place in ipairs(places) do
    if not done[place.group] then
      done[place.group] = {}
      for _, row in ipairs(must(lab.run.admin:group_offsets(place.group))) do
        done[place.group][row.topic] = row.offset
      end
    end
    if ends[place.topic] > (done[place.group][place.topic] or 0) then return false end
  end
  return true
end

-- Nobody lags, and no record went from one topic to another while that was looked at.
local function quiet(lab, what, places)
  local is_quiet, failure = task.wait_until(function()
    local ends, before = ends_of(lab, places)
    if not ends or not all_done(lab, places, ends) then return false end
    return select(2, ends_of(lab, places)) == before
  end, { what = what, at_most = "90s", every = "100ms" })
  if not is_quiet then lab:give_up("%s", failure.message) end
end

local function consumer_places(lab, arm, t)
  local places = { { topic = t.main, group = lab:group() }, { topic = t.main, group = t.audit_group } }
  if arm.settings.retry_wait == "sleep" then return places end
  places[3] = { topic = t.short, group = lab:group() }
  if not arm.settings.one_topic then places[4] = { topic = t.long, group = lab:group() } end
  return places
end

-- ---- the story ----

local function send_undecodable(lab, t)
  local report = must(lab.run:publisher():send { topic = t.main, partition = 0, key = "1",
    value = '{"event_id":',
    headers = { { "event-id", UNDECODABLE.event }, { "request-id", UNDECODABLE.id } } })
  return report.offset
end

-- All at once, what nobody can decode first, so that it is the first in the DLQ, too.
local function publish(lab, t, list)
  send_undecodable(lab, t)
  lab:publish { topic = t.main, partition = 0, list = list }
end

-- The replayer dies after its second copy was acknowledged and before it could say so; its successor goes on.
local function replay(lab, arm, t)
  local s = arm.settings
  local first = lab:service("replay",
    { topic = t.main, dlq = t.dlq, group = t.replay_group, rate = RATE, max_replays = MAX_REPLAYS,
    target = s.target,
    guard = s.guard, budget = s.guard == false and BUDGET or nil, consumer = PATIENT },
      { must_fire = { ["replay.after_ack"] = "#2 kill" } })
  first:wait_exit { signal = "KILL", at_most = "25s" }
  local killed = first:hits("replay.after_ack")[1]
  lab:event "the replayer was killed after an acknowledgement"
  return first:restart(), killed and killed.ctx.id
end

local function await_end_of_replay(lab, arm, t, replayer)
  if arm.settings.guard == false then
    lab:await("the end of the budget", function()
      local answer = replayer:get "/replay"
      return answer and json.decode(answer.body).state == "out of budget"
    end, "45s")
    lab:anomaly("the undecodable record went round until the budget ended it")
    return quiet(lab, "no lag of the consumers", consumer_places(lab, arm, t))
  end
  local places = consumer_places(lab, arm, t)
  table.insert(places, { topic = t.dlq, group = t.replay_group })
  quiet(lab, "no lag of consumers and replayer", places)
end

local function sample(lab, t)
  lab:gauge(function(row)
    local now = lab.run:watcher():offsets(t.dlq, 0)
    if now and now.hw then row["dlq.in"] = now.hw end
    for _, one in ipairs(lab.run:watcher():group_offsets(t.replay_group) or {}) do
      if one.topic == t.dlq and one.offset >= 0 then row["dlq.out"] = one.offset end
    end
  end)
end

-- ---- what the stores say ----

local function effects_of(lab, names, consumer, audit)
  local list = { main = {}, audit = {} }
  local rows = must(lab:db():query [[SELECT BIN_TO_UUID(event_id) AS event,
    CAST(FLOOR(UNIX_TIMESTAMP(at) * 1000) AS SIGNED) AS at_ms, member
    FROM effect_log ORDER BY seq]])
  for _, row in ipairs(rows) do
    local of = row.member == audit.instance and list.audit or row.member == consumer.instance and list.main
    if not of then lab:give_up("an effect of an unknown member %s", row.member) end
    of[#of + 1] = { id = names[row.event] or row.event, at_ms = row.at_ms }
  end
  return list.main, list.audit
end

local function rows_of(lab, topic)
  local rows = {}
  for i, record in ipairs(lab:read(topic, { headers = true }).records) do
    local story = dlq.read(record.headers)
    rows[i] = { id = record.request, topic = record.topic, partition = record.partition,
      offset = record.offset, at_ms = record.timestamp,
      attempt = story.attempt, due_at = story.due_at, replays = story.replay_count,
      target = story.target_group, class = story.error_class }
  end
  return rows
end

local function retries_of(lab, arm, t)
  local rows = rows_of(lab, t.short)
  if not arm.settings.one_topic then
    for _, row in ipairs(rows_of(lab, t.long)) do rows[#rows + 1] = row end
  end
  return rows
end

-- The retries with the time at which they were tried: the hit of the attempt that follows, else the effect.
-- What failed after its commit shows neither.
local function timed(retries, hits, effects)
  local tried, list = {}, {}
  for _, effect in ipairs(effects) do tried[effect.id] = tried[effect.id] or effect.at_ms end
  local by_attempt = {}
  for _, hit in ipairs(hits) do by_attempt[hit.id .. " " .. hit.attempt] = hit.at_ms end
  for _, row in ipairs(retries) do
    local at = by_attempt[row.id .. " " .. row.attempt + 1] or tried[row.id]
    if at and row.class ~= "invalidation" then
      list[#list + 1] = { id = row.id, attempt = row.attempt + 1, partition = row.partition,
        offset = row.offset, topic = row.topic,
        sent_ms = row.at_ms, due_ms = row.due_at, late_ms = at - row.due_at }
    end
  end
  return list
end

-- How long it took, from the first failure of the first one that fails twice, until a healthy record behind
-- it was applied.
local function blocked_for(list, hits, effects)
  local healthy, first, least = {}, nil, nil
  for place = TWICE[1] + 1, WAITS_AT - 1 do healthy[list[place].id] = true end
  for _, places in ipairs { ONCE, TWICE, UNTIL_FIXED, LATE } do
    for _, id in ipairs(ids_at(list, places)) do healthy[id] = nil end
  end
  for _, hit in ipairs(hits) do
    if hit.id == list[TWICE[1]].id and hit.attempt == 1 then first = hit.at_ms end
  end
  for _, effect in ipairs(effects) do
    if healthy[effect.id] and first then least = math.min(least or math.huge, effect.at_ms - first) end
  end
  return least
end

-- How late the short retry came that was sent behind long ones, and how long the last of those had to wait
-- when it was due itself.
local function behind_long(timed_retries, id)
  local short, gap
  for _, retry in ipairs(timed_retries) do
    if retry.id == id then short = retry end
  end
  for _, retry in ipairs(short and timed_retries or {}) do
    if retry.attempt == 3 and retry.sent_ms <= short.sent_ms then
      gap = math.max(gap or 0, retry.due_ms - short.due_ms)
    end
  end
  return short and short.late_ms, gap
end

local function count_of(rows, id)
  local n = 0
  for _, row in ipairs(rows) do n = n + (row.id == id and 1 or 0) end
  return n
end

-- Ids whose last record in the DLQ has been replayed as often as it may.
local function parked_of(rows)
  local last, ids = {}, {}
  for _, row in ipairs(rows) do last[row.id] = row.replays end
  for id, replays in pairs(last) do
    if replays >= MAX_REPLAYS then ids[#ids + 1] = id end
  end
  table.sort(ids)
  return ids
end

local function lateness(seen)
  local worst
  for _, retry in ipairs(seen.timed) do worst = math.max(worst or -math.huge, retry.late_ms) end
  return worst
end

local function look(lab, arm, t, list, names, services)
  local seen = { hits = hits_of(services.consumer, names), records = rows_of(lab, t.main),
    parked_rows = rows_of(lab, t.dlq),
    retries = retries_of(lab, arm, t), committed = {} }
  seen.effects, seen.audit = effects_of(lab, names, services.consumer, services.audit)
  seen.timed = timed(seen.retries, seen.hits, seen.effects)
  seen.blocked_ms = blocked_for(list, seen.hits, seen.effects)
  seen.behind_ms, seen.gap_ms = behind_long(seen.timed, list[BEHIND].id)
  seen.parked = parked_of(seen.parked_rows)
  seen.committed["0"] = must(lab.run.admin:group_offsets(lab:group(),
    { partitions = { { topic = t.main, partition = 0 } } }))[1].offset
  seen.copies = count_of(seen.records, UNDECODABLE.id)
  return seen
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
    MAX_REPLAYS, lateness(seen) or 0)
end

local function numbers(lab, seen)
  local most = 0
  for _, hit in ipairs(seen.hits) do most = math.max(most, hit.attempt) end
  lab:number("attempts of one id", most)
  lab:number("lateness of retries", lateness(seen), "ms")
  lab:number("records in the DLQ", #seen.parked_rows)
  lab:number("copies of the undecodable record", seen.copies)
end

local function moment(lab, seen)
  local cells = {}
  for _, row in ipairs(seen.parked_rows) do
    cells[#cells + 1] = { offset = row.offset, kind = row.id == UNDECODABLE.id and "lost" or "plain",
      id = row.id,
      note = ("replayed %d times"):format(row.replays) }
  end
  lab:moment {
    title = "The dead-letter topic at the end",
    note = "The undecodable record came back with each replay until its count reached the limit; the \z
      others came once.",
    partitions = { { topic = "events.dlq", partition = 0, marks = {}, cells = cells } },
  }
end

local function run(lab, arm)
  local events = lab:name_events(lab:plan(EVENTS, ACCOUNTS, "evt"))
  local names = { [UNDECODABLE.event] = UNDECODABLE.id }
  for _, event in ipairs(events) do names[event.event] = event.id end
  local planned, t = failures(events, arm), make_topics(lab)
  if arm.class == "right" then sample(lab, t) end
  local fault = lab:fault "planned failures by id and attempt, in the handler and after the commit"
  local consumer, audit = start_consumers(lab, arm, t, planned)
  publish(lab, t, events)
  quiet(lab, "the end of all retries", consumer_places(lab, arm, t))
  lab:event "all retries are done; what fails is mended"
  consumer:failpoint("consumer.handle", "off")
  prove_failures(lab, fault, hits_of(consumer, names), planned)
  local replayer, repeated = replay(lab, arm, t)
  await_end_of_replay(lab, arm, t, replayer)
  local seen = look(lab, arm, t, events, names, { consumer = consumer, audit = audit })
  lab:issued("records", #bag.from(seen.records):ids(), EVENTS + 1)
  seen.planned, seen.repeated = planned.hits, names[repeated]
  seen.fixed, seen.late = ids_at(events, UNTIL_FIXED), ids_at(events, LATE)
  if seen.gap_ms and seen.gap_ms < LEAST_GAP_MS then
    lab:give_up("the machine is too slow: the long retry was due %d ms after the short one behind it",
      seen.gap_ms)
  end
  seen.says = says(arm, seen)
  numbers(lab, seen)
  if arm.class == "right" then moment(lab, seen) end
  return seen
end

-- ---- the checks ----

local function hit_words(hits)
  local words = {}
  for i, hit in ipairs(hits) do words[i] = ("%s attempt %d"):format(hit.id, hit.attempt) end
  return words
end

-- Each id was applied once, or is parked, and not both.
local function exactly_one(seen)
  return function()
    local parked, applied, found = bag.from(seen.parked), bag.from(seen.effects), {}
    for _, id in ipairs(bag.from(seen.records):ids()) do
      local n = applied:count(id) + parked:count(id)
      if n ~= 1 then
        found[#found + 1] = { id = id,
          note = ("%d effects, parked %d times"):format(applied:count(id), parked:count(id)) }
      end
    end
    return #found == 0, #found == 0 and "each id is applied once or parked"
      or ("%d ids are neither or both"):format(#found), found
  end
end

local function not_too_early(seen)
  return function()
    local found = {}
    for _, retry in ipairs(seen.timed) do
      if retry.late_ms < 0 then
        found[#found + 1] = { id = retry.id, partition = 0, offset = retry.offset,
          note = ("%d ms early"):format(-retry.late_ms) }
      end
    end
    if #seen.timed == 0 then return nil, "no retry was timed" end
    return #found == 0, #found == 0 and ("none of %d retries before it was due"):format(#seen.timed)
      or ("%d retries too early"):format(#found), found
  end
end

local function check_retries(lab, seen, arm)
  lab.check.bound { name = "blocked", value = seen.blocked_ms, at_most = BLOCKED_MS - 1, unit = "ms",
    what = "healthy records behind a failing one waited" }
    :expect { ["sleep-in-handler"] = "violated", wrong = "holds", right = "holds" }
  if arm.settings.retry_wait == "sleep" then return end
  lab.check.custom("not-before-due", not_too_early(seen)):expect "holds"
  lab.check.bound { name = "behind-a-long-one", value = seen.behind_ms,
    at_most = seen.gap_ms and seen.gap_ms - 1, unit = "ms",
    what = "a short retry came late by" }:expect { ["one-retry-topic"] = "violated", wrong = "holds",
    right = "holds" }
end

local function check_replay(lab, seen, arm)
  local again = arm.settings.target == "none" and seen.fixed or "holds"
  lab.check.equals { name = "repeated-by-the-crash", got = count_of(seen.records, seen.repeated), want = 3,
    what = "copies of " .. tostring(seen.repeated) .. " in the topic" }:expect "holds"
  lab.check.duplicate_effect { name = "audit", of = seen.audit }:expect(again)
  lab.check.amplification { operations = seen.copies, logical = 1, at_most = MAX_REPLAYS + 1,
    what = "copies of the undecodable record" }
    :expect { ["no-replay-count"] = "violated", wrong = "holds", right = "holds" }
  if arm.settings.guard == false then return end
  lab.check.same { name = "parked", got = seen.parked, want = { UNDECODABLE.id },
    what = "parked id" }:expect "holds"
  if arm.settings.dedup then return end
  lab.check.custom("exactly-one", exactly_one(seen)):expect "holds"
end

-- With another dedup key what failed after its commit is applied again, and so is the copy that the
-- replayer's crash repeated.
local function twice_by_position(seen)
  return { seen.repeated, table.unpack(seen.late) }
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
  needs = { "kafka", "mysql", "redis" },
  side_by_side = true,

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

  checks = function(lab, seen, arm)
    lab.check.same { name = "failures", got = hit_words(seen.hits), want = seen.planned,
      what = "planned failures" }:expect "holds"
    lab.check.lost_effect { name = "dlq-leak", of = seen.records, committed = seen.committed,
      effects = seen.effects, dlq = seen.parked_rows }:expect "holds"
    lab.check.duplicate_effect { of = seen.effects }
      :expect { ["dedup-by-position"] = twice_by_position(seen), wrong = "holds", right = "holds" }
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
