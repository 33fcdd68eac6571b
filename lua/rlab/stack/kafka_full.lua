-- When a Kafka cluster is ready: not when its ports accept, but when every broker is in metadata, every partition of the internal topics
-- has its full ISR, and a new topic of three copies takes an acks=all write on each partition that can be read back.
local err = require "rlab.err"
local process = require "rlab.process"
local clock = require "rlab.clock"
local task = require "rlab.task"

local M = {}

-- An observer of servers that start, stop and freeze gives up early and comes back soon.
local function impatient(ctx, more)
  local options = { brokers = ctx:brokers(), socket_timeout_ms = "2s", reconnect_backoff_ms = "20ms", reconnect_backoff_max_ms = "100ms",
    ["log_level"] = 0 }
  for key, value in pairs(more or {}) do options[key] = value end
  return options
end
M.options = impatient

function M.admin(ctx)
  return require("rlab.kafka").admin(impatient(ctx))
end

-- short_of(admin, brokers) -> what is missing, in words | nil when all brokers are in and internal topics are whole
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

-- answer(ctx, brokers) -> true | nil, err: each broker by itself; one that was killed stays in the others' metadata for a while
function M.answer(ctx, want)
  for _, id in ipairs(want) do
    local admin <close>, failure = require("rlab.kafka").admin(impatient(ctx, { brokers = "127.0.0.1:" .. ctx.ports["kafka-" .. id] }))
    if not admin then return nil, failure end
    local why
    local ok = task.wait_until(function()
      local cluster
      cluster, why = admin:cluster()
      return cluster
    end, { at_most = "30s", every = "30ms" })
    if not ok then return not_ready(("broker %d does not answer: %s"):format(id, why.message)) end
  end
  return true
end

local function make_topic(admin, name, partitions)
  local failure
  local ok = task.wait_until(function()
    local made
    made, failure = admin:create_topic { name = name, partitions = partitions, replication_factor = 3 }
    return made or failure.name == "TOPIC_ALREADY_EXISTS"
  end, { at_most = "30s", every = "30ms" })
  if not ok then return not_ready("no topic can be created: " .. failure.message) end
  local isr
  ok = task.wait_until(function()
    local topic = admin:topic(name)
    if not topic or #topic.partitions ~= partitions then return false end
    for _, p in ipairs(topic.partitions) do
      isr = #p.isr
      if p.leader < 0 or isr < 3 then return false end
    end
    return true
  end, { at_most = "20s", every = "20ms" })
  return ok or not_ready(("a new topic got only %s of 3 replicas in sync"):format(isr or 0))
end

-- One acks=all record on each partition, read back by offset.
local function write_and_read(ctx, name, partitions)
  local kafka = require "rlab.kafka"
  local producer <close>, failure = kafka.producer(impatient(ctx, { acks = "all", linger_ms = 0, message_timeout_ms = "10s" }))
  if not producer then return nil, failure end
  local list, assigned = {}, {}
  for p = 1, partitions do
    list[p] = { topic = name, partition = p - 1, value = "full" }
    assigned[p] = { topic = name, partition = p - 1, offset = "earliest" }
  end
  local consumer <close>, none = kafka.consumer(impatient(ctx, { group = name, enable_auto_commit = false, fetch_wait_max_ms = "50ms" }))
  if not consumer then return nil, none end
  local sent = producer:send_batch(list)
  local broken = sent:failed()[1]
  if broken then return not_ready("an acks=all write failed: " .. tostring(broken.err or broken)) end
  consumer:assign(assigned)
  local seen = 0
  local ok = task.wait_until(function()
    local batch = consumer:poll(partitions, "200ms")
    seen = seen + (batch and #batch or 0)
    return seen >= partitions
  end, { at_most = "10s", every = 0 })
  return ok or not_ready(("only %d of %d records came back"):format(seen, partitions))
end

-- prove(ctx) -> true | nil, err
function M.prove(ctx)
  local admin <close>, failure = M.admin(ctx)
  if not admin then return nil, failure end
  local want = require("rlab.stack.kafka").BROKERS
  local ok, broken = M.answer(ctx, want)
  if not ok then return nil, broken end
  ok, broken = M.whole(admin, want, "60s")
  if not ok then return nil, broken end
  local name = ("rlab-ready-%d-%d"):format(process.self(), clock.ns())
  ok, broken = make_topic(admin, name, #want)
  if ok then ok, broken = write_and_read(ctx, name, #want) end
  admin:delete_topics { name }
  if not ok then return nil, broken end
  return true
end

return M
