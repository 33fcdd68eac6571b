-- The three brokers. Each listens at DIRECT (clients), INTER (its peers) and PROX (clients that come
-- through the proxy).
local kafka = require "rlab.stack.kafka"
local train = require "rlab.stack.kafka_train"
local full = require "rlab.stack.kafka_full"

return {
  part = "kafka",
  names = { "kafka-1", "kafka-2", "kafka-3" },
  disk = 128 << 20,
  stop = { signal = "TERM", rank = 1, at_most = "10s" },
  needs = kafka.needs,
  prepare = train.ensure,
  files = kafka.files,
  command = kafka.command,
  cause = kafka.cause,
  outdated = kafka.unobserved,

  ports = function(ctx, server)
    local p, name = ctx.ports, server.name
    local list = { server.port, p[name .. "-inter"], p[name .. "-prox"] }
    if ctx:observed() then list[#list + 1] = p[name .. "-jmx"] end
    return list
  end,

  ready = function(ctx, server, listening)
    return listening[server.port] and listening[ctx.ports[server.name .. "-inter"]] or false
  end,

  -- of the cluster as a whole
  full = full.prove,
  title = function(ctx)
    return ("%d brokers, 127.0.0.1:%d-%d%s"):format(#kafka.BROKERS, ctx.ports["kafka-1"],
      ctx.ports["kafka-3"], ctx.secure and ", SASL_SSL" or "")
  end,
}
