-- rlab failpoint 'EXPR': explains a failpoint expression, offline.
local exit = require "rlab.exit"

local failpoint = { name = "failpoint", help = "explain a failpoint expression, such as '#40 kill'" }

function failpoint.args(parser)
  parser:argument("expr", "the expression, quoted")
  parser:flag("--json", "print JSON")
end

function failpoint.run(args)
  local text, failure = require("rlab.fail").explain(args.expr)
  if not text then
    io.stderr:write("rlab: ", failure.message or tostring(failure), "\n")
    return exit.usage
  end
  print(args.json and require("rlab.json").encode { expr = args.expr, text = text } or text)
  return exit.ok
end

return failpoint
