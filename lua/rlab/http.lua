-- rlab.http: requests that wait, and servers whose requests are tasks. The wire is in C (rlab.core_http:
-- libcurl and libmicrohttpd).
local core = require "rlab.core_http"
local err = require "rlab.err"
local json = require "rlab.json"
local log = require "rlab.log"
local strict = require "rlab.options"
local tables = require "rlab.tables"
local urls = require "rlab.urls"

local M = {}

-- ---- requests ----

local request_keys = { "method", "url", "socket", "headers", "body", "json", "timeout", "connect_timeout",
  "max_body" }

-- The names of headers know no case: a default is not put beside what was given in another one.
local function with_default(headers, name, value)
  for given in pairs(headers or {}) do
    if tostring(given):lower() == name then return headers end
  end
  return tables.merged(headers, { [name] = value })
end

local function header_lines(headers)
  local lines = {}
  for name, value in pairs(headers or {}) do
    local line = ("%s: %s"):format(name, value)
    if type(name) ~= "string" or line:find "[\r\n]" then
      error("http.request: headers are texts by name, without line breaks", 4)
    end
    lines[#lines + 1] = value == "" and name .. ";" or line
  end
  table.sort(lines)
  return lines
end

local function prepare(options)
  options = strict.check("http.request", options, request_keys, 4)
  if type(options.url) ~= "string" then
    error("http.request: url is a text such as \"http://127.0.0.1:18080/accounts/1\"", 3)
  end
  if options.json ~= nil and options.body ~= nil then error("http.request: body or json, not both", 3) end
  local headers = options.headers
  if options.json ~= nil then headers = with_default(headers, "content-type", "application/json") end
  return {
    method = (options.method or "GET"):upper(), url = options.url, socket = options.socket,
    headers = header_lines(headers),
    body = options.json ~= nil and json.encode(options.json) or options.body,
    timeout = options.timeout, connect_timeout = options.connect_timeout, max_body = options.max_body,
  }
end

-- request{method=, url=, headers=, body= | json=, timeout="10s", connect_timeout="5s", max_body="64MiB",
--   socket = path of a unix socket, dialled instead of the host} -> {status=, headers=, body=} | nil, err
function M.request(options)
  return core.request(prepare(options))
end

local function by_method(method)
  return function(url, options)
    return core.request(prepare(tables.merged({ method = method, url = url }, options)))
  end
end

M.get, M.delete = by_method "GET", by_method "DELETE"

local function with_body(method)
  return function(url, body, options)
    local all = { method = method, url = url, [type(body) == "table" and "json" or "body"] = body }
    return core.request(prepare(tables.merged(all, options)))
  end
end

M.post, M.put = with_body "POST", with_body "PUT"

-- ---- answers ----

-- problem(status, detail[, more]) -> an answer as RFC 9457 wants it; `more` adds members. `headers` in more
--   are headers.
function M.problem(status, detail, more)
  local body, headers = { type = "about:blank", title = core.reason(status), status = status,
    detail = detail }, {}
  for key, value in pairs(more or {}) do
    if key == "headers" then headers = value else body[key] = value end
  end
  return { status = status, body = json.encode(body),
    headers = with_default(headers, "content-type", "application/problem+json") }
end

-- json(value[, status[, headers]]) -> an answer
function M.json(value, status, headers)
  return { status = status or 200, body = json.encode(value),
    headers = with_default(headers, "content-type", "application/json") }
end

-- ---- servers ----

local Server = {}
Server.__index = Server
Server.__name = "http.server"

local answer_keys = { status = true, headers = true, body = true, after = true }

local function failed(req, failure)
  if err.is(failure) and failure.name == "CANCELLED" then return M.problem(503, "the service is stopping") end
  log.error("a handler failed", { method = req.method, path = req.path, error = tostring(failure) })
  return M.problem(500, "the handler failed; the log of the service says why")
end

-- What a handler returned, made whole; a text is a body.
local function as_answer(req, answer, failure)
  if type(answer) == "string" then
    return { status = 200, body = answer, headers = { ["content-type"] = "text/plain; charset=utf-8" } }
  end
  if type(answer) ~= "table" then return failed(req, failure or "it returned " .. type(answer)) end
  for key in pairs(answer) do
    if not answer_keys[key] then return failed(req, ("an answer has no '%s'"):format(tostring(key))) end
  end
  return answer
end

local function traced(failure)
  if err.is(failure) then return failure end
  return debug.traceback(tostring(failure), 2)
end

local function reply(request, answer)
  local headers = {}
  for name, value in pairs(answer.headers or {}) do headers[name] = tostring(value) end
  return request:reply(answer.status or 200, headers, answer.body or "", answer.after)
end

local function dispatcher(handler)
  return function(request, method, path, query, headers, body, raw_path)
    local req = { method = method, path = path, raw_path = raw_path, query = query, headers = headers,
      body = body }
    local ok, answer, failure = xpcall(handler, traced, req)
    answer = ok and as_answer(req, answer, failure) or failed(req, answer)
    local sent, why = pcall(reply, request, answer)
    if not sent then reply(request, failed(req, why)) end
  end
end

local serve_keys = { "host", "hosts", "port", "threads", "max_body", "max_connections", "idle", "head",
  "body", "json_only", "handler" }

-- serve{host="127.0.0.1", hosts={}, port=0, threads=1, max_body="1MiB", max_connections=1000, idle="60s",
--   head="10s", body="60s", json_only=false, handler=f} -> server | nil, err.
-- Each request is a task that runs f(req{method, path, raw_path, query, headers, body}), which returns
-- {status=, headers=, body=, after=} or a text; `after(sent)` is called in a task when the answer has been
-- written to the socket. Who takes a path apart takes raw_path, and decodes the parts (rlab.routes).
-- It is asked as localhost, by `host` or one of `hosts`; other pages of a browser may not ask it.
function M.serve(options)
  options = strict.check("http.serve", options, serve_keys)
  if type(options.handler) ~= "function" then error("http.serve: handler is a function(req)", 2) end
  local core_options = tables.merged(options)
  core_options.handler = nil
  local raw, port, id = core.serve(core_options, dispatcher(options.handler))
  if not raw then return nil, port end
  local host = options.host or "127.0.0.1"
  return setmetatable({ raw = raw, id = id, host = host, port = port,
    url = "http://" .. urls.address(host, port) },
    Server)
end

-- server:under_way() -> requests that have begun and are not answered
function Server:under_way()
  return self.raw and self.raw:under_way() or 0
end

-- server:front(front | nil): a flow's front() answers its requests in C before the handler is asked; nil
-- takes it away, before the flow is closed
function Server:front(front)
  if self.raw then self.raw:front(front) end
end

-- server:close([grace = "2s"]): no new connections; waits for the requests under way, what is left then is
-- answered 503
function Server:close(grace)
  local raw = self.raw
  if not raw then return end
  self.raw = nil
  if grace ~= nil then raw:grace(grace) end
  raw:close()
  core.forget(self.id)
end

function Server:__close()
  self:close()
end

function Server:__tostring()
  return ("http.server (%s, %s)"):format(self.raw and "open" or "closed", self.url)
end

return M
