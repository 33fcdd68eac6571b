-- A format that never fails: what is said of a measurement must not die of what was measured, such as a
-- ratio where a whole number was meant, or nothing at all.
local M = {}

local WHOLE = { d = true, i = true }

local function one(spec, value)
  if WHOLE[spec:sub(-1)] and math.type(value) == "float" then
    value = math.tointeger(math.floor(value + 0.5)) or value
  end
  local ok, text = pcall(string.format, spec, value)
  return ok and text or tostring(value)
end

-- of(fmt, ...) -> text, as string.format makes it; %d rounds, and what does not fit its place is said as it
--   is. Without values the format is the text.
function M.of(fmt, ...)
  local values, used = table.pack(...), 0
  if values.n == 0 then return fmt end
  return (fmt:gsub("%%[-+ #0]*%d*%.?%d*[%a%%]", function(spec)
    if spec:sub(-1) == "%" then return "%" end
    used = used + 1
    return one(spec, values[used])
  end))
end

return M
