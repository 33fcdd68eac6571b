-- The live console: one page for a browser on this machine. Its files are embedded, what it shows comes from
-- the files of a run (rlab.ui.record, rlab.ui.live) and from the stack's own readers (rlab.ui.kafka).
-- engine/http's guard looks at Host and Origin; what changes something is a POST with the token that only the
-- page knows. No answer is for pages of other origins.
local door = require "rlab.ui.door"
local err = require "rlab.err"
local faults = require "rlab.ui.faults"
local feed = require "rlab.ui.feed"
local host = require "rlab.core_host"
local http = require "rlab.http"
local kafka = require "rlab.ui.kafka"
local live = require "rlab.ui.live"
local metrics = require "rlab.ui.metrics"
local pipeline = require "rlab.ui.pipeline"
local redrive = require "rlab.ui.redrive"
local report = require "rlab.report"
local routes = require "rlab.routes"
local starter = require "rlab.ui.starter"
local task = require "rlab.task"
local urls = require "rlab.urls"

local M = {}

local Console = {}
Console.__index = Console

local PATIENCE = "15s" -- that a reader of the events is kept waiting

local KEEP_OUT = {
  ["content-security-policy"] = "default-src 'none'; script-src 'self'; style-src 'self'; \z
    connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  ["x-content-type-options"] = "nosniff", ["referrer-policy"] = "no-referrer",
  ["cross-origin-opener-policy"] = "same-origin", ["cross-origin-resource-policy"] = "same-origin",
  ["cache-control"] = "no-store",
}

local TYPES = { html = "text/html; charset=utf-8", css = "text/css; charset=utf-8",
  js = "text/javascript; charset=utf-8" }

-- ---- the page ----

local list = {}

local function route(method, path, handler)
  list[#list + 1] = { method = method, parts = routes.parts(path), handler = handler }
end

require "rlab.ui.api"(route)

local function asset(console, name)
  local text = name:find "^[%w_]+%.%w+$" and host.embedded("lua/rlab/ui/assets/" .. name)
  local kind = TYPES[name:match "%.(%w+)$" or ""]
  if name == "palette.css" then text = report.asset(name) end
  if not (text and kind) then return http.problem(404, "there is no such page") end
  if name == "index.html" then text = text:gsub("{token}", console.token) end
  return { status = 200, headers = { ["content-type"] = kind }, body = text }
end

route("GET", "/", function(console) return asset(console, "index.html") end)
route("GET", "/favicon.ico", function() return { status = 204, body = "" } end)
route("GET", "/assets/{name}", function(console, req) return asset(console, req.params.name) end)

-- ---- the events ----

route("GET", "/events", function(console, req)
  local cursor = req.headers["last-event-id"] or req.query.after
  if cursor == "" then cursor = nil end -- a page that was just opened hears at once that it is connected
  return { status = 200, headers = { ["content-type"] = "text/event-stream" },
    body = feed.sse(console.feed:since(cursor, PATIENCE)) }
end)

-- ---- for Prometheus ----

-- ?collect[]=runs, as exporters know it: of these alone
route("GET", "/metrics", function(console, req) return console.metrics:answer(req.query["collect[]"]) end)

-- ---- the server ----

local function dispatch(console, req)
  local found, params = routes.find(list, req.method, routes.split(req.raw_path))
  if not found then
    if #params > 0 then return http.problem(405, "this path takes " .. table.concat(params, ", ")) end
    return http.problem(404, "there is no such page")
  end
  if found.method ~= "GET" and req.headers["x-rlab-token"] ~= console.token then
    return http.problem(403, "what changes something carries the token of the console's page")
  end
  req.params = params
  return found.handler(console, req)
end

local STATUS = { USAGE = 400, OFFSET_OUT_OF_RANGE = 400, UNKNOWN_TOPIC_OR_PART = 404,
  GROUP_HAS_MEMBERS = 409, INVALID_TXN_STATE = 409, BUSY = 409, NO_STACK = 503 }

-- What the world refuses is told with its reason; a bug of ours is the server's to tell.
local function answered(console, req)
  local kept_out = console.door and console.door:answer(req)
  if kept_out then return kept_out end
  local ok, answer = pcall(dispatch, console, req)
  if ok then return answer end
  if not err.is(answer) or answer.name == "CANCELLED" then error(answer, 0) end
  return http.problem(STATUS[answer.name] or 502, answer.message, { name = answer.name })
end

local function guarded(console)
  return function(req)
    local answer = answered(console, req)
    answer.headers = answer.headers or {}
    for name, value in pairs(KEEP_OUT) do answer.headers[name] = answer.headers[name] or value end
    return answer
  end
end

-- serve{port=, bind="127.0.0.1", hosts=, runs="runs", recorded=events, speed=1} -> console{url=, port=} |
--   nil, err. Wider than loopback it has a door, and the url its key.
function M.serve(opts)
  local runs = opts.runs or "runs"
  local stack = kafka.new()
  local flow = pipeline.new(stack.clients)
  local console = setmetatable({ token = door.secret(24), runs = runs, feed = feed.new(), kafka = stack,
    faults = faults.new(stack.clients), pipeline = flow, redrive = redrive.new(flow),
    metrics = metrics.new(runs, function() return stack.clients:stack() end), starter = starter.new(runs),
    recorded = opts.recorded, speed = opts.speed or 1 }, Console)
  local bind = opts.bind or "127.0.0.1"
  if not door.is_loopback(bind) then console.door = door.new() end
  local server, failure = http.serve { host = bind, port = opts.port, hosts = opts.hosts, json_only = true,
    handler = guarded(console) }
  if not server then return nil, failure end
  console.server, console.url, console.port = server, server.url, server.port
  if console.door then
    local name = opts.hosts and opts.hosts[1]
    console.url = (name and "http://" .. urls.address(name, server.port) or server.url)
      .. "/?key=" .. console.door.key
  end
  if console.recorded then console:replay() else console:follow() end
  return console
end

-- console:replay(): from the first event of what is recorded; what runs is not followed meanwhile
function Console:replay()
  if self.watcher then self.watcher:cancel() end
  self.watcher = nil
  self.feed:play(self.recorded, self.speed)
end

-- console:follow(): whatever runs now
function Console:follow()
  if self.watcher then return end
  self.feed:stop()
  self.watcher = task.spawn(live.watch, self.feed, self.runs)
end

function Console:close()
  if not self.server then return end
  if self.watcher then self.watcher:cancel() end
  self.feed:close()
  self.server:close "500ms"
  self.starter:stop()
  self.redrive:stop()
  self.metrics:close()
  self.kafka:close()
  self.server = nil
end

Console.__close = Console.close

return M
