-- rlab api: the Lua API as a page or as definitions for editors.
local exit = require "rlab.exit"
local usage = require "rlab.usage" ()

local command = { name = "api", help = "the Lua API: a name, a Markdown page, or definitions for editors" }

function command.args(parser)
  parser:argument("name", 'such as "kafka", "tail" or "kafka.producer:send"'):args "?"
  parser:mutex(
    parser:flag("--markdown", "the whole API as a Markdown page (docs/api.md)"),
    parser:flag("--lua", "definitions for editors (LuaLS)"),
    parser:flag("--json", "the table itself, or the part that the name means"),
    parser:option("--openapi", "the HTTP of this service, as OpenAPI 3.1 (docs/openapi)"),
    parser:flag("--write", "write docs/api.md, docs/services.md and docs/openapi of this checkout anew")
  )
end

-- Of a function or a method: { "send", "p:send{...} -> ...", "Sends." }
local PLACES = { "name", "call", "doc" }

local function named(entry)
  local out = {}
  for key, part in pairs(entry) do out[PLACES[key] or key] = part end
  return out
end

-- The table with those places named, for readers that are not Lua.
local function told(part)
  if type(part) ~= "table" then return part end
  local out = setmetatable({}, getmetatable(part))
  for key, value in pairs(part) do out[key] = told(value) end
  for _, key in ipairs { "functions", "methods" } do
    for i, entry in ipairs(out[key] or {}) do out[key][i] = named(entry) end
  end
  return out
end

-- The whole table, or what one name of it means.
local function as_json(name)
  local api = require "rlab.docs.api"
  local found, near = api.nouns(), nil
  if name then
    found, near = api.find(name)
    found = found and (found.kind == "module" and found.noun or named(found.entry))
  end
  if not found then
    usage("api: nothing is called '%s'%s", name, near and ("; did you mean '%s'?"):format(near) or "")
  end
  print(require("rlab.json").encode(told(found), { pretty = true }))
  return exit.ok
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
    return as_json(args.name)
  else
    local text, found = require("rlab.repl.help").text({ words = {} }, args.name)
    print(text)
    if not found then return exit.usage end
  end
  return exit.ok
end

return command
