-- rlab.kafka: making clients, and the producer.
return {
  module = "kafka", kind = "module",
  doc = "Producers, transactions, consumers and the administration of a cluster, over librdkafka and a \z
    small wire client of our own.",
  fields = {
    "defaults: table, client properties that every client gets unless it says otherwise",
  },
  functions = {
    { "producer", "kafka.producer{brokers =, ...} -> producer | nil, err",
      "Makes a producer. Any librdkafka property is an option.",
      params = {
        'brokers: string | table, "host:port,..." or a list; without it kafka.defaults and RLAB_BROKERS \z
          are looked at',
        'acks: string | integer = "all", as librdkafka has it',
        "enable_idempotence: boolean = false, no duplicates by retries",
        "transactional_id: string, makes a transactional producer",
        "linger_ms: duration = 5 ms, a number is milliseconds here",
        '...: any, a property as ["linger.ms"] or linger_ms; *.ms take durations, *.bytes sizes',
      },
      errors = "an unknown property raises with \"did you mean\"",
      example = 'local p = must(kafka.producer { brokers = "127.0.0.1:19092", enable_idempotence = true, \z
        linger_ms = "20ms" })' },
    { "consumer", "kafka.consumer{brokers =, group =, ...} -> consumer | nil, err",
      "Makes a consumer. Any librdkafka property is an option.",
      params = {
        "brokers: string | table, as for a producer", "group: string, the group's id",
        'isolation_level: string = "read_committed", or "read_uncommitted"',
        'auto_offset_reset: string = "latest", "earliest" or "error"',
        "enable_auto_commit: boolean = true, commits what is stored every auto.commit.interval.ms",
        'group_protocol: string = "classic", or "consumer" for KIP-848',
          "enable_partition_eof: boolean = false, an event at each end of a partition",
        "...: any, a property as for a producer",
      },
      example = 'local c = must(kafka.consumer { group = "billing", auto_offset_reset = "earliest", \z
        enable_partition_eof = true })' },
    { "share_consumer", "kafka.share_consumer{brokers =, group =, ...} -> share_consumer | nil, err",
      "Makes a member of a share group (KIP-932): records of one partition go to many members, each is \z
        acknowledged by itself, none is in order.",
      params = { "brokers: string | table, as for a producer", "group: string, the group's id",
        "...: any, a property as for a producer; share.acknowledgement.mode is always explicit" },
      errors = "NOT_SUPPORTED with a librdkafka below 2.15.0",
      example = 'local s <close> = must(kafka.share_consumer { group = "mails" })\n' ..
        'must(s:subscribe "mails")\n' ..
        'for _, r in ipairs(must(s:poll "1s")) do must(s:acknowledge(r, "accept")) end\n' ..
        'must(s:commit())' },
    { "transactional", "kafka.transactional{transactional_id =, ...} -> transactional | nil, err",
      "Transactions that survive a late EndTxn: a producer that is replaced, under the same \z
        transactional.id, whenever a broker connection was lost while a transaction was ended, or after a \z
        fatal error. A plain producer that goes on after such a loss can lose a committed record (rlab \z
        explain E-028).",
      params = { "...: any, as for a producer", 'init_at_most: duration = "30s", for init_transactions' },
      example = 'local t <close> = must(kafka.transactional { transactional_id = "billing-1" })\n' ..
        'must(t:transaction(function(p) must(p:send { topic = "orders", value = "v" }) end))' },
    { "admin", "kafka.admin{brokers =, at_most =, ...} -> admin | nil, err",
      "Makes an observer of a cluster. Its calls have a deadline of their own, so a frozen broker does \z
        not freeze them.",
      params = { "brokers: string | table, as for a producer",
        "at_most: duration, the deadline of calls that do not name one",
        "...: any, a property as for a producer" },
      example = "local a = must(kafka.admin { brokers = must(stack.current()).kafka.brokers })" },
    { "version", "kafka.version() -> string", "The version of librdkafka in use." },
  },
  types = {
    { name = "producer", meta = "kafka.producer", doc = "Sends records. One call at a time per handle; \z
      several tasks may share it.",
      methods = {
        { "send", "p:send{topic =, key =, value =, ...} -> report | nil, err",
          "Sends one record and waits for its delivery report.",
          params = {
            "topic: string, where to", "key: string | null, decides the partition",
            "value: string | null, null is a tombstone",
            "partition: integer, a fixed partition", "timestamp: integer, ms since 1970, 1 and above",
            'headers: table, an ordered list of { name, value }; binary-safe',
          },
          returns = '{ topic, partition, offset, timestamp, status = "PERSISTED" }',
          errors = 'err.status is "NOT_PERSISTED" or "POSSIBLY_PERSISTED" (nobody knows)',
          example = 'local report = must(p:send { topic = "orders", key = "k1", value = "v", headers = { \z
            { "event-id", "1" } } })' },
        { "post", "p:post{topic =, ...} -> true | nil, err",
          "Queues one record without waiting; its report is only counted. Waits while the queue is full.",
          params = { "...: any, as for send" } },
        { "submit", "p:submit(list) -> deliveries",
          "Sends a list in its order and returns at once; the reports arrive in the deliveries.",
          params = { "list: table, records as for send" },
            example = 'local d = p:submit(records)\nif not d:wait("5s") then print(#d:failed()) end' },
        { "send_batch", "p:send_batch(list [, at_most]) -> deliveries", "submit, then wait.",
          params = { "list: table, records as for send",
            "at_most: duration, how long to wait for the reports" } },
        { "post_batch", "p:post_batch{topic =, partition =, keys =, values =} -> true | nil, err",
          "The fast path: many values to one partition in one call, no headers, reports only counted.",
          params = { "topic: string, where to", "partition: integer, required by the client's batch call",
            "keys: table, optional, one per value",
            "values: table, list of strings" } },
        { "flush", 'p:flush([at_most]) -> true | nil, err', "Waits until everything queued has its report.",
          params = { "at_most: duration = 30s" } },
        { "purge", "p:purge() -> true | nil, err",
          "Throws away what is queued or in flight; the reports say so." },
        { "pending", "p:pending() -> integer", "Records and requests that have no report yet." },
        { "stats", "p:stats() -> table | nil",
          "librdkafka's last statistics as a table; needs statistics.interval.ms." },
        { "errors", "p:errors() -> list",
          "What went wrong in the background (a broker lost, a queue full) since the last call, each with \z
            `at` in ms." },
        { "init_transactions", "p:init_transactions([at_most]) -> true | nil, err",
          "Fences older producers of the same transactional.id. Once per producer.",
          params = { "at_most: duration = 60s" } },
        { "begin", "p:begin() -> true | nil, err", "Begins a transaction." },
        { "commit", "p:commit([at_most]) -> true | nil, err", "Flushes and commits.",
          params = { "at_most: duration = 60s" },
          errors = "err.retriable: call it again; err.abortable: p:abort(); err.fatal: make a new producer" },
        { "abort", "p:abort([at_most]) -> true | nil, err", "Aborts; what is queued is purged.",
          params = { "at_most: duration = 60s" } },
        { "send_offsets", "p:send_offsets(consumer, offsets [, at_most]) -> true | nil, err",
          "Commits consumed offsets as part of the transaction.",
          params = { "consumer: consumer, whose group commits",
            "offsets: table, batch or list of { topic =, partition =, offset = }",
            "at_most: duration = 10s" } },
        { "transaction", "p:transaction(f) -> true, results | nil, err",
          "Runs f(p) in a transaction: retriable errors are retried, an abortable one aborts, a fatal one \z
            is said. f may return nil, err to give up.",
          params = { "f: function, sends and returns" },
          example = 'local ok, e = p:transaction(function() must(p:send { topic = "orders", value = "v" \z
            }) end)' },
        { "in_transaction", "p:in_transaction() -> boolean",
          "Whether a transaction was begun and has not ended." },
        { "end_uncertain", "p:end_uncertain() -> boolean",
          "Whether a connection was lost while a transaction was ended, so that the request may still \z
            arrive and end the next one: make a new producer." },
        { "is_open", "p:is_open() -> boolean", "false after close." },
        { "mock_brokers", 'p:mock_brokers() -> string | nil',
          "Addresses of the cluster inside the client (test.mock.num.brokers). It proves nothing about \z
            Kafka." },
        { "close", "p:close([{at_most =, abort =}])",
          "Gives what is under way a moment; aborts an open transaction. Also by <close>.",
          params = { "at_most: duration = 5s",
            "abort: boolean = true, false leaves the transaction to its timeout" } },
      } },
    { name = "transactional", meta = "kafka.transactional",
      doc = "A transactional producer that is replaced when it must be.",
      fields = { "replaced: integer, how often so far" },
      methods = {
        { "transaction", "t:transaction(f) -> true, results | nil, err",
          "As p:transaction, with the producer of the moment.",
          params = { "f: function, (p), sends and returns" } },
        { "producer", "t:producer() -> producer | nil, err",
          "The producer of the moment, initialised and fit to begin: for begin, commit and abort by hand." },
        { "close", "t:close()", "Closes the producer; also by <close>." },
      } },
    { name = "deliveries", meta = "kafka.deliveries",
      doc = "The delivery reports of a submit, by position: d[i] is a report, an error, or nil while \z
        pending; #d counts all.",
      methods = {
        { "wait", "d:wait([at_most]) -> boolean",
          "Waits until every record has its report; false when the time was up first.",
          params = { "at_most: duration, no limit without it" } },
        { "acked", "d:acked() -> list", "The reports that say persisted, each with `index`." },
        { "failed", "d:failed() -> list", "The errors, each with `status` and `index`." },
        { "counts", "d:counts() -> acked, failed, pending", "Three numbers." },
      } },
  },
}
