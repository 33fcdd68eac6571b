-- The fault proxy: clients that shall meet faults on the wire dial its ports. Where no rule is, bytes pass
-- as they are.
local fs = require "rlab.fs"

local function forwards(ctx)
  local p, list = ctx.ports, {}
  for id = 1, 3 do
    list[id] = { name = "kafka-" .. id, port = p[("kafka-%d-proxy"):format(id)],
      to = p[("kafka-%d-prox"):format(id)], proto = "kafka" }
  end
  for id = 1, 3 do -- a broker as its peers see it, where the stack is partitionable
    local name = ("kafka-%d-inter"):format(id)
    list[#list + 1] = { name = name, port = p[name .. "-proxy"], to = p[name], proto = "kafka" }
  end
  list[#list + 1] = { name = "mysql", port = p["mysql-proxy"], to = p.mysql, proto = "mysql" }
  list[#list + 1] = { name = "redis", port = p["redis-proxy"], to = p.redis, proto = "redis" }
  return list
end

return {
  part = "proxy",
  names = { "proxy" },
  disk = 1 << 20,
  stop = { signal = "TERM", rank = 2, at_most = "5s" }, -- after the brokers, whose goodbyes may go through it

  needs = function(ctx)
    ctx.versions.proxy = require "rlab.version"
    return true
  end,

  ports = function(ctx, server)
    local list = { server.port }
    for _, f in ipairs(forwards(ctx)) do list[#list + 1] = f.port end
    return list
  end,

  files = function(_, server) return fs.mkdir(server.dir) end,

  command = function(ctx, server)
    local cmd = { fs.self_exe(), "proxy", "--port", server.port }
    for _, f in ipairs(forwards(ctx)) do
      cmd[#cmd + 1] = ("%s=127.0.0.1:%d-127.0.0.1:%d,%s"):format(f.name, f.port, f.to, f.proto)
    end
    return { cwd = server.dir, cmd = cmd }
  end,

  ready = function(_, server, listening)
    return listening[server.port] and require("rlab.proxy").connect("http://127.0.0.1:" .. server.port) ~= nil
  end,

  title = function(ctx)
    local p = ctx.ports
    return ("API 127.0.0.1:%d, for kafka %d-%d, mysql %d, redis %d"):format(p.proxy, p["kafka-1-proxy"],
      p["kafka-3-proxy"],
      p["mysql-proxy"], p["redis-proxy"])
  end,

  cause = function(text) return text:match "rlab: ([^\n]+)" end,
}
