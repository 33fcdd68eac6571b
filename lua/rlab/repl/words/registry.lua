-- Looking at the Schema Registry: schemas, schema; and records that carry a schema's id, decoded.
local json = require "rlab.json"
local show = require "rlab.repl.show"

local M = {}

local SCHEMAS = { "subject", "versions", { name = "latest id", key = "id" }, "type", "mode" }

local function subject_rows(registry)
  local subjects, failure = registry:subjects()
  if not subjects then return nil, failure end
  table.sort(subjects)
  local rows = {}
  for i, subject in ipairs(subjects) do
    local versions, latest = registry:versions(subject) or {}, registry:get(subject) or {}
    rows[i] = { subject = subject, versions = table.concat(versions, " "), id = latest.id, type = latest.type,
      mode = registry:mode(subject) }
  end
  return rows
end

-- {id, version, subject, type, schema, mode} that shows itself as a person would read it
local function one_schema(registry, what, version)
  local found, failure = registry:get(what, version)
  if not found then return nil, failure end
  found.mode = found.subject and registry:mode(found.subject)
  return setmetatable(found, { __name = "schema", __tostring = function(self)
    local document = json.decode(self.schema)
    local head = self.subject and ("%s version %d, id %d, %s, %s"):format(self.subject, self.version, self.id,
      self.type, self.mode or "?") or ("id %d, %s"):format(self.id, self.type)
    return head .. "\n" .. (document and json.encode(document, { pretty = true }) or self.schema)
  end })
end

-- looks_encoded(value) -> the schema's id | nil
function M.looks_encoded(value)
  return type(value) == "string" and require("rlab.schema").id(value) or nil
end

-- decode(clients, record): a value with a schema's id, which the stack's registry knows, becomes its JSON;
--   what it was stands in .raw, the id in .schema
function M.decode(clients, record)
  local id = M.looks_encoded(record.value)
  local stack = id and clients:stack()
  local registry = stack and stack.registry and clients:open "registry"
  local value = registry and registry:decode(record.value)
  if value then record.raw, record.schema, record.value = record.value, id, json.encode(value) end
  return record
end

function M.install(session, words)
  local clients = session.clients

  function words.schemas()
    local registry, failure = clients:open "registry"
    if not registry then return nil, failure end
    local rows
    rows, failure = subject_rows(registry)
    if not rows then return nil, failure end
    return show.listing(rows, SCHEMAS)
  end

  words.schema = show.callable("rlab.schema", function(what, version)
    if type(what) ~= "string" and math.type(what) ~= "integer" then
      error('schema takes a subject or an id: schema "orders-value"', 3)
    end
    local registry, failure = clients:open "registry"
    if not registry then return nil, failure end
    return one_schema(registry, what, version)
  end)
end

return M
