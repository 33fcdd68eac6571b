-- What the servers of `rlab up --observe` share: where their programs are, and how they say why they end.
local fs = require "rlab.fs"
local tables = require "rlab.tables"
local tools = require "rlab.stack.tools"

local M = { PART = "observe" }

function M.needs(ctx)
  if ctx.observe then return true end
  local found, failure = tools.observe()
  if not found then return nil, failure end
  ctx.observe, ctx.versions[M.PART] = found, found.version
  return true
end

function M.url(ctx) return "http://127.0.0.1:" .. ctx.ports.prometheus end

-- logfmt: level=error ... err="listen tcp 127.0.0.1:19190: bind: address already in use"
function M.cause(text)
  local found
  for line in text:gmatch "[^\n]+" do
    if line:find "level=error" or line:find "level=fatal" then
      found = found or line:match 'err="([^"]+)"' or line:match 'msg="([^"]+)"'
    end
  end
  return found and found:gsub("address already in use", "Address already in use")
end

-- exporter("redis-exporter", {command =}) -> the description of a program that tells Prometheus of one
--   server, keeps nothing, and serves as soon as it listens
function M.exporter(name, own)
  return tables.merged({
    part = M.PART, names = { name },
    disk = 1 << 20, stop = { signal = "TERM", rank = 1, at_most = "5s" },
    needs = M.needs, cause = M.cause,
    ports = function(_, server) return { server.port } end,
    files = function(_, server) return fs.mkdir(server.dir) end,
    ready = function(_, server, listening) return listening[server.port] or false end,
  }, own)
end

return M
