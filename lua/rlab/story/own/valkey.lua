-- Three Valkey nodes of an arm's own, primaries that know one another before they start: a second kind of
-- node, on which a slot moves in one step. They end with the arm.
local children = require "rlab.lab.children"
local cluster = require "rlab.stack.redis_cluster"
local fs = require "rlab.fs"
local must = require "rlab.must"
local process = require "rlab.process"
local redis = require "rlab.redis"
local tools = require "rlab.stack.tools"

local M = {}

local COUNT = cluster.PRIMARIES
local Node = children.class()

local function start(lab, server, config, port, bus, i)
  local tag = lab.run:child_name("valkey-" .. i)
  local dir = ("%s/%s"):format(lab.run.dir, tag)
  must(fs.mkdir(dir))
  must(fs.write(dir .. "/nodes.conf", config))
  return children.spawn(lab, Node, tag, { cwd = dir, cmd = { server.path, "--port", tostring(port),
    "--bind", "127.0.0.1", "--dir", ".", "--save", "", "--appendonly", "no", "--daemonize", "no",
    "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", tostring(bus),
    "--cluster-announce-ip", "127.0.0.1", "--cluster-node-timeout", "2000" } }, {})
end

-- It takes part, and is linked to all.
local function whole(port)
  local conn <close> = redis.connect { port = port, timeout = "1s", connect_timeout = "1s" }
  local info, nodes = conn and conn:call("CLUSTER", "INFO"), conn and conn:call("CLUSTER", "NODES")
  if not (info and nodes and info:find "cluster_state:ok") then return false end
  local linked = 0
  for _, node in ipairs(cluster.nodes(nodes)) do
    linked = linked + (node.link == "connected" and not node.flags:find "fail" and 1 or 0)
  end
  return linked == COUNT
end

-- open(lab): the arm's cluster from now on; where Valkey is not to be had the arm is inconclusive
function M.open(lab)
  local server, failure = tools.valkey()
  if not server then lab:give_up("not run: %s", failure.message) end
  local ports, addresses = must(process.free_ports(2 * COUNT)), {}
  for i = 1, COUNT do addresses[i] = ("127.0.0.1:%d@%d"):format(ports[i], ports[COUNT + i]) end
  lab.own_nodes = {}
  for i = 1, COUNT do
    start(lab, server, cluster.config(addresses, i), ports[i], ports[COUNT + i], i)
    lab.own_nodes[i] = "127.0.0.1:" .. ports[i]
  end
  lab:await("three Valkey nodes that know one another", function()
    for i = 1, COUNT do
      if not whole(ports[i]) then return false end
    end
    return true
  end)
  lab:event("Valkey %s, three primaries of the arm's own", server.version)
end

return M
