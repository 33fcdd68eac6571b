-- The stack with its Redis Cluster, and the nodes one by one over connections of their own.
local stack = require "rlab.stack"
local view_of = require "rlab.stack.redis_view"

local M = {}

-- open(needs) -> stack, view; whole, whatever was done to its nodes before
function M.open(needs)
  local s = assert(stack.open { needs = needs, start = true })
  assert(s:heal())
  return s, view_of.open(s.redis_cluster.nodes)
end

-- close(stack, view): either may be nil
function M.close(s, view)
  if view then view:close() end
  if s then
    assert(s:heal())
    s:close()
  end
end

return M
