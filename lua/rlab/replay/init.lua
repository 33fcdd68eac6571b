-- Replaying a dead-letter topic: each record goes back to where it came from, at a rate, and is done with
-- (committed) once the copy is acknowledged.
-- The replayer's group is the backlog: what it has not committed is still to be replayed. A crash between
-- the two repeats what was under way, and the consumer's dedup by event id makes that harmless. A guard
-- ends loops: a copy counts its replays, and who has reached the limit stays parked.
local clock = require "rlab.clock"
local dlq = require "rlab.dlq"
local err = require "rlab.err"
local fail = require "rlab.fail"
local fate = require "rlab.replay.fate"
local kafka = require "rlab.kafka"
local left_of = require("rlab.kafka.left").of
local null = require "rlab.null"
local places = require "rlab.replay.places"
local reader = require "rlab.replay.reader"
local refailed = require "rlab.replay.refailed"
local script = require "rlab.experiment.script"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local Replay = {}
Replay.__index = Replay

local PAUSE, SLICE = 0.2, 0.02
local PARTIAL = "the copy here is only the beginning of a value of %s bytes; the original is %s/%s/%s"

-- new{brokers =, dlq =, group =, ...} -> replay
--   topic: where a record goes whose original topic is not known; to: where all go; target: "original" (the
--     group that failed), "none" (every group
--   gets the copy: wrong), or a group; guard: false counts no replays (wrong); max: replays of a record;
--     budget: copies in all; rate: a second;
--   batch: copies under way at once; filter: f(record); skip: set of ids; follow: go on when the end is
--     reached; stop_on_refailure: end when a copy failed again (not with follow);
--   producer, consumer: properties;
--   notice: f(what, fields) is told what happens
function M.new(opts)
  return setmetatable({
    o = opts, replayed = 0, parked = 0, skipped = 0, passed = 0, failures = 0, unsendable = 0, state = "new",
    due_ns = 0, stopping = false,
    notice = opts.notice or function() end,
  }, Replay)
end

-- ---- what becomes of a record ----

local function budget_spent(self)
  return self.o.budget and self.replayed >= self.o.budget
end

-- "replay", or why not: "passed" (not asked for), or as rlab.replay.fate says
local function verdict(self, record, id, story)
  if self.o.filter and not self.o.filter(record) then return "passed" end
  return fate.of(self.o, id, story)
end

local function copy_of(self, record, story)
  return {
    topic = fate.topic(self.o, story), key = record.key, value = record.value,
    headers = dlq.for_replay(record.headers,
      { count = self.o.guard ~= false and story.replay_count + 1 or nil,
      target_group = fate.group(self.o, story) }),
  }
end

-- ---- sending ----

local function nap(self, seconds)
  local until_ns = clock.ns() + seconds * 1e9
  while not self.stopping and clock.ns() < until_ns do
    task.sleep(math.min(SLICE, math.max(0, (until_ns - clock.ns()) / 1e9)))
  end
end

-- Evenly at the rate: what was lost by waiting is not made up by a burst.
local function pace(self)
  while self.paused and not self.stopping do task.sleep(SLICE) end
  nap(self, (self.due_ns - clock.ns()) / 1e9)
  self.due_ns = math.max(clock.ns(), self.due_ns) + 1e9 / self.o.rate
end

local function down(self, failure)
  if not self.ill then self.notice("down", { error = tostring(failure) }) end
  self.ill = tostring(failure)
end

local function up(self)
  if self.ill then self.notice("up", {}) end
  self.ill = nil
end

-- ---- what can never be sent ----

-- Told, and left where it is: what is behind it is to be replayed, too.
local function leave(self, item, why)
  item.copy = nil
  self.unsendable = self.unsendable + 1
  self.notice("unsendable", { id = item.id, partition = item.partition, offset = item.offset,
    count = item.count - 1, reason = why })
end

-- A topic that is gone is not told from one that is slow to be found: its brokers are asked.
local function is_gone(self, topic)
  local admin <close> = kafka.admin { brokers = self.o.brokers }
  if not admin then return false end
  local _, failure = admin:topic(topic)
  return failure ~= nil and failure.blame == "place"
end

-- never(self, item, failure) -> why no other try would do | nil
local function never(self, item, failure)
  if failure.blame == "record" or failure.blame == "place" and not failure.retriable then
    return tostring(failure)
  end
  if failure.happened == "no" and is_gone(self, item.copy.topic) then
    return ("there is no topic %s"):format(item.copy.topic)
  end
end

-- ---- sending until it is acknowledged ----

local function open_producer(self)
  -- How large a copy may be is for its topic to say, not for the client.
  local settings = { brokers = self.o.brokers, acks = "all", enable_idempotence = true,
    partitioner = "murmur2_random", linger_ms = 0, message_timeout_ms = 5000, message_max_bytes = 100000000 }
  local failure
  self.producer, failure = kafka.producer(tables.merged(settings, self.o.producer))
  return self.producer, failure
end

-- One that is dead (fenced, out of sequence) would refuse all that follows.
local function renew_producer(self)
  self.producer:close { at_most = "0s" }
  local ok, failure = open_producer(self)
  if not ok then error(failure, 0) end
end

local function copies_of(items)
  local copies = {}
  for i, item in ipairs(items) do copies[i] = item.copy end
  return copies
end

-- Those that failed for now; what can never be sent is left.
local function failed_of(self, items, sent)
  local left, dead = {}, false
  for _, failure in ipairs(sent:failed()) do
    local item = items[failure.index]
    local why = never(self, item, failure)
    dead = dead or failure.fatal
    if why then
      leave(self, item, why)
    else
      down(self, failure)
      self.failures = self.failures + 1
      left[#left + 1] = item
    end
  end
  return left, dead
end

-- Sends until each copy is acknowledged, or can never be; false when it was told to stop before. What failed
-- may be in the log nevertheless: it is sent again.
local function deliver(self, items)
  while #items > 0 do
    local sent = self.producer:submit(copies_of(items))
    sent:wait()
    local left, dead = failed_of(self, items, sent)
    if dead then renew_producer(self) end
    if #left == 0 then up(self) end
    items = left
    if #items > 0 then
      if self.stopping then return false end
      nap(self, PAUSE)
    end
  end
  return true
end

local function positions_of(chunk)
  local last, list = {}, {}
  for _, item in ipairs(chunk) do last[item.partition] = item.offset + 1 end
  for partition, offset in pairs(last) do
    list[#list + 1] = { topic = chunk[1].topic, partition = partition, offset = offset }
  end
  return list
end

-- A commit that the broker refused since the group went on without us: whoever has the partition now will
-- do it again.
local function commit(self, chunk)
  while true do
    local ok, failure = self.consumer:commit(positions_of(chunk))
    if ok then return up(self) end
    down(self, failure)
    self.dead = failure.fatal
    if not failure.retriable or self.stopping then
      return self.notice("not committed", { error = tostring(failure) })
    end
    nap(self, PAUSE)
  end
end

-- The failpoint sees each copy after its acknowledgement; an error there leaves the commit out, as a crash
-- would.
local function after_ack(item)
  local _, failure = fail.point("replay.after_ack",
    { id = item.id, key = item.key ~= null and item.key or "", topic = item.copy.topic,
    partition = item.partition, offset = item.offset, attempt = item.count })
  return failure
end

local function finish(self, chunk)
  local items, injected = {}, nil
  for _, item in ipairs(chunk) do
    if item.copy then items[#items + 1] = item end
  end
  if not deliver(self, items) then return end
  for _, item in ipairs(chunk) do
    if item.copy then
      self.replayed = self.replayed + 1
      self.notice("replayed", { id = item.id, to = item.copy.topic, partition = item.partition,
        offset = item.offset, count = item.count })
      injected = after_ack(item) or injected
    end
  end
  if injected then return self.notice("not committed", { error = tostring(injected) }) end
  commit(self, chunk)
end

local function item_of(self, record)
  local story, id = dlq.read(record.headers), reader.identity(record)
  local what = verdict(self, record, id, story)
  local item = { id = id, key = record.key, topic = record.topic,
    partition = record.partition, offset = record.offset,
    count = story.replay_count + 1 }
  if what == "partial" then
    leave(self, item, PARTIAL:format(story.cut, tostring(story.original_topic),
      tostring(story.original_partition), tostring(story.original_offset)))
  elseif what == "replay" then
    item.copy = copy_of(self, record, story)
    if self.sent then self.sent[id] = self.o.guard ~= false and item.count or 0 end
  else
    self[what] = self[what] + 1
    if what ~= "passed" then
      self.notice(what, { id = item.id, partition = item.partition, offset = item.offset,
        count = story.replay_count })
    end
  end
  return item
end

-- ---- reading ----

local function open_consumer(self)
  local settings = { brokers = self.o.brokers, group = self.o.group, enable_auto_commit = false,
    auto_offset_reset = "earliest",
    isolation_level = "read_committed", enable_partition_eof = true, fetch_wait_max_ms = 100,
    session_timeout_ms = 6000 }
  local failure
  self.consumer, failure = kafka.consumer(tables.merged(settings, self.o.consumer))
  return self.consumer, failure
end

local function connect(self)
  local ok, failure = open_producer(self)
  if not ok then return nil, failure end
  return open_consumer(self)
end

-- One that follows shares the work with others of its group; one that ends reads what is there now, and
-- nobody else may be at it.
local function begin(self)
  if self.o.follow then return self.consumer:subscribe { self.o.dlq } end
  local admin <close>, failure = kafka.admin { brokers = self.o.brokers }
  if not admin then return nil, failure end
  local free
  free, failure = require("rlab.replay.offsets").guard(admin, self.o.group)
  if not free then return nil, failure end
  local bounds
  bounds, failure = reader.bounds(admin, self.o.dlq)
  if not bounds then return nil, failure end
  local done
  done, failure = places.committed(admin, self.o.group, self.o.dlq)
  if not done then return nil, failure end
  local starts = {}
  self.left, self.bounds = {}, bounds
  for i, b in ipairs(bounds) do
    local from = math.max(b.low, done[b.partition] or 0)
    starts[i] = { topic = b.topic, partition = b.partition, offset = from }
    if from < b.high then self.left[b.partition] = b.high end
  end
  return self.consumer:assign(starts)
end

-- A client that the broker has shut out (fenced by another of the same group.instance.id, ...) is dead; the
-- next one begins where the group stands.
local function renew(self)
  self.notice("reopened", { error = self.ill })
  self.consumer:close()
  self.consumer, self.dead = nil, false
  local ok, failure = open_consumer(self)
  if ok then ok, failure = begin(self) end
  if not ok then error(failure, 0) end
end

local function poll(self)
  if self.dead then renew(self) end
  local batch, failure = self.consumer:poll(self.o.batch, "100ms")
  if batch then return batch end
  down(self, failure)
  self.dead = failure.fatal
  nap(self, PAUSE)
end

local function at_end(self)
  return self.left and not next(self.left)
end

local function note_place(self, record)
  local high = self.left and self.left[record.partition]
  if high and record.offset + (record.eof and 0 or 1) >= high then self.left[record.partition] = nil end
end

-- Beyond the end as it was at the beginning, where copies that failed again come in: not now.
local function is_late(self, record)
  return self.left and not self.left[record.partition]
end

local function take(self, batch)
  local chunk = {}
  for record in batch:each() do
    if self.stopping or budget_spent(self) then break end
    if record.err and not record.eof then
      down(self, record.err)
      self.dead = self.dead or record.err.fatal
    elseif not record.eof and not is_late(self, record) then
      local item = item_of(self, record)
      if item.copy then pace(self) end
      chunk[#chunk + 1] = item
    end
    note_place(self, record)
  end
  if #chunk > 0 then finish(self, chunk) end
end

local function loop(self)
  while not self.stopping and not at_end(self) do
    if budget_spent(self) then
      self.notice("budget", { copies = self.replayed })
      self.state = "out of budget"
      return
    end
    local batch = poll(self)
    if batch then take(self, batch) end
  end
  self.state = self.stopping and "stopped" or "done"
end

-- ---- copies that fail again ----

local SETTLES_IN = "2s"

-- Whoever cannot see whether copies fail again does not go on sending them.
local function watch(self)
  local ok, failure = pcall(refailed.watch, self.o.brokers, self.bounds, self.sent, function(failed)
    self.again = failed
    self.notice("failed again", failed)
    self:stop()
  end)
  if ok or failure.name == "CANCELLED" then return end
  self.blind = failure
  self:stop()
end

local function guarded(self)
  if not self.o.stop_on_refailure then return loop(self) end
  self.sent = {}
  local watcher = task.spawn(watch, self)
  loop(self)
  task.wait_until(function() return self.stopping end, { at_most = SETTLES_IN })
  watcher:cancel()
  if self.blind then error(self.blind, 0) end
end

-- replay:run() -> true | nil, err: until the end, the budget or stop(). What was under way then is
--   acknowledged and committed, or left to the next.
function Replay:run()
  local ok, failure = connect(self)
  if ok then ok, failure = begin(self) end
  if ok then
    self.state = "running"
    ok, failure = xpcall(guarded, script.traced, self)
  end
  for _, client in ipairs { "consumer", "producer" } do
    if self[client] then self[client]:close() end
  end
  if ok then return true end
  self.state = "failed"
  if not err.is(failure) then error(failure, 0) end
  return nil, failure
end

function Replay:stop() self.stopping = true end
function Replay:pause() self.paused = true end
function Replay:resume() self.paused = false end

-- replay:counts() -> {replayed, parked, skipped, passed, unsendable, failures, state, again = the copy that
--   failed again and ended it}
function Replay:counts()
  return { replayed = self.replayed, parked = self.parked, skipped = self.skipped, passed = self.passed,
    unsendable = self.unsendable, failures = self.failures, again = self.again,
    state = self.paused and self.state == "running" and "paused" or self.state }
end

-- lag(admin, dlq, group) -> records still to be replayed | nil, err
function M.lag(admin, topic, group)
  local bounds, failure = reader.bounds(admin, topic)
  if not bounds then return nil, failure end
  local done
  done, failure = places.committed(admin, group, topic)
  if not done then return nil, failure end
  local sum = 0
  for _, b in ipairs(bounds) do
    sum = sum + left_of({ low = b.low, hw = b.high }, done[b.partition]).lag
  end
  return sum
end

return M
