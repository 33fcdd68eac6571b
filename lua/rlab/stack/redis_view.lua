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
  local view = setmetatable({ nodes = {}, counting = {} }, View)
  for i, address in ipairs(addresses) do
    local host, port = address:match "^(.*):(%d+)$"
    local conn = must(redis.connect { host = host, port = math.tointeger(tonumber(port)), timeout = "5s" })
    view.nodes[i] = { address = address, port = math.tointeger(tonumber(port)), conn = conn,
      id = must(conn:call("CLUSTER", "MYID")) }
  end
  return view
end

local SLOT_STATS, BYTES = "cluster-slot-stats-enabled", "network-bytes-in"

function View:close()
  for _, node in ipairs(self.counting) do node.conn:call("CONFIG", "SET", SLOT_STATS, "no") end
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

-- lists_replicas() -> whether each node names a replica of every slot. A node leaves one out as long as it
--   has not heard how far that one is, which may be a second after the first write (isReplicaAvailable in
--   Redis' cluster.c): whoever asks for the map until then reads from primaries only.
function View:lists_replicas()
  for _, node in ipairs(self.nodes) do
    for _, range in ipairs(must(node.conn:call("CLUSTER", "SLOTS"))) do
      if #range < 4 then return false end
    end
  end
  return true
end

local function range_of(ranges, slot)
  for _, range in ipairs(ranges) do
    if slot >= range[1] and slot <= range[2] then return range end
  end
end

-- owner(slot) -> its primary, list of its replicas
function View:owner(slot)
  local range, replicas = range_of(self:ranges(), slot), {}
  if not range then return nil end
  for i = 4, #range do replicas[#replicas + 1] = self:by("port", range[i][2]) end
  return self:by("port", range[3][2]), replicas
end

-- homes() -> function(key) -> its slot's primary now, without asking for each
function View:homes()
  local ranges = self:ranges()
  return function(key)
    local range = range_of(ranges, redis.slot(key))
    return range and self:by("port", range[3][2])
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

-- counts_slots() -> whether the nodes can count by slot (CLUSTER SLOT-STATS: Valkey 8.0, Redis 8.2); those
--   that did not do so by themselves do until the view is closed
function View:counts_slots()
  for _, node in ipairs(self.nodes) do
    local now = must(node.conn:call("CONFIG", "GET", SLOT_STATS))[SLOT_STATS]
    if not now then return false end
    if now ~= "yes" then
      must(node.conn:call("CONFIG", "SET", SLOT_STATS, "yes"))
      table.insert(self.counting, node)
    end
  end
  return true
end

-- slot_bytes(keys) -> {[slot of a key] = bytes of the commands that came in for it since its primary counts}
function View:slot_bytes(keys)
  local home, questions, bytes = self:homes(), {}, {}
  for _, node in ipairs(self.nodes) do questions[node] = {} end
  for _, key in ipairs(keys) do
    local slot = redis.slot(key)
    if not bytes[slot] then
      table.insert(questions[home(key)], { "CLUSTER", "SLOT-STATS", "SLOTSRANGE", slot, slot })
    end
    bytes[slot] = 0
  end
  for _, node in ipairs(self.nodes) do
    for _, answer in ipairs(must(node.conn:pipeline(questions[node]))) do
      local stats = must(not err.is(answer) and answer[1], answer)
      bytes[stats[1]] = stats[2][BYTES]
    end
  end
  return bytes
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
