-- When a Kafka cluster is ready: not when its ports accept, but when every broker is in metadata, every
-- partition of the internal topics has its full ISR, and a new topic of three copies takes an acks=all
-- write on each partition that can be read back.
local defer = require "rlab.defer"
local err = require "rlab.err"
local process = require "rlab.process"
local clock = require "rlab.clock"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

-- An observer of servers that start, stop and freeze gives up early and comes back soon.
local function impatient(ctx, more)
  local options = { brokers = ctx:brokers(), socket_timeout_ms = "2s", reconnect_backoff_ms = "20ms",
    reconnect_backoff_max_ms = "100ms",
    ["log_level"] = 0 }
  local login = ctx.secure and require("rlab.stack.secure.kafka").login(ctx)
  return tables.merged(options, login, more)
end
M.options = impatient

function M.admin(ctx)
  return require("rlab.kafka").admin(impatient(ctx))
end

-- short_of(admin, brokers) -> what is missing, in words | nil when all brokers are in and internal topics
--   are whole
function M.short_of(admin, want)
  local cluster, failure = admin:cluster()
  if not cluster then return failure.message end
  local have = {}
  for _, broker in ipairs(cluster.brokers) do have[broker.id] = true end
  for _, id in ipairs(want) do
    if not have[id] then return ("broker %d is not in the metadata"):format(id) end
  end
  local names, unlisted = admin:topics()
  if not names then return unlisted.message end
  for _, name in ipairs(names) do
    if name:sub(1, 2) == "__" then
      local topic, unknown = admin:topic(name)
      if not topic then return unknown.message end
      for _, p in ipairs(topic.partitions) do
        if #p.isr < #p.replicas then
          return ("%s/%d has %d of %d replicas in sync"):format(name, p.partition, #p.isr, #p.replicas)
        end
        if p.leader < 0 then return ("%s/%d has no leader"):format(name, p.partition) end
      end
    end
  end
  return nil
end

local function not_ready(what)
  return nil, err.new { domain = "rlab", code = 0, name = "NOT_READY", retriable = true, message = what }
end

-- whole(admin, brokers, at_most) -> true | nil, err
function M.whole(admin, want, at_most)
  local missing
  local ok = task.wait_until(function()
    missing = M.short_of(admin, want)
    return not missing
  end, { at_most = at_most, every = "30ms", what = "a whole cluster" })
  if ok then return true end
  return not_ready("the cluster is not whole: " .. missing)
end

-- answer(ctx, brokers[, at_most]) -> true | nil, err: each broker by itself says that nothing is missing;
--   one that was killed stays in the others' metadata for a while, and one that comes back is the last to
--   know what it missed
function M.answer(ctx, want, at_most)
  for _, id in ipairs(want) do
    local admin <close>, failure =
      require("rlab.kafka").admin(impatient(ctx, { brokers = "127.0.0.1:" .. ctx.ports["kafka-" .. id] }))
    if not admin then return nil, failure end
    local missing
    local ok = task.wait_until(function()
      missing = M.short_of(admin, want)
      return not missing
    end, { at_most = at_most or "30s", every = "30ms" })
    if not ok then return not_ready(("broker %d is not ready: %s"):format(id, missing)) end
  end
  return true
end

-- Each broker leads one partition and follows the others, so that one record on each passes through all of
-- them.
local function replicas_of(want)
  local list = {}
  for i = 1, #want do
    list[i] = {}
    for k = 1, #want do list[i][k] = want[(i + k - 2) % #want + 1] end
  end
  return list
end

local function make_topic(admin, name, replicas)
  local failure
  local ok = task.wait_until(function()
    local made
    made, failure = admin:create_topic { name = name, assignment = replicas, wait = false }
    return made or failure.name == "TOPIC_ALREADY_EXISTS"
  end, { at_most = "30s", every = "30ms" })
  return ok or not_ready("no topic can be created: " .. failure.message)
end

-- in_sync(admin, name, replicas) -> true, whether each partition is led by its first replica | nil, err
local function in_sync(admin, name, replicas)
  local isr, preferred
  local ok = task.wait_until(function()
    local topic = admin:topic(name)
    if not topic or #topic.partitions ~= #replicas then return false end
    preferred = true
    for _, p in ipairs(topic.partitions) do
      isr = #p.isr
      if p.leader < 0 or isr < #replicas[p.partition + 1] then return false end
      preferred = preferred and p.leader == replicas[p.partition + 1][1]
    end
    return true
  end, { at_most = "20s", every = "20ms" })
  if ok then return true, preferred end
  return not_ready(("a new topic got only %s of 3 replicas in sync"):format(isr or 0))
end

-- The clients of the proof are made while the servers still start. The reader is in no group: the first
-- group makes Kafka create a topic.
local function open_clients(ctx)
  local kafka = require "rlab.kafka"
  local producer, failure = kafka.producer(impatient(ctx,
    { acks = "all", linger_ms = 0, message_timeout_ms = "10s",
    ["topic.metadata.refresh.fast.interval.ms"] = 20, retry_backoff_ms = 20, retry_backoff_max_ms = 50 }))
  if not producer then return nil, failure end
  local consumer, none = kafka.consumer(impatient(ctx,
    { enable_auto_commit = false, fetch_wait_max_ms = "20ms",
    ["topic.metadata.refresh.fast.interval.ms"] = 20 }))
  if consumer then return producer, consumer end
  producer:close()
  return nil, none
end

local function write(producer, name, partitions)
  local list = {}
  for p = 1, partitions do list[p] = { topic = name, partition = p - 1, value = "full" } end
  local broken = producer:send_batch(list):failed()[1]
  return not broken or not_ready("an acks=all write failed: " .. tostring(broken.err or broken))
end

local function read(consumer, name, partitions)
  local assigned, seen = {}, 0
  for p = 1, partitions do assigned[p] = { topic = name, partition = p - 1, offset = "earliest" } end
  consumer:assign(assigned)
  local ok = task.wait_until(function()
    local batch = consumer:poll(partitions, "200ms")
    seen = seen + (batch and #batch or 0)
    return seen >= partitions
  end, { at_most = "10s", every = 0 })
  return ok or not_ready(("only %d of %d records came back"):format(seen, partitions))
end

-- One acks=all record on each partition, read back by offset. The reader stands ready before the first
-- record is written.
local function write_and_read(producer, consumer, name, partitions)
  local reading = task.spawn(read, consumer, name, partitions)
  local _ <close> = defer(function() reading:cancel() end)
  local ok, failure = write(producer, name, partitions)
  if not ok then return nil, failure end
  return reading:join()
end

local function await_listening(ctx, want)
  return task.wait_until(function()
    local listening = ctx:listening()
    for _, id in ipairs(want) do
      if not listening[ctx.ports["kafka-" .. id]] then return false end
    end
    return true
  end, { at_most = "90s", every = "20ms", what = "three listening brokers" })
end

local function prove_topic(ctx, admin, producer, consumer, want)
  local replicas = replicas_of(want)
  local name = ("rlab-ready-%d-%d"):format(process.self(), clock.ns())
  local ok, failure = make_topic(admin, name, replicas)
  if ok then ok, failure = write_and_read(producer, consumer, name, #want) end
  local preferred
  if ok then ok, preferred = in_sync(admin, name, replicas) end
  if not ok then failure = failure or preferred end
  admin:delete_topics({ name }, { wait = false })
  if not ok then return nil, failure end
  return preferred or M.answer(ctx, want)
end

-- prove(ctx) -> true | nil, err: may begin while the brokers still start
function M.prove(ctx)
  local want = require("rlab.stack.kafka").BROKERS
  local ok, failure = await_listening(ctx, want)
  if ok and ctx.secure then ok, failure = require("rlab.stack.secure.kafka").admit(ctx, impatient(ctx)) end
  if not ok then return nil, failure end
  local admin <close>, no_admin = M.admin(ctx)
  if not admin then return nil, no_admin end
  local producer <close>, other = open_clients(ctx)
  if not producer then return nil, other end
  local consumer <close> = other
  ok, failure = M.whole(admin, want, "60s")
  if not ok then return nil, failure end
  ok, failure = prove_topic(ctx, admin, producer, consumer, want)
  if not ok or not ctx.secure then return ok, failure end
  return require("rlab.stack.secure.kafka").mark(admin)
end

return M
