-- Events whose schema changes under their consumers: who wrote which version, which versions the consumer of
-- that moment reads, and what became of each record. Accounts are bound to partitions, so that each partition
-- has records of each version, in order.
local bag = require "rlab.bag"
local schema = require "rlab.schema"
local tables = require "rlab.tables"

local M = {}

local Story = {}
Story.__index = Story

M.HEADER = "schema-version"

-- plan(lab, events, accounts, partitions) -> list: the accounts go round, each in the partition of its own;
--   sums that shall be missing are not 0 by chance
function M.plan(lab, events, accounts, partitions)
  local list = lab:plan(events, accounts, "evt")
  for i, event in ipairs(list) do
    event.account, event.amount = 1 + (i - 1) % accounts, 1 + math.abs(event.amount)
    event.partition = (event.account - 1) % partitions
  end
  return lab:name_events(list)
end

-- new(lab, {events =, accounts =, partitions =, writers = {version = function(event) -> value}, settings =})
--   -> story with its plan and topics: what the consumers have in common stands in settings
function M.new(lab, opts)
  local story = setmetatable({ lab = lab, writers = opts.writers, settings = opts.settings,
    partitions = opts.partitions, topic = lab:event_topic { partitions = opts.partitions },
    dlq = lab:topic("events.dlq", { partitions = 1 }), replay_group = lab:name "replay" }, Story)
  story.list = M.plan(lab, opts.events, opts.accounts, opts.partitions)
  return story
end

-- ids(list, from, to) -> ids of these places of the plan
function M.ids(list, from, to)
  local ids = {}
  for i = from, to do ids[#ids + 1] = list[i].id end
  return ids
end

-- sum(list, from, to) -> their amounts
function M.sum(list, from, to)
  local sum = 0
  for i = from, to do sum = sum + list[i].amount end
  return sum
end

-- story:write(version, from, to, [topic]): these events, as that version of the producer writes them
function Story:write(version, from, to, topic)
  self.lab:event("the producer writes version %s, events %d to %d", version, from, to)
  self.lab:publish { topic = topic or self.topic, list = table.move(self.list, from, to, 1, {}),
    value = self.writers[version], headers = function() return { { M.HEADER, version } } end }
end

-- story:wrote(versions, fault) -> fault: proved by how many records of each version the topic holds;
--   versions: numbers by version
function Story:wrote(versions, fault)
  local proofs = {}
  for _, version in ipairs(tables.sorted_keys(versions)) do
    proofs[#proofs + 1] = self.lab.proof.records("records of version " .. version, { topic = self.topic,
      headers = { [M.HEADER] = version }, want = versions[version] })
  end
  return fault:fired(table.unpack(proofs)):over()
end

-- ---- the consumer ----

-- What is to have its partitions before anything happens.
local function joined(story)
  story.lab:await(story.consumer.name .. " to have its partitions", function()
    return story.consumer:metric "rlab_consumer_partitions" == story.partitions
  end, "25s")
end

-- story:start(settings): the consumer, one record at a time, and it has its partitions
function Story:start(settings)
  self.consumer = self.lab:service("consumer", tables.merged({ workers = self.partitions, batch = 1,
    fetch = 1, dlq = self.dlq }, self.settings, settings))
  joined(self)
end

-- story:upgrade(settings): the same consumer is stopped politely and comes back with these settings, without
--   a reset
function Story:upgrade(settings)
  if self.consumer:alive() then self.consumer:stop() end
  self.consumer = self.consumer:restart(settings)
  self.lab:event "the upgraded consumer reads"
  joined(self)
end

-- story:reset(): somebody noticed, and sends the group back to the beginning
function Story:reset()
  self.consumer:stop()
  self.lab:reset_offsets(0, self.partitions)
  self.consumer = self.consumer:restart()
end

-- story:drain(): the group is at the end
function Story:drain()
  self.lab:drain { outbox = false, topic = self.topic, at_most = "20s" }
end

-- story:replay(): what was parked is sent once more to the group that parked it
function Story:replay()
  local lab = self.lab
  lab:service("replay", { topic = self.topic, dlq = self.dlq, group = self.replay_group })
  lab:owed("replayed", "the replayer is at the end of the DLQ", function()
    return lab:lag { topic = self.dlq, group = self.replay_group } == 0
  end, "20s")
end

-- ---- what the stores say ----

-- story:look() -> {effects, parked: ids, sums, lag, committed, failed}: as it is now
function Story:look()
  local committed = self.lab:committed { topic = self.topic } -- what is passed later was applied later, too
  local stores = self.lab:stores()
  return { effects = tables.ids_of(stores.effects), parked = tables.ids_of(self.lab:records(self.dlq)),
    sums = stores.sums, lag = self.lab:lag { topic = self.topic },
    committed = committed,
    failed = self.consumer:metric "rlab_consumer_failed_total" }
end

-- story:records([topic]) -> rows {id, topic, partition, offset, timestamp, version, schema} by the
--   independent reader; version: of the header, schema: the id that the value carries, if it does
function Story:records(topic)
  local rows = {}
  for i, record in ipairs(self.lab:read(topic or self.topic, { headers = true }).records) do
    rows[i] = { id = record.request, topic = record.topic, partition = record.partition,
      offset = record.offset, timestamp = record.timestamp, schema = schema.id(record.value) }
    for _, pair in ipairs(record.headers) do
      if pair[1] == M.HEADER then rows[i].version = pair[2] end
    end
  end
  return rows
end

-- first_of(records, version) -> when its first record was written, ms since 1970
function M.first_of(records, version)
  local first
  for _, record in ipairs(records) do
    if record.version == version then first = math.min(first or math.maxinteger, record.timestamp) end
  end
  return first
end

-- watch(): series of what is lagged, applied and parked
function Story:watch()
  self.lab:watch_pipeline { "applied", "lag" }
  self.lab:gauge(function(row)
    local now = self.lab.run:watcher():offsets(self.dlq, 0)
    if now and now.hw then row["dlq.in"] = now.hw end
  end)
end

-- missing(all, effects) -> how many of them have no effect
function M.missing(all, effects)
  return #(bag.from(all) - bag.from(effects))
end

return M
