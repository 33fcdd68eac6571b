-- rlab migrate [info|validate] [--schema NAME]: Flyway on this stack's template schema, from which each
-- run's own schema is copied, or on another.
local exit = require "rlab.exit"
local must = require "rlab.must"

local M = { name = "migrate", help =
  "run migrations/*.sql by Flyway on the stack's MySQL; info and validate look at them" }

function M.args(parser)
  parser:argument("what",
    "nothing: run what is missing; info: list them; validate: compare them with what was run"):args(
    "?"):choices { "info", "validate" }
  parser:option("--schema",
    "this schema, such as rlab for services that you run by hand (default: the template of the runs)")
  parser:flag("--json", "print JSON")
end

local function print_rows(rows, schema)
  for _, row in ipairs(rows) do
    print(("  V%-3s %-20s %-10s %s"):format(row.version, row.description, row.state, row.installed or ""))
  end
  print(("  %d migrations in %s"):format(#rows, schema))
end

-- The schema that is meant, after its migrations were run, and how many were.
local function target(migrate, stack, args)
  if not args.schema then return must(migrate.template(stack)) end
  if not args.schema:find "^[%w_]+$" then
    require "rlab.usage" "migrate: " "--schema takes letters, digits and _"
  end
  if args.what then return args.schema, 0 end
  return args.schema, must(migrate.flyway("migrate", stack.mysql, args.schema)).count
end

function M.run(args)
  local migrate = require "rlab.stack.migrate"
  local stack <close> = must(require("rlab.stack").open { needs = { "mysql" }, start = true })
  local template, count = target(migrate, stack, args)
  local rows = args.what and must(migrate.flyway(args.what, stack.mysql, template))
  if args.json then
    print(require("rlab.json").encode({ schema = template, run = count,
      migrations = args.what == "info" and rows or nil }, { pretty = true }))
  elseif args.what == "info" then
    print_rows(rows, template)
  elseif args.what == "validate" then
    print(("  %d migrations are as they were run in %s"):format(rows.count, template))
  else
    print(count > 0 and ("  %d migrations run in %s"):format(count, template)
      or "  nothing to run in " .. template)
  end
  return exit.ok
end

return M
