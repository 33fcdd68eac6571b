-- The retry chain of a consumer: retry topics for a short and a long delay, a dead-letter topic, a replayer,
-- and beside it the group "audit" that keeps no table of what it has seen. Failures are planned by id and
-- attempt; what became of each record is read from the topics' headers, the hit log and effect_log.
local bag = require "rlab.bag"
local dlq = require "rlab.dlq"
local json = require "rlab.json"
local must = require "rlab.must"
local tables = require "rlab.tables"

local M = {}

local Chain = {}
Chain.__index = Chain

-- the arms run side by side: nobody is to lose its partition on a busy machine
local PATIENT = { ["session.timeout.ms"] = "6000" }

-- ---- planned failures ----

local function term(event, attempt)
  return ("error(planned) if id=%s%s"):format(event.event, attempt and " and attempt=" .. attempt or "")
end

-- plan(list, {attempts = {[place] = n}, until_fixed = {place, ...}, late = {place, ...}, together = {{place,
--   attempt}, ...}}) -> {points, hits, events}: in the handler the first n attempts of an event fail, or each
--   until the failpoint is off (three are seen); the late ones fail after their commit; those of `together`
--   wait for one another at that attempt. hits: what must be seen, "id attempt n"; events: of how many.
function M.plan(list, what)
  local handle, late, hits, failing = {}, {}, {}, {}
  local function fail(terms, place, attempt, always)
    failing[place] = true
    if not always then terms[#terms + 1] = term(list[place], attempt) end
    hits[#hits + 1] = ("%s attempt %d"):format(list[place].id, attempt)
  end
  for _, place in ipairs(tables.sorted_keys(what.attempts)) do
    for attempt = 1, what.attempts[place] do fail(handle, place, attempt) end
  end
  for _, place in ipairs(what.until_fixed) do
    handle[#handle + 1] = term(list[place])
    for attempt = 1, 3 do fail(handle, place, attempt, true) end
  end
  for _, place in ipairs(what.late) do fail(late, place, 1) end
  for _, one in ipairs(what.together or {}) do
    handle[#handle + 1] = ("barrier(behind,%d) if id=%s and attempt=%d"):format(#what.together,
      list[one[1]].event, one[2])
  end
  return { points = { ["consumer.handle"] = table.concat(handle, " -> "),
    ["consumer.before_invalidate"] = table.concat(late, " -> ") }, hits = hits,
    events = #tables.sorted_keys(failing) }
end

-- ---- the chain ----

-- new(lab, {one_topic =, in_handler =}) -> chain, its topics made: one retry topic for both delays, or no
--   retry topic as the consumer waits in its handler
function M.new(lab, opts)
  local chain = setmetatable({ lab = lab, one_topic = opts.one_topic, in_handler = opts.in_handler,
    main = lab:event_topic { partitions = 1 }, replay_group = lab:name "replay",
    audit_group = lab:name "audit", names = {} }, Chain)
  local jobs = { function() lab:schema() end }
  for name, word in pairs { short = "events.retry.5s", long = "events.retry.1m", dlq = "events.dlq",
    audit_dlq = "audit.dlq" } do
    jobs[#jobs + 1] = function() chain[name] = lab:topic(word, { partitions = 1 }) end
  end
  lab:each(jobs, function(job) job() end)
  return chain
end

-- chain:watch(): series of what came to the DLQ and what the replayer took out of it
function Chain:watch()
  self.lab:gauge(function(row)
    local now = self.lab.run:watcher():offsets(self.dlq, 0)
    if now and now.hw then row["dlq.in"] = now.hw end
    for _, one in ipairs(self.lab.run:watcher():group_offsets(self.replay_group) or {}) do
      if one.topic == self.dlq and one.offset >= 0 then row["dlq.out"] = one.offset end
    end
  end)
end

-- chain:start(settings, points): the consumer under test, one record at a time, with failpoints, and audit;
--   both have their partition
function Chain:start(settings, points)
  local lab = self.lab
  lab:each({
    function()
      self.consumer = lab:service("consumer", tables.merged({ batch = 1, fetch = 1, cache = "del-after",
        consumer = PATIENT, dlq = self.dlq, seed = lab.seed,
        retry = ("5s:%s,1m:%s"):format(self.short, self.one_topic and self.short or self.long) }, settings),
        { failpoints = points })
    end,
    function()
      self.audit = lab:service("consumer", { group = self.audit_group, consumer_name = "audit",
        dedup = "none", dlq = self.audit_dlq, consumer = PATIENT })
    end,
  }, function(start) start() end)
  for _, one in ipairs { self.consumer, self.audit } do
    lab:await(one.name .. " to have its partition",
      function() return one:total("rlab_consumer_position", '"' .. self.main .. '"') end, "25s")
  end
end

-- chain:publish(list, undecodable): all at once, what nobody can decode first, so that it is the first in the
--   DLQ, too
function Chain:publish(list, undecodable)
  self.names[undecodable.event] = undecodable.id
  for _, event in ipairs(list) do self.names[event.event] = event.id end
  must(self.lab.run:publisher():send { topic = self.main, partition = 0, key = "1", value = '{"event_id":',
    headers = { { "event-id", undecodable.event }, { "request-id", undecodable.id } } })
  self.lab:publish { topic = self.main, partition = 0, list = list }
end

-- chain:replay(settings) -> replayer, id: it dies after its second copy was acknowledged and before it could
--   say so; its successor goes on. id: of that copy.
function Chain:replay(settings)
  local first = self.lab:service("replay", tables.merged({ topic = self.main, dlq = self.dlq,
    group = self.replay_group, consumer = PATIENT }, settings),
    { must_fire = { ["replay.after_ack"] = "#2 kill" } })
  local again = first:revive "25s"
  local hit = first:hits("replay.after_ack")[1]
  return again, hit and self.names[hit.ctx.id]
end

-- ---- quiescence ----

local function places_of(chain, with_replayer)
  local group = chain.lab:group()
  local places = { { topic = chain.main, group = group },
    { topic = chain.main, group = chain.audit_group } }
  if not chain.in_handler then table.insert(places, { topic = chain.short, group = group }) end
  if not (chain.in_handler or chain.one_topic) then
    table.insert(places, { topic = chain.long, group = group })
  end
  if with_replayer then table.insert(places, { topic = chain.dlq, group = chain.replay_group }) end
  return places
end

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

-- chain:quiet(name, [with_replayer], [at_most]): the debt that nobody lags, and no record went from one topic
--   to another while that was looked at
function Chain:quiet(name, with_replayer, at_most)
  local lab, places = self.lab, places_of(self, with_replayer)
  lab:owed(name, "nobody lags, in no topic of the chain", function()
    local ends, before = ends_of(lab, places)
    if not ends or not all_done(lab, places, ends) then return false end
    return select(2, ends_of(lab, places)) == before
  end, at_most)
end

-- chain:fail(planned, longest): the debt that each attempt that was to fail is made, which needs the retries:
--   a planned failure waits for one. No two are further apart than the longest delay (ms), and as long again
--   is for the way. That an event fails at all is the failpoints' part.
function Chain:fail(planned, longest)
  local lab = self.lab
  local function missing() return planned.events - M.first_failures(self:hits()) end
  lab:owed("retried", "each attempt that was to fail was made", function()
    if missing() > 0 and lab:lag { topic = self.main } == 0 and missing() > 0 then
      lab:give_up("all records were tried, and %d events that were to fail did not", missing())
    end
    local left = #planned.hits - #self:hits()
    return left <= 0, left
  end, 2 * longest / 1000)
end

-- chain:spent(replayer): the debt that it sends as many copies as it may
function Chain:spent(replayer)
  self.lab:owed("budget", "the replayer ends for its budget", function()
    local answer = replayer:get "/replay"
    return answer and json.decode(answer.body).state == "out of budget"
  end)
end

-- ---- what the stores say ----

-- chain:hits() -> the planned failures that were seen: {id, attempt, at_ms}
function Chain:hits()
  local list = {}
  for _, point in ipairs { "consumer.handle", "consumer.before_invalidate" } do
    for _, hit in ipairs(self.consumer:hits(point)) do
      if hit.action == "error" then
        list[#list + 1] = { id = self.names[hit.ctx.id], attempt = hit.ctx.attempt,
          at_ms = hit.time // 1000000 }
      end
    end
  end
  return list
end

-- chain:prove(fault, points) -> fault: each planned failure happened, and no other
function Chain:prove(fault, points)
  local seen = {}
  for _, point in ipairs(tables.sorted_keys(points)) do
    seen[#seen + 1] = self.lab.proof.hits(self.consumer, point, points[point])
  end
  return fault:fired(table.unpack(seen))
end

-- chain:effects() -> effects of the consumer under test, of audit: {id, at_ms}
function Chain:effects()
  local lists = { [self.consumer.instance] = {}, [self.audit.instance] = {} }
  local rows = must(self.lab:db():query [[SELECT BIN_TO_UUID(event_id) AS event, member,
    CAST(FLOOR(UNIX_TIMESTAMP(at) * 1000) AS SIGNED) AS at_ms FROM effect_log ORDER BY seq]])
  for _, row in ipairs(rows) do
    local of = lists[row.member] or self.lab:give_up("an effect of an unknown member %s", row.member)
    of[#of + 1] = { id = self.names[row.event] or row.event, at_ms = row.at_ms }
  end
  return lists[self.consumer.instance], lists[self.audit.instance]
end

-- chain:rows(topic) -> its records with the story that their headers tell
function Chain:rows(topic)
  local rows = {}
  for i, record in ipairs(self.lab:read(topic, { headers = true }).records) do
    local story = dlq.read(record.headers)
    rows[i] = { id = record.request, topic = record.topic, partition = record.partition,
      offset = record.offset, at_ms = record.timestamp, key = record.key, value = record.value,
      attempt = story.attempt, due_at = story.due_at, replays = story.replay_count,
      target = story.target_group, class = story.error_class, message = story.error_message,
      group = story.original_group, origin = { topic = story.original_topic,
        partition = story.original_partition, offset = story.original_offset,
        at_ms = story.original_timestamp } }
  end
  return rows
end

-- The retries with the time at which they were tried: the hit of the attempt that follows, else the effect.
-- What failed after its commit shows neither; what has no due time is no retry, whoever sent it there.
local function timed(retries, hits, effects)
  local tried, list, by_attempt = {}, {}, {}
  for _, effect in ipairs(effects) do tried[effect.id] = tried[effect.id] or effect.at_ms end
  for _, hit in ipairs(hits) do by_attempt[hit.id .. " " .. hit.attempt] = hit.at_ms end
  for _, row in ipairs(retries) do
    local due = row.attempt and row.due_at
    local at = due and (by_attempt[row.id .. " " .. row.attempt + 1] or tried[row.id])
    if at and row.class ~= "invalidation" then
      list[#list + 1] = { id = row.id, attempt = row.attempt + 1, partition = row.partition,
        offset = row.offset, topic = row.topic, sent_ms = row.at_ms, due_ms = row.due_at,
        late_ms = at - row.due_at }
    end
  end
  return list
end

-- chain:look() -> {hits, records, parked_rows, retries, topics = those of the attempts, effects, audit,
--   timed, committed}
function Chain:look()
  local committed = self.lab:committed { topic = self.main } -- what is passed later was applied later, too
  local seen = { committed = committed, hits = self:hits(), records = self:rows(self.main),
    parked_rows = self:rows(self.dlq), retries = self:rows(self.short),
    topics = { self.short, self.one_topic and self.short or self.long } }
  if not self.one_topic then tables.append(seen.retries, self:rows(self.long)) end
  seen.effects, seen.audit = self:effects()
  seen.timed = timed(seen.retries, seen.hits, seen.effects)
  return seen
end

-- ---- what that means: for stories and checks ----

-- first_failures(hits) -> how many events failed at their first attempt. That is the fault's part; that they
--   are tried again is what the retries owe.
function M.first_failures(hits)
  local ids = {}
  for _, hit in ipairs(hits) do
    if hit.attempt == 1 then ids[hit.id] = true end
  end
  return #tables.sorted_keys(ids)
end

-- blocked_for(seen, id, healthy) -> ms from the first failure of that event until the first of the healthy
--   ones behind it was applied
function M.blocked_for(seen, id, healthy)
  local wanted, first, least = bag.from(healthy), nil, nil
  for _, hit in ipairs(seen.hits) do
    if hit.id == id and hit.attempt == 1 then first = hit.at_ms end
  end
  for _, effect in ipairs(first and seen.effects or {}) do
    if wanted:count(effect.id) > 0 then least = math.min(least or math.huge, effect.at_ms - first) end
  end
  return least
end

-- behind_long(seen, id) -> how late the short retry of that event came, which was sent behind long ones; how
--   long the last of those had to wait when it was due itself
function M.behind_long(seen, id)
  local short, gap
  for _, retry in ipairs(seen.timed) do
    if retry.id == id then short = retry end
  end
  for _, retry in ipairs(short and seen.timed or {}) do
    if retry.attempt == 3 and retry.sent_ms <= short.sent_ms then
      gap = math.max(gap or 0, retry.due_ms - short.due_ms)
    end
  end
  return short and short.late_ms, gap
end

-- parked(rows, max) -> ids whose last record in the DLQ has been replayed as often as it may
function M.parked(rows, max)
  local last, ids = {}, {}
  for _, row in ipairs(rows) do last[row.id] = row.replays end
  for id, replays in pairs(last) do
    if replays >= max then ids[#ids + 1] = id end
  end
  table.sort(ids)
  return ids
end

-- latest(seen) -> ms by which the latest retry was late | nil
function M.latest(seen)
  local worst
  for _, retry in ipairs(seen.timed) do worst = math.max(worst or -math.huge, retry.late_ms) end
  return worst
end

-- check_not_too_early(lab, seen) -> check: no retry was tried before it was due
function M.check_not_too_early(lab, seen)
  local found = {}
  for _, retry in ipairs(seen.timed) do
    if retry.late_ms < 0 then
      found[#found + 1] = { id = retry.id, partition = 0, offset = retry.offset,
        note = ("%d ms early"):format(-retry.late_ms) }
    end
  end
  return lab.check.custom { name = "not-before-due", control = #seen.timed, judge = function()
    return #found == 0, #found == 0 and ("none of %d retries before it was due"):format(#seen.timed)
      or ("%d retries too early"):format(#found), found
  end }
end

-- odd_delays(seen, {ms after the first failure, after the second}) -> rows {id, ...} of the retries that lie
--   in another topic or were not due by that delay: what failed did so between the hit and the record's time
function M.odd_delays(seen, delays)
  local failed, odd = {}, {}
  for _, hit in ipairs(seen.hits) do failed[("%s %d"):format(hit.id, hit.attempt)] = hit.at_ms end
  for _, row in ipairs(seen.retries) do
    local delay = delays[row.attempt] or 0
    local from, to = failed[("%s %s"):format(row.id, row.attempt)], row.at_ms + delay
    local in_time = from and row.due_at and row.due_at >= from + delay and row.due_at <= to
    if not in_time or row.topic ~= seen.topics[row.attempt] then
      odd[#odd + 1] = { id = row.id, topic = row.topic, partition = row.partition, offset = row.offset,
        note = ("attempt %s failed at %s, was sent to %s at %d and is due at %s"):format(row.attempt, from,
          row.topic, row.at_ms, row.due_at) }
    end
  end
  return odd
end

-- check_delays(lab, seen, delays) -> check: there are none of those
function M.check_delays(lab, seen, delays)
  local odd, all = M.odd_delays(seen, delays), #seen.retries
  return lab.check.custom { name = "delays", control = all, judge = function()
    return #odd == 0, #odd == 0 and ("%d retries have topic and delay of their attempt"):format(all)
      or ("%d of %d retries have another topic or delay"):format(#odd, all), odd
  end }
end

-- What is wrong with the story that a failed record tells, or nil. from: the record of the main topic at the
-- place where it says it came from.
local function untrue(row, from, class)
  local origin = row.origin
  if not from or from.id ~= row.id or from.topic ~= origin.topic or from.partition ~= origin.partition then
    return ("it says it came from %s[%s] at %s, where it never was"):format(origin.topic, origin.partition,
      origin.offset)
  elseif from.at_ms ~= origin.at_ms then
    return ("it says it was written at %s, it was at %s"):format(origin.at_ms, from.at_ms)
  elseif row.key ~= from.key or row.value ~= from.value then
    return ("its key or value is not that of the record at %s[%s] %s"):format(origin.topic, origin.partition,
      origin.offset)
  elseif row.class ~= class or (row.message or "") == "" then
    return ("it says it failed by %s (%s), it was %s"):format(row.class, row.message, class)
  end
end

-- check_stories(lab, seen, {undecodable = id, late = ids, in_handler = true}) -> check: each record in the
--   DLQ and, unless they were made in the handler, each retry says truly where it came from and why it
--   failed, which is what a person and a replayer go by
function M.check_stories(lab, seen, ids)
  local at, found, classes = {}, {}, { [ids.undecodable] = "undecodable" }
  for _, id in ipairs(ids.late) do classes[id] = "invalidation" end
  for _, record in ipairs(seen.records) do at[record.offset] = record end
  local rows = tables.append(tables.append({}, seen.retries), seen.parked_rows)
  for _, row in ipairs(rows) do
    local note = untrue(row, at[row.origin.offset], classes[row.id] or "handler")
    if note then
      found[#found + 1] = { id = row.id, topic = row.topic, partition = row.partition, offset = row.offset,
        note = note }
    end
  end
  local least = math.min(#ids.late, #seen.parked_rows, ids.in_handler and math.maxinteger or #seen.retries)
  return lab.check.custom { name = "failure-headers", control = least, judge = function()
    return #found == 0, #found == 0 and ("%d failed records say truly where they came from and why"):format(
      #rows) or ("%d of %d failed records tell another story"):format(#found, #rows), found
  end }
end

-- check_exactly_one(lab, seen) -> check: each id was applied once, or is parked, and not both
function M.check_exactly_one(lab, seen)
  local parked, applied, found = bag.from(seen.parked), bag.from(seen.effects), {}
  for _, id in ipairs(bag.from(seen.records):ids()) do
    if applied:count(id) + parked:count(id) ~= 1 then
      found[#found + 1] = { id = id,
        note = ("%d effects, parked %d times"):format(applied:count(id), parked:count(id)) }
    end
  end
  return lab.check.custom { name = "exactly-one", control = #seen.records, judge = function()
    return #found == 0, #found == 0 and "each id is applied once or parked"
      or ("%d ids are neither or both"):format(#found), found
  end }
end

return M
