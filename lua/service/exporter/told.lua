-- exporter: a survey as metrics. Names and labels of kafka_exporter where it has one; what it does not tell
-- is called rlab_kafka_...
local left = require "rlab.kafka.left"
local metrics = require "rlab.metrics"
local tables = require "rlab.tables"

local M = {}

local function escaped(name, value) return metrics.labels { [name] = value } end

local families = {
  { "current_offset", "kafka_topic_partition_current_offset", "gauge",
    "High watermark of the partition: the offset behind the last record that consumers may see." },
  { "oldest_offset", "kafka_topic_partition_oldest_offset", "gauge",
    "Low watermark of the partition: its first offset." },
  { "stable", "rlab_kafka_topic_partition_last_stable_offset", "gauge",
    "Last stable offset of the partition: up to here a read_committed consumer gets." },
  { "open_age", "rlab_kafka_topic_partition_open_transaction_age_seconds", "gauge",
    "How long the transaction is open that holds the last stable offset back." },
  { "leader", "kafka_topic_partition_leader", "gauge", "Broker that leads the partition, -1 for none." },
  { "preferred", "kafka_topic_partition_leader_is_preferred", "gauge",
    "1 while the first of its replicas leads the partition." },
  { "replicas", "kafka_topic_partition_replicas", "gauge", "Replicas that the partition is to have." },
  { "isr", "kafka_topic_partition_in_sync_replica", "gauge", "Replicas that are in sync." },
  { "under", "kafka_topic_partition_under_replicated_partition", "gauge",
    "1 while not all of its replicas are in sync." },
  { "partitions", "kafka_topic_partitions", "gauge", "Partitions of the topic." },
  { "members", "kafka_consumergroup_members", "gauge", "Members of the group." },
  { "committed", "kafka_consumergroup_current_offset", "gauge", "Offset that the group has committed." },
  { "committed_sum", "kafka_consumergroup_current_offset_sum", "untyped",
    "Offsets that the group has committed, of all partitions of the topic together." },
  { "lag", "kafka_consumergroup_lag", "gauge", "Offsets from the committed one to the high watermark." },
  { "lag_sum", "kafka_consumergroup_lag_sum", "untyped",
    "Offsets from the committed ones to the high watermarks, of all partitions of the topic together." },
  { "watermark", "rlab_kafka_consumergroup_lag", "gauge",
    "What the group has before it: offsets up to the high watermark, offsets up to the last stable one, or \z
      records that a read_committed consumer will get, counted.", { definition = "watermark" } },
  { "lso", "rlab_kafka_consumergroup_lag", "gauge", nil, { definition = "lso" } },
  { "readable", "rlab_kafka_consumergroup_lag", "gauge", nil, { definition = "readable" } },
  { "seconds", "rlab_kafka_consumergroup_lag_seconds", "gauge",
    "How long ago the oldest record came that the group has not committed." },
}

local function put(series, labels, value)
  local n = series.n
  series[n + 1], series[n + 2], series.n = labels, value, n + 2
end

-- ---- topics ----

local function put_partition(all, labels, p, now)
  if p.hw then put(all.current_offset, labels, p.hw) end
  if p.low then put(all.oldest_offset, labels, p.low) end
  if p.lso then put(all.stable, labels, p.lso) end
  if p.open_since_ms then put(all.open_age, labels, math.max(0, now - p.open_since_ms / 1000)) end
  put(all.leader, labels, p.leader or -1)
  put(all.preferred, labels, p.leader ~= nil and p.leader == p.replicas[1] and 1 or 0)
  put(all.replicas, labels, #p.replicas)
  put(all.isr, labels, #p.isr)
  put(all.under, labels, #p.isr < #p.replicas and 1 or 0)
end

local function put_topics(all, survey, now)
  local texts = {}
  for _, topic in ipairs(survey.topics) do
    local text, by_partition = escaped("topic", topic.name), {}
    for _, p in ipairs(topic.partitions) do
      local labels = ('partition="%d",%s'):format(p.partition, text)
      by_partition[p.partition] = labels
      put_partition(all, labels, p, now)
    end
    put(all.partitions, text, #topic.partitions)
    texts[topic.name] = { text = text, by_partition = by_partition }
  end
  return texts
end

-- ---- groups ----

-- 0 where nothing is left to be read and nothing waits for a transaction's end; else since when the
-- record at the committed offset is there.
local function seconds_of(seen, at, row, counted)
  if counted == 0 and at.lso == at.hw then return 0 end
  local age = row.from and seen.watermarks:age(seen.now, seen.topic, seen.partition, row.from)
  return age and math.floor(age * 1000 + 0.5) / 1000
end

local function put_place(all, labels, at, committed, seen)
  local row = left.of(at, committed)
  put(all.committed, labels, committed)
  if not row.lag then return nil end
  local counted = seen.counted(at, row)
  local lag = math.max(0, at.hw - committed)
  put(all.lag, labels, lag)
  put(all.watermark, labels, row.lag)
  if row.readable then put(all.lso, labels, row.readable) end
  if counted then put(all.readable, labels, counted) end
  local seconds = seconds_of(seen, at, row, counted)
  if seconds then put(all.seconds, labels, seconds) end
  return lag
end

-- A sum that lacks a part is none: it would look like progress.
local function put_topic(all, group, topic, offsets, places, texts, seen)
  local sum, lag_sum, whole = 0, 0, true
  seen.topic = topic
  for partition, committed in pairs(offsets) do
    local at = places and places[partition]
    local labels = texts and texts.by_partition[partition]
      or ('partition="%d",%s'):format(partition, escaped("topic", topic))
    seen.partition = partition
    local lag = put_place(all, group .. "," .. labels, at or {}, committed, seen)
    sum = sum + committed
    lag_sum, whole = lag_sum + (lag or 0), whole and lag ~= nil
  end
  local labels = group .. "," .. (texts and texts.text or escaped("topic", topic))
  put(all.committed_sum, labels, sum)
  if whole then put(all.lag_sum, labels, lag_sum) end
end

local function put_groups(all, survey, places, texts, seen)
  for _, group in ipairs(survey.groups) do
    local text = escaped("consumergroup", group.id)
    if group.members then put(all.members, text, group.members) end
    for topic, offsets in pairs(group.committed) do
      put_topic(all, text, topic, offsets, places[topic], texts[topic], seen)
    end
  end
end

-- ---- all ----

-- places(survey) -> its partitions by topic and number
function M.places(survey)
  local places = {}
  for _, topic in ipairs(survey.topics) do
    local by_partition = {}
    for _, p in ipairs(topic.partitions) do by_partition[p.partition] = p end
    places[topic.name] = by_partition
  end
  return places
end

local UP = "1 while the broker answers, 0 when it left a question of this scrape open or is not in the \z
  cluster; absent 15 minutes after the last partition counted on it."
local FORGOTTEN_AFTER = 900 -- seconds without a replica and without the broker

-- One that is not there is missed for as long as a partition counts on it; one that was taken out of the
-- cluster for good has no replica left.
local function note_brokers(known, survey, now)
  local named = {}
  for _, topic in ipairs(survey.topics) do
    for _, p in ipairs(topic.partitions) do
      for _, id in ipairs(p.replicas) do named[id] = true end
    end
  end
  for _, broker in ipairs(survey.brokers) do named[broker.id] = true end
  for id in pairs(named) do known[id] = now end
  for id, at in pairs(known) do
    if now - at > FORGOTTEN_AFTER then known[id] = nil end
  end
end

-- up(known | nil, survey | nil, now) -> the gauge of each broker. known: when each was last in the metadata,
--   as a broker or as one of a partition's replicas; changed by the survey.
function M.up(known, survey, now)
  local up, list = {}, {}
  known = known or {}
  if survey then note_brokers(known, survey, now) end
  for _, broker in ipairs(survey and survey.brokers or {}) do up[broker.id] = true end
  for _, failure in ipairs(survey and survey.failed or {}) do
    if failure.silent then up[failure.broker] = nil end
  end
  for i, id in ipairs(tables.sorted_keys(known)) do
    list[i] = { name = "rlab_kafka_broker_up", type = "gauge", value = up[id] and 1 or 0, help = UP,
      labels = { id = id } }
  end
  return list
end

local function put_brokers(list, survey)
  list[#list + 1] = { name = "kafka_brokers", type = "gauge", help = "Brokers of the cluster.",
    value = #survey.brokers }
  for _, broker in ipairs(survey.brokers) do
    list[#list + 1] = { name = "kafka_broker_info", type = "gauge", help = "Where a broker listens.",
      value = 1, labels = { id = broker.id, address = ("%s:%d"):format(broker.host, broker.port) } }
  end
end

-- metrics(survey, places, seen) -> list, as rlab.metrics takes it. seen: now (Unix time, in seconds),
--   watermarks and counted, as watermarks.lua and readable.lua give them, and known, of M.up.
function M.metrics(survey, places, seen)
  local all, list = {}, M.up(seen.known, survey, seen.now)
  for _, family in ipairs(families) do all[family[1]] = { n = 0 } end
  put_brokers(list, survey)
  put_groups(all, survey, places, put_topics(all, survey, seen.now), seen)
  for _, family in ipairs(families) do
    local series = all[family[1]]
    if series.n > 0 then
      list[#list + 1] = { name = family[2], type = family[3], help = family[4], labels = family[5],
        series = series }
    end
  end
  return list
end

return M
