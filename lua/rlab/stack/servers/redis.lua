-- One Redis, durable enough that its data survive `down` and `up`.
local fs = require "rlab.fs"
local secured = require "rlab.stack.secure.redis"
local settings = require "rlab.stack.settings"
local tables = require "rlab.tables"
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

  files = function(ctx, server)
    local ok, failure = fs.mkdir(server.dir .. "/data")
    if not ok or not ctx.secure then return ok, failure end
    return secured.files(ctx.secure, server)
  end,

  command = function(ctx, server)
    local cmd = { ctx.redis_server, "--port", server.port, "--bind", "127.0.0.1", "--dir", ".",
      "--logfile", "", "--daemonize", "no",
      "--set-proc-title", "no" } -- a title overwrites the environment, by which strays are known
    tables.append(cmd, settings.redis)
    if ctx.secure then tables.append(cmd, secured.options(ctx.secure, server)) end
    return { cwd = server.dir .. "/data", cmd = cmd }
  end,

  ready = function(ctx, server)
    local redis = require("rlab.redis").connect(tables.merged({ host = "127.0.0.1", port = server.port,
      timeout = "1s" }, ctx.secure and secured.login(ctx.secure)))
    if not redis then return false end
    local answer, marked = redis:call "PING", true
    if ctx.secure then marked = secured.mark(redis) end
    redis:close()
    return answer == "PONG" and marked
  end,

  title = function(ctx) return "127.0.0.1:" .. ctx.ports.redis .. (ctx.secure and ", TLS" or "") end,

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
