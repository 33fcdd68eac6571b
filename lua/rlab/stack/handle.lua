-- A stack as experiments and the REPL hold it: addresses, the servers as things that can be killed, frozen
-- and mended, and its health.
local cluster = require "rlab.stack.redis_cluster"
local err = require "rlab.err"
local full = require "rlab.stack.kafka_full"
local kafka = require "rlab.stack.kafka"
local layout = require "rlab.stack.layout"
local lock = require "rlab.stack.lock"
local mysql = require "rlab.stack.servers.mysql"
local observe = require "rlab.stack.observe"
local process = require "rlab.process"
local servers = require "rlab.stack.servers"
local supervisor = require "rlab.stack.local"
local task = require "rlab.task"
local options = require "rlab.options"
local tables = require "rlab.tables"
local units = require "rlab.units"
local clock = require "rlab.clock"
local users = require "rlab.stack.users"

local M = {}

-- ---- one server ----

local Server = { stopped = "T" } -- what process_state says of one that is frozen

function Server.__index(server, key)
  if Server[key] then return Server[key] end
  local entry = server.ctx.state.servers[server.name]
  if key == "pid" then return entry and entry.pid end
  if key == "start_time" then return entry and entry.start end
  return nil
end

-- "up", "frozen", "starting", "dead", "down"
function Server:state()
  self.ctx:refresh()
  return self.ctx:word(self.name)
end

function Server:alive()
  self.ctx:refresh()
  return self.ctx:alive(self.name)
end

-- What we are about to do to it, "gone" or "stopped", or nil, and when that was said: so that a watcher knows
-- our acts from others' (rlab.run.heartbeat).
local function means(server, what)
  server.meant, server.meant_ms = what, clock.unix_ms()
end
M.means = means

-- As the kernel says it, in one letter.
function Server:process_state()
  return process.state(self.pid)
end

local function gone(server)
  return nil, err.new { domain = "rlab", code = 0, name = "NOT_RUNNING",
    message = server.name .. " is not running" }
end

-- SIGKILL; returns when it is gone
function Server:kill()
  if not self:alive() then return gone(self) end
  local pid, start = self.pid, self.start_time
  means(self, "gone")
  local ok, failure = process.signal(pid, "KILL", start)
  if not ok then return nil, failure end
  return process.wait_gone(pid, start, "10s")
end

-- SIGTERM, as an operator who restarts it; returns when it has said its goodbyes and is gone
function Server:terminate(at_most)
  if not self:alive() then return gone(self) end
  local pid, start = self.pid, self.start_time
  means(self, "gone")
  local ok, failure = process.signal(pid, "TERM", start)
  if not ok then return nil, failure end
  return process.wait_gone(pid, start, at_most or "30s")
end

-- SIGSTOP; returns when every thread has stopped
function Server:freeze()
  if not self:alive() then return gone(self) end
  means(self, "stopped")
  return process.stop(self.pid, self.start_time)
end

-- SIGCONT
function Server:thaw()
  if not self:alive() then return gone(self) end
  local ok, failure = process.cont(self.pid, self.start_time)
  means(self, nil)
  return ok, failure
end

-- Starts it again on its data; does not wait until it serves (heal does).
function Server:start()
  if self:alive() then return true end
  return supervisor.guarded(function()
    local held <close>, failure = supervisor.lock(self.ctx, "rlab: starting " .. self.name)
    if not held then error(failure, 0) end
    if self:alive() then return true end
    supervisor.spawn(self.ctx, self.name)
    means(self, nil)
    return true
  end)
end

-- Its log, from an offset on: log(from) -> text, offset behind it
function Server:log(from)
  local f = io.open(self.ctx:server(self.name).log, "rb")
  if not f then return "", 0 end
  f:seek("set", from or 0)
  local text = f:read "a" or ""
  local at = f:seek()
  f:close()
  return text, at
end

Server.__name = "server"
function Server.__tostring(server)
  return ("server %s (%s)"):format(server.name, server:state())
end

-- ---- the stack ----

local Stack = {}
Stack.__index = Stack

local function has(stack, part) return tables.contains(stack.parts, part) end

local LOGIN = { "host", "port", "user", "password", "tls", "ca", "cert", "key" }

-- mysql_opts([{database =, ...}]) -> what mysql.connect takes to reach the stack's MySQL, and these options
function Stack:mysql_opts(more)
  return tables.merged(tables.picked(self.mysql, LOGIN), more)
end

-- redis_opts([{timeout =, ...}]) -> the same for redis.connect
function Stack:redis_opts(more)
  return tables.merged(self.redis, more)
end

-- known(name): raises where no server is called that
function M.known(name)
  if tables.contains(servers.names(), name) then return end
  error(("no server named '%s'%s"):format(name, options.hint(name, servers.names())), 3)
end

-- The running servers of the stack; the state is read again when somebody else may have changed it.
function Stack:server(name)
  M.known(name)
  self.held[name] = self.held[name] or setmetatable({ name = name, ctx = self.ctx }, Server)
  return self.held[name]
end

function Stack:servers()
  local list = {}
  for _, part in ipairs(self.parts) do
    for _, name in ipairs(servers.names(part)) do list[#list + 1] = self:server(name) end
  end
  return list
end

local function admin_of(stack)
  if not stack.admin then
    local admin, failure = full.admin(stack.ctx)
    if not admin then return nil, failure end
    stack.admin = admin
  end
  return stack.admin
end

local function why_not(stack, name, listening)
  local word = stack.ctx:word(name)
  if word == "dead" then return "is gone" end
  if word == "down" or word == "frozen" then return "is " .. word end
  if not listening[stack.ctx.ports[name]] then return "does not listen" end
  return nil
end

-- What a part says of its servers together, where it has a word for that.
local function each_whole(stack, word, f)
  for _, part in ipairs(stack.parts) do
    for _, description in ipairs(servers.descriptions(part)) do
      if description.short then
        local ok, failure = f(part, description[word](stack.ctx))
        if not ok then return nil, failure end
      end
    end
  end
  return true
end

-- health() -> list of {server=, ok=, why=}; ok when all are: quick when all is well
function Stack:health()
  local list, listening, all = {}, layout.listening(), true
  self.ctx:refresh()
  for _, server in ipairs(self:servers()) do
    local why = why_not(self, server.name, listening)
    list[#list + 1] = { server = server.name, ok = not why, why = why }
    all = all and not why
  end
  if all and has(self, "kafka") then
    local admin, failure = admin_of(self)
    local short = failure and failure.message
    if admin then short = full.short_of(admin, kafka.BROKERS) end
    if short then list[#list + 1] = { server = "kafka", ok = false, why = short } end
    all = not short
  end
  if all and has(self, "mysql") and not mysql.ready(self.ctx) then
    list[#list + 1] = { server = "mysql", ok = false, why = "lets nobody log in" }
  end
  if not all then return list end
  each_whole(self, "short", function(part, why)
    if why then list[#list + 1] = { server = part, ok = false, why = why } end
    return true
  end)
  return list
end

local function note_ready(ctx, name)
  local _ <close>, failure = supervisor.lock(ctx, "rlab: noting that " .. name .. " serves")
  if failure then error(failure, 0) end
  ctx:refresh()
  if not ctx.state.servers[name] then return end
  ctx.state.servers[name].phase = "ready"
  ctx:save()
end

local function mend(stack, mended)
  local ctx = stack.ctx
  for _, server in ipairs(stack:servers()) do
    local word = server:state()
    if word == "frozen" then
      local ok, failure = server:thaw()
      if not ok then return nil, failure end
      mended[#mended + 1] = server.name .. " thawed"
    elseif word == "dead" or word == "down" then
      local ok, failure = server:start()
      if not ok then return nil, failure end
      mended[#mended + 1] = server.name .. " restarted"
    end
  end
  for _, server in ipairs(stack:servers()) do
    if server:state() ~= "up" or not layout.listening()[ctx.ports[server.name]] then
      supervisor.wait_ready(ctx, server.name)
      note_ready(ctx, server.name)
    end
  end
  local whole, broken = each_whole(stack, "full", function(_, ok, failure) return ok, failure end)
  if not whole then return nil, broken end
  if not has(stack, "kafka") then return true end
  local admin, failure = admin_of(stack)
  if not admin then return nil, failure end
  mended[#mended + 1] = full.short_of(admin, kafka.BROKERS)
  return full.answer(ctx, kafka.BROKERS, "10m") -- heal's own limit ends it
end

-- heal{at_most="40s"} -> true, list of what was mended | nil, err: thaws the frozen, starts the dead, waits
--   until all are whole
function Stack:heal(opts)
  opts = opts or {}
  local mended = {}
  local ok, failure = supervisor.guarded(function()
    return task.timeout(opts.at_most or "40s", function() return mend(self, mended) end)
  end)
  if ok then return true, mended end
  if failure.name == "TIMEOUT" then
    local sick = {}
    for _, h in ipairs(self:health()) do
      if not h.ok then sick[#sick + 1] = h.server .. " " .. h.why end
    end
    failure.message = ("the stack is not whole after %s: %s"):format(
      units.print_duration(units.duration(opts.at_most or "40s")),
      #sick > 0 and table.concat(sick, "; ") or "but it is now")
  end
  return nil, failure
end

-- A proxy that is gone, or of an older rlab, would leave the brokers without one another.
local function proxy_serves_brokers(ctx)
  local listening = layout.listening()
  for _, id in ipairs(kafka.BROKERS) do
    if not listening[ctx.ports[("kafka-%d-inter-proxy"):format(id)]] then return false end
  end
  return true
end

-- partitionable([on]) -> true | nil, err (or, without on, how it is): whether the brokers reach one another
--   through the proxy, so that they can be parted. A change restarts all
-- three; whoever asks for it has the stack alone.
function Stack:partitionable(on)
  if on == nil then return kafka.partitionable(self.ctx) end
  self.ctx.partitionable = on
  if kafka.partitionable(self.ctx) == on then return true end
  if on and not proxy_serves_brokers(self.ctx) then
    return nil, err.new { domain = "rlab", code = 0, name = "NO_PROXY",
      message = "the proxy does not listen between the brokers; start it anew: rlab down proxy, then rlab \z
        up proxy" }
  end
  local ok, failure = supervisor.guarded(function()
    local _ <close>, busy = supervisor.lock(self.ctx, "rlab: restarting the brokers")
    if busy then error(busy, 0) end
    self.ctx:refresh()
    local brokers = {}
    for i, id in ipairs(kafka.BROKERS) do brokers[i] = "kafka-" .. id end
    supervisor.stop(self.ctx, brokers)
    for _, name in ipairs(brokers) do supervisor.spawn(self.ctx, name) end
    return true
  end)
  if not ok then return nil, failure end
  return self:heal { at_most = "90s" }
end

-- exclusive(what, say) -> lock (closable) | nil, err: for a run that hits shared servers, so that two such
--   runs take turns
function Stack:exclusive(what, opts)
  opts = opts or {}
  return lock.take(self.ctx.home .. "/faults.lock", what, { at_most = opts.at_most or "10m", say = opts.say })
end

-- close(): lets go; the servers live on
function Stack:close()
  if self.admin then self.admin:close() end
  self.admin = nil
  if self.user then users.leave(self.user) end
  self.user = nil
end

Stack.__close = Stack.close
Stack.__name = "stack"
function Stack.__tostring(stack)
  return ("stack %s (%s)"):format(stack.home, table.concat(stack.parts, ", "))
end

-- When the oldest of these parts' servers began: others may run longer, and are not meant.
local function oldest(ctx, parts)
  local since
  for _, part in ipairs(parts) do
    for _, name in ipairs(servers.names(part)) do
      local entry = ctx.state.servers[name]
      if entry and entry.since and (not since or entry.since < since) then since = entry.since end
    end
  end
  return since or clock.unix_ms() // 1000
end

local function kafka_nodes(ctx)
  local nodes = {}
  for i, id in ipairs(kafka.BROKERS) do
    local name = "kafka-" .. id
    nodes[i] = { id = id, name = name, port = ctx.ports[name], inter_port = ctx.ports[name .. "-inter"],
      prox_port = ctx.ports[name .. "-prox"], proxy_port = ctx.ports[name .. "-proxy"] }
  end
  return nodes
end

local function proxy_addresses(ctx)
  local p, brokers = ctx.ports, {}
  for i, id in ipairs(kafka.BROKERS) do
    brokers[i] = ("127.0.0.1:%d"):format(p[("kafka-%d-proxy"):format(id)])
  end
  return { url = ("http://127.0.0.1:%d"):format(p.proxy), port = p.proxy,
    brokers = table.concat(brokers, ","),
    mysql = "127.0.0.1:" .. p["mysql-proxy"], redis = "127.0.0.1:" .. p["redis-proxy"] }
end

-- address(stack, MySQL's password): where each part of it is reached
function M.address(s, password)
  local ctx = s.ctx
  if has(s, "kafka") then s.kafka = { brokers = ctx:brokers(), nodes = kafka_nodes(ctx) } end
  if has(s, "mysql") then
    s.mysql = { host = "127.0.0.1", port = ctx.ports.mysql, user = mysql.user, password = password,
      database = mysql.database }
  end
  if has(s, "redis") then s.redis = { host = "127.0.0.1", port = ctx.ports.redis } end
  if has(s, "redis-cluster") then s.redis_cluster = { nodes = cluster.addresses(ctx) } end
  if has(s, "registry") then s.registry = { url = servers.of("registry").url(ctx.ports.registry) } end
end

-- enter(stack, what | nil): until close() it is known who works on it
function M.enter(s, what)
  if what then s.user = users.enter(s.home, what) end
end

-- new(ctx, parts, reused, what) -> stack
function M.new(ctx, parts, reused, what)
  local s = setmetatable({ kind = "local", ctx = ctx, parts = parts, reused = reused, home = ctx.home,
    held = {}, ports = ctx.ports,
    since = oldest(ctx, parts), versions = ctx.state.versions }, Stack)
  M.address(s, mysql.password(ctx.home))
  if has(s, "proxy") then s.proxy = proxy_addresses(ctx) end
  if has(s, "observe") then s.observe = { url = observe.url(ctx) } end
  M.enter(s, what)
  return s
end

M.methods = Stack -- which other kinds of stack share

return M
