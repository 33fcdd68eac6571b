-- A service's HTTP as an OpenAPI 3.1 document, made from rlab.docs.http_api.
local http_api = require "rlab.docs.http_api"
local json = require "rlab.json"
local tables = require "rlab.tables"

local M = {}

local PROBLEM = "application/problem+json"
local NOTE = "\n\nThe paths below /failpoints are there with --failpoints only."
local KEPT = { "type", "format", "minimum", "minLength", "maxLength", "pattern", "description" }
local TEXT = { type = "string", minLength = 1 }

local function reference(name) return { ["$ref"] = "#/components/schemas/" .. name } end

-- schema(shape) -> the same as JSON Schema has it
local function schema(shape)
  if shape.ref then return reference(shape.ref) end
  local out = tables.picked(shape, KEPT)
  if shape.enum then out.enum = json.array(shape.enum) end
  if shape.items then out.items = schema(shape.items) end
  if shape.values then out.additionalProperties = schema(shape.values) end
  if shape.above_zero_or_below then out["not"] = { const = 0 } end
  if not shape.fields then return out end
  local required = json.array {}
  out.properties = {}
  for _, field in ipairs(shape.fields) do
    out.properties[field[1]] = schema(field[2])
    if field[3] ~= "?" then required[#required + 1] = field[1] end
  end
  out.required = required
  if shape.closed then out.additionalProperties = false end
  return out
end

local function content(name)
  if name == "text" then return { ["text/plain"] = { schema = { type = "string" } } } end
  return { ["application/json"] = { schema = reference(name) } }
end

local function responses(route)
  local out = { default = { description = "refused, or the service is stopping",
    content = { [PROBLEM] = { schema = reference "Problem" } } } }
  for i = 4, #route do
    local status, means, shape = table.unpack(route[i])
    local answer = { description = means }
    if shape then answer.content = content(shape) end
    if not shape and status >= 400 then answer.content = { [PROBLEM] = { schema = reference "Problem" } } end
    out[tostring(status)] = answer
  end
  return out
end

local function parameters(route)
  local out = json.array {}
  for name in route[2]:gmatch "{([%w_]+)}" do
    out[#out + 1] = { name = name, ["in"] = "path", required = true,
      schema = schema(route.path and route.path[name] or TEXT) }
  end
  if route.header then
    out[#out + 1] = { name = route.header[1], ["in"] = "header", required = false,
      schema = schema(route.header[2]) }
  end
  return out
end

local function operation(service, route)
  local id = ("%s %s"):format(route[1]:lower(), route[2]):gsub("[^%w]+", "_"):gsub("_$", "")
  local out = { operationId = id, summary = route[3], tags = json.array { service },
    parameters = parameters(route), responses = responses(route) }
  if route.body then
    out.requestBody = { required = not route.optional, content = content(route.body) }
  end
  return out
end

local function routes_of(service)
  return { { "every service", http_api.every }, { service, http_api.services[service] or {} } }
end

-- document(service) -> OpenAPI 3.1 as a table
function M.document(service)
  local description = require("rlab.service").load(service)
  local paths, schemas = {}, {}
  for _, part in ipairs(routes_of(service)) do
    for _, route in ipairs(part[2]) do
      paths[route[2]] = paths[route[2]] or {}
      paths[route[2]][route[1]:lower()] = operation(part[1], route)
    end
  end
  for name, shape in pairs(http_api.shapes) do schemas[name] = schema(shape) end
  return { openapi = "3.1.0", paths = paths, components = { schemas = schemas },
    info = { title = "rlab service " .. service, version = require "rlab.version",
      description = description.help .. NOTE, license = { name = "Apache-2.0", identifier = "Apache-2.0" } },
    servers = description.port
      and json.array { { url = "http://localhost:" .. description.port } } or nil }
end

-- text(service) -> docs/openapi/SERVICE.json
function M.text(service) return json.encode(M.document(service), { pretty = true }) .. "\n" end

return M
