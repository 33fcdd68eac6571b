-- A validator for the part of JSON Schema that docs/result.schema.json uses: type, required, properties,
-- additionalProperties, items, enum, const, anyOf, $ref into $defs.
local schema = {}

local function is_list(v)
  return type(v) == "table" and (next(v) == nil or v[1] ~= nil)
end

local TYPES = {
  object = function(v) return type(v) == "table" and (next(v) == nil or v[1] == nil) end,
  array = is_list,
  string = function(v) return type(v) == "string" end,
  integer = function(v) return math.type(v) == "integer" end,
  number = function(v) return type(v) == "number" end,
  boolean = function(v) return type(v) == "boolean" end,
}

local check

local function one_of(values, v)
  for _, allowed in ipairs(values) do
    if allowed == v then return true end
  end
  return false
end

local function check_object(root, s, v, path, out)
  for _, name in ipairs(s.required or {}) do
    if v[name] == nil then out[#out + 1] = ("%s: '%s' is missing"):format(path, name) end
  end
  for name, item in pairs(v) do
    local known = (s.properties or {})[name]
    if known then
      check(root, known, item, path .. "." .. tostring(name), out)
    elseif s.additionalProperties == false then
      out[#out + 1] = ("%s: '%s' is not described"):format(path, tostring(name))
    elseif type(s.additionalProperties) == "table" then
      check(root, s.additionalProperties, item, path .. "." .. tostring(name), out)
    end
  end
end

local function check_any(root, s, v, path, out)
  for _, option in ipairs(s.anyOf) do
    local found = {}
    check(root, option, v, path, found)
    if #found == 0 then return end
  end
  out[#out + 1] = path .. ": fits none of the allowed forms"
end

function check(root, s, v, path, out)
  if s["$ref"] then s = root["$defs"][s["$ref"]:match("([^/]+)$")] end
  if s.anyOf then check_any(root, s, v, path, out) end
  if s.const ~= nil and v ~= s.const then
    out[#out + 1] = ("%s: must be %s"):format(path, tostring(s.const))
  end
  if s.enum and not one_of(s.enum, v) then
    out[#out + 1] = ("%s: '%s' is not one of the allowed words"):format(path, tostring(v))
  end
  if s.type and not TYPES[s.type](v) then
    out[#out + 1] = ("%s: must be of type %s"):format(path, s.type)
    return
  end
  if s.type == "object" then check_object(root, s, v, path, out) end
  if s.type == "array" and s.items then
    for i, item in ipairs(v) do check(root, s.items, item, ("%s[%d]"):format(path, i), out) end
  end
end

-- problems(schema, value) -> list of what does not fit
function schema.problems(s, value)
  local out = {}
  check(s, s, value, "result", out)
  return out
end

return schema
