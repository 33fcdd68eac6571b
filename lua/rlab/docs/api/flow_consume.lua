-- rlab.flow_consume
return {
  module = "flow_consume", kind = "module",
  doc = "The consumer as a flow: records of a topic and its retry topics become rows, each event once, on \z
    threads of its own.",
  functions = {
    { "open", "flow_consume.open{brokers =, topic =, group =, mysql = {...}, ...} -> consume | nil, err",
      "Starts a consumer, which connects in the background. The defaults are the right practice. A wrong \z
        option raises.",
      params = {
        "brokers: string", "topic: string", "group: string", "mysql: table, as mysql.connect takes it",
        "redis: table, as redis.connect takes it; of a Redis Cluster nodes, user, password and timeouts as \z
          redis.cluster takes them",
        "consumer, producer: table, properties of librdkafka",
        "consumer_name: string, in processed_event and consumer_offset; the group by default",
        'member: string = "consumer-1", in effect_log', 'retry: string, "5s:topic,1m:topic", by delay',
        "retry_scale: number = 1, times every delay",
        'retry_wait: string = "topic", or "sleep"',
        "dlq: string, topic of what failed for good; without one it is tried until it does not",
        "workers: integer = 4", "batch: integer = 500, records a transaction",
        "fetch: integer, records taken at once",
        'commit: string = "after-work", "sync-after-work", "mysql", "pool-min", "before-work", "auto", \z
          "pool-max"',
        'dedup: string = "processed-event", "none", "redis", "position"', "dedup_ttl: duration = 1h",
        'cache: string = "none", "del-before", "del-after", "del-twice", "lease", "versioned", "update", \z
          "delta", "tonumber", "two-step"', "cache_again: duration = 500ms, after the commit, of del-twice",
        "prefix: string, of keys in Redis", "cache_wait: duration = 30s, for a Redis that is away",
        "invalidate_seen: boolean = true",
        "transactional: boolean = true", "drop_lost: boolean = true, work of a partition that was taken away",
        'on_deadlock: string = "retry", "dlq", "repeat-statement"',
        'on_lock_wait: string = "retry", "dlq", "restart", "repeat-statement"',
        "tries: integer = 5, of a transaction in conflict",
        "backoff_min, backoff_max: duration = 10ms and 160ms",
        'lock_order: string = "id", or "event"', "lock_wait: duration = 5s", "revoke_wait: duration = 2s",
        'payload: string = "json", or "avro", with the id of the writer\'s schema in front',
        "reader_schema: string, of payload = avro", "registry: string, its URL",
        "registry_timeout: duration = 5s, of one question",
        'amount: string = "amount", names of the field that holds it, by comma',
        'missing: string = "refuse", or "zero" for a field that is not there',
        'undecodable: string = "park", or "pass-over"',
        "handler: boolean = false, each batch is shown before it is applied",
        "seed: integer, of the jitter" },
      example = 'local flow <close> = must(flow_consume.open { brokers = "127.0.0.1:19092", topic = \z
        "orders", group = "billing",\n' ..
        '  mysql = { host = "127.0.0.1", port = 13306, user = "rlab", password = os.getenv "MYSQL_PWD", \z
          database = "rlab" }, dlq = "orders.dlq" })\n' ..
        'print(flow:stats().applied)' },
    { "counters", "flow_consume.counters() -> list", "What stats() counts.",
      returns = "{ { name =, help = }, ... }" },
  },
  types = {
    { name = "consume", meta = "flow.consume", doc = "A consumer at work.",
      methods = {
        { "stats", "consume:stats() -> table", "Counters by name, and partitions.",
          returns = "{ applied, seen, failed, ..., partitions = { { topic, partition, position, lag, \z
            waits } } }" },
        { "times", "consume:times() -> table", "Histograms in ns; they are copied, which takes a moment.",
          returns = "{ transaction, delay, lateness }" },
        { "batch", "consume:batch() -> number, records | nil",
          "With handler = true: the next batch that waits, after an event \"batch\". A field of a record is \z
            read when it is touched, until the batch is answered; pairs() gives them all.",
          returns = "a number for answer, and { topic, partition, offset, timestamp, key, value, headers, \z
            attempt, id, account, amount, balance, version } each" },
        { "answer", "consume:answer(number [, verdicts])", "Lets the batch go on.",
          params = { "number: integer",
            'verdicts: table, by index: "skip", or why that record fails; the others are applied' } },
        { "again", "consume:again(number, why)",
          "In place of answer: the batch is shown again after a moment, and health says why its partition \z
            stands still until it is answered.",
          params = { "number: integer", "why: string" } },
        { "events", "consume:events([at_most]) -> list | nil",
          "What happened since the last call: down, up, assigned, revoked, lost, retried, parked, stuck, \z
            commit-failed; nil when all is over.",
          params = { "at_most: duration, how long to wait for one" } },
        { "stop", "consume:stop([at_most]) -> true | nil, err",
          "Finishes the batches under way, commits, leaves the group.",
          params = { "at_most: duration = 10s" }, errors = "TIMEOUT" },
        { "health", "consume:health() -> true | false, why", "Whether its servers answer." },
        { "running", "consume:running() -> boolean", "Whether it has not ended." },
        { "close", "consume:close()", "Ends it at once. Also by <close>." },
      } },
  },
}
