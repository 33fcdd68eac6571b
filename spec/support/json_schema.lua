-- A validator for the part of JSON Schema that docs/*.schema.json use: type, required, properties,
-- additionalProperties, minProperties, items, enum, const, not, minimum, minLength, maxLength, pattern (one
-- that means the same in Lua), anyOf, $ref into $defs. Values are those of json.decode, which knows [] from
-- {}.
local json = require "rlab.json"

local schema = {}

local TYPES = {
  object = function(v) return type(v) == "table" and not json.is_array(v) end,
  array = json.is_array,
  string = function(v) return type(v) == "string" end,
  integer = function(v) return math.type(v) == "integer" end,
  number = function(v) return type(v) == "number" end,
  boolean = function(v) return type(v) == "boolean" end,
  null = function(v) return v == json.null end,
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
  if s.minProperties and next(v) == nil then out[#out + 1] = path .. ": is empty" end
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

local function check_not(root, s, v, path, out)
  local found = {}
  check(root, s["not"], v, path, found)
  if #found == 0 then out[#out + 1] = path .. ": is what it must not be" end
end

local function check_length(s, v, path, out)
  local characters = utf8.len(v) or #v
  if characters < (s.minLength or 0) then out[#out + 1] = path .. ": is too short" end
  if characters > (s.maxLength or math.huge) then out[#out + 1] = path .. ": is too long" end
end

function check(root, s, v, path, out)
  if s["$ref"] then s = root["$defs"][s["$ref"]:match("([^/]+)$")] end
  if s.anyOf then check_any(root, s, v, path, out) end
  if s["not"] then check_not(root, s, v, path, out) end
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
  if s.minimum and v < s.minimum then out[#out + 1] = ("%s: is below %s"):format(path, s.minimum) end
  if s.type == "string" then check_length(s, v, path, out) end
  if s.pattern and not v:find(s.pattern) then
    out[#out + 1] = ("%s: '%s' does not fit %s"):format(path, v, s.pattern)
  end
  if s.type == "object" then check_object(root, s, v, path, out) end
  if s.type == "array" and s.items then
    for i, item in ipairs(v) do check(root, s.items, item, ("%s[%d]"):format(path, i), out) end
  end
end

-- problems(schema, value [, name = "result"]) -> list of what does not fit
function schema.problems(s, value, name)
  local out = {}
  check(s, s, value, name or "result", out)
  return out
end

return schema
