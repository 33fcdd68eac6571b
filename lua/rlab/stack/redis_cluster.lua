-- The Redis Cluster of a stack: six nodes that know one another before they start, because each is given a
-- whole nodes.conf (three primaries, a replica each), and what must hold of all together.
local err = require "rlab.err"
local fs = require "rlab.fs"
local task = require "rlab.task"
local tools = require "rlab.stack.tools"

local M = { PRIMARIES = 3, SLOTS = 16384 }

local COUNT = 6
local NAMES = {}
for i = 1, COUNT do NAMES[i] = "redis-cluster-" .. i end
M.names = NAMES

-- A node's own name among the nodes; the same in each nodes.conf.
local function node_id(i) return ("%040d"):format(i) end

local function bus(ctx, name) return ctx.ports[name .. "-bus"] end
M.bus = bus

local function address(ctx, name) return ("127.0.0.1:%d@%d"):format(ctx.ports[name], bus(ctx, name)) end

-- addresses(ctx) -> list of "127.0.0.1:16371"
function M.addresses(ctx)
  local list = {}
  for i, name in ipairs(NAMES) do list[i] = "127.0.0.1:" .. ctx.ports[name] end
  return list
end

-- slots_of(1) -> 0, 5460: the even share of a primary
function M.slots_of(i)
  return (i - 1) * M.SLOTS // M.PRIMARIES, i * M.SLOTS // M.PRIMARIES - 1
end

local function line_of(at, i, me)
  local flags = i == me and "myself," or ""
  if i <= M.PRIMARIES then
    return ("%s %s %smaster - 0 0 %d connected %d-%d"):format(node_id(i), at, flags, i, M.slots_of(i))
  end
  local of = i - M.PRIMARIES
  return ("%s %s %sslave %s 0 0 %d connected"):format(node_id(i), at, flags, node_id(of), of)
end

-- config{"127.0.0.1:16371@16381", ...}, me) -> the nodes.conf with which the me-th of these starts: three
--   primaries, then replicas
function M.config(addresses, me)
  local lines = {}
  for i, at in ipairs(addresses) do lines[i] = line_of(at, i, me) end
  lines[#lines + 1] = ("vars currentEpoch %d lastVoteEpoch 0"):format(M.PRIMARIES)
  return table.concat(lines, "\n") .. "\n"
end

local function first_config(ctx, me)
  local list = {}
  for i, name in ipairs(NAMES) do list[i] = address(ctx, name) end
  return M.config(list, me)
end

-- moved(ctx, text) -> the nodes.conf of an earlier start with the ports of this one
local function moved(ctx, text)
  for i, name in ipairs(NAMES) do
    text = (text:gsub("(" .. node_id(i) .. " )[^ ,]+", "%1" .. address(ctx, name)))
  end
  return text
end

-- files(ctx, server) -> true | nil, err
function M.files(ctx, server)
  local ok, failure = fs.mkdir(server.dir .. "/data")
  if not ok then return nil, failure end
  local path = server.dir .. "/data/nodes.conf"
  local old = fs.read(path)
  local new = old and old ~= "" and moved(ctx, old) or first_config(ctx, server.id)
  return new == old or fs.write(path, new)
end

-- nodes(text) -> list of {id, port, flags, primary, link, slots, open} from what CLUSTER NODES says
function M.nodes(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do
    local id, port, flags, of, link, rest = line:match
      "^(%w+) %S-:(%d+)@%S* (%S+) (%S+) %d+ %d+ %d+ (%S+) ?(.*)$"
    if id then
      list[#list + 1] = { id = id, port = math.tointeger(port), flags = flags,
        primary = of ~= "-" and of or nil, link = link, slots = rest, open = rest:find("[", 1, true) ~= nil }
    end
  end
  return list
end

local function lacks(ctx, node)
  for _, name in ipairs(NAMES) do
    if ctx.ports[name] == node.port then
      if node.flags:find "fail" then return name .. " counts as failed" end
      if node.link ~= "connected" then return name .. " is not linked to all" end
      return node.open and ("a slot of %s is half moved"):format(name) or nil
    end
  end
  return ("a stranger at port %d"):format(node.port)
end

local function figure(info, name) return tonumber(info:match(name .. ":(%d+)")) end

-- Each node by itself: what the others think of one does not say what it thinks of them.
local function short_of(ctx, name)
  local r <close>, failure = require("rlab.redis").connect { port = ctx.ports[name], timeout = "1s",
    connect_timeout = "1s" }
  if not r then return failure.message end
  local answers, broken = r:pipeline { { "CLUSTER", "INFO" }, { "CLUSTER", "NODES" }, { "ROLE" } }
  if not answers then return broken.message end
  local info, text, role = table.unpack(answers)
  if err.is(info) then return info.message end
  if not info:find "cluster_state:ok" then return name .. " does not take part yet" end
  if figure(info, "cluster_known_nodes") ~= COUNT then return name .. " does not know all" end
  if figure(info, "cluster_slots_ok") ~= M.SLOTS then return "a slot has no primary" end
  if role[1] == "slave" and role[4] ~= "connected" then return name .. " is not in sync" end
  if role[1] == "master" and #role[3] == 0 then return name .. " has no replica" end
  for _, node in ipairs(M.nodes(text)) do
    local why = lacks(ctx, node)
    if why then return why end
  end
end

-- short(ctx) -> what is missing, in words | nil when all six agree that nothing is
function M.short(ctx)
  for _, name in ipairs(NAMES) do
    local why = short_of(ctx, name)
    if why then return why end
  end
end

-- A slot that somebody left half moved keeps its keys: redis-cli brings them together.
local function finish_moves(ctx)
  local cli = tools.which("redis-cli", "/usr/bin:/usr/local/bin")
  if not cli then return nil, err.new { domain = "rlab", code = 0, name = "MISSING",
    message = "no redis-cli found; install redis-tools" } end
  return tools.output({ cli, "--cluster", "fix", "127.0.0.1:" .. ctx.ports[NAMES[1]] }, "20s")
end

-- full(ctx) -> true | nil, err: waits until the cluster is whole; a half-moved slot is put right
function M.full(ctx)
  local why, fixed
  local ok = task.wait_until(function()
    why = M.short(ctx)
    if why and why:find "half moved" and not fixed then
      fixed = true
      finish_moves(ctx)
    end
    return not why
  end, { at_most = "30s", every = "20ms" })
  if ok then return true end
  return nil, err.new { domain = "rlab", code = 0, name = "NOT_READY", retriable = true,
    message = "the Redis Cluster is not whole: " .. why }
end

return M
