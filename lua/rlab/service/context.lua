-- What a service's start function is given: its settings, and where it says what it serves, measures and
-- needs.
local err = require "rlab.err"
local http = require "rlab.http"
local log = require "rlab.log"
local routes = require "rlab.routes"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local Context = {}
Context.__index = Context
Context.__name = "service.context"

local function logger(fields)
  local own = {}
  for _, level in ipairs { "debug", "info", "warn", "error" } do
    own[level] = function(message, more) log[level](message, tables.merged(fields, more)) end
  end
  return own
end

-- new(description, config) -> ctx
function M.new(description, config)
  return setmetatable({
    service = description.name, name = config.name, config = config, mysql = config.mysql,
    redis = config.redis, brokers = config.brokers,
    log = logger { service = description.name, name = config.name },
    routes = {}, components = {}, collectors = {}, drains = {}, tasks = {}, requests = {}, busy = 0,
    draining = false,
    ready = task.event(), stopping = task.event(), quiet = task.event(), failed = task.event(),
  }, Context)
end

-- ---- routes ----

-- ctx:route("GET", "/accounts/{id}", handler): handler(req) with req.params.id returns an answer as
-- http.serve wants it
function Context:route(method, path, handler)
  if type(handler) ~= "function" then error("ctx:route: a handler(req) expected", 2) end
  self.routes[#self.routes + 1] = { method = method:upper(), path = path, parts = routes.parts(path),
    handler = handler }
end

-- The route of a request and its parameters | nil, the methods that the path has
function Context:find_route(method, raw_path)
  return routes.find(self.routes, method, routes.split(raw_path))
end

-- ---- health, metrics, drain ----

-- ctx:health(name, fn[, kind]): fn() -> ok, why, quickly. kind "ready" (the default): the service waits for
--   it; "live": without it only a restart helps
function Context:health(name, fn, kind)
  if kind ~= nil and kind ~= "ready" and kind ~= "live" then
    error("ctx:health: kind is \"ready\" or \"live\"", 2)
  end
  self.components[#self.components + 1] = { name = name, check = fn, kind = kind or "ready" }
end

-- ctx:metrics(fn): fn() -> list of metrics, as rlab.metrics takes them
function Context:metrics(fn)
  self.collectors[#self.collectors + 1] = fn
end

-- ctx:front(front | nil): a flow's front() answers in C before the routes are looked at; take it away
-- before the flow closes
function Context:front(front)
  self.server:front(front)
end

-- ctx:on_drain(fn): called in order when the service ends, after the requests under way were answered
function Context:on_drain(fn)
  self.drains[#self.drains + 1] = fn
end

-- ctx:spawn(f, ...) -> task, for work in the background; it is cancelled at the end. When it raises, the
--   service ends with that error.
function Context:spawn(f, ...)
  local started = task.spawn(function(...)
    local results = table.pack(pcall(f, ...))
    if not results[1] and not self.draining then self:give_up(results[2]) end
    return table.unpack(results, 2, results.n)
  end, ...)
  self.tasks[#self.tasks + 1] = started
  return started
end

-- ctx:give_up(failure): the service cannot go on and ends with that error
function Context:give_up(failure)
  self.failure = self.failure or failure
  self.failed:set(true)
end

-- ctx:hold(): the service is ready; returns when it is to end, after the drain functions were called
function Context:hold()
  self.held = true
  self.ready:set(true)
  while not self.stopped do self.stopping:wait() end
end

-- ctx:say(word, fields): a JSON line on standard output, for who started the service
function Context:say(word, fields)
  io.stdout:write(require("rlab.json").encode(tables.merged({ say = word }, fields)), "\n")
  io.stdout:flush()
end

-- ---- the handler of the server ----

local function count(ctx, route, status, exception, began)
  local clock, hdr = require "rlab.clock", require "rlab.hdr"
  local key = ("%s %s %d %s"):format(route.method, route.path, status, exception or "none")
  local row = ctx.requests[key]
  if not row then
    local request = { method = route.method, uri = route.path, status = status, exception = exception }
    row = { labels = require("rlab.service.meters").request_labels(ctx, request),
      hdr = hdr.new { highest = 60000000000, digits = 2 } }
    ctx.requests[key] = row
  end
  row.hdr:record(clock.ns() - began)
end

local function traced(failure)
  if err.is(failure) then return failure end
  return debug.traceback(tostring(failure), 2)
end

local function failed(ctx, req, failure)
  if err.is(failure) and failure.name == "CANCELLED" then
    return http.problem(503, "the service is stopping"), failure.name
  end
  ctx.log.error("a handler failed", { method = req.method, path = req.path, error = tostring(failure) })
  return http.problem(500, "the handler failed; the log of the service says why"),
    err.is(failure) and failure.name or "error"
end

-- -> answer, the name of what the handler raised
local function call(ctx, route, req)
  ctx.busy = ctx.busy + 1
  local ok, answer, failure = xpcall(route.handler, traced, req)
  ctx.busy = ctx.busy - 1
  ctx.quiet:set(true)
  if not ok then return failed(ctx, req, answer) end
  if type(answer) == "string" then
    return { status = 200, body = answer, headers = { ["content-type"] = "text/plain; charset=utf-8" } }
  end
  if type(answer) ~= "table" then return failed(ctx, req, failure or "it returned " .. type(answer)) end
  return answer
end

local function refuse(req, allowed)
  if #allowed == 0 then return http.problem(404, "there is nothing at " .. req.path) end
  return http.problem(405, ("%s takes %s"):format(req.path, table.concat(allowed, ", ")),
    { headers = { allow = table.concat(allowed, ", ") } })
end

-- ctx:handle(req) -> answer; what is not found, not allowed or comes while draining is refused here
function Context:handle(req)
  local route, params = self:find_route(req.method, req.raw_path)
  if not route then return refuse(req, params) end
  req.params, req.route = params, route.path
  if self.draining and not route.admin then
    return http.problem(503, "the service is stopping",
      { headers = { connection = "close", ["retry-after"] = "1" } })
  end
  if route.admin then return route.handler(req) end
  local began = require("rlab.clock").ns()
  local answer, exception = call(self, route, req)
  count(self, route, answer.status or 200, exception, began)
  return answer
end

return M
