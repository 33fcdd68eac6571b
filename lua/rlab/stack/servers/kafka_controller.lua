-- The one dedicated controller: with it two brokers can be out at once and the cluster still decides. It
-- stops after the brokers, which hand their leaderships over through it.
local kafka = require "rlab.stack.kafka"
local train = require "rlab.stack.kafka_train"

return {
  part = "kafka",
  names = { "controller" },
  disk = 64 << 20,
  stop = { signal = "TERM", rank = 2, at_most = "10s" },
  needs = kafka.needs,
  prepare = train.ensure,
  files = kafka.files,
  command = kafka.command,
  cause = kafka.cause,
  outdated = kafka.unobserved,
  ports = function(ctx, server)
    return { server.port, ctx:observed() and ctx.ports["controller-jmx"] or nil }
  end,
  ready = function(_, server, listening) return listening[server.port] or false end,
}
