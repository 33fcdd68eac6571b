-- The words of a Lua text with their lines: names, strings by their values, numbers and single symbols;
-- comments are left out. For looking at a scenario before it runs; whether it is Lua at all, load says.
local M = {}

local function long_end(text, at)
  local level = text:match("^%[(=*)%[", at)
  if not level then return nil end
  local _, to = text:find("]" .. level .. "]", at, true)
  return to or #text
end

local function quoted_end(text, at)
  local quote, i = text:sub(at, at), at + 1
  while i <= #text and text:sub(i, i) ~= quote do
    i = i + (text:sub(i, i) == "\\" and 2 or 1)
  end
  return math.min(i, #text)
end

-- What the string literal stands for; one that is cut off stands for itself.
local function value_of(literal)
  local chunk = load("return " .. literal, "=literal", "t", {})
  return chunk and chunk() or literal
end

-- -> kind ("name", "string", "number", "symbol", or nil for what is left out), last place
local function token_at(text, at)
  local first = text:sub(at, at)
  if text:find("^%-%-", at) then return nil, long_end(text, at + 2) or text:match("^[^\n]*()", at) - 1 end
  if first == '"' or first == "'" then return "string", quoted_end(text, at) end
  local long = long_end(text, at)
  if long then return "string", long end
  if first:find "[%a_]" then return "name", text:match("^[%w_]*()", at) - 1 end
  if first:find "%d" then return "number", text:match("^[%w_.]*()", at) - 1 end
  return "symbol", at
end

local function newlines(text)
  return select(2, text:gsub("\n", ""))
end

-- list(text) -> { {kind =, text =, line =}, ... }
function M.list(text)
  local tokens, at, line = {}, 1, 1
  while true do
    local gap = text:match("^%s*", at)
    line, at = line + newlines(gap), at + #gap
    if at > #text then return tokens end
    local kind, to = token_at(text, at)
    local raw = text:sub(at, to)
    if kind then
      tokens[#tokens + 1] = { kind = kind, text = kind == "string" and value_of(raw) or raw, line = line }
    end
    line, at = line + newlines(raw), to + 1
  end
end

return M
