-- What the services answer over HTTP: each route with the shapes of its bodies and its status codes. The
-- tables of docs/services.md and docs/openapi are made from it; a test holds it against the routes.
local M = {}

-- ---- shapes ----

local text = { type = "string" }
local bool = { type = "boolean" }
local int = { type = "integer", format = "int64" }
local count = { type = "integer", format = "int64", minimum = 0 }

local function words(...) return { type = "string", enum = { ... } } end
local function of(name) return { ref = name } end
local function list(items) return { type = "array", items = items } end
local function map(values) return { type = "object", values = values } end

-- object{{name, shape[, "?"]}, ...}: in that order; "?" may be absent
local function object(fields) return { type = "object", fields = fields } end

-- only{...}: the same, and no other field is taken
local function only(fields)
  local shape = object(fields)
  shape.closed = true
  return shape
end

local account_id = { type = "integer", format = "int64", minimum = 1 }
local request_id = { type = "string", minLength = 1, maxLength = 128, pattern = "^[^\0-\x1f\x7f]*$",
  description = "At most 128 bytes as UTF-8, no control characters." }
local amount = { type = "integer", format = "int64", above_zero_or_below = true }

M.shapes = {
  Problem = object { { "type", text }, { "title", text }, { "status", int }, { "detail", text, "?" } },
  Health = object { { "status", words("UP", "DOWN", "OUT_OF_SERVICE") }, { "service", text },
    { "name", text }, { "components", map(object { { "status", words("UP", "DOWN") },
      { "details", object { { "why", text } }, "?" } }) } },
  Failpoint = object { { "name", text }, { "expr", text, "?" }, { "hits", count }, { "fired", count },
    { "text", text, "?" } },
  Failpoints = object { { "armed", list(of "Failpoint") },
    { "points", list(object { { "name", text }, { "service", text }, { "help", text } }) } },
  NewAccount = only { { "id", account_id, "?" } },
  Account = object { { "id", int }, { "balance", int }, { "version", count } },
  NewEntry = only { { "amount", amount }, { "request_id", request_id, "?" } },
  Entry = object { { "event_id", text }, { "request_id", text }, { "account_id", int }, { "amount", int },
    { "balance", int }, { "version", count } },
  Pending = object { { "request_id", text }, { "account_id", int }, { "amount", int }, { "pending", bool } },
  AccountView = object { { "account_id", int }, { "balance", int }, { "version", count },
    { "source", words("cache", "db", "stale", "l1", "negative") }, { "age_ms", count } },
  DeadLetter = object { { "id", text }, { "partition", count }, { "offset", count }, { "key", text, "?" },
    { "value", text, "?" }, { "headers", list(list { }) }, { "story", map {} }, { "waiting", bool } },
  DeadLetters = object { { "topic", text }, { "total", count }, { "records", list(of "DeadLetter") } },
  DeadLettersOfOne = object { { "topic", text }, { "records", list(of "DeadLetter") } },
  Replay = object { { "replayed", count }, { "parked", count }, { "skipped", count }, { "passed", count },
    { "unsendable", count }, { "failures", count }, { "lag", count, "?" },
    { "state", text } },
}

-- ---- routes: {method, path, what it does, {status, what it means[, shape]} ..., body =, optional =, path =,
-- header =}; path: the shapes of what stands in {}, a text where none is given ----

local NO_BODY = "done, no body"

M.every = {
  { "GET", "/actuator/health", "Whether all that it needs is well; a component that is down says why.",
    { 200, "UP", "Health" }, { 503, "DOWN, or OUT_OF_SERVICE while it drains", "Health" } },
  { "GET", "/actuator/health/liveness",
    "Only what a restart would mend: an absent server is no reason to end a service.",
    { 200, "UP", "Health" }, { 503, "DOWN", "Health" } },
  { "GET", "/actuator/health/readiness", "Whether requests make sense now.",
    { 200, "UP", "Health" }, { 503, "DOWN, or OUT_OF_SERVICE while it drains", "Health" } },
  { "GET", "/actuator/prometheus", "Metrics, text format 0.0.4.", { 200, "the metrics", "text" } },
  { "GET", "/failpoints", "What is armed and which points there are.", { 200, "both lists", "Failpoints" } },
  { "DELETE", "/failpoints", "Disarms all.", { 204, NO_BODY } },
  { "GET", "/failpoints/{name}", "One point.", { 200, "its state", "Failpoint" }, { 404, "never armed" } },
  { "PUT", "/failpoints/{name}", "Arms it: the body is the expression, as text.",
    { 200, "its state, with the expression in words", "Failpoint" },
    { 400, "the expression or the name is wrong" }, { 404, "the service has no such point" },
    body = "text" },
  { "DELETE", "/failpoints/{name}", "Disarms it.", { 204, NO_BODY } },
  { "POST", "/failpoints/{name}/resume", "Lets go who pauses there.", { 204, NO_BODY },
    { 404, "never armed" } },
}

-- What the server says before a handler is asked: of every route.
M.refusals = {
  { 400, "malformed" }, { 403, "another Host, or a page of another origin" }, { 404, "no such path" },
  { 405, "a wrong method; `Allow` names the right ones" }, { 408, "the request took too long" },
  { 413, "a body beyond 1 MiB" }, { 415, "a body that is not JSON, or has a Content-Encoding" },
  { 503, "it is stopping" },
}

M.services = {
  command = {
    { "POST", "/accounts", "Makes an account: the one named, or without a body the next free id.",
      { 201, "made, with its `Location`", "Account" }, { 400, "no object of these fields" },
      { 409, "it exists, or there is no higher id" }, { 503, "MySQL does not serve now; `Retry-After`" },
      body = "NewAccount", optional = true },
    { "GET", "/accounts/{id}", "Reads an account from the ledger's side.",
      { 200, "the account", "Account" }, { 400, "no account id" }, { 404, "there is none" },
      { 503, "MySQL does not serve now; `Retry-After`" }, path = { id = account_id } },
    { "POST", "/accounts/{id}/entries",
      "Writes an entry, once for a request id: `request_id`, or the header `Idempotency-Key`.",
      { 200, "kept in Redis only (`--fallback redis`, wrong)", "Pending" },
      { 201, "written, or written before (`Idempotent-Replayed: true`)", "Entry" },
      { 400, "amount or request id is missing or malformed" }, { 404, "no such account" },
      { 422, "the balance would overflow, or the id was used for another command" },
      { 500, "the failpoint `cmd.before_commit` or `cmd.after_commit` raised an error" },
      { 503, "MySQL does not serve now, or nobody knows whether it was done: repeat it; `Retry-After`" },
      body = "NewEntry", path = { id = account_id }, header = { "Idempotency-Key", request_id } },
  },
  relay = {},
  consumer = {},
  exporter = {
    { "GET", "/actuator/services", "What the services of this stack tell, each with its `instance`.",
      { 200, "the metrics", "text" }, { 404, "there is no `--services`" } },
  },
  query = {
    { "GET", "/accounts/{id}", "Reads an account from the read model, cache-aside.",
      { 200, "the account, with `X-Cache` and `Age`", "AccountView" }, { 400, "no number of 64 bits" },
      { 404, "there is none" },
      { 503, "refused by the cap, the breaker or the end, or MySQL is away; `Retry-After`" },
      { 504, "MySQL did not answer in time" }, path = { id = int } },
  },
  replay = {
    { "GET", "/dlq", "The first 100 records of the dead-letter topic.", { 200, "they", "DeadLetters" },
      { 503, "Kafka does not answer" } },
    { "GET", "/dlq/{id}", "One of them, by its event id or PARTITION/OFFSET (%2F).",
      { 200, "it, or those of that id", "DeadLettersOfOne" }, { 404, "there is none" },
      { 503, "Kafka does not answer" } },
    { "GET", "/replay", "What was done so far, and the lag.", { 200, "counts", "Replay" } },
    { "POST", "/replay/pause", "Sends nothing until it is resumed.", { 200, "counts", "Replay" } },
    { "POST", "/replay/resume", "Goes on.", { 200, "counts", "Replay" } },
  },
}

return M
