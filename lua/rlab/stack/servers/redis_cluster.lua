-- The six nodes of the Redis Cluster. A slot without a primary stops only itself, not the cluster.
local cluster = require "rlab.stack.redis_cluster"
local redis = require "rlab.stack.servers.redis"
local settings = require "rlab.stack.settings"
local tools = require "rlab.stack.tools"

local function command(ctx, server)
  local options = redis.command(ctx, server)
  for _, word in ipairs { "--cluster-port", cluster.bus(ctx, server.name),
    table.unpack(settings.redis_cluster) } do
    table.insert(options.cmd, word)
  end
  return options
end

return {
  part = "redis-cluster",
  names = cluster.names,
  disk = 16 << 20,
  stop = { signal = "TERM", rank = 1, at_most = "5s" },

  needs = function(ctx)
    local found, failure = tools.redis(tools.REDIS_CLUSTER_MIN)
    if not found then return nil, failure end
    ctx.redis_server, ctx.versions["redis-cluster"] = found.path, found.version
    return true
  end,

  ports = function(ctx, server) return { server.port, cluster.bus(ctx, server.name) } end,
  files = cluster.files,
  command = command,
  ready = redis.ready,
  cause = redis.cause,

  -- of the cluster as a whole
  full = cluster.full,
  short = cluster.short,
  title = function(ctx)
    return ("3 primaries, 3 replicas, 127.0.0.1:%d-%d"):format(ctx.ports[cluster.names[1]],
      ctx.ports[cluster.names[#cluster.names]])
  end,
}
