-- rlab lua FILE: a Lua file with rlab's modules, as a task.
local exit = require "rlab.exit"

local script = { name = "lua", help = "run a Lua file with rlab's modules", hidden = true, raw = true }

function script.run(words)
  local path = words[1]
  if not path then
    io.stderr:write("rlab: lua: a file expected\n")
    return exit.usage
  end
  local chunk, failure = loadfile(path)
  if not chunk then
    io.stderr:write("rlab: ", failure, "\n")
    return exit.script
  end
  local code = chunk(table.unpack(words, 2))
  return math.type(code) == "integer" and code or exit.ok
end

return script
