-- The stack of docker-compose.yml: the same servers on the same ports, each in a container that
-- `docker compose up` started. What a local stack does to a process is done here by the container engine.
local clock = require "rlab.clock"
local engine = require "rlab.stack.engine"
local err = require "rlab.err"
local fs = require "rlab.fs"
local full = require "rlab.stack.kafka_full"
local handle = require "rlab.stack.handle"
local layout = require "rlab.stack.layout"
local must = require "rlab.must"
local servers = require "rlab.stack.servers"
local settings = require "rlab.stack.settings"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local PARTS = { "kafka", "mysql", "redis", "redis-cluster", "registry" }

local function refuse(name, fmt, ...)
  return nil, err.new { domain = "rlab", code = 0, name = name, message = fmt:format(...) }
end

-- ---- one server ----

local WORDS = { running = "up", paused = "frozen", restarting = "starting", created = "down" }

local function word_of(seen)
  if not seen then return "down" end
  if seen.status == "running" and (seen.health or "healthy") ~= "healthy" then return "starting" end
  return WORDS[seen.status] or "dead"
end

-- Whether the pid is one of this machine's, and the container's: the engine may run in a machine of its own.
local function is_here(seen)
  local groups = seen.pid and fs.read(("/proc/%d/cgroup"):format(seen.pid))
  return groups ~= nil and groups:find(seen.id, 1, true) ~= nil
end

-- stopped: what process_state says of one that is frozen; visible: whether its pid can be watched in /proc
local Server = { stopped = "paused" }

function Server.__index(server, key)
  if Server[key] ~= nil then return Server[key] end
  local seen = rawget(server, "seen")
  if not seen then return nil end
  if key == "pid" then return seen.pid end
  if key == "visible" then return is_here(seen) end
  return nil
end

local function look(server)
  local seen, failure = server.engine:look(server.name)
  if failure then error(failure, 0) end
  if seen and seen.status ~= "running" and seen.status ~= "paused" and rawget(server, "seen") then
    seen.pid = server.seen.pid -- what it had, for who tells of its end
  end
  server.seen = seen
  return seen
end

function Server:state() return word_of(look(self)) end

-- "running", "paused", "exited", ... as the engine says it
function Server:process_state()
  local seen = look(self)
  return seen and seen.status
end

function Server:alive()
  local status = self:process_state()
  return status == "running" or status == "paused"
end

local function acted(server, meant, f, ...)
  if not server:alive() then return refuse("NOT_RUNNING", "%s is not running", server.name) end
  if meant then handle.means(server, meant) end
  return f(server.engine, server.seen.id, ...)
end

function Server:kill() return acted(self, "gone", self.engine.kill, "KILL", "10s") end
function Server:terminate(at_most) return acted(self, "gone", self.engine.kill, "TERM", at_most or "30s") end
function Server:freeze() return acted(self, "stopped", self.engine.pause) end

function Server:thaw()
  local ok, failure = acted(self, nil, self.engine.unpause)
  handle.means(self, nil)
  return ok, failure
end

function Server:start()
  if self:alive() then return true end
  if not self.seen then
    return refuse("NOT_RUNNING", "%s has no container; docker compose up -d %s makes it", self.name,
      self.name)
  end
  local ok, failure = self.engine:start(self.seen.id)
  if not ok then return nil, failure end
  look(self)
  handle.means(self, nil)
  return true
end

function Server:log(from)
  local seen = look(self)
  local text = seen and must(self.engine:log(seen.id)) or ""
  return text:sub((from or 0) + 1), #text
end

Server.__name = "server"
function Server.__tostring(server) return ("server %s (%s)"):format(server.name, server:state()) end

-- ---- the stack ----

local Stack = {}

function Stack.__index(_, key) return Stack[key] or handle.methods[key] end

Stack.__close = handle.methods.close
Stack.__name = "stack"
function Stack.__tostring(stack) return ("stack compose (%s)"):format(table.concat(stack.parts, ", ")) end

function Stack:server(name)
  handle.known(name)
  self.held[name] = self.held[name] or setmetatable({ name = name, engine = self.engine }, Server)
  return self.held[name]
end

local function admin_of(stack)
  if stack.admin then return stack.admin end
  local admin, failure = full.admin(stack.ctx)
  stack.admin = admin
  return admin, failure
end

local function short_kafka(stack)
  if not stack.kafka then return nil end
  local admin, failure = admin_of(stack)
  if not admin then return failure.message end
  return full.short_of(admin, settings.kafka.brokers)
end

function Stack:health()
  local list, all = {}, true
  for _, server in ipairs(self:servers()) do
    local word = server:state()
    list[#list + 1] = { server = server.name, ok = word == "up", why = word ~= "up" and "is " .. word or nil }
    all = all and word == "up"
  end
  local short = all and short_kafka(self)
  if short then list[#list + 1] = { server = "kafka", ok = false, why = short } end
  return list
end

local function mend(stack, mended)
  for _, server in ipairs(stack:servers()) do
    local word = server:state()
    if word == "frozen" then
      must(server:thaw())
      mended[#mended + 1] = server.name .. " thawed"
    elseif word == "dead" or word == "down" then
      must(server:start())
      mended[#mended + 1] = server.name .. " restarted"
    end
  end
end

local function sick(stack)
  local list = {}
  for _, h in ipairs(stack:health()) do
    if not h.ok then list[#list + 1] = h.server .. " " .. h.why end
  end
  return #list > 0 and table.concat(list, "; ") or nil
end

-- As of a local stack. A container is whole when its health check says so, which may take the check's
-- interval.
function Stack:heal(opts)
  local at_most, mended, why = opts and opts.at_most or "40s", {}, nil
  local ok, failure = pcall(mend, self, mended)
  if not ok then
    if err.is(failure) then return nil, failure end
    error(failure, 0)
  end
  local whole, late = task.wait_until(function()
    why = sick(self)
    return why == nil
  end, { at_most = at_most, every = "200ms", what = "a whole stack" })
  if whole then return true, mended end
  late.message = ("the stack is not whole after %s: %s"):format(tostring(at_most), why or "but it is now")
  return nil, late
end

function Stack:partitionable(on)
  if not on then return false end
  return refuse("USAGE", "the brokers of docker-compose.yml do not reach one another through rlab's proxy, \z
    so they cannot be parted; the local stack's can")
end

-- ---- opening ----

local function parts_of(opts)
  local parts = require("rlab.stack").parts_of(opts.needs or { "kafka", "mysql", "redis" })
  for _, part in ipairs(parts) do
    if not tables.contains(PARTS, part) then
      return refuse("USAGE", "%s needs %s, which is not in docker-compose.yml; run it on the local stack",
        opts.what or "this", part)
    end
  end
  return parts
end

-- What the images say: "rlab/kafka:4.4.0" is Kafka 4.4.0.
local function looked_at(stack)
  for _, server in ipairs(stack:servers()) do
    local word = server:state()
    if word == "down" or word == "dead" then
      return refuse("NO_STACK", "%s is %s; start it with: docker compose up -d %s", server.name, word,
        server.name)
    end
    local version = (server.seen.image or ""):match ":([^:/]+)$"
    stack.versions[servers.of(server.name).part] = version
    local since = (clock.parse(server.seen.started or "") or clock.unix_ms()) // 1000
    stack.since = math.min(stack.since or since, since)
  end
  return stack
end

-- Those of docker-compose.yml, or from RLAB_PORT_BASE on where somebody has moved them.
local function ports()
  local base, wrong = layout.port_base()
  if wrong then error(err.new { domain = "rlab", code = 0, name = "USAGE", message = wrong }, 0) end
  return layout.ports(base)
end

local function context()
  local ctx = { home = layout.home(), ports = ports() }
  function ctx.brokers()
    local list = {}
    for i, id in ipairs(settings.kafka.brokers) do list[i] = "127.0.0.1:" .. ctx.ports["kafka-" .. id] end
    return table.concat(list, ",")
  end
  return ctx
end

-- open{needs=, what=, engine=} -> stack | nil, err; the containers run already
function M.open(opts)
  local parts, unfit = parts_of(opts)
  if not parts then return nil, unfit end
  local asked, failure = opts.engine, nil
  if not asked then asked, failure = engine.open() end
  if not asked then return nil, failure end
  local ctx = context()
  local stack = setmetatable({ kind = "compose", parts = parts, reused = true, engine = asked, held = {},
    ctx = ctx, home = ctx.home, ports = ctx.ports, versions = {} }, Stack)
  local ok, seen, wrong = pcall(looked_at, stack)
  if not ok and not err.is(seen) then error(seen, 0) end
  if not ok or not seen then return nil, wrong or seen end
  handle.address(stack, os.getenv "MYSQL_PASSWORD" or "rlab")
  handle.enter(stack, opts.what)
  return stack
end

-- status() -> rows as rlab.stack.status
function M.status()
  local asked, list, port = must(engine.open()), {}, ports()
  for _, part in ipairs(PARTS) do
    for _, name in ipairs(servers.names(part)) do
      local server = setmetatable({ name = name, engine = asked }, Server)
      list[#list + 1] = { server = name, state = server:state(), pid = server.pid, port = port[name] }
    end
  end
  list.columns = { "server", "state", "pid", "port" }
  return list
end

return M
