-- The entry point: main(args) -> exit code. Keeps `rlab --version` free of everything else.
local exit = require "rlab.exit"

local function version(verbose)
  print("rlab " .. require "rlab.version")
  if verbose then
    for _, line in ipairs(require("rlab.docs.about").lines()) do print("  " .. line) end
  end
  return exit.ok
end

return function(args)
  io.stdout:setvbuf "line" -- a pipe's reader follows the story as it goes
  if args[1] == "--version" or args[1] == "-V" then
    return version(args[2] == "--verbose" or args[2] == "-v")
  end
  return require("rlab.cli").main(args)
end
