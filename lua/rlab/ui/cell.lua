-- A key, a value or a header as the console shows it: text that is safe to read, however it came, cut at a
-- length, with its size.
local characters = require "rlab.text"
local null = require "rlab.null"

local M = {}

local MOST = 4096 -- bytes that are shown of one value

local function is_text(bytes) return utf8.len(bytes) ~= nil and not bytes:find "[\0-\8\11\12\14-\31\127]" end

local function hex(bytes)
  return (bytes:sub(1, MOST // 4):gsub(".", function(c) return ("%02x "):format(c:byte()) end))
end

-- A cut must not go through a character.
local function cut(text)
  if #text <= MOST then return text end
  local stop = utf8.offset(text, 0, MOST + 1)
  return text:sub(1, (stop or MOST + 1) - 1)
end

-- of(value) -> {kind = "text" | "bytes" | "null", text =, size =, cut = true when there is more, exact = true
--   when the text is the value}
function M.of(value)
  if value == nil or value == null then return { kind = "null", text = "", size = 0 } end
  value = tostring(value)
  if is_text(value) then
    local text = characters.visible(cut(value), true)
    return { kind = "text", text = text, size = #value, cut = #value > MOST or nil,
      exact = text == value or nil }
  end
  return { kind = "bytes", text = hex(value), size = #value, cut = #value > MOST // 4 or nil }
end

return M
