-- rlab failpoint 'EXPR': explains a failpoint expression, offline.
local exit = require "rlab.exit"

local failpoint = { name = "failpoint", help = "explain a failpoint expression, such as '#40 kill'" }

function failpoint.args(parser)
  parser:argument("expr", "the expression, quoted")
end

function failpoint.run(args)
  local text, failure = require("rlab.fail").explain(args.expr)
  if not text then
    io.stderr:write("rlab: ", tostring(failure), "\n")
    return exit.usage
  end
  print(text)
  return exit.ok
end

return failpoint
