-- What this build is made of, for `rlab --version --verbose`.
local M = {}

function M.lines()
  local host = require "rlab.core_host"
  local lines = { "lua         " .. _VERSION .. " (" .. (host.lua_release or "distribution") .. ")" }
  for _, entry in ipairs(host.libraries()) do
    lines[#lines + 1] = ("%-11s %s"):format(entry.name, entry.version)
  end
  return lines
end

return M
