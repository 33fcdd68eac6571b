-- rlab api: the Lua API as a page or as definitions for editors.
local exit = require "rlab.exit"

local command = { name = "api", help = "the Lua API: a name, a Markdown page, or definitions for editors" }

function command.args(parser)
  parser:argument("name", 'such as "kafka", "tail" or "kafka.producer:send"'):args "?"
  parser:mutex(
    parser:flag("--markdown", "the whole API as a Markdown page (docs/api.md)"),
    parser:flag("--lua", "definitions for editors (LuaLS)"),
    parser:flag("--json", "the table itself"),
    parser:option("--openapi", "the HTTP of this service, as OpenAPI 3.1 (docs/openapi)"),
    parser:flag("--write", "write docs/api.md, docs/services.md and docs/openapi of this checkout anew")
  )
end

function command.run(args)
  if args.markdown then
    io.write(require("rlab.docs.write").markdown())
  elseif args.lua then
    io.write(require("rlab.docs.write").lua())
  elseif args.openapi then
    io.write(require("rlab.docs.openapi").text(args.openapi))
  elseif args.write then
    require("rlab.docs.write").write()
  elseif args.json then
    print(require("rlab.json").encode(require("rlab.docs.api").nouns(), { pretty = true }))
  else
    local text, found = require("rlab.repl.help").text({ words = {} }, args.name)
    print(text)
    if not found then return exit.usage end
  end
  return exit.ok
end

return command
