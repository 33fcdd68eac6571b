-- relay: publishes the outbox by flow.relay. The defaults are the right practice; the other values of an
-- option are the wrong ones that experiments show, and say so in their help.
local err = require "rlab.err"
local flow_relay = require "rlab.flow_relay"
local must = require "rlab.must"
local service = require "rlab.service"

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
  "cleanup_chunk", "figures" }

local function with(table, more)
  local all = {}
  for key, value in pairs(table) do all[key] = value end
  for key, value in pairs(more) do all[key] = value end
  return all
end

local function flow_options(config)
  local o = { mysql = with(config.mysql,
    { read_timeout = config.mysql_timeout, connect_timeout = config.mysql_timeout }) }
  for _, key in ipairs(passed) do o[key] = config[key] end
  local id = config.transactional_id ~= "" and config.transactional_id or nil
  o.producer = with(config.producer, { transactional_id = id })
  return o
end

-- What the flow refuses is a mistake in the settings.
local function open(config)
  local ok, flow, failure = pcall(flow_relay.open, flow_options(config))
  if ok then return must(flow, failure) end
  local reason = err.is(flow) and flow.message or tostring(flow):gsub("^.-flow_relay%.open: ", "")
  error(err.new { domain = "rlab", code = 0, name = "USAGE", message = "service relay: " .. reason }, 0)
end

-- ---- what it says ----

local warnings = { down = true, retry = true, parked = true, fenced = true, lost = true }

local function tell(ctx, event)
  local fields = {}
  for key, value in pairs(event) do
    if key ~= "what" and key ~= "err" then fields[key] = value end
  end
  if event.err then fields.error, fields.reason = event.err.name, event.err.message end
  ctx.log[warnings[event.what] and "warn" or "info"](event.what, fields)
end

local function follow(ctx, flow)
  local events = flow:events()
  while events do
    for _, event in ipairs(events) do tell(ctx, event) end
    events = flow:events()
  end
  if not ctx.draining then error("the relay has ended", 0) end
end

-- ---- what it measures ----

local counters = {
  { "polls", "Polls of the outbox" }, { "read", "Rows read to be sent" },
  { "late", "Rows that were committed behind a later id" },
  { "batches", "Batches claimed" }, { "sent", "Rows given to the producer" },
  { "acked", "Rows acknowledged by the brokers" },
  { "marked", "Rows marked as published" }, { "retries", "Rows whose sending failed, to be sent again" },
  { "parked", "Rows that can never be sent" }, { "fenced",
    "Rows whose mark was refused, as the lease had gone to another relay" },
  { "resets", "Fresh starts after a failure" }, { "gap_waits", "Polls that ended at a hole in the ids" },
  { "cleaned", "Published rows deleted" },
  { "reconnects", "Connections made to MySQL" },
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

local function metrics(flow)
  local stats, times, list = flow:stats(), flow:times(), {}
  for _, c in ipairs(counters) do
    list[#list + 1] = { name = ("rlab_relay_%s_total"):format(c[1]), type = "counter", help = c[2] .. ".",
      value = stats[c[1]] }
  end
  for _, g in ipairs(gauges) do
    list[#list + 1] = { name = "rlab_relay_" .. g[1], type = "gauge", help = g[2] .. ".",
      value = stats[g[1]] }
  end
  list[#list + 1] = { name = "rlab_relay_oldest_unsent_seconds", type = "gauge",
    help = "Age of the oldest row that is still to be sent.",
    value = stats.oldest_unsent_us / 1e6 }
  for _, t in ipairs(timings) do
    list[#list + 1] = { name = t[2], type = "histogram", help = t[3] .. ".", hdr = times[t[1]], scale = 1e-9 }
  end
  return list
end

return service {
  name = "relay",
  help = "Publishes the outbox: each row at least once, in the order of its key, marked when it was \z
    acknowledged; several share the shards by leases.",
  options = options,
  uses = { producer = true },
  start = function(ctx)
    local flow <close> = open(ctx.config)
    ctx:health("relay", function() return flow:health() end)
    ctx:metrics(function() return metrics(flow) end)
    ctx:on_drain(function() must(flow:stop(ctx.config.drain_timeout)) end)
    ctx:spawn(follow, ctx, flow)
    ctx:hold()
  end,
}
