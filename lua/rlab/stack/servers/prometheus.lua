-- Prometheus, which looks at the stack: what it asks is made from rlab.stack.settings, its rules are those of
-- deploy/. What it has seen stays until `rlab down --wipe`, for a day at most.
local embedded = require("rlab.core_host").embedded
local fs = require "rlab.fs"
local http = require "rlab.http"
local json = require "rlab.json"
local observe = require "rlab.stack.observe"
local process = require "rlab.process"
local scrape = require "rlab.stack.scrape"
local err = require "rlab.err"
local task = require "rlab.task"

-- It asks each target for the first time at a moment of its own within the interval, and one that was not
-- there again an interval later: so it asks often until all are up. A machine on which they take longer than
-- such an interval to answer gets the usual one before that.
local HURRIED_AT_MOST, ALL_UP_AT_MOST = "15s", "60s"

local function write_config(ctx, server, hurried)
  return fs.write(server.dir .. "/prometheus.yml", scrape.on_loopback(ctx.ports, hurried))
end

local function get(port, path)
  return http.get(("http://127.0.0.1:%d%s"):format(port, path), { timeout = "1s" })
end

-- targets(port) -> {{job, instance, health, why, every}} that it asks now
local function targets(port)
  local answer = get(port, "/api/v1/targets?state=active")
  local decoded = answer and answer.status == 200 and json.decode(answer.body)
  local list = {}
  for i, target in ipairs(decoded and decoded.data.activeTargets or {}) do
    list[i] = { job = target.labels.job, instance = target.labels.instance, health = target.health,
      why = target.lastError, every = target.scrapeInterval }
  end
  return list
end

local function first_not_up(port)
  local list = targets(port)
  if #list == 0 then return "it has not begun to ask" end
  for _, target in ipairs(list) do
    if target.health ~= "up" then
      return ("%s at %s: %s"):format(target.job, target.instance,
        target.why ~= "" and target.why or "not asked yet")
    end
  end
end

-- not_up_after(ctx, at_most) -> what is still not up by then | nil
local function not_up_after(ctx, at_most)
  local missing
  task.wait_until(function()
    missing = first_not_up(ctx.ports.prometheus)
    return not missing
  end, { at_most = at_most, every = "50ms" })
  return missing
end

-- From here on as often as the settings say.
local function calm(ctx)
  local ok, failure = write_config(ctx, ctx:server "prometheus")
  local entry = ctx.state.servers.prometheus
  if not ok or not entry then return ok, failure end
  return process.signal(entry.pid, "HUP", entry.start)
end

return {
  part = observe.PART,
  names = { "prometheus" },
  disk = 64 << 20,
  stop = { signal = "TERM", rank = 1, at_most = "10s" },
  early = true, -- it begins to ask 5 s after its own start, whoever is there by then
  needs = observe.needs,
  cause = observe.cause,
  targets = targets,

  ports = function(_, server) return { server.port } end,

  files = function(ctx, server)
    local ok, failure = fs.mkdir(server.dir)
    if ok then ok, failure = write_config(ctx, server, true) end
    if not ok then return nil, failure end
    return fs.write(server.dir .. "/rules.yml", embedded "deploy/prometheus/rules.yml")
  end,

  command = function(ctx, server)
    return { cwd = server.dir, cmd = { ctx.observe.programs .. "/prometheus",
      "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--storage.tsdb.retention.time=1d",
      "--web.listen-address=127.0.0.1:" .. server.port } }
  end,

  ready = function(_, server, listening)
    if not listening[server.port] then return false end
    local answer = get(server.port, "/-/ready")
    return answer ~= nil and answer.status == 200
  end,

  -- of the part as a whole: who asks for it may look at once
  full = function(ctx)
    local missing = not_up_after(ctx, HURRIED_AT_MOST)
    local ok, failure = calm(ctx)
    if not ok then return nil, failure end
    missing = missing and not_up_after(ctx, ALL_UP_AT_MOST)
    if not missing then return true end
    return nil, err.new { domain = "rlab", code = 0, name = "NOT_READY",
      message = "Prometheus lacks a target: " .. missing }
  end,

  title = function(ctx) return "Prometheus at " .. observe.url(ctx) end,
}
