-- The session's own connections to the running stack: opened when a word first needs them, closed with the
-- session.
local err = require "rlab.err"
local tables = require "rlab.tables"

local M = {}
M.__index = M

function M.new()
  return setmetatable({ handles = {} }, M)
end

local function no_stack(what, command)
  return nil, err.new { domain = "rlab", code = 0, name = "NO_STACK",
    message = ("%s is not running; start it with `rlab up%s`%s"):format(what, command or "",
      command and "" or " or stack.up()") }
end

--- the running stack | nil
function M:stack()
  return (require("rlab.stack").current())
end

local function address(self, name)
  local stack = self:stack()
  local at = stack and stack[name]
  if not at then return no_stack(name) end
  return at
end

local openers = {
  admin = function(self)
    local at, failure = address(self, "kafka")
    if not at then return nil, failure end
    return require("rlab.kafka").admin { brokers = at.brokers }
  end,
  producer = function(self)
    local at, failure = address(self, "kafka")
    if not at then return nil, failure end
    return require("rlab.kafka").producer { brokers = at.brokers, acks = "all", enable_idempotence = true,
      topic_metadata_propagation_max_ms = "2s", message_timeout_ms = "20s" }
  end,
  mysql = function(self)
    local at, failure = address(self, "mysql")
    if not at then return nil, failure end
    return require("rlab.mysql").connect(self:stack():mysql_opts { database = at.database })
  end,
  redis = function(self)
    local at, failure = address(self, "redis")
    if not at then return nil, failure end
    return require("rlab.redis").connect(self:stack():redis_opts())
  end,
  registry = function(self)
    local stack = self:stack()
    if not (stack and stack.registry) then return no_stack("the registry", " registry") end
    return require("rlab.schema").open { url = stack.registry.url }
  end,
  cluster = function(self)
    local stack = self:stack()
    if not (stack and stack.redis_cluster) then return no_stack("the Redis Cluster", " redis-cluster") end
    return require("rlab.redis").cluster { nodes = stack.redis_cluster.nodes }
  end,
  proxy = function(self)
    local stack = self:stack()
    if not (stack and stack.proxy) then return no_stack("the proxy", " proxy") end
    return require("rlab.proxy").connect(stack.proxy.url)
  end,
}

--- open(name) -> the handle | nil, err: "admin", "producer", "mysql", "redis", "cluster", "registry", "proxy"
function M:open(name)
  local handle = self.handles[name]
  if handle then return handle end
  local opened, failure = openers[name](self)
  self.handles[name] = opened
  return opened, failure
end

--- a consumer of its own for one word; the caller closes it
function M:consumer(settings)
  local at, failure = address(self, "kafka")
  if not at then return nil, failure end
  local all = { brokers = at.brokers, ["enable.auto.commit"] = false, ["enable.partition.eof"] = true,
    ["socket.timeout.ms"] = 3000 }
  return require("rlab.kafka").consumer(tables.merged(all, settings))
end

--- a producer of its own for one word; the caller closes it
function M:producer(settings)
  local at, failure = address(self, "kafka")
  if not at then return nil, failure end
  return require("rlab.kafka").producer(tables.merged({ brokers = at.brokers }, settings))
end

--- forget(name): the server is gone or was restarted; the next use connects again
function M:forget(name)
  local handle = self.handles[name]
  self.handles[name] = nil
  if handle and handle.close then pcall(handle.close, handle) end
end

function M:close()
  for name in pairs(self.handles) do self:forget(name) end
end

return M
