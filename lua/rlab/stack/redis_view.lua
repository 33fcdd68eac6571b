-- A Redis Cluster seen from outside: a connection to each node, who has a slot, and moving one by hand,
-- step by step as redis-cli does it.
local err = require "rlab.err"
local must = require "rlab.must"
local redis = require "rlab.redis"

local M = {}

local View = {}
View.__index = View

-- open{"127.0.0.1:16371", ...} -> view (closable); view.nodes: {address, port, id, conn}
function M.open(addresses)
  local view = setmetatable({ nodes = {} }, View)
  for i, address in ipairs(addresses) do
    local host, port = address:match "^(.*):(%d+)$"
    local conn = must(redis.connect { host = host, port = math.tointeger(tonumber(port)), timeout = "5s" })
    view.nodes[i] = { address = address, port = math.tointeger(tonumber(port)), conn = conn,
      id = must(conn:call("CLUSTER", "MYID")) }
  end
  return view
end

function View:close()
  for _, node in ipairs(self.nodes) do node.conn:close() end
end

View.__close = View.close

-- by(field, value) -> the node with this id or port
function View:by(field, value)
  for _, node in ipairs(self.nodes) do
    if node[field] == value then return node end
  end
end

-- What a failover leaves for a moment: who asks may ask again, a run has no evidence.
local function changing(message)
  error(err.new { domain = "rlab", code = 0, name = "NOT_READY", message = message }, 0)
end

-- ranges() -> CLUSTER SLOTS as a primary tells it: {first, last, {host, port, id}, replicas ...}. A replica
--   hears of a moved slot later.
function View:ranges()
  local failure
  for _, node in ipairs(self.nodes) do
    local answers
    answers, failure = node.conn:pipeline { { "ROLE" }, { "CLUSTER", "SLOTS" } }
    if answers and answers[1][1] == "master" then return answers[2] end
  end
  if failure then error(failure, 0) end
  changing "no node is a primary"
end

-- owner(slot) -> its primary, list of its replicas
function View:owner(slot)
  for _, range in ipairs(self:ranges()) do
    if slot >= range[1] and slot <= range[2] then
      local replicas = {}
      for i = 4, #range do replicas[#replicas + 1] = self:by("port", range[i][2]) end
      return self:by("port", range[3][2]), replicas
    end
  end
end

-- homes() -> function(key) -> its slot's primary now, without asking for each
function View:homes()
  local ranges = self:ranges()
  return function(key)
    local slot = redis.slot(key)
    for _, range in ipairs(ranges) do
      if slot >= range[1] and slot <= range[2] then return self:by("port", range[3][2]) end
    end
  end
end

-- primaries() -> list of nodes that have slots, in the order of the slots
function View:primaries()
  local list, seen = {}, {}
  for _, range in ipairs(self:ranges()) do
    local node = self:by("port", range[3][2]) or changing("no node listens on port " .. range[3][2])
    if not seen[node] then list[#list + 1], seen[node] = node, true end
  end
  return list
end

-- key_on(node, form) -> form:format(n) for the first n whose slot the node has; NOT_READY when it has none
function View:key_on(node, form)
  local home = self:homes()
  for n = 1, 100000 do
    local key = form:format(n)
    if home(key) == node then return key end
  end
  changing(node.address .. " has no slot: another node is the primary now")
end

-- calls(node, "get") -> how often it has carried out the command since it started
function View.calls(_, node, command)
  local text = must(node.conn:call("INFO", "commandstats"))
  return math.tointeger(tonumber(text:match("cmdstat_" .. command .. ":calls=(%d+)"))) or 0
end

-- ---- moving a slot ----

local Move = {}
Move.__index = Move

-- move(slot, to) -> a slot that is on its way: the old primary answers for the keys it still has
function View:move(slot, to)
  local from = self:owner(slot)
  must(to.conn:call("CLUSTER", "SETSLOT", slot, "IMPORTING", from.id))
  must(from.conn:call("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id))
  return setmetatable({ view = self, slot = slot, from = from, to = to }, Move)
end

-- keys(list): these are with the new primary from now on
function Move:keys(list)
  must(self.from.conn:call("MIGRATE", "127.0.0.1", self.to.port, "", 0, 5000, "KEYS", list))
end

-- rest(): the keys that are left
function Move:rest()
  repeat
    local rest = must(self.from.conn:call("CLUSTER", "GETKEYSINSLOT", self.slot, 100))
    if #rest > 0 then self:keys(rest) end
  until #rest == 0
end

-- finish(): the rest follows, then everybody is told
function Move:finish()
  self:rest()
  local told = { self.to, self.from }
  for _, node in ipairs(self.view:primaries()) do
    if node ~= self.to and node ~= self.from then told[#told + 1] = node end
  end
  for _, node in ipairs(told) do must(node.conn:call("CLUSTER", "SETSLOT", self.slot, "NODE", self.to.id)) end
end

return M
