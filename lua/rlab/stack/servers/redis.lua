-- One Redis, durable enough that its data survive `down` and `up`.
local fs = require "rlab.fs"
local settings = require "rlab.stack.settings"
local tools = require "rlab.stack.tools"

return {
  part = "redis",
  names = { "redis" },
  disk = 64 << 20,
  stop = { signal = "TERM", rank = 1, at_most = "5s" },

  needs = function(ctx)
    local found, failure = tools.redis()
    if not found then return nil, failure end
    ctx.redis_server, ctx.versions.redis = found.path, found.version
    return true
  end,

  ports = function(ctx, server) return { server.port } end,

  files = function(ctx, server) return fs.mkdir(server.dir .. "/data") end,

  command = function(ctx, server)
    local cmd = { ctx.redis_server, "--port", server.port, "--bind", "127.0.0.1", "--dir", ".",
      "--logfile", "", "--daemonize", "no",
      "--set-proc-title", "no" } -- a title overwrites the environment, by which strays are known
    table.move(settings.redis, 1, #settings.redis, #cmd + 1, cmd)
    return { cwd = server.dir .. "/data", cmd = cmd }
  end,

  ready = function(ctx, server)
    local redis = require("rlab.redis").connect { host = "127.0.0.1", port = server.port, timeout = "1s" }
    if not redis then return false end
    local answer = redis:call "PING"
    redis:close()
    return answer == "PONG"
  end,

  title = function(ctx) return "127.0.0.1:" .. ctx.ports.redis end,

  -- "12:C 23 Nov 2026 16:00:00.000 # Could not create server TCP listening socket 127.0.0.1:16379: bind:
  -- Address already in use" or a block that begins with "*** FATAL AOF MANIFEST FILE ERROR ***" and ends
  -- with the reason
  cause = function(text)
    local found
    local fatal, rest = text:match "%*%*%* (FATAL[^\n*]*[^\n* ]) %*%*%*\n(.*)"
    if fatal then
      local last = rest:match "([^\n]+)%s*$" or "see the log"
      return fatal .. ": " .. (last:match " # (.+)$" or last)
    end
    for line in text:gmatch "[^\n]+" do
      local message = line:match "^%d+:%u .- # (.+)$"
      if message and not message:find "^Warning" and not message:find "^WARNING"
        and not message:find "oO0Oo" then
        found = found or message
      end
    end
    return found
  end,
}
