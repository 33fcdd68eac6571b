-- The life of a service: listen, start, say so, serve until SIGTERM, drain, end with 0.
local clock = require "rlab.clock"
local endpoints = require "rlab.service.endpoints"
local err = require "rlab.err"
local exit = require "rlab.exit"
local fs = require "rlab.fs"
local host = require "rlab.core_host"
local http = require "rlab.http"
local layout = require "rlab.stack.layout"
local log = require "rlab.log"
local notes = require "rlab.stack.notes"
local points = require "rlab.failpoint.points"
local process = require "rlab.process"
local script = require "rlab.experiment.script"
local service = require "rlab.service"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local function taken(config, failure)
  local pid, name = process.port_owner(config.port)
  if failure.name == "EADDRINUSE" and pid then
    failure.message = ("port %d is taken by %s (pid %d); choose another by --port, or 0 for any"):format(
      config.port, name or "somebody", pid)
  end
  error(failure, 0)
end

local function listen(ctx)
  local config = ctx.config
  local server, failure = http.serve { host = config.host, port = config.port, threads = config.threads,
    max_connections = config.max_connections, hosts = config.hosts, json_only = true,
    handler = function(req) return ctx:handle(req) end }
  if not server then taken(config, failure) end
  return server
end

-- The service's own function runs in a task, so that a signal ends the wait for it and not it itself.
local function start(ctx, description)
  return task.spawn(function()
    local ok, failure = xpcall(description.start, function(failure)
      if err.is(failure) then return failure end
      return debug.traceback(tostring(failure), 2)
    end, ctx)
    ctx.started, ctx.ready_failed = true, not ok
    if not ok and not ctx.stopped then ctx:give_up(failure) end
    ctx.ready:set(true)
  end)
end

-- Prometheus asks an exporter that looks there which services of this stack run. Where nobody looks, there
-- is no such folder.
local function note_port(ctx)
  local folder = layout.services()
  if not fs.exists(folder) then return end
  ctx.note = notes.put(folder, { service = ctx.service, name = ctx.name, port = ctx.port })
end

-- Returns when the service is to end: by a signal, which is raised in the main task, or because it gave up.
local function serve(ctx)
  local ok, failure = pcall(function()
    while not (ctx.held or ctx.started) do ctx.ready:wait() end
    if ctx.failure then return end
    ctx:say("ready", tables.merged({ port = ctx.port, pid = process.self(), service = ctx.service,
      name = ctx.name, at_ms = clock.unix_ms() }, ctx.about))
    note_port(ctx)
    ctx.log.info("ready", { port = ctx.port, took_ms = (clock.ns() - ctx.began) // 1000000 })
    while not ctx.failure do ctx.failed:wait() end
  end)
  if not ok and not (err.is(failure) and (failure.name == "TERMINATED" or failure.name == "INTERRUPTED")) then
    error(failure, 0)
  end
end

-- ---- the end ----

local function answer_requests(ctx)
  while ctx.busy > 0 do ctx.quiet:wait() end
end

-- run_drains(ctx) -> whether all of them did what they are there for
local function run_drains(ctx)
  local all = true
  for _, drain in ipairs(ctx.drains) do
    local ok, failure = pcall(drain)
    if not ok then ctx.log.error("draining failed", { error = tostring(failure) }) end
    all = all and ok
  end
  return all
end

local function release(ctx, started)
  ctx.stopped = true
  ctx.stopping:set(true)
  if ctx.ready_failed == nil and not ctx.started then started:join() end
end

local function end_tasks(ctx, started)
  local why = err.new { domain = "rlab", code = 0, name = "CANCELLED", message = "the service is ending" }
  if not started:done() then started:cancel(why) end
  for _, one in ipairs(ctx.tasks) do one:cancel(why) end
  started:join()
  for _, one in ipairs(ctx.tasks) do one:join() end
end

local function drain(ctx, started)
  ctx.draining = true
  ctx.log.info("draining", { requests = ctx.busy })
  local complete = task.timeout(ctx.config.drain_timeout, function()
    answer_requests(ctx)
    local all = run_drains(ctx)
    release(ctx, started)
    return all
  end)
  ctx.stopped = true
  end_tasks(ctx, started)
  return complete
end

-- What a file of the user's did wrong is not a bug of rlab.
local function blamed(failure, description)
  return description.file and script.error(failure, description.file) or failure
end

local function live(ctx, description)
  endpoints.install(ctx)
  local server <close> = listen(ctx)
  ctx.port, ctx.server = server.port, server
  local started = start(ctx, description)
  serve(ctx)
  if ctx.note then notes.drop(ctx.note) end
  local complete = drain(ctx, started)
  server:close "1s"
  if ctx.failure then error(blamed(ctx.failure, description), 0) end
  ctx.log.info("drained", { complete = complete or false })
  ctx:say("drained", { complete = complete or false })
  return exit.ok
end

-- main(description, words) -> exit code
function M.main(description, words)
  local began = clock.ns()
  local config = require("rlab.service.options").resolve(description, words)
  local known = points.closed(description.name, config)
  if known then points.check_armed(known) end
  if config.die_with_parent and not host.die_with_parent(config.die_with_parent) then
    return exit.interrupted
  end
  log.form "json"
  log.level(config.log_level)
  local ctx = require("rlab.service.context").new(description, config)
  ctx.began, ctx.started_at = began, clock.unix_ms()
  return live(ctx, description)
end

-- describe(name) -> the help of one service, or of all
function M.describe(name)
  if name then return require("rlab.service.options").help(service.load(name)) end
  local out = { "usage: rlab service NAME [--config FILE.json] [--option value ...]\n\nservices" }
  for _, known in ipairs(service.names()) do
    out[#out + 1] = ("  %-10s %s"):format(known, service.load(known).help)
  end
  out[#out + 1] = "\nrlab service NAME --help lists its options. NAME may be a Lua file of your own that \z
    returns service { ... }."
  return table.concat(out, "\n")
end

return M
