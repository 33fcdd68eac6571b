-- rlab failpoint 'EXPR': explains a failpoint expression; rlab failpoint list [SERVICE]: the points there
-- are. Both offline.
local exit = require "rlab.exit"
local usage = require "rlab.usage" ()

local failpoint = { name = "failpoint",
  help = "explain a failpoint expression, such as '#40 kill', or list the points of a service" }

function failpoint.args(parser)
  parser:argument("expr", "the expression, quoted; or 'list'")
  parser:argument("service", "with 'list': the points of this service only"):args "?"
  parser:flag("--json", "print JSON")
end

local function list(args)
  local points = require "rlab.failpoint.points"
  local services = points.services()
  if args.service and not require("rlab.tables").contains(services, args.service) then
    usage("no service '%s' has failpoints; %s", args.service,
      require("rlab.options").advice(args.service, services))
  end
  local rows = points.list(args.service)
  if args.json then
    print(require("rlab.json").encode(require("rlab.json").array(rows), { pretty = true }))
    return exit.ok
  end
  print(require("rlab.term").grid({ { name = "point", key = "name" }, "service",
    { name = "reached when", key = "help" } }, rows))
  return exit.ok
end

function failpoint.run(args)
  if args.expr == "list" then return list(args) end
  if args.service then usage("'%s' is not asked for; rlab failpoint list [SERVICE]", args.service) end
  local text, failure = require("rlab.fail").explain(args.expr)
  if not text then
    require "rlab.note"(failure.message or tostring(failure))
    return exit.usage
  end
  print(args.json and require("rlab.json").encode { expr = args.expr, text = text } or text)
  return exit.ok
end

return failpoint
