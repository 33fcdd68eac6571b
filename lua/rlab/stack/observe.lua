-- What the servers of `rlab up --observe` share: where their programs are, and how they say why they end.
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

return M
