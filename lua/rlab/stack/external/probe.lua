-- Whether one server of an external stack answers: rlab's own question, over a connection of its own, that no
-- driver and no other server answers for it.
local must = require "rlab.must"

local M = {}

local CONNECT = "1s"

-- ---- one question a part ----

local asks = {}

-- ApiVersions of that very broker.
function asks.kafka(probe)
  probe.conn = probe.conn
    or must(require("rlab.kafka").admin { brokers = probe.stack.kafka.brokers, at_most = "5s" })
  return probe.conn:features { broker = probe.id, at_most = probe.patience }
end

-- Asks over the connection that is there, or over a new one; what a connection broke of says nothing of the
-- server.
local function over(probe, open, ask)
  for _ = 1, 2 do
    local cached, failure = probe.conn, nil
    if not cached then probe.conn, failure = open() end
    if not probe.conn then return nil, failure end
    local answer, lost = ask(probe.conn)
    if answer ~= nil then return answer end
    probe:close()
    if not cached or lost.name == "TIMEOUT" then return nil, lost end
  end
end

function asks.mysql(probe)
  return over(probe, function()
    return require("rlab.mysql").connect(probe.stack:mysql_opts { connect_timeout = CONNECT,
      read_timeout = probe.patience })
  end, function(db) return db:value "SELECT 1" end)
end

function asks.redis(probe)
  return over(probe, function()
    return require("rlab.redis").connect(probe.stack:redis_opts { timeout = probe.patience })
  end, function(conn) return conn:call "PING" end)
end

-- ---- what is made of the answer ----

-- Of the connection, not of the server behind it.
local function of_the_connection(failure)
  local name = failure.name
  if failure.domain == "kafka" then return name == "_TRANSPORT" or name == "BROKER_NOT_AVAILABLE" end
  if failure.domain == "mysql" then return name:find "^CR_" ~= nil end
  return name == "CONNECTION_LOST" or name:find "^E[A-Z]+$" ~= nil and failure.domain == "redis"
    and failure.code > 0
end

-- word(failure | nil) -> "answers"; "silent", no answer came in time; "refused", there is nobody to ask;
--   "unwell", it says that it cannot
function M.word(failure)
  if not failure then return "answers" end
  if failure.name == "TIMEOUT" then return "silent" end
  return of_the_connection(failure) and "refused" or "unwell"
end

-- ---- the probe ----

local Probe = {}
Probe.__index = Probe

-- open(stack, part, id, patience) -> probe (closable) of that part, of Kafka of the broker with that id; an
--   answer is waited for so long. It connects when it is first asked.
function M.open(stack, part, id, patience)
  return setmetatable({ stack = stack, part = part, id = id, patience = patience }, Probe)
end

-- probe:ask() -> word, what was said
function Probe:ask()
  local answer, failure = asks[self.part](self)
  if answer ~= nil then return "answers" end
  if failure.name == "CANCELLED" then error(failure, 0) end
  return M.word(failure), failure.message
end

-- probe:ready() -> whether it answers, and the others know it again
function Probe:ready()
  if self:ask() ~= "answers" then return false end
  if self.part ~= "kafka" then return true end
  local cluster = self.conn:cluster { at_most = "5s" }
  for _, broker in ipairs(cluster and cluster.brokers or {}) do
    if broker.id == self.id then return true end
  end
  return false
end

function Probe:close()
  if self.conn then self.conn:close() end
  self.conn = nil
end

Probe.__close = Probe.close

-- names(stack) -> {[server] = {server =, part =, id =, host =, port =}} of all that can be asked
function M.names(stack)
  local list = {}
  for _, node in ipairs(stack.kafka and stack.kafka.nodes or {}) do
    list[node.name] = { server = node.name, part = "kafka", id = node.id, host = node.host, port = node.port }
  end
  for _, part in ipairs { "mysql", "redis" } do
    local at = stack[part]
    if at then list[part] = { server = part, part = part, host = at.host, port = at.port } end
  end
  return list
end

return M
