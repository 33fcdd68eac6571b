-- rlab migrate [info|validate]: Flyway on this stack's template schema, from which each run's own schema is copied.
local exit = require "rlab.exit"
local must = require "rlab.must"

local M = { name = "migrate", help = "run migrations/*.sql by Flyway on the stack's MySQL; info and validate look at them" }

function M.args(parser)
  parser:argument("what", "nothing: run what is missing; info: list them; validate: compare them with what was run"):args("?"):choices { "info", "validate" }
  parser:flag("--json", "print JSON")
end

local function print_rows(rows, schema)
  for _, row in ipairs(rows) do
    print(("  V%-3s %-20s %-10s %s"):format(row.version, row.description, row.state, row.installed or ""))
  end
  print(("  %d migrations in %s"):format(#rows, schema))
end

function M.run(args)
  local migrate = require "rlab.stack.migrate"
  local stack <close> = must(require("rlab.stack").open { needs = { "mysql" }, start = true })
  local template, count = migrate.template(stack)
  if not template then error(count, 0) end
  local rows = args.what and must(migrate.flyway(args.what, stack.mysql, template))
  if args.json then
    print(require("rlab.json").encode({ schema = template, run = count, migrations = args.what == "info" and rows or nil }, { pretty = true }))
  elseif args.what == "info" then
    print_rows(rows, template)
  elseif args.what == "validate" then
    print(("  %d migrations are as they were run in %s"):format(rows.count, template))
  else
    print(count > 0 and ("  %d migrations run in %s"):format(count, template) or "  nothing to run in " .. template)
  end
  return exit.ok
end

return M
