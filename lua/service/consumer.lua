-- consumer: applies the events of a topic to the read model, each once, by flow.consume. The defaults are
-- the right practice; the other values of an option are the wrong ones that experiments show, and say so in
-- their help.
local dlq = require "rlab.dlq"
local flow = require "rlab.service.flow"
local flow_consume = require "rlab.flow_consume"
local meters = require "rlab.service.meters"
local script = require "rlab.experiment.script"
local service = require "rlab.service"
local tables = require "rlab.tables"
local task = require "rlab.task"
local usage = require "rlab.usage" "service consumer: "

local options = {
  { name = "topic", type = "string", default = "orders", help = "the topic of events" },
  { name = "group", type = "string", default = "consumer", help = "its consumer group" },
  { name = "consumer_name", type = "string", help = "its name in processed_event and consumer_offset; the \z
    group when not set" },
  { name = "workers", type = "int", default = 4, min = 1, max = 64,
    help = "threads with a MySQL connection each; a partition belongs to one" },
  { name = "batch", type = "int", shown = "500", min = 1, max = 10000,
    help = "records of one transaction at most; a pool takes one" },
  { name = "fetch", type = "int", min = 1, max = 10000,
    help = "records taken from a partition at once; as batch when not set" },
  { name = "commit", type = "enum", default = "after-work",
    values = { "after-work", "sync-after-work", "mysql", "pool-min", "before-work", "auto", "pool-max" },
    help = "where offsets are committed: the last three lose records, the pools keep no order" },
  { name = "dedup", type = "enum", default = "processed-event",
    values = { "processed-event", "none", "redis", "position" },
    help = "how an event that comes again is known: only the first is right" },
  { name = "dedup_ttl", type = "duration", default = "1h", min = "1s",
    help = "how long dedup = redis remembers" },
  { name = "cache", type = "enum", default = "versioned",
    values = { "none", "del-before", "del-after", "del-twice", "lease", "versioned", "update", "delta",
      "tonumber", "two-step" },
    help = "what is done to the account's entry in Redis; lease, versioned and update are right, none is \z
      where nobody caches (else it stays stale for the query service's ttl)" },
  { name = "prefix", type = "string", default = "", help = "of the keys in Redis" },
  { name = "cache_again", type = "duration", default = "500ms", min = "0s",
    help = "how long after the commit cache = del-twice deletes the entry once more" },
  { name = "cache_wait", type = "duration", default = "30s", min = "0s",
    help = "how long a batch waits for a Redis that is away before its records fail" },
  { name = "invalidate_seen", type = "bool", default = true,
    help = "invalidate also when the event had been applied before; off leaves stale entries" },
  { name = "transactional", type = "bool", default = true,
    help = "one transaction a batch; off commits each statement by itself" },
  { name = "drop_lost", type = "bool", default = true, help = "drop records of a partition that was taken \z
    away; off finishes and commits them" },
  { name = "retry", type = "string", default = "",
    help = 'retry topics by delay, "5s:orders.retry.5s,1m:orders.retry.1m"' },
  { name = "retry_scale", type = "number", default = 1, help = "every delay times this" },
  { name = "retry_wait", type = "enum", default = "topic", values = { "topic", "sleep" },
    help = "sleep blocks the partition for the delay" },
  { name = "dlq", type = "string", help = 'topic of records that failed for good; TOPIC.dlq when not set, \z
    "-" for none: they are tried on and on' },
  { name = "payload", type = "enum", default = "json", values = { "json", "avro" },
    help = "what the values are; avro: with the id of the writer's schema in front" },
  { name = "reader_schema", type = "string",
    help = "of payload = avro: the schema, or @ and the name of its file" },
  { name = "registry", type = "string", shown = "$SCHEMA_REGISTRY_URL",
    help = "where the writers' schemas are" },
  { name = "registry_timeout", type = "duration", default = "5s", min = "10ms",
    help = "of one question to the registry; it is asked until it answers, and nothing fails meanwhile" },
  { name = "amount", type = "string", default = "amount",
    help = "the field that holds the amount; several names by comma, for a reader of several versions" },
  { name = "missing", type = "enum", default = "refuse", values = { "refuse", "zero" },
    help = "a field that is not there: zero reads it as 0, which nobody notices" },
  { name = "undecodable", type = "enum", default = "park", values = { "park", "pass-over" },
    help = "a record that cannot be decoded: pass-over loses it" },
  { name = "on_deadlock", type = "enum", default = "retry", values = { "retry", "dlq", "repeat-statement" },
    help = "after error 1213: only retry, of the whole transaction, is right" },
  { name = "on_lock_wait", type = "enum", default = "retry",
    values = { "retry", "dlq", "restart", "repeat-statement" },
    help = "after error 1205: only retry, of the whole transaction, is right" },
  { name = "tries", type = "int", default = 5, min = 1, max = 1000, help = "of a transaction in conflict" },
  { name = "backoff_min", type = "duration", default = "10ms",
    help = "the first bound of the wait between tries; any time below it is taken" },
  { name = "backoff_max", type = "duration", default = "160ms", help = "the last bound" },
  { name = "lock_order", type = "enum", default = "id", values = { "id", "event" },
    help = "in which accounts are locked: event makes deadlocks" },
  { name = "lock_wait", type = "duration", default = "5s", min = "1s",
    help = "innodb_lock_wait_timeout, in whole seconds" },
  { name = "mysql_timeout", type = "duration", default = "10s", min = "100ms",
    help = "how long a statement may take; longer than lock_wait" },
  { name = "revoke_wait", type = "duration", default = "2s",
    help = "how long a rebalance waits for the batch under way" },
  { name = "handler", type = "string", help = "a Lua file that returns function(record), or { batch = \z
    function(records) }: what it refuses fails" },
  { name = "seed", type = "int", help = "of the jitter" },
}

local passed = { "topic", "group", "consumer_name", "workers", "batch", "fetch", "commit", "dedup",
  "dedup_ttl", "cache", "prefix", "cache_again", "cache_wait",
  "invalidate_seen", "transactional", "drop_lost", "retry", "retry_scale", "retry_wait", "on_deadlock",
  "on_lock_wait", "tries", "backoff_min",
  "backoff_max", "lock_order", "lock_wait", "revoke_wait", "seed", "brokers", "consumer", "producer",
  "payload", "registry_timeout", "amount", "missing", "undecodable" }

local function read_file(path)
  local f, failure = io.open(path, "rb")
  if not f then usage("reader_schema: %s", failure) end
  local text = f:read "a"
  f:close()
  return text
end

local function avro_options(config, o)
  if config.payload ~= "avro" then return end
  local schema = config.reader_schema
  if not schema then usage "payload = avro needs reader_schema" end
  o.reader_schema = schema:sub(1, 1) == "@" and read_file(schema:sub(2)) or schema
  o.registry = config.registry or os.getenv "SCHEMA_REGISTRY_URL"
  if not o.registry then usage "payload = avro needs registry, or SCHEMA_REGISTRY_URL" end
end

local function flow_options(config)
  local o = tables.merged(tables.picked(config, passed), { member = config.name, redis = config.redis,
    mysql = tables.merged(config.mysql, { read_timeout = config.mysql_timeout }) })
  o.handler = config.handler ~= nil
  avro_options(config, o)
  if config.dlq ~= "-" then o.dlq = config.dlq or dlq.dlq_topic(config.topic) end
  return o
end

-- ---- a handler ----

-- A handler says nil or true (apply it), "skip", or false and why; what it raises is a reason, too.
local function verdict_of(ok, said, why)
  if not ok then return tostring(said) end
  if said == nil or said == true then return nil end
  return said == "skip" and said or tostring(why or said)
end

-- A handler of batches returns nil, or a table that has the number of a record for a key only, and "skip" or
-- a reason for a value: what is wrong with it, or nil.
local function wrong_with(verdicts, n)
  if verdicts == nil then return nil end
  if type(verdicts) ~= "table" then
    return ("the handler returned %s, not a table of verdicts"):format(type(verdicts))
  end
  for i, said in pairs(verdicts) do
    if math.type(i) ~= "integer" or i < 1 or i > n then
      return ("the handler returned a verdict on record %s of %d"):format(tostring(i), n)
    end
    if type(said) ~= "string" then
      return ('the handler returned %s for record %d, not "skip" or a reason'):format(tostring(said), i)
    end
  end
end

-- load(path) -> function(records) -> verdicts by index | nil, what is wrong with them
local function load_handler(path)
  local handler = script.run(path, "service consumer: --handler: ")
  if type(handler) == "table" and type(handler.batch) == "function" then
    return function(records)
      local ok, verdicts = pcall(handler.batch, records)
      if ok then
        local wrong = wrong_with(verdicts, #records)
        if wrong then return nil, wrong end
        return verdicts
      end
      local all = {}
      for i in ipairs(records) do all[i] = tostring(verdicts) end
      return all
    end
  end
  if type(handler) ~= "function" then
    script.fail("%s: the file must return function(record) or { batch = function(records) }", path)
  end
  return function(records)
    local verdicts = {}
    for i, record in ipairs(records) do verdicts[i] = verdict_of(pcall(handler, record)) end
    return verdicts
  end
end

-- The batches that wait, each in a task of its own, for a handler may wait, too.
local function handle_batches(consume, handler)
  while true do
    local number, records = consume:batch()
    if not number then return end
    task.spawn(function()
      local verdicts, wrong = handler(records)
      if wrong then consume:again(number, wrong) else consume:answer(number, verdicts) end
    end)
  end
end

-- ---- what it says ----

local warnings = { down = true, parked = true, stuck = true, lost = true, ["commit-failed"] = true,
  ["kafka-error"] = true }

local function follow(ctx, consume, handler)
  flow.follow(ctx, consume, { warnings = warnings, silent = { batch = true }, ends = "the consumer has ended",
    after = handler and function() handle_batches(consume, handler) end })
end

-- ---- what it measures ----

local function partition_metrics(list, partitions)
  for _, p in ipairs(partitions) do
    local labels = { topic = p.topic, partition = tostring(p.partition) }
    if p.lag then
      flow.gauge(list, "rlab_consumer_lag", "Offsets that are still to be done", p.lag, labels)
    end
    flow.gauge(list, "rlab_consumer_position", "Offset that is done next", p.position or 0, labels)
    flow.gauge(list, "rlab_consumer_due_in_seconds", "How long its next record waits to be due", p.waits,
      labels)
  end
end

local function metrics(ctx, consume)
  local stats, times, list = consume:stats(), consume:times(), {}
  flow.counters(list, "rlab_consumer", flow_consume.counters(), stats)
  flow.gauge(list, "rlab_consumer_partitions", "Partitions that are ours", #stats.partitions)
  partition_metrics(list, stats.partitions)
  meters.records_lag(list, ctx, stats.partitions)
  flow.seconds(list, "rlab_consumer_transaction_seconds", "A transaction, from its start to its commit",
    times.transaction)
  flow.seconds(list, "rlab_consumer_delay_seconds", "From a record's timestamp to its commit in MySQL",
    times.delay)
  flow.seconds(list, "rlab_consumer_lateness_seconds", "How late a retry was after its due time",
    times.lateness)
  return list
end

return service {
  name = "consumer",
  help = "applies the events of a topic to the read model, each once: a batch is one transaction with its \z
    dedup rows, then the cache, then the offset",
  options = options,
  uses = { producer = true, consumer = true },
  start = function(ctx)
    local handler = ctx.config.handler and load_handler(ctx.config.handler)
    local consume <close> = flow.open("consumer", "flow_consume", flow_options(ctx.config))
    ctx:health("consume", function() return consume:health() end)
    ctx:metrics(function() return metrics(ctx, consume) end)
    flow.drain(ctx, consume)
    ctx:spawn(follow, ctx, consume, handler)
    ctx.about = { reads = tables.picked(ctx.config, { "payload", "amount", "missing", "undecodable",
      "reader_schema" }) }
    ctx:hold()
  end,
}
