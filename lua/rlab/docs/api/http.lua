-- rlab.http, rlab.metrics and rlab.service for help(), completion and docs/api.md.
local OPTIONS = {
  "socket: string, path of a unix socket that is dialled instead of the URL's host",
  "headers: table, texts by name", "body: string", "json: any, a body instead, as JSON",
  'timeout: duration = "10s", of the whole call',
  'connect_timeout: duration = "5s"', 'max_body: size = "64MiB", of the answer',
}
local ERRORS =
  "CONNECT, UNKNOWN_HOST, TIMEOUT, CONNECTION_LOST, TLS, TOO_LARGE, URL; err.retriable: nothing was sent"
local URL = "url: string"

local http = {
  module = "http", kind = "module",
  doc = "HTTP requests that wait, and servers whose requests are tasks. Redirects are not followed and no \z
    proxy of the environment is used. Connections are kept for the next request; a POST or PATCH whose \z
    connection breaks is never sent twice, its outcome is unknown.",
  functions = {
    { "request", "http.request{url =, method =, ...} -> { status, headers, body } | nil, err",
      "Any request. An answer of any status is an answer; headers have lower-case names. 64 calls of all \z
        modules wait at once, more wait for their turn.",
      params = { URL, 'method: string = "GET"', table.unpack(OPTIONS) }, errors = ERRORS,
      example = 'local answer = must(http.request { method = "PATCH", url = "http://127.0.0.1:18080/x", \z
        json = { n = 1 } })' },
    { "get", "http.get(url [, options]) -> { status, headers, body } | nil, err",
      "GET; options as of request.", params = { URL, "options: table" },
      errors = ERRORS, example = 'print(must(http.get("http://127.0.0.1:18080/actuator/health")).body)' },
    { "delete", "http.delete(url [, options]) -> { status, headers, body } | nil, err",
      "DELETE; options as of request.",
      params = { URL, "options: table" }, errors = ERRORS },
    { "post", "http.post(url, body [, options]) -> { status, headers, body } | nil, err",
      "POST; a table is sent as JSON.",
      params = { URL, "body: string | table", "options: table" }, errors = ERRORS,
      example = 'must(http.post("http://127.0.0.1:18080/accounts", { id = 1 }, { timeout = "2s" }))' },
    { "put", "http.put(url, body [, options]) -> { status, headers, body } | nil, err",
      "PUT; a table is sent as JSON.",
      params = { URL, "body: string | table", "options: table" }, errors = ERRORS },
    { "serve", "http.serve{handler =, ...} -> server | nil, err",
      "Listens. Each request is a task that runs handler(req) with req.method, path, raw_path, query, \z
        headers, body; it may wait and returns { status, headers, body, after } or a text. after(sent) is \z
        called when the answer has been written to the socket. Who takes a path apart splits raw_path and \z
        decodes the parts. What is malformed is answered 400; another Host than localhost, host and hosts, \z
        or the Origin of another page, 403.",
      params = { "handler: function, (req) -> answer", 'host: string = "127.0.0.1"',
        "hosts: table, names that it is asked by besides localhost and host",
        "port: integer = 0, any that is free", "threads: integer = 1, of the server",
        'max_body: size = "1MiB"', "max_connections: integer = 1000",
        'idle: duration = "60s", after which an idle connection is closed',
        'head: duration = "10s", that the head of a request may take',
        'body: duration = "60s", that its body may take',
        "json_only: boolean = false, bodies are JSON (415), but for PUT" },
      errors = "EADDRINUSE, EACCES, UNKNOWN_HOST", example = 'local server <close> = must(http.serve { \z
        handler = function(req) return "hello " .. req.path end })' },
    { "json", "http.json(value [, status [, headers]]) -> answer", "An answer in JSON.",
      params = { "value: any", "status: integer = 200", "headers: table" } },
    { "problem", "http.problem(status, detail [, more]) -> answer",
      "An answer that says what is wrong, as application/problem+json (RFC 9457).",
      params = { "status: integer", "detail: string",
        "more: table, further members; more.headers are headers" } },
  },
  types = {
    { name = "server", meta = "http.server", doc = "A server that listens.",
      fields = { "port: integer", "host: string", "url: string, such as http://127.0.0.1:40123" },
      methods = {
        { "under_way", "server:under_way() -> integer", "Requests that have begun and are not answered." },
        { "front", "server:front(front | nil)", "What a flow's front() made answers its requests in C \z
          before the handler is asked; nil takes it away.",
          params = { "front: any, take it away before its flow is closed" } },
        { "close", "server:close([grace])", "Takes no new connections and waits for the requests under \z
          way; what is left then is answered 503. Also by <close>.",
          params = { 'grace: duration = "2s"' } },
      } },
  },
}

local metrics = {
  module = "metrics", kind = "module", doc = "The Prometheus text format 0.0.4.",
  fields = { "content_type: string, of that text" },
  functions = {
    { "render", "metrics.render{metric, ...} -> text",
      "Metrics as text; those of one name share HELP and TYPE. A metric is { name, type, help, labels, \z
        value } or, of a histogram, { ..., hdr, scale, bounds }.",
      params = { "metric: table" },
      example = 'print(metrics.render { { name = "seen_total", type = "counter", help = "Records.", value \z
        = 7, labels = { topic = "t" } } })' },
    { "labels", "metrics.labels(labels) -> text",
      "Labels as they stand between the braces, for a metric with very many values: { name, type, help, \z
        labels, series } with series = { labels, value, labels, value, ... }.",
      params = { "labels: table, text by name" },
      example = 'local t = metrics.labels { topic = "t" }\nprint(metrics.render { { name = "seen", series = \z
        { t, 7 } } })' },
  },
}

local service = {
  module = "service", kind = "module",
  doc = "service { name, help, port, options, uses, start }: a service, run by `rlab service NAME` or \z
    `rlab service FILE.lua`. It gets its endpoints (/actuator/health, /actuator/prometheus, /failpoints), \z
    its options by flags, environment and file, its logs and its end by SIGTERM. docs/services.md tells \z
    more.",
  functions = {
    { "names", "service.names() -> list", "The services that are part of rlab." },
    { "load", "service.load(name) -> description",
      "One of them, or a Lua file that returns service { ... }.", params = { "name: string" } },
  },
  types = {
    { name = "context", meta = "service.context", doc = "What start(ctx) is given.",
      fields = { "config: table, every option's value by its name: durations in seconds, sizes in bytes",
        "log: table, debug, info, warn, error(message [, fields])",
        "mysql: table, host, port, user, password, database",
        "redis: table, host, port, db, user, password", "brokers: string", "name: string, of this instance",
        "service: string", "draining: boolean, whether the service ends",
        "server: http.server", "port: integer, where it listens" },
      methods = {
        { "route", "ctx:route(method, path, handler)",
          "Serves a path; \"{id}\" in it becomes req.params.id. The handler is as of http.serve.",
          params = { "method: string", "path: string", "handler: function" },
          example = 'ctx:route("GET", "/hello/{who}", function(req) return "hello " .. req.params.who end)' },
        { "health", "ctx:health(name, check [, kind])",
          "A part of /actuator/health; check() returns ok, why within a second.",
          params = { "name: string", "check: function",
            'kind: string = "ready", or "live": without it only a restart helps' } },
        { "metrics", "ctx:metrics(collect)", "collect() returns metrics for /actuator/prometheus.",
          params = { "collect: function" } },
        { "front", "ctx:front(front | nil)", "What a flow's front() made answers its requests in C before \z
          the routes are looked at; nil takes it away.",
          params = { "front: any, take it away before its flow is closed" } },
        { "on_drain", "ctx:on_drain(f)",
          "Called when the service ends, after the requests under way were answered.",
          params = { "f: function" } },
        { "spawn", "ctx:spawn(f, ...) -> task", "Work in the background, cancelled at the end; when it \z
          raises, the service ends with that error.",
          params = { "f: function", "...: any" } },
        { "hold", "ctx:hold()",
          "The service is ready; returns when it is to end, so that start's <close> variables close then." },
        { "give_up", "ctx:give_up(failure)", "The service cannot go on and ends with that error.",
          params = { "failure: err" } },
        { "say", "ctx:say(word [, fields])", "A JSON line on standard output, for who started the service.",
          params = { "word: string", "fields: table" } },
      } },
  },
}

return { http, metrics, service }
