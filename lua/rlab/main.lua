-- The entry point: main(args) -> exit code. Keeps `rlab --version` free of everything else.
local exit = require "rlab.exit"

local function version(verbose)
  print("rlab " .. require "rlab.version")
  if verbose then
    local about = require "rlab.docs.about"
    for _, part in ipairs { { "libraries", about.lines() }, { "servers of rlab up", about.servers() },
      { "built", about.built() } } do
      print(part[1])
      for _, line in ipairs(part[2]) do print("  " .. line) end
    end
  end
  return exit.ok
end

-- A file of the current directory is nobody's module unless RLAB_LUA_PATH says where modules lie.
local function keep_out_of_here()
  if (os.getenv "RLAB_LUA_PATH" or "") ~= "" then return end
  for _, key in ipairs { "path", "cpath" } do
    local kept = {}
    for template in package[key]:gmatch "[^;]+" do
      if not template:find "^%./" then kept[#kept + 1] = template end
    end
    package[key] = table.concat(kept, ";")
  end
end

return function(args)
  keep_out_of_here()
  io.stdout:setvbuf "line" -- a pipe's reader follows the story as it goes
  if args[1] == "--version" or args[1] == "-V" then
    return version(args[2] == "--verbose" or args[2] == "-v")
  end
  return require("rlab.cli").main(args)
end
