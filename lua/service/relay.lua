-- relay: publishes the outbox by flow.relay. The defaults are the right practice; the other values of an
-- option are the wrong ones that experiments show, and say so in their help.
local flow = require "rlab.service.flow"
local service = require "rlab.service"
local tables = require "rlab.tables"

local options = {
  { name = "topic", type = "string", default = "orders", help = "the topic of events" },
  { name = "mark", type = "enum", default = "update", values = { "update", "delete", "cursor" },
    help = "how a sent row is known: published_at is set, it is deleted, or a position is kept and no row \z
      is written" },
  { name = "gaps", type = "enum", default = "safe", values = { "safe", "ignore", "wait" },
    help = "a cursor at a hole in the ids: stops while an open transaction may fill it; ignore and wait \z
      lose rows that commit late" },
  { name = "gap_wait", type = "duration", default = "100ms", help = "of gaps = wait" },
  { name = "batch", type = "int", default = 2000, min = 1, max = 10000,
    help = "rows read, sent and marked together" },
  { name = "in_flight", type = "int", default = 8, min = 1, max = 64,
    help = "batches between reading and mark; 1 with batch = 10 is the textbook's relay" },
  { name = "poll", type = "duration", default = "2ms",
    help = "wait after a poll that found nothing, doubled up to poll_max" },
  { name = "poll_max", type = "duration", default = "50ms", help = "longest wait between polls" },
  { name = "lease", type = "duration", default = "10s", min = "100ms",
    help = "of a shard: so long after its end its rows wait for another relay" },
  { name = "leader", type = "enum", default = "lease", values = { "lease", "lock" },
    help = "who publishes where several run: those with leases; lock is wrong on purpose (E-027): who got \z
      MySQL's GET_LOCK once, which the server frees when that session ends" },
  { name = "fence", type = "bool", default = true, help = "look at the lease's token in the transaction \z
    of a mark; off lets a stale relay mark" },
  { name = "transactional_id", type = "string", default = "",
    help = "publish in transactions under this id: one relay is active, it fences a stale one, the others \z
      stand by" },
  { name = "cleanup_age", type = "duration",
    help = "delete published rows older than that; never when not set" },
  { name = "cleanup_chunk", type = "int", default = 1000, min = 1, max = 100000,
    help = "rows deleted at once" },
  { name = "figures", type = "duration", default = "1s", min = "10ms",
    help = "between two looks at the backlog and the oldest unsent row" },
  { name = "mysql_timeout", type = "duration", default = "5s", min = "100ms",
    help = "how long a statement may take" },
}

local passed = { "name", "topic", "brokers", "mark", "gaps", "gap_wait", "batch", "in_flight", "poll",
  "poll_max", "lease", "fence", "cleanup_age",
  "cleanup_chunk", "figures", "leader" }

local function flow_options(config)
  local o = tables.picked(config, passed)
  o.mysql = tables.merged(config.mysql,
    { read_timeout = config.mysql_timeout, connect_timeout = config.mysql_timeout })
  local id = config.transactional_id ~= "" and config.transactional_id or nil
  o.producer = tables.merged(config.producer, { transactional_id = id })
  return o
end

-- ---- what it says ----

local warnings = { down = true, retry = true, parked = true, fenced = true, lost = true }

local function follow(ctx, relay)
  flow.follow(ctx, relay, { warnings = warnings, ends = "the relay has ended" })
end

-- ---- what it measures ----

local counters = {
  { name = "polls", help = "Polls of the outbox" },
  { name = "read", help = "Rows read to be sent" },
  { name = "late", help = "Rows that were committed behind a later id" },
  { name = "batches", help = "Batches claimed" },
  { name = "sent", help = "Rows given to the producer" },
  { name = "acked", help = "Rows acknowledged by the brokers" },
  { name = "marked", help = "Rows marked as published" },
  { name = "retries", help = "Rows whose sending failed, to be sent again" },
  { name = "parked", help = "Rows that can never be sent" },
  { name = "fenced", help = "Rows whose mark was refused, as the lease had gone to another relay" },
  { name = "resets", help = "Fresh starts after a failure" },
  { name = "aborts", help = "Kafka's transactions that were aborted" },
  { name = "gap_waits", help = "Polls that ended at a hole in the ids" },
  { name = "cleaned", help = "Published rows deleted" },
  { name = "reconnects", help = "Connections made to MySQL" },
}

local gauges = {
  { "in_flight", "Batches between reading and mark" }, { "leases", "Shards that are ours" },
  { "backlog", "Rows that are still to be sent: exact up to 10000, beyond at most so many" },
  { "position", "The cursor" },
}

local timings = {
  { "read", "rlab_relay_read_seconds", "A poll that found rows" },
  { "ack", "rlab_relay_ack_seconds", "A batch, from its claim to its last report" },
  { "mark", "rlab_relay_mark_seconds", "A mark, to its commit" },
}

local function metrics(relay)
  local stats, times, list = relay:stats(), relay:times(), {}
  flow.counters(list, "rlab_relay", counters, stats)
  for _, g in ipairs(gauges) do flow.gauge(list, "rlab_relay_" .. g[1], g[2], stats[g[1]]) end
  flow.gauge(list, "rlab_relay_oldest_unsent_seconds", "Age of the oldest row that is still to be sent",
    stats.oldest_unsent_us / 1e6)
  for _, t in ipairs(timings) do flow.seconds(list, t[2], t[3], times[t[1]]) end
  return list
end

return service {
  name = "relay",
  help = "publishes the outbox: each row at least once, in the order of its key, marked when it was \z
    acknowledged; several share the shards by leases",
  options = options,
  uses = { producer = true },
  start = function(ctx)
    local relay <close> = flow.open("relay", "flow_relay", flow_options(ctx.config))
    ctx:health("relay", function() return relay:health() end)
    ctx:metrics(function() return metrics(relay) end)
    flow.drain(ctx, relay)
    ctx:spawn(follow, ctx, relay)
    ctx:hold()
  end,
}
