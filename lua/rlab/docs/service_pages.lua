-- The made parts of docs/services.md: of each service its routes, options and failpoints, from the tables
-- that the code reads; what stands between them is written by hand.
local http_api = require "rlab.docs.http_api"
local exit = require "rlab.exit"
local options = require "rlab.service.options"
local points = require "rlab.failpoint.points"
local service = require "rlab.service"
local tables = require "rlab.tables"

local M = {}

local function cell(text) return (text:gsub("|", "\\|"):gsub("\n", " ")) end

local function code(text) return text ~= "" and "`" .. text .. "`" or "" end

local function put(out, fmt, ...) out[#out + 1] = fmt:format(...) end

-- ---- shapes ----

local names = { integer = "int", string = "text", boolean = "bool" }

-- described(shape) -> '{"id": int, "balance"?: int}'
local function described(shape)
  if shape.ref then return shape.ref end
  if shape.enum then return '"' .. table.concat(shape.enum, '" or "') .. '"' end
  if shape.items then return ("[%s]"):format(next(shape.items) and described(shape.items) or "any") end
  if shape.values then
    return ("{name: %s}"):format(next(shape.values) and described(shape.values) or "any")
  end
  if not shape.fields then return names[shape.type] end
  local list = {}
  for i, field in ipairs(shape.fields) do
    list[i] = ('"%s"%s: %s'):format(field[1], field[3] or "", described(field[2]))
  end
  return "{" .. table.concat(list, ", ") .. "}"
end

local function shapes()
  local out = { "| shape | JSON; a field with ? may be absent |", "|---|---|" }
  for _, name in ipairs(tables.sorted_keys(http_api.shapes)) do
    local shape = http_api.shapes[name]
    put(out, "| %s | `%s`%s |", name, cell(described(shape)), shape.closed and ", no other field" or "")
  end
  return out
end

-- ---- tables ----

local function answers(route)
  local list = {}
  for i = 4, #route do
    local status, means, shape = table.unpack(route[i])
    local with = shape and shape ~= "text" and (" (%s)"):format(shape) or ""
    list[#list + 1] = ("%d %s%s"):format(status, means, with)
  end
  return cell(table.concat(list, " · "))
end

local function routes(list)
  local out = { "| request | what it does | answers |", "|---|---|---|" }
  for _, route in ipairs(list) do
    local body = route.body and (route.optional and " with no body or " or " with ") .. route.body or ""
    put(out, "| `%s %s`%s | %s | %s |", route[1], route[2], body, cell(route[3]), answers(route))
  end
  return out
end

local function option_table(rows, common)
  local out = { "| option | environment | type | default | meaning |", "|---|---|---|---|---|" }
  for _, row in ipairs(rows) do
    if row.common == common then
      put(out, "| `%s` | %s | %s | %s | %s |", row.flag, code(row.env), row.type, code(cell(row.default)),
        cell(row.help))
    end
  end
  return out
end

local function failpoints(name)
  local out = { "| failpoint | reached when |", "|---|---|" }
  for _, point in ipairs(points.list(name)) do
    if point.service == name then put(out, "| `%s` | %s |", point.name, cell(point.help)) end
  end
  return out
end

local function refusals()
  local out = { "| status | of any request, as `application/problem+json` |", "|---|---|" }
  for _, row in ipairs(http_api.refusals) do put(out, "| %d | %s |", row[1], row[2]) end
  return out
end

local function exits()
  local out = { "| exit code | when |", "|---|---|" }
  local said = { [exit.ok] = "it was told to end and has drained",
    [exit.usage] = "an option, a file or a failpoint that is wrong: one line says what was meant",
    [exit.script] = "a mistake in a file of yours, a service or a --handler: its line",
    [exit.unreachable] = "its port is taken, or what it needs from the start cannot be had",
    [exit.bug] = "a bug in rlab, with a traceback",
    [exit.interrupted] = "the process of --die-with-parent had gone before it started",
    [128 + 15] = "a second SIGTERM (as a shell tells it): it ended at once" }
  for _, status in ipairs(tables.sorted_keys(said)) do put(out, "| %d | %s |", status, said[status]) end
  return out
end

-- ---- the page ----

local function joined(...)
  local parts = {}
  for i, lines in ipairs { ... } do parts[i] = table.concat(lines, "\n") end
  return table.concat(parts, "\n\n")
end

local function of_service(name)
  local rows, own = options.rows(service.load(name)), http_api.services[name]
  return joined(#own > 0 and routes(own) or { "No routes but those of every service." },
    option_table(rows, false), failpoints(name))
end

-- made(name) -> the block of that name | nil
function M.made(name)
  if name == "every service" then
    return joined(routes(http_api.every), refusals(), shapes(),
      option_table(options.rows { name = "NAME" }, true), exits())
  end
  if name == "backfill" then return joined(failpoints "backfill") end
  return tables.contains(service.names(), name) and of_service(name) or nil
end

local BLOCK = "(<!%-%- made by rlab api %-%-write: ([%l ]-) %-%->\n).-(<!%-%- end %-%->)"

-- replaced(page) -> the page with each made block written anew; raises where there is none of that name
function M.replaced(page)
  return (page:gsub(BLOCK, function(head, name, tail)
    local block = M.made(name) or error("docs/services.md: there is no block '" .. name .. "'", 0)
    return ("%s\n%s\n\n%s"):format(head, block, tail)
  end))
end

return M
