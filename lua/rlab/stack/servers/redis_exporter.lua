-- What Redis tells Prometheus, by redis_exporter.
local observe = require "rlab.stack.observe"

return observe.exporter("redis-exporter", {
  command = function(ctx, server)
    return { cwd = server.dir, cmd = { ctx.observe.programs .. "/prometheus-redis-exporter",
      "-web.listen-address", "127.0.0.1:" .. server.port,
      "-redis.addr", "redis://127.0.0.1:" .. ctx.ports.redis } }
  end,
})
