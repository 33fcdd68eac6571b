-- JSON for scripts that run on plain Lua: keys sorted, two blanks an indent, the same bytes for the same
-- value. A table with [1] is a list; an empty one is an object, and M.list{} a list.
local M = {}

local List = {}

-- list(t) -> t, which is a list even when it is empty
function M.list(t) return setmetatable(t, List) end

local function text_of(s)
  return '"' .. s:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
end

local encode

local function list_of(list, indent)
  if #list == 0 then return "[]" end
  local parts = {}
  for i, value in ipairs(list) do parts[i] = encode(value, indent) end
  return "[\n" .. indent .. table.concat(parts, ",\n" .. indent) .. "\n" .. indent:sub(3) .. "]"
end

local function object_of(object, indent)
  local keys, parts = {}, {}
  for key in pairs(object) do keys[#keys + 1] = key end
  if #keys == 0 then return "{}" end
  table.sort(keys)
  for i, key in ipairs(keys) do parts[i] = text_of(key) .. ": " .. encode(object[key], indent) end
  return "{\n" .. indent .. table.concat(parts, ",\n" .. indent) .. "\n" .. indent:sub(3) .. "}"
end

function encode(value, indent)
  if type(value) ~= "table" then return type(value) == "string" and text_of(value) or tostring(value) end
  local is_list = #value > 0 or getmetatable(value) == List
  return (is_list and list_of or object_of)(value, indent .. "  ")
end

-- encode(value) -> text
function M.encode(value) return encode(value, "") end

return M
