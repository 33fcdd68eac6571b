-- rlab.proxy for help(), completion and docs/api.md.
local NAME, ID = "name: string, of a proxy", "id: integer"
local FILTER = { 'proto: string = "kafka"', "api: string", "client_id: string, a prefix", "topic: string",
  "contains: string, bytes of the request", "proxy: string",
  "owner: string" }

return {
  module = "proxy", kind = "module",
  doc = "The fault proxy: TCP in the middle with Toxiproxy's toxics and API, and rules that understand \z
    Kafka, MySQL and Redis. As a process: rlab proxy, or the stack's part \"proxy\".",
  functions = {
    { "serve", "proxy.serve{...} -> server | nil, err",
      "A proxy in this process, with its HTTP API. Close it by <close>.",
      params = { 'host: string = "127.0.0.1"', "port: integer = 0, of the API; 0 is any", "seed: integer = 7",
        "hosts: table, names that the API is asked by besides localhost and host",
        "anywhere: boolean = false, proxies may listen beyond this machine",
        "proxies: table, { name, listen, upstream, proto }, ..." }, errors = "EXISTS, LISTEN, ADDRESS",
      example = 'local p <close> = must(proxy.serve { proxies = { { name = "db", upstream = \z
        "127.0.0.1:13306", proto = "mysql" } } })' },
    { "connect", "proxy.connect(url) -> client | nil, err", "A client of a running proxy.",
      params = { "url: string, http://127.0.0.1:18474" },
      errors = "CONNECT, TIMEOUT", example = 'local p = must(proxy.connect "http://127.0.0.1:18474")' },
  },
  types = {
    { name = "server", meta = "proxy.server", doc = "A proxy in this process.",
      fields = { "url: string", "port: integer" },
      methods = { { "close", "server:close()", "Cuts all connections; done by <close>." } } },
    { name = "client", meta = "proxy.client", doc = "A proxy, by its API. Methods return nil, err when it \z
      refuses or is gone.",
      fields = { "url: string", "version: string, of Toxiproxy's API" },
      methods = {
        { "proxies", "client:proxies() -> table", "All proxies by name: listen, port, upstream, enabled, \z
          toxics, accepted, open, bytes_up, bytes_down, ..." },
        { "proxy", "client:proxy(name) -> table", "One of them.", params = { NAME } },
        { "create", "client:create{name =, upstream =, ...} -> table", "A new proxy; its row says the port.",
          params = { "name: string", "upstream: string, host:port", 'listen: string = "127.0.0.1:0"',
            'proto: string = "tcp", "kafka", "mysql" or "redis"', "owner: string" } },
        { "enable", "client:enable(name) -> table", "Up again.", params = { NAME } },
        { "disable", "client:disable(name) -> table", "Down: the listener and all connections are closed.",
          params = { NAME } },
        { "remove", "client:remove(name) -> true", "Takes it away.", params = { NAME } },
        { "toxic", "client:toxic(name, {type =, ...}) -> table",
          "Adds a toxic: latency, bandwidth, slow_close, timeout, reset_peer, slicer, limit_data or noop.",
          params = { NAME, "type: string", 'stream: string = "downstream", or "upstream"',
            "toxicity: number = 1, share of connections", "attributes: table",
            "name: string = type_stream" }, example = 'must(p:toxic("mysql", { type = "latency", \z
              attributes = { latency = 100, jitter = 20 } }))' },
        { "remove_toxic", "client:remove_toxic(name, toxic) -> true", "Takes a toxic away.",
          params = { NAME, "toxic: string" } },
        { "add_rule", "client:add_rule{action =, ...} -> table",
          "Adds a rule; its fields are those of lab:rule.", params = { "action: string" } },
        { "rules", "client:rules() -> list", "All rules with their counters." },
        { "rule", "client:rule(id) -> table", "One rule: matched, fired, held, released, bytes, last.",
          params = { ID } },
        { "release", "client:release(id) -> integer", "Lets its held requests go.", params = { ID } },
        { "remove_rule", "client:remove_rule(id) -> true", "Takes a rule away.", params = { ID } },
        { "watch", "client:watch{...} -> id", "Messages that match are noted from now on.", params = FILTER },
        { "unwatch", "client:unwatch(id) -> true", "Notes no more.", params = { ID } },
        { "wire", "client:wire{since =, owner =, proxy =} -> rows, last, dropped",
          "What was noted, with a number above since.",
          params = { "since: integer = 0", "owner: string, whose watches and rules", "proxy: string" } },
        { "sweep", "client:sweep(owner) -> integer", "Takes away the rules, watches and proxies of an \z
          owner and of names that begin with it and a dash.",
          params = { "owner: string" } },
      } },
  },
}
