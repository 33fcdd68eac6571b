-- rlab.flow_load
return {
  module = "flow_load", kind = "module",
  doc = "A load generator that does not flatter: requests start at intended times whatever the system \z
    does, and latency counts from there.",
  functions = {
    { "open", "flow_load.open{url = | kafka =, request =, rate = | readers =, count =, duration =, ...} \z
      -> load | nil, err",
      "Starts a load on this machine, in a thread of its own. A wrong option, or a target elsewhere, raises.",
      params = {
        "url: string, http://127.0.0.1:PORT", "kafka: table, properties of a producer, instead of url",
        "request: table, { method =, path =, body =, headers =, id = } or { topic =, key =, value =, \z
          partition =, headers =, id = }; texts may hold ${n} ${n:4} ${id} ${uuid} ${range:1:20} \z
          ${pick:a,b} ${pad:100}",
        "requests: table, a list of requests that take turns", "rate: rate, such as \"200/s\": an open load",
        'arrivals: string = "constant", or "poisson"',
        "readers: integer, a closed load: that many connections, released together, each asks again after \z
          its reply",
        "count: integer, requests in all, of a closed load for each reader",
        "duration: duration, in which requests start",
        "timeout: duration = 2s, of a request from its start; one that could not start for so long is \z
          dropped",
        "late: duration = 1ms, a start so far behind its time counts as late",
        "in_flight: integer = 64, at most; 10000 for Kafka", "rows: integer = 0, kept until they are taken",
        "body: size = 0, of a reply that a row keeps", "seed: integer = 0, of arrivals and texts",
        "history: history, gets each operation; an unknown outcome is info",
        'name: string = "load", of the processes there',
        'f: string = "request", of the operation there; "send" for Kafka',
      },
      example = 'local l <close> = must(flow_load.open { url = "http://127.0.0.1:18080", rate = "200/s", \z
        count = 1000,\n' ..
        '  request = { path = "/accounts/${range:1:20}/entries", body = \z
          [[{"request_id":"${id}","amount":5}]], id = "cmd-${n:4}" } })\n' ..
        'must(l:wait "30s")\nprint(l:stats().latency:percentile(99) / 1e6)' },
  },
  types = {
    { name = "load", meta = "flow.load", doc = "A load under way, or over.",
      methods = {
        { "stats", "load:stats() -> table", "Counters, and histograms in ns.",
          returns = "{ planned, started, ok, failed, unknown, dropped, late, in_flight, most_in_flight, \z
            connects, bytes, rows, rows_lost, " ..
            'status = { ["2xx"] = }, released, seconds, latency, service, lateness }' },
        { "take", "load:take([n]) -> list",
          "Rows of requests that have ended, oldest first; times are those of clock.ns.",
          params = { "n: integer = 1000, at most" },
          returns = '{ n, id, intended, started, ended, outcome = "ok" | "fail" | "info" | "dropped", \z
            status, body, error, reader, partition, offset }' },
        { "wait", "load:wait([at_most]) -> true | nil, err", "Until it has come to its end.",
          params = { "at_most: duration, no limit without it" } },
        { "events", "load:events([at_most]) -> list | nil",
          "What happened since the last call: { what, at_ms, err, ... }; nil when all is over.",
          params = { "at_most: duration, how long to wait for one" } },
        { "stop", "load:stop([at_most]) -> true | nil, err",
          "Starts nothing more and waits for what is in flight.",
          params = { "at_most: duration = 10s" }, errors = "TIMEOUT" },
        { "health", "load:health() -> true | false, why", "Whether its servers answer." },
        { "running", "load:running() -> boolean", "Whether it has not ended." },
        { "close", "load:close()", "Ends it at once; what is in flight is unknown. Also by <close>." },
      } },
  },
}
