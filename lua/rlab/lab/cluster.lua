-- The stack's Redis Cluster in a story: its nodes one by one for the observer, and clients as a service has
-- them.
local must = require "rlab.must"
local redis = require "rlab.redis"
local tables = require "rlab.tables"

local M = {}

-- The arm's own nodes, where a story has started some (rlab.story.own.valkey), or the stack's: there keys
-- that carry the run's name go when it ends.
local function nodes_of(lab)
  if lab.own_nodes then return lab.own_nodes end
  lab.run.ledger:add("cluster-keys", lab.run.namespace)
  return lab.stack.redis_cluster.nodes
end

-- cluster() -> view of the nodes (rlab.stack.redis_view), over the observer's own connections
function M.cluster(lab)
  lab.cluster_view = lab.cluster_view or lab:own(require("rlab.stack.redis_view").open(nodes_of(lab)))
  return lab.cluster_view
end

-- cluster_clients(n, {redirects =, ...}) -> list of so many clients that know the slots, for as many callers
--   at a time, closed with the arm
function M.cluster_clients(lab, n, options)
  local all, list = tables.merged({ nodes = nodes_of(lab), timeout = "5s" }, options), {}
  lab:note_client("redis cluster", tables.merged(all, { nodes = table.concat(all.nodes, ",") }))
  for i = 1, n do list[i] = lab:own(must(redis.cluster(all))) end
  return list
end

-- cluster_client{redirects =, ...} -> one of them
function M.cluster_client(lab, options)
  return lab:cluster_clients(1, options)[1]
end

return M
