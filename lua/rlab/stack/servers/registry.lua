-- The Schema Registry: Apicurio, by its Confluent-compatible API, with its schemas in memory. Its class
-- archive is made once per machine, when one that was started aside is stopped again.
local fs = require "rlab.fs"
local lock = require "rlab.stack.lock"
local process = require "rlab.process"
local tables = require "rlab.tables"
local task = require "rlab.task"
local tools = require "rlab.stack.tools"

local API = "/apis/ccompat/v7"
local JVM = { "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-XX:-UsePerfData" }

local function url(port) return ("http://127.0.0.1:%d%s"):format(port, API) end

local function archive_of(ctx)
  return ("%s/classes-java%s.jsa"):format(ctx.registry.root, ctx.java.version)
end

local function command(ctx, port, ...)
  local cmd = { ctx.java.path, table.unpack(JVM) }
  for _, word in ipairs { ... } do cmd[#cmd + 1] = word end
  for _, word in ipairs { "-Dquarkus.http.host=127.0.0.1", "-Dquarkus.http.port=" .. port,
    "-jar", ctx.registry.jar } do cmd[#cmd + 1] = word end
  return cmd
end

local function serves(port)
  local answer = require("rlab.http").get(url(port) .. "/subjects", { timeout = "1s" })
  return answer ~= nil and answer.status == 200
end

-- One of each request that the stack's clients make, so that their classes are in the archive.
local function exercise(port)
  local http = require "rlab.http"
  local function ask(method, path, body)
    http.request { method = method, url = url(port) .. path, body = body, timeout = "5s",
      headers = { ["content-type"] = "application/json" } }
  end
  local schema = require("rlab.json").encode {
    schema = [[{"type":"record","name":"T","fields":[{"name":"id","type":"int"}]}]] }
  ask("PUT", "/config/training", '{"compatibility":"FULL_TRANSITIVE"}')
  for _ = 1, 2 do ask("POST", "/subjects/training/versions", schema) end
  ask("POST", "/compatibility/subjects/training/versions/latest", schema)
  for _, path in ipairs { "/subjects", "/schemas/ids/1", "/subjects/training/versions/latest",
    "/config/training", "/config" } do ask("GET", path) end
end

local function train(ctx, made)
  local port = assert(process.free_ports(1))[1]
  local child <close>, failure = process.spawn { stdout = "null", stderr = "null",
    cmd = command(ctx, port, "-XX:ArchiveClassesAtExit=" .. made) }
  if not child then return nil, failure end
  local ok, late = task.wait_until(function() return serves(port) end, { at_most = "60s", every = "100ms",
    what = "the registry serving" })
  if not ok then return nil, late end
  exercise(port)
  child:kill "TERM"
  local status, stuck = child:wait "60s"
  if not status then return nil, stuck end
  return fs.rename(made, archive_of(ctx))
end

local function prepare(ctx)
  if fs.exists(archive_of(ctx)) then return true end
  local guard <close>, busy = lock.take(ctx.registry.root .. "/archive.lock", "rlab up (class archive)",
    { at_most = "3m", say = ctx:waiting() })
  if not guard then return nil, busy end
  if fs.exists(archive_of(ctx)) then return true end
  local step <close> = ctx:step("once", "making the registry's class archive (kept for the next time)")
  local ok, failure = train(ctx, archive_of(ctx) .. ".new")
  if ok then
    step:ok()
  else
    ctx:tell("note", ("no class archive (%s); the registry starts slower"):format(tostring(failure)))
  end
  return true
end

return {
  part = "registry",
  url = url,
  names = { "registry" },
  disk = 16 << 20,
  stop = { signal = "TERM", rank = 1, at_most = "5s" },

  needs = function(ctx)
    local java, no_java = tools.java()
    if not java then return nil, no_java end
    local found, missing = tools.registry()
    if not found then return nil, missing end
    ctx.java, ctx.registry, ctx.versions.registry = ctx.java or java, found, found.version
    return true
  end,

  prepare = prepare,

  ports = function(_, server) return { server.port } end,

  files = function(_, server) return fs.mkdir(server.dir) end,

  command = function(ctx, server)
    local archive = archive_of(ctx)
    local use = fs.exists(archive) and "-XX:SharedArchiveFile=" .. archive or nil
    return { cwd = server.dir, cmd = command(ctx, server.port, use), env = tables.merged(tools.JAVA_ENV) }
  end,

  ready = function(_, server, listening) return listening[server.port] and serves(server.port) end,

  title = function(ctx) return "Apicurio at " .. url(ctx.ports.registry) end,

  cause = function(text)
    return text:match "Port (%d+ seems to be in use[^\n]*)" or text:match "ERROR [^\n]-%) ([^\n]+)"
      or text:match "\nError: ([^\n]+)"
  end,
}
