-- rlab.flow_cache
return {
  module = "flow_cache", kind = "module",
  doc = "The read path: an account from Redis, where it is kept as rlab.cache says, else from MySQL's \z
    account_view, on threads of its own. What many readers ask for at once goes to Redis in one round \z
    trip. Every protection is an option.",
  functions = {
    { "open", "flow_cache.open{redis =, mysql =, prefix =, ttl =, ...} -> cache | nil, err",
      "Starts it; the servers are connected to in the background (see cache:health()). A wrong option \z
        raises.",
      params = {
        "redis: table, as redis.connect takes it, but for the timeouts; of a Redis Cluster nodes, user and \z
          password as redis.cluster takes them: a node that fails `breaker` times in a row is left alone",
        "mysql: table, as mysql.connect takes it, likewise",
        'prefix: string = "", of the keys', 'ttl: duration = "60s", of an entry',
        "jitter: number = 0, spreads it: ttl times 1 +- jitter",
        "soft_ttl: duration = 0, after that an entry is served stale while one reader refreshes it; 0 is off",
        "negative_ttl: duration = 0, how long it is remembered that an account does not exist; 0 is off",
        "beta: number = 0, of XFetch, which refreshes at random before the end; 0 is off",
        'single: string = "none", or "process", "lease": who loads what is missing',
        'fill: string = "plain", or "lease", "versioned": how a loaded value gets into Redis',
        "lease: duration = 2s, of a lease in Redis, and how long others wait for its owner",
        "retries: integer = 1, of a load that failed while others wait with it",
        "redis_timeout: duration = 50ms, of a round trip; 0 is for ever",
        "db_timeout: duration = 200ms, of a statement; 0 is for ever",
        "db_reads_max: integer = 16, reads of MySQL at once, at most",
        "db_wait: duration = 100ms, how long a load waits for its turn; 0 is for ever",
        "workers: integer = 32, loads at once",
        "breaker: integer = 5, failures in a row after which a server is left alone; 0 is never",
        'breaker_counts: string = "failures", or "connects", of one Redis: refused connections only',
        "breaker_pause: duration = 300ms, for how long",
        "ramp: duration = 0, in which db_reads_max is reached after a breaker has closed: a tenth, half, all",
        "stale: duration = 0, when a server fails, what was seen no longer ago is served; 0 is off",
        "l1: duration = 0, what was seen no longer ago is served without asking Redis; 0 is off",
        "l1_size: integer = 65536, accounts that are remembered",
        "redis_readers: integer = 1, threads that read Redis, each with one pipelined connection",
        "seed: integer = 0, of jitter and XFetch",
      },
      example = 'local flow <close> = must(flow_cache.open { redis = { port = 16379 }, mysql = { port = \z
        13306, user = "rlab", password = os.getenv "MYSQL_PWD",\n' ..
        '  database = "rlab" }, single = "lease", fill = "versioned" })' },
  },
  types = {
    { name = "cache", meta = "flow.cache", doc = "A read path that runs.",
      methods = {
        { "front", "cache:front() -> front",
          "What a server's front() takes: GET /accounts/{id} is then answered from here, in C." },
        { "stats", "cache:stats() -> table", "Counters, gauges, and histograms in ns.",
          returns = "{ from_cache, from_stale, from_db, from_negative, from_l1, failed, refused, misses, \z
            joins, early, refreshes, lease_waits, lease_hits, db_reads, db_errors, retries, fills, \z
            fills_refused, fill_errors, redis_batches, redis_lookups, redis_errors, bad_entries, \z
            redis_breaker, redis_write_breaker, db_breaker, redis_breaker_opens, \z
            redis_write_breaker_opens, db_breaker_opens, db_busy, db_peak, \z
            db_allowed, queued, turn_wait, ahead (of XFetch), latency = { cache = } }" },
        { "forget_peak", "cache:forget_peak()", "db_peak begins anew." },
        { "events", "cache:events([at_most]) -> list | nil",
          "What happened since the last call: down, up, breaker-open, breaker-closed with need =.",
          params = { "at_most: duration, how long to wait for one" } },
        { "stop", "cache:stop([at_most]) -> true | nil, err",
          "Finishes what is under way; what comes then is refused.",
          params = { "at_most: duration = 10s" }, errors = "TIMEOUT" },
        { "health", "cache:health() -> true | false, why", "Whether Redis and MySQL answer." },
        { "running", "cache:running() -> boolean", "Whether it has not ended." },
        { "close", "cache:close()",
          "Ends it; what still waits is refused. Take its front away before. Also by <close>." },
      } },
  },
}
