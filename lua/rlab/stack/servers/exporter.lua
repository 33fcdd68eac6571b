-- Our own exporter of Kafka's topics and groups, which also passes on what the services of this stack tell.
local fs = require "rlab.fs"
local http = require "rlab.http"
local layout = require "rlab.stack.layout"
local observe = require "rlab.stack.observe"

return observe.exporter("exporter", {
  files = function(ctx, server)
    local ok, failure = fs.mkdir(server.dir)
    if not ok then return nil, failure end
    return fs.mkdir(layout.services(ctx.home))
  end,

  command = function(ctx, server)
    return { cwd = server.dir, cmd = { fs.self_exe(), "service", "exporter", "--port", server.port,
      "--brokers", ctx:brokers(), "--services", layout.services(ctx.home) } }
  end,

  ready = function(_, server, listening)
    if not listening[server.port] then return false end
    local answer = http.get(("http://127.0.0.1:%d/actuator/health"):format(server.port), { timeout = "1s" })
    return answer ~= nil and answer.status == 200
  end,

  cause = function(text)
    return text:match "rlab: ([^\n]+)" or text:match '"level":"error"[^\n]-"error":"([^"]+)"'
  end,
})
