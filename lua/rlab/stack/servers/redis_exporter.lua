-- What Redis tells Prometheus, by redis_exporter.
local fs = require "rlab.fs"
local observe = require "rlab.stack.observe"

return {
  part = observe.PART,
  names = { "redis-exporter" },
  disk = 1 << 20,
  stop = { signal = "TERM", rank = 1, at_most = "5s" },
  needs = observe.needs,
  cause = observe.cause,
  ports = function(_, server) return { server.port } end,
  files = function(_, server) return fs.mkdir(server.dir) end,

  command = function(ctx, server)
    return { cwd = server.dir, cmd = { ctx.observe.programs .. "/prometheus-redis-exporter",
      "-web.listen-address", "127.0.0.1:" .. server.port,
      "-redis.addr", "redis://127.0.0.1:" .. ctx.ports.redis } }
  end,

  ready = function(_, server, listening) return listening[server.port] or false end,
}
