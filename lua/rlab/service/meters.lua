-- The services' figures under the names by which others know them: Micrometer's, so that the panels of a
-- Spring user work, and OpenTelemetry's for a pool of connections. Each says which application it is of.
local fail = require "rlab.fail"
local flow = require "rlab.service.flow"
local tables = require "rlab.tables"

local M = {}

local OUTCOMES = { "INFORMATIONAL", "SUCCESS", "REDIRECTION", "CLIENT_ERROR", "SERVER_ERROR" }

local function counter(list, name, help, value, labels)
  list[#list + 1] = { name = name, type = "counter", help = help .. ".", value = value, labels = labels }
end

-- request_labels(ctx, {method =, uri =, status =, exception =, ...}) -> the same with outcome and application
function M.request_labels(ctx, request)
  local class = tonumber(tostring(request.status):sub(1, 1))
  return tables.merged(request, { status = tostring(request.status), exception = request.exception or "none",
    outcome = OUTCOMES[class] or "UNKNOWN", application = ctx.service })
end

-- requests(list, hdr, labels): requests that were answered, by labels of request_labels
function M.requests(list, hdr, labels)
  flow.seconds(list, "http_server_requests_seconds",
    "Requests by route and status, from the call of the handler to its end", hdr, { labels = labels })
end

-- cache_gets(list, ctx, cache, hits, misses)
function M.cache_gets(list, ctx, cache, hits, misses)
  for _, row in ipairs { { "hit", hits }, { "miss", misses } } do
    counter(list, "cache_gets_total", "Answers by whether a cache had them, or MySQL was asked", row[2],
      { application = ctx.service, cache = cache, result = row[1] })
  end
end

-- records_lag(list, ctx, partitions): of each that has a lag
function M.records_lag(list, ctx, partitions)
  for _, p in ipairs(partitions) do
    if p.lag then
      flow.gauge(list, "kafka_consumer_fetch_manager_records_lag",
        "Offsets of a partition that are still to be done", p.lag, { application = ctx.service,
          client_id = ctx.name, partition = tostring(p.partition), topic = p.topic })
    end
  end
end

-- connections(list, ctx, {used =, max =, idle =, pending =, timeouts =}): of the pool of connections to
--   MySQL; what it does not know is left out
function M.connections(list, ctx, pool)
  local labels = { application = ctx.service, db_client_connection_pool_name = "mysql" }
  for _, state in ipairs { "idle", "used" } do
    list[#list + 1] = pool[state] and { name = "db_client_connection_count", type = "untyped",
      value = pool[state], help = "Connections to MySQL, by whether somebody uses them.",
      labels = tables.merged(labels, { db_client_connection_state = state }) } or nil
  end
  flow.gauge(list, "db_client_connection_max", "Connections that may be in use at once", pool.max, labels)
  if pool.pending then
    flow.gauge(list, "db_client_connection_pending_requests", "Who waits for a connection", pool.pending,
      labels)
  end
  if pool.timeouts then
    counter(list, "db_client_connection_timeouts_total", "Who got no connection in time", pool.timeouts,
      labels)
  end
end

-- failpoints(list): those that were armed since the start
function M.failpoints(list)
  for _, point in ipairs(fail.list()) do
    local labels = { failpoint = point.name }
    counter(list, "rlab_failpoint_hits_total", "How often a failpoint was reached while it was armed",
      point.hits, labels)
    counter(list, "rlab_failpoint_fired_total", "How often it did what it was armed for", point.fired, labels)
  end
end

return M
