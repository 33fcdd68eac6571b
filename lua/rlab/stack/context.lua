-- What the work on one stack needs to know: its home, ports, state, and whom to tell.
local clock = require "rlab.clock"
local err = require "rlab.err"
local fs = require "rlab.fs"
local layout = require "rlab.stack.layout"
local secure = require "rlab.stack.secure"
local servers = require "rlab.stack.servers"
local state = require "rlab.stack.state"
local words = require "rlab.stack.words"

local Context = {}
Context.__index = Context

local M = {}

local LOOK_NS = 20 * 1000000

local function silent() end

-- new{home=, base=, say=} -> ctx | nil, err. Servers that run keep the ports they have, whatever
--   RLAB_PORT_BASE says now.
function M.new(opts)
  opts = opts or {}
  local base, wrong = opts.base, nil
  if base == nil then base, wrong = layout.port_base() end
  local home = opts.home or layout.home()
  local secured = secure.of(home)
  if secured and not wrong and not opts.base then base, wrong = secure.base(base) end
  if wrong then return nil, err.new { domain = "rlab", code = 0, name = "USAGE", message = wrong } end
  local ctx = setmetatable({ home = home, wanted_base = base, secure = secured,
    say = opts.say or silent, versions = {}, bind_tries = {} }, Context)
  ctx:reload()
  return ctx
end

-- Reads the state again; what a boot or a kill -9 has ended is no longer in it.
function Context:reload()
  local s = state.load(self.home) or state.new(self.wanted_base)
  if s.boot ~= state.boot_id() then
    local base, versions = s.base, s.versions
    s = state.new(base)
    s.versions = versions
  end
  self.state = s
  self.base = self.wanted_base
  if self:any_alive() then self.base = s.base end
  self.ports = layout.ports(self.base)
end

-- Reads the servers again, which another rlab may have restarted meanwhile; the ports stay those of this
-- stack.
function Context:refresh()
  local s = state.load(self.home)
  self.state.servers = s and s.boot == self.state.boot and s.servers or {}
end

function Context:save()
  self.state.base = self.base
  local ok, failure = state.save(self.home, self.state)
  if not ok then error(failure, 0) end
end

function Context:alive(name)
  return state.alive(self.state, name)
end

function Context:any_alive()
  for name in pairs(self.state.servers) do
    if self:alive(name) then return true end
  end
  return false
end

function Context:word(name)
  return state.word(self.state, name)
end

-- observed() -> whether Prometheus watches this stack, or is about to (ctx.watch): then brokers are started
--   with the agent that it asks
function Context:observed()
  return self.watch or self.state.servers.prometheus ~= nil
end

-- listening() -> set of ports: several waits at once share one look, which costs a busy machine more than
--   it seems
function Context:listening()
  local now = clock.ns()
  if not self.looked or now - self.looked > LOOK_NS then
    self.looked, self.seen = now, layout.listening()
  end
  return self.seen
end

-- server(name) -> {name, id, port, dir, log}
function Context:server(name)
  local id = math.tointeger(tonumber(name:match "%-(%d+)$")) or name == "controller" and 9 or nil
  return { name = name, id = id, port = self.ports[name], dir = self.home .. "/" .. name,
    log = self.home .. "/logs/" .. name .. ".log" }
end

-- brokers() -> "127.0.0.1:19092,..."
function Context:brokers()
  local list = {}
  for _, name in ipairs(servers.names "kafka") do
    if name ~= "controller" then list[#list + 1] = "127.0.0.1:" .. self.ports[name] end
  end
  return table.concat(list, ",")
end

-- cluster_id() -> the one that formatted directories carry, else a new one
function Context:cluster_id()
  if self.cluster then return self.cluster end
  for _, name in ipairs(servers.names "kafka") do
    local meta = fs.read(self:server(name).dir .. "/data/meta.properties")
    self.cluster = self.cluster or meta and meta:match "cluster%.id=(%S+)"
  end
  self.cluster = self.cluster or require("rlab.stack.kafka").uuid()
  return self.cluster
end

function Context:tell(word, text, right)
  self.say(words.line(word, text, right))
end

-- waiting() -> what a lock calls when somebody else has it
function Context:waiting()
  return function(holder) self:tell("wait", "for " .. holder) end
end

-- step(word, text) tells of a long step that begins; step:ok() tells how long it took
function Context:step(word, text)
  local began, ctx = clock.ns(), self
  self:tell(word, text)
  return setmetatable({
    ok = function() ctx:tell("", "done", words.seconds(clock.ns() - began)) end,
  }, { __close = function() end })
end

return M
