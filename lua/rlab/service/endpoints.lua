-- The endpoints that every service has: /actuator/health, /actuator/prometheus and, where allowed,
-- /failpoints.
local err = require "rlab.err"
local fail = require "rlab.fail"
local http = require "rlab.http"
local json = require "rlab.json"
local meters = require "rlab.service.meters"
local metrics = require "rlab.metrics"
local points = require "rlab.failpoint.points"
local process = require "rlab.process"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local CHECK_AT_MOST = "1s"

local function admin(ctx, method, path, handler)
  ctx:route(method, path, handler)
  ctx.routes[#ctx.routes].admin = true
end

-- ---- health ----

local function ask(component)
  local results = table.pack(task.timeout(CHECK_AT_MOST,
    function() return table.pack(pcall(component.check)) end))
  local answer = results[1]
  if not answer then return false, "its check did not end within " .. CHECK_AT_MOST end
  if not answer[1] then return false, tostring(answer[2]) end
  if answer[2] then return true end
  return false, answer[3] and tostring(answer[3]) or "not yet"
end

-- examine(ctx[, kind]) -> whether all is well, {name = {status =, details = {why =}}}
function M.examine(ctx, kind)
  local well, components = true, {}
  task.group(function(g)
    for _, component in ipairs(ctx.components) do
      if not kind or component.kind == kind then
        g:spawn(function()
          local ok, why = ask(component)
          well = well and ok
          components[component.name] = ok and { status = "UP" }
            or { status = "DOWN", details = { why = why } }
        end)
      end
    end
  end)
  return well, components
end

local function health(ctx, kind)
  return function()
    local well, components = M.examine(ctx, kind)
    local status = well and "UP" or "DOWN"
    if ctx.draining and kind ~= "live" then status = "OUT_OF_SERVICE" end
    return http.json({ status = status, service = ctx.service, name = ctx.name, components = components },
      status == "UP" and 200 or 503)
  end
end

-- ---- metrics ----

local function own_metrics(ctx)
  local list = {
    { name = "process_start_time_seconds", type = "gauge", help = "When the process started.",
      value = ctx.started_at / 1000 },
    { name = "process_resident_memory_bytes", type = "gauge", help = "Memory in use.",
      value = process.rss(process.self()) or 0 },
    { name = "process_cpu_seconds_total", type = "counter", help = "Processor time used.",
      value = os.clock() },
    { name = "rlab_service_info", type = "gauge", help = "Which service this is.", value = 1,
      labels = { service = ctx.service, name = ctx.name, version = require "rlab.version" } },
    { name = "rlab_lua_memory_bytes", type = "gauge", help = "Memory of the Lua state.",
      value = collectgarbage "count" * 1024 },
    { name = "rlab_tasks", type = "gauge", help = "Tasks that live.", value = task.live() },
    { name = "rlab_draining", type = "gauge", help = "1 while the service ends.",
      value = ctx.draining and 1 or 0 },
  }
  for _, key in ipairs(tables.sorted_keys(ctx.requests)) do
    local row = ctx.requests[key]
    meters.requests(list, row.hdr, row.labels)
  end
  meters.failpoints(list)
  return list
end

local function prometheus(ctx)
  return function()
    local list = own_metrics(ctx)
    for _, collect in ipairs(ctx.collectors) do
      for _, metric in ipairs(collect() or {}) do list[#list + 1] = metric end
    end
    return { status = 200, headers = { ["content-type"] = metrics.content_type },
      body = metrics.render(list) }
  end
end

-- ---- failpoints ----

local function find_point(name)
  for _, point in ipairs(fail.list()) do
    if point.name == name then return point end
  end
end

local function known_service(ctx) return points.closed(ctx.service, ctx.config) end

local function get_points(ctx)
  return function()
    return http.json { armed = json.array(fail.list()),
      points = json.array(points.list(known_service(ctx))) }
  end
end

local function get_point(req)
  local point = find_point(req.params.name)
  if not point then return http.problem(404, ("the failpoint %s was never armed"):format(req.params.name)) end
  return http.json(point)
end

local function put_point(ctx)
  return function(req)
    local name, service = req.params.name, known_service(ctx)
    local unknown = service and points.unknown(name, service)
    if unknown then return http.problem(404, unknown) end
    local expr = req.body:match "^%s*(.-)%s*$"
    local text, failure = fail.explain(expr)
    if not text then return http.problem(400, failure.message) end
    local armed, refused = pcall(fail.arm, name, expr)
    if not armed then
      return http.problem(400, err.is(refused) and refused.message or tostring(refused))
    end
    local point = find_point(name)
    point.text = text
    return http.json(point)
  end
end

local function delete_point(req)
  fail.disarm(req.params.name)
  return { status = 204 }
end

local function delete_points()
  fail.disarm()
  return { status = 204 }
end

local function resume_point(req)
  if not fail.resume(req.params.name) then
    return http.problem(404, ("the failpoint %s was never armed"):format(req.params.name))
  end
  return { status = 204 }
end

-- install(ctx): before the service's own routes
function M.install(ctx)
  admin(ctx, "GET", "/actuator/health", health(ctx))
  admin(ctx, "GET", "/actuator/health/liveness", health(ctx, "live"))
  admin(ctx, "GET", "/actuator/health/readiness", health(ctx, "ready"))
  admin(ctx, "GET", "/actuator/prometheus", prometheus(ctx))
  if not ctx.config.failpoints then return end
  admin(ctx, "GET", "/failpoints", get_points(ctx))
  admin(ctx, "DELETE", "/failpoints", delete_points)
  admin(ctx, "GET", "/failpoints/{name}", get_point)
  admin(ctx, "PUT", "/failpoints/{name}", put_point(ctx))
  admin(ctx, "DELETE", "/failpoints/{name}", delete_point)
  admin(ctx, "POST", "/failpoints/{name}/resume", resume_point)
end

return M
