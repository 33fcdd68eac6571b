-- rlab.flow_relay
return {
  module = "flow_relay", kind = "module",
  doc = "Publishes the outbox: reads outbox_event in batches, sends each row with an idempotent or \z
    transactional producer and marks exactly what was acknowledged. At least once, in the order of a \z
    key's ids; several instances share the 64 shards by fenced leases.",
  functions = {
    { "open", "flow_relay.open{topic =, mysql =, mark =, batch =, ...} -> relay | nil, err",
      "Starts a relay on threads of its own. A wrong option raises; servers are not waited for (see \z
        relay:health()).",
      params = {
        "topic: string", "mysql: table, as mysql.connect takes it; read_timeout is 5s", "brokers: string",
        'name: string = "relay", of the instance',
        "producer: table, properties of librdkafka; transactional.id makes it transactional, then one \z
          instance is active and the others stand by",
        'mark: string = "update", or "delete", or "cursor": nothing is written to the rows',
        'gaps: string = "safe", of a cursor; "ignore" and "wait" (gap_wait = 100ms) are wrong: they can \z
          lose a row that commits late',
        "batch: integer = 2000, rows", "in_flight: integer = 8, batches between reading and mark; 1 with \z
          batch = 10 is the textbook's relay",
        "poll: duration = 2ms, after a poll that found nothing, growing to poll_max",
        "poll_max: duration = 50ms",
        "lease: duration = 10s, of a shard",
        'leader: string = "lease"; "lock" is wrong: who got GET_LOCK once publishes, whatever became of it',
        "fence: boolean = true; false is wrong: marks are made without a look at the lease",
        "cleanup_age: duration, published rows older than that are deleted; never without it",
        "cleanup_chunk: integer = 1000, rows at once",
        "figures: duration = 1s, between two looks at backlog and age",
      },
      example = 'local relay <close> = must(flow_relay.open { topic = "events", brokers = \z
        "127.0.0.1:19092",\n' ..
        '  mysql = { port = 13306, user = "rlab", password = os.getenv "MYSQL_PWD", database = "ledger" }, \z
          mark = "delete" })\n' ..
        'for _, event in ipairs(relay:events("1s")) do print(event.what, event.err or event.reason or "") \z
          end' },
  },
  types = {
    { name = "relay", meta = "flow.relay", doc = "A relay at work. Failpoints: relay.after_claim and \z
      relay.after_ack, with batch, n, id, ids and key.",
      methods = {
        { "stats", "relay:stats() -> table", "Counters and gauges.",
          returns = "{ polls, read, late, batches, sent, acked, marked, retries, parked, fenced, resets, \z
            aborts, gap_waits, cleaned, reconnects; in_flight, leases, backlog (exact while \z
            backlog_exact is 1, \z
            else an upper bound), oldest_unsent_us, position; events_dropped }" },
        { "times", "relay:times() -> table", "Histograms in ns; they are copied, which takes a moment.",
          returns = "{ read, ack, mark }" },
        { "events", "relay:events([at_most]) -> list | nil",
          "What happened since the last call: { what, at_ms, err, ... }; nil when all is over. what: down \z
            and up (need), retry, parked (row, id, key, reason; the rows of the key behind it go on), \z
            fenced (rows), lost (held).", params = { "at_most: duration, how long to wait for one" } },
        { "stop", "relay:stop([at_most]) -> true | nil, err",
          "Claims nothing more, waits for what is in flight, marks it and gives the leases back.",
          params = { "at_most: duration = 10s" }, errors = "TIMEOUT" },
        { "health", "relay:health() -> true | false, why", "Whether its servers answer." },
        { "running", "relay:running() -> boolean", "Whether it has not ended." },
        { "close", "relay:close()",
          "Ends it at once: what is in flight is sent again by the next one. Also by <close>." },
      } },
  },
}
