-- query: GET /accounts/{id} from the read model, cache-aside over Redis and MySQL by flow.cache, in C
-- behind the server. Every protection is an option; the defaults are the right practice, and single = none,
-- fill = plain, redis_timeout = 0, db_timeout = 0, breaker = 0 are the wrong ones that experiments show.
--
-- An answer is {"account_id":17,"balance":1200,"version":3,"source":"cache","age_ms":12}, with X-Cache (the
-- source) and Age (seconds):
--   cache      from Redis                       db        just read from account_view
--   stale      past its soft TTL while one refreshes it, or the last that was seen when Redis or MySQL fails
--   l1         from this process                negative  known not to exist (404)
-- What cannot be answered is problem+json: 404, 503 (refused by the cap, the breaker or the end; or MySQL
-- is away), 504 (MySQL did not answer in time).
-- The entry of an account in Redis is described in engine/flow/cache/scripts.h, and rlab.cache reads and
-- writes it.
local defer = require "rlab.defer"
local flow = require "rlab.service.flow"
local http = require "rlab.http"
local meters = require "rlab.service.meters"
local service = require "rlab.service"
local tables = require "rlab.tables"
local units = require "rlab.units"

local options = {
  { name = "prefix", type = "string", default = "", help = "of the keys in Redis" },
  { name = "ttl", type = "duration", default = "60s", help = "how long an entry lives in Redis" },
  { name = "jitter", type = "number", default = 0.1, min = 0, max = 1,
    help = "spreads it: ttl times 1 +- jitter, by seed, account and version" },
  { name = "soft_ttl", type = "duration", default = "0s", help = "after that an entry is served stale \z
    while one reader refreshes it; 0: off" },
  { name = "negative_ttl", type = "duration", default = "1s",
    help = "how long it is remembered that an account does not exist; 0: off" },
  { name = "beta", type = "number", default = 0, min = 0, max = 1000,
    help = "XFetch: refresh at random before the end, 1 is usual; 0: off" },
  { name = "single", type = "enum", default = "lease", values = { "none", "process", "lease" },
    help = "who loads what is missing: every reader, one in each process, or one of all processes, who \z
      has the lease in Redis" },
  { name = "lease", type = "duration", default = "2s",
    help = "how long a lease lives, and how long others wait for its owner" },
  { name = "retries", type = "int", default = 1, min = 0, max = 100,
    help = "of a load that failed while others wait for it; 0: all fail with it" },
  { name = "fill", type = "enum", default = "versioned", values = { "plain", "lease", "versioned" },
    help = "how a loaded value gets into Redis: whatever is there (wrong), while the lease holds, or \z
      unless a newer one is there" },
  { name = "redis_timeout", type = "duration", default = "50ms",
    help = "of a round trip; 0: for ever (wrong)" },
  { name = "db_timeout", type = "duration", default = "200ms", help = "of a statement; 0: for ever (wrong)" },
  { name = "db_reads_max", type = "int", default = 16, min = 1, max = 512,
    help = "reads of MySQL at once, at most" },
  { name = "db_wait", type = "duration", default = "100ms",
    help = "how long a load waits for its turn, then 503; 0: for ever (wrong)" },
  { name = "workers", type = "int", default = 32, min = 1, max = 512,
    help = "loads at once, those that wait for a lease as well" },
  { name = "breaker", type = "int", default = 5, min = 0, max = 1000000,
    help = "failures in a row after which Redis or MySQL is left alone; 0: never" },
  { name = "breaker_counts", type = "enum", values = { "failures", "connects" }, default = "failures",
    help = "of one Redis: connects counts connections that are refused only (wrong), so a server that \z
      stands still is asked on and on" },
  { name = "breaker_pause", type = "duration", default = "300ms",
    help = "for how long; then one reader tries" },
  { name = "ramp", type = "duration", default = "0s",
    help = "after a breaker has closed db_reads_max is reached in that time: a tenth, half, all; \z
      0: at once" },
  { name = "stale", type = "duration", default = "5s", help = "when a server fails, what this process saw \z
    no longer ago is served; 0: off" },
  { name = "l1", type = "duration", default = "0s", help = "what this process saw no longer ago is served \z
    without asking Redis; 0: off" },
  { name = "l1_size", type = "int", default = 65536, min = 1, max = 16777216,
    help = "accounts that the process remembers" },
  { name = "redis_readers", type = "int", default = 1, min = 1, max = 16,
    help = "threads that read Redis, each with one pipelined connection" },
  { name = "threads", type = "int", default = 2, min = 1, max = 64, help = "of the HTTP server" },
  { name = "max_connections", type = "int", default = 10000, min = 1, max = 1000000,
    help = "of the HTTP server" },
  { name = "seed", type = "int", default = 0, help = "of the jitter and of XFetch" },
}

local passed = { "prefix", "ttl", "jitter", "soft_ttl", "negative_ttl", "beta", "single", "lease",
  "retries", "fill", "redis_timeout", "db_timeout", "db_reads_max",
  "db_wait", "workers", "breaker", "breaker_counts", "breaker_pause", "ramp", "stale", "l1", "l1_size",
  "redis_readers", "seed" }

local function flow_options(config)
  local o = tables.picked(config, passed)
  o.redis, o.mysql = tables.merged({ client_name = config.name }, config.redis), config.mysql
  return o
end

-- ---- what it says and measures ----

local warnings = { down = true, ["breaker-open"] = true }

local counters = {
  { name = "misses", help = "Lookups that found no entry in Redis" },
  { name = "joins", help = "Readers who waited for a load that was under way" },
  { name = "early", help = "Loads that XFetch began before an entry ran out" },
  { name = "refreshes", help = "Loads in the background after the soft TTL" },
  { name = "lease_waits", help = "Loads that waited for the owner of a lease in another process" },
  { name = "lease_hits", help = "Of these, found the entry that the owner wrote" },
  { name = "db_reads", help = "SELECTs sent to MySQL" },
  { name = "db_errors", help = "Reads of MySQL that failed" },
  { name = "retries", help = "Loads that were tried once more for those who waited" },
  { name = "fills", help = "Entries written to Redis" },
  { name = "fills_refused", help = "Entries not written: newer ones were there, or the lease was gone" },
  { name = "fill_errors", help = "Entries that Redis did not take" },
  { name = "refused", help = "Answers 503 by the cap, the breaker or the end of the service" },
  { name = "redis_lookups", help = "Entries asked for" },
  { name = "redis_batches", help = "Round trips in which they were" },
  { name = "redis_errors", help = "Round trips that failed, and writes that Redis refused" },
  { name = "bad_entries", help = "Entries in Redis that could not be understood" },
}

local STATUS = { negative = 404, error = "5xx" } -- 503 or 504
local sources = { "cache", "stale", "db", "negative", "l1", "error" }
local states = { closed = 0, ["half-open"] = 1, open = 2 }

local breakers = { redis = "redis_breaker", ["redis-writes"] = "redis_write_breaker", mysql = "db_breaker" }

local function breaker(list, name, stats)
  flow.gauge(list, "rlab_query_breaker_state", "0 closed, 1 half-open, 2 open",
    states[stats[breakers[name]]], { need = name })
  list[#list + 1] = { name = "rlab_query_breaker_opens_total", type = "counter",
    help = "How often it opened.", labels = { need = name },
    value = stats[breakers[name] .. "_opens"] }
end

-- The answers that C gave, for those who know Micrometer's names; `source` says more than a status.
local function known_names(list, ctx, stats)
  local function answers(source) return stats.latency[source]:count() end
  for _, source in ipairs(sources) do
    meters.requests(list, stats.latency[source], meters.request_labels(ctx, { method = "GET", source = source,
      uri = "/accounts/{id}", status = STATUS[source] or 200 }))
  end
  local hits = answers "cache" + answers "stale" + answers "negative" + answers "l1"
  meters.cache_gets(list, ctx, "accounts", hits, answers "db")
  meters.connections(list, ctx, { used = stats.db_busy, max = ctx.config.db_reads_max })
end

local function metrics(ctx, cache)
  local stats, list = cache:stats(), {}
  for _, source in ipairs(sources) do
    flow.seconds(list, "rlab_query_seconds", "Answers by source, from the request to the answer",
      stats.latency[source], { labels = { source = source } })
  end
  flow.counters(list, "rlab_query", counters, stats)
  breaker(list, "redis", stats)
  breaker(list, "redis-writes", stats)
  breaker(list, "mysql", stats)
  flow.gauge(list, "rlab_query_db_busy", "Reads of MySQL under way", stats.db_busy)
  flow.gauge(list, "rlab_query_db_allowed", "How many may be under way just now", stats.db_allowed)
  flow.gauge(list, "rlab_query_db_peak", "The most that were under way at once", stats.db_peak)
  flow.gauge(list, "rlab_query_queued", "Loads that wait for a worker", stats.queued)
  flow.seconds(list, "rlab_query_ahead_seconds", "How long before an entry's end XFetch refreshed it",
    stats.ahead, { type = "summary" })
  flow.seconds(list, "rlab_query_turn_wait_seconds", "How long a load waited for its turn at MySQL",
    stats.turn_wait, { type = "summary" })
  known_names(list, ctx, stats)
  return list
end

-- the C path takes what is well formed for as long as the service lives
local function leftover(req)
  if not units.whole(req.params.id) then
    return http.problem(400, ("'%s' is no account id: a whole number of 64 bits"):format(req.params.id))
  end
  return http.problem(503, "the service is stopping", { headers = { ["retry-after"] = "1" } })
end

return service {
  name = "query",
  help = "serves the read model: GET /accounts/{id} from Redis, else MySQL, with every protection as an \z
    option",
  port = 18081,
  options = options,
  start = function(ctx)
    local cache <close> = flow.open("query", "flow_cache", flow_options(ctx.config))
    ctx:health("cache", function() return cache:health() end)
    ctx:metrics(function() return metrics(ctx, cache) end)
    ctx:route("GET", "/accounts/{id}", leftover)
    ctx:spawn(flow.follow, ctx, cache, { warnings = warnings })
    ctx:front(cache:front())
    local _ <close> = defer(function() ctx:front(nil) end)
    ctx:hold()
  end,
}
