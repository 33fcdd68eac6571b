-- JSON pointers (RFC 6901): "/order/lines/0/id", with ~1 for a slash and ~0 for a tilde in a name.
local M = {}

local function unescaped(word)
  return (word:gsub("~1", "/"):gsub("~0", "~"))
end

-- A list's words are 0, 1, ... without leading zeros; it begins at 0 there.
local function step(value, word)
  if type(value) ~= "table" then return nil end
  if #value > 0 then
    return (word == "0" or word:find "^[1-9]%d*$") and value[math.tointeger(tonumber(word)) + 1] or nil
  end
  return value[unescaped(word)]
end

-- at(value, path) -> what is there | nil
function M.at(value, path)
  for word in path:gmatch "/([^/]*)" do
    value = step(value, word)
  end
  return value
end

return M
