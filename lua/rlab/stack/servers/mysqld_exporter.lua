-- What MySQL tells Prometheus, by mysqld_exporter.
local mysql = require "rlab.stack.servers.mysql"
local observe = require "rlab.stack.observe"
local settings = require "rlab.stack.settings"

return observe.exporter("mysqld-exporter", {
  -- by the environment, which nobody else can read, as a command line is read by everybody
  command = function(ctx, server)
    return { cwd = server.dir,
      cmd = { ctx.observe.programs .. "/prometheus-mysqld-exporter",
        "--web.listen-address=127.0.0.1:" .. server.port, table.unpack(settings.mysqld_exporter) },
      env = { DATA_SOURCE_NAME = ("%s:%s@(127.0.0.1:%d)/"):format(mysql.user, mysql.password(ctx.home),
        ctx.ports.mysql) } }
  end,
})
