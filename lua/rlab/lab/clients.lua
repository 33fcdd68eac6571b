-- Clients and topics of an arm: the standard right profile, overridden by what the arm sets.
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local rate_cap = require "rlab.run.rate_cap"
local strict = require "rlab.options"
local tables = require "rlab.tables"

local M = {}

local common = { ["reconnect.backoff.max.ms"] = 500, ["topic.metadata.refresh.interval.ms"] = 1000 }
local profiles = {
  producer = {
    acks = "all", ["enable.idempotence"] = true, partitioner = "murmur2_random", ["linger.ms"] = 5,
    ["message.timeout.ms"] = 3000,
  },
  consumer = {
    ["auto.offset.reset"] = "earliest", ["isolation.level"] = "read_committed",
    ["enable.auto.offset.store"] = false,
    ["enable.auto.commit"] = true, ["auto.commit.interval.ms"] = 100, ["session.timeout.ms"] = 3000,
    ["heartbeat.interval.ms"] = 500,
    ["max.poll.interval.ms"] = 10000, ["fetch.wait.max.ms"] = 100, ["fetch.error.backoff.ms"] = 50,
    ["enable.partition.eof"] = true,
  },
}

local own_keys = { brokers = true, group = true }

-- settings(lab, kind, overrides) -> the full table of client properties
function M.settings(lab, kind, overrides)
  local all = { brokers = lab.stack.kafka.brokers }
  for _, source in ipairs { common, profiles[kind], overrides or {} } do
    for key, value in pairs(source) do
      all[own_keys[key] and key or (key:gsub("_", "."))] = value
    end
  end
  return all
end

-- producer{overrides} -> a producer in the standard profile (acks=all, idempotent); closed with the arm
function M.producer(lab, overrides)
  local settings = lab:settings("producer", overrides)
  lab:note_client("producer", settings)
  return lab:own(must(kafka.producer(settings)))
end

-- consumer{group=, overrides} -> a consumer in the standard profile (read_committed, offsets stored by
--   hand); closed with the arm
function M.consumer(lab, overrides)
  local settings = lab:settings("consumer", overrides)
  settings.group = settings.group or lab:name "group"
  lab.run.ledger:add("group", settings.group)
  lab:note_client("consumer", settings)
  return lab:own(must(kafka.consumer(settings)))
end

-- send_all(producer, messages, what): all of them acknowledged, or the arm is inconclusive; `what` is the
--   history's value
function M.send_all(lab, producer, messages, what)
  local operation = lab:invoke("producer", "send", what)
  local acked = 0
  for part in rate_cap.parts(lab.run.rate_cap, messages) do
    acked = acked + #must(producer:send_batch(part)):acked()
  end
  if acked ~= #messages then lab:give_up("%d of %d records acknowledged", acked, #messages) end
  operation:over "ok"
end

local topic_keys = { "assignment", "configs", "min_isr", "partitions", "prefix", "replication_factor" }

local function in_sync(lab, name)
  local found = lab.run.admin:topic(name)
  for _, p in ipairs(found and found.partitions or {}) do
    if #p.isr < #p.replicas then return false end
  end
  return found ~= nil
end

-- A slow broker may have made the topic although its answer came too late: the client asks again and hears
-- that it exists. Nobody else has the name.
local function create_topic(lab, spec)
  lab.asked_topics = lab.asked_topics or {}
  local again = lab.asked_topics[spec.name]
  lab.asked_topics[spec.name] = true
  local made, failure = lab.run.admin:create_topic(spec)
  if made then return end
  if again or failure.name ~= "TOPIC_ALREADY_EXISTS" then error(failure, 0) end
  lab:await("the replicas of " .. spec.name, function() return in_sync(lab, spec.name) end)
end

-- topic(word, {partitions=, replication_factor=, min_isr=, assignment=, configs=, prefix=}) -> the topic's
--   full name, when every replica is in sync; prefix: before the name, where brokers look at how it begins
function M.topic(lab, word, opts)
  opts = strict.check("lab:topic", opts, topic_keys)
  local name = (opts.prefix or "") .. lab:name(word)
  local at = lab.stack.kafka
  local min_isr = opts.min_isr or at.min_isr or 2
  local configs = tables.merged({ ["min.insync.replicas"] = tostring(min_isr) }, opts.configs)
  lab.run.ledger:add("topic", name)
  create_topic(lab, {
    name = name, configs = configs, assignment = opts.assignment,
    partitions = not opts.assignment and (opts.partitions or 1) or nil,
    replication_factor = not opts.assignment
      and (opts.replication_factor or at.replication_factor or 3) or nil,
  })
  return name
end

-- offsets(topic, partition) -> {low, lso, hw, leo, leader, epoch, ...} | nil, err, from the brokers by the
--   observer's own connections
function M.offsets(lab, topic, partition)
  return lab.run.admin:offsets(topic, partition or 0)
end

-- partition(topic, partition) -> {leader, epoch, replicas, isr} | nil, err
function M.partition(lab, topic, partition)
  local found, failure = lab.run.admin:topic(topic)
  if not found then return nil, failure end
  return found.partitions[(partition or 0) + 1]
end

-- follower(topic) -> the id of a follower of partition 0 that is in sync
function M.follower(lab, topic)
  local part, follower = must(lab:partition(topic, 0)), nil
  for _, id in ipairs(part.isr) do
    if id ~= part.leader then follower = id end
  end
  return follower or lab:give_up("%s has no follower in sync", topic)
end

-- isr_is(topic, {1, 2}) -> true when the in-sync replicas of partition 0 are exactly these
function M.isr_is(lab, topic, want)
  local found = lab:partition(topic, 0)
  if not found or #found.isr ~= #want then return false end
  local have = tables.set_of(found.isr)
  for _, id in ipairs(want) do
    if not have[id] then return false end
  end
  return true
end

-- feature(name, level): the cluster's level of a feature such as transaction.version, known to every broker;
--   the run's end puts it back. For runs that have the stack alone.
function M.feature(lab, name, level)
  if lab.run.experiment.disrupts ~= true then
    error("lab:feature changes the whole cluster: write disrupts = true", 2)
  end
  local admin = lab.run.admin
  local was = must(admin:features())[name] or 0
  if was ~= level then
    lab.run.ledger:add("feature", ("%s=%d"):format(name, was))
    must(admin:set_feature(name, level))
  end
  for _, broker in ipairs(must(admin:cluster()).brokers) do
    lab:await(("%s %d at broker %d"):format(name, level, broker.id), function()
      return (must(admin:features { broker = broker.id })[name] or 0) == level
    end)
  end
end

return M
