-- What clients of the proxy's API send, read as Toxiproxy reads it: keys in any case, null as not said, what
-- it does not know left aside. Errors have its words where it has some, and the field's name.
local err = require "rlab.err"
local json = require "rlab.json"
local units = require "rlab.units"

local M = {}

-- wrong(message[, name]) -> err of a request that is refused
function M.wrong(message, name)
  return err.new { domain = "rlab", code = 400, name = name or "REQUEST", message = message }
end

local function bad(text, ...)
  return nil, M.wrong(("bad request body: " .. text):format(...))
end

local function missing(field, place)
  return nil, M.wrong(("missing required field: %s%s"):format(field, place or ""))
end

local function kind_of(value)
  if value == json.null then return "null" end
  if type(value) == "table" then return json.is_array(value) and "array" or "object" end
  if math.type(value) == "float" then return ("number %s"):format(value) end
  if type(value) == "string" and value:find "^%-?%d+$" and not units.whole(value) then
    return "number " .. value -- which has more than 64 bits, and so comes as its digits
  end
  return type(value) == "boolean" and "bool" or type(value)
end

local go_types = { string = "string", boolean = "bool", object = "object", integer = "int64",
  number = "float32" }

local function mistyped(value, where, expected)
  return bad("json: cannot unmarshal %s into Go struct field %s of type %s", kind_of(value), where,
    go_types[expected] or expected)
end

-- What stands where a whole value of the type is to be.
local function misplaced(value, go_type)
  return bad("json: cannot unmarshal %s into Go value of type %s", kind_of(value), go_type)
end

-- A whole number may come as 100.0: Lua and JavaScript make no difference. Its limits are the core's.
local function fits(value, expected)
  if expected == "integer" then return type(value) == "number" and value % 1 == 0 end
  if expected == "object" then return type(value) == "table" and not json.is_array(value) end
  return type(value) == expected
end

-- The fields {name = type} of an object, by keys in any case; null has none -> table | nil, err
local function fields(value, wanted, where, go_type)
  local found = {}
  if value == json.null then return found end
  if not fits(value, "object") then
    if go_type then return misplaced(value, go_type) end
    return mistyped(value, where, "object")
  end
  for key, given in pairs(value) do
    local name = tostring(key):lower()
    local expected = wanted[name]
    if expected and given ~= json.null then
      if not fits(given, expected) and expected ~= "any" then
        return mistyped(given, ("%s.%s"):format(where, name), expected)
      end
      found[name] = given
    end
  end
  return found
end

local function decoded(text)
  if text == "" then return bad "EOF" end
  local value, failure = json.decode(text)
  if not failure then return value end
  if failure.message:find("the text ends", 1, true) then return bad "unexpected EOF" end
  return bad("%s", failure.message)
end

-- object(text) -> table, for what only we have: keys as they are, nulls gone | nil, err
function M.object(text)
  local value, failure = decoded(text)
  if failure then return nil, failure end
  if not fits(value, "object") then return mistyped(value, "", "object") end
  for key, given in pairs(value) do
    if given == json.null then value[key] = nil end
  end
  return value
end

-- ---- toxics ----

local toxic_fields = { name = "string", type = "string", stream = "string", toxicity = "number",
  attributes = "object" }

-- "LatencyToxic" of "latency", as Toxiproxy's source calls it; "Toxic" of none
local function go_name(kind)
  return ((kind or ""):gsub("^%l", string.upper):gsub("_(%l)", string.upper)) .. "Toxic"
end

local function attributes_of(given, kind)
  local wanted = {}
  for key in pairs(given) do wanted[tostring(key):lower()] = "integer" end
  return fields(given, wanted, go_name(kind) .. ".attributes")
end

local function toxic_of(value, kind)
  local given, failure = fields(value, toxic_fields, "ToxicWrapper", "toxics.ToxicWrapper")
  if not given then return nil, failure end
  if given.toxicity and not (given.toxicity >= 0 and given.toxicity <= 1) then
    return bad "toxicity is a number from 0 to 1"
  end
  if given.attributes then
    given.attributes, failure = attributes_of(given.attributes, kind or given.type)
    if failure then return nil, failure end
  end
  return given
end

local function whole_toxic(value)
  local given, failure = toxic_of(value)
  if not given then return nil, failure end
  given.stream = given.stream and given.stream ~= "" and given.stream:lower() or "downstream"
  if given.stream ~= "upstream" and given.stream ~= "downstream" then
    return nil, M.wrong(("stream is upstream or downstream, not '%s'"):format(given.stream), "STREAM")
  end
  if not given.type or given.type == "" then return nil, M.wrong("a toxic has a type", "TYPE") end
  if not given.name or given.name == "" then given.name = ("%s_%s"):format(given.type, given.stream) end
  return given
end

-- toxic(text) -> {name, type, stream, toxicity, attributes} | nil, err
function M.toxic(text)
  local value, failure = decoded(text)
  if failure then return nil, failure end
  return whole_toxic(value)
end

-- toxic_change(text, kind) -> {toxicity, attributes} of a toxic of that type | nil, err
function M.toxic_change(text, kind)
  local value, failure = decoded(text)
  if failure then return nil, failure end
  local given
  given, failure = toxic_of(value, kind)
  return given and { toxicity = given.toxicity, attributes = given.attributes }, failure
end

-- ---- proxies ----

local proxy_fields = { name = "string", listen = "string", upstream = "string", enabled = "boolean",
  toxics = "any", rlab = "object" }

local function toxics_of(value)
  local toxics = {}
  if type(value) ~= "table" or not (json.is_array(value) or next(value) == nil) then
    return mistyped(value, "Proxy.toxics", "array")
  end
  for i, one in ipairs(value) do
    local failure
    toxics[i], failure = whole_toxic(one)
    if failure then return nil, failure end
  end
  return toxics
end

-- As Toxiproxy's source calls one in a list to be populated.
local POPULATED = 'struct { toxiproxy.Proxy; Enabled *bool "json:\\"enabled\\"" }'

local function proxy_of(value, listed)
  local given, failure = fields(value, proxy_fields, listed and ".Proxy" or "Proxy",
    listed and POPULATED or "toxiproxy.Proxy")
  if not given then return nil, failure end
  local ours
  ours, failure = fields(given.rlab or {}, { proto = "string", owner = "string" }, "Proxy.rlab")
  if failure then return nil, failure end
  if given.listen == "" then given.listen = nil end
  if given.upstream == "" then given.upstream = nil end
  given.proto, given.owner = ours.proto, ours.owner
  return given
end

-- One to be made; `place` says which of several it is.
local function whole_proxy(value, place)
  local given, failure = proxy_of(value, place)
  if not given then return nil, failure end
  if not given.name or given.name == "" then return missing("name", place) end
  if not given.upstream then return missing("upstream", place) end
  if given.enabled == nil then given.enabled = true end
  if given.toxics then given.toxics, failure = toxics_of(given.toxics) end
  return not failure and given or nil, failure
end

-- proxy(text) -> {name, listen, upstream, enabled, toxics, proto, owner} | nil, err
function M.proxy(text)
  local value, failure = decoded(text)
  if failure then return nil, failure end
  return whole_proxy(value)
end

-- proxies(text) -> a list of such, all of them well formed | nil, err
function M.proxies(text)
  local value, failure = decoded(text)
  if failure then return nil, failure end
  if value == json.null then return {} end
  if type(value) ~= "table" or not json.is_array(value) then return misplaced(value, "[]" .. POPULATED) end
  local list = {}
  for i, one in ipairs(value) do
    list[i], failure = whole_proxy(one, (" at proxy %d"):format(i))
    if failure then return nil, failure end
  end
  return list
end

-- change(text) -> {listen, upstream, enabled} | nil, err; what else a client sends back is as it was
function M.change(text)
  local value, failure = decoded(text)
  if failure then return nil, failure end
  return proxy_of(value)
end

return M
