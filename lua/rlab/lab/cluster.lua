-- The stack's Redis Cluster in a story: its nodes one by one for the observer, and clients as a service has
-- them.
local must = require "rlab.must"
local redis = require "rlab.redis"
local tables = require "rlab.tables"

local M = {}

-- cluster() -> view of the nodes (rlab.stack.redis_view), over the observer's own connections; keys that
--   carry the run's name go when it ends
function M.cluster(lab)
  lab.run.ledger:add("cluster-keys", lab.run.namespace)
  lab.cluster_view = lab.cluster_view
    or lab:own(require("rlab.stack.redis_view").open(lab.stack.redis_cluster.nodes))
  return lab.cluster_view
end

-- cluster_clients(n, {redirects =, ...}) -> list of so many clients that know the slots, for as many callers
--   at a time, closed with the arm
function M.cluster_clients(lab, n, options)
  local all, list = tables.merged({ nodes = lab.stack.redis_cluster.nodes, timeout = "5s" }, options), {}
  lab:note_client("redis cluster", tables.merged(all, { nodes = table.concat(all.nodes, ",") }))
  for i = 1, n do list[i] = lab:own(must(redis.cluster(all))) end
  return list
end

-- cluster_client{redirects =, ...} -> one of them
function M.cluster_client(lab, options)
  return lab:cluster_clients(1, options)[1]
end

return M
