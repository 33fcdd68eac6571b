-- A line as redis-cli splits it into words: "..." knows \n \r \t \b \a \xHH, in '...' only \' is an escape,
-- and what closes a quote ends the word.
local M = {}

local ESCAPES = { n = "\n", r = "\r", t = "\t", b = "\b", a = "\a" }

-- What the escape at the byte stands for, and how many bytes it takes.
local function escaped(text, at)
  local hex = text:match("^\\x(%x%x)", at)
  if hex then return string.char(tonumber(hex, 16)), 4 end
  local c = text:sub(at + 1, at + 1)
  return ESCAPES[c] or c, 2
end

-- quoted(text, at) -> what stands in the quotes that open at the byte, the byte behind them | nil
local function quoted(text, at)
  local quote, out = text:sub(at, at), {}
  at = at + 1
  while at <= #text do
    local c, length = text:sub(at, at), 1
    if c == quote then
      if not text:find("^[%s]", at + 1) and at < #text then return nil end
      return table.concat(out), at + 1
    end
    if quote == '"' and c == "\\" and at < #text then
      c, length = escaped(text, at)
    elseif quote == "'" and text:find("^\\'", at) then
      c, length = "'", 2
    end
    out[#out + 1], at = c, at + length
  end
  return nil
end

-- one_word(text, at) -> the word that begins at the byte, the byte behind it | nil, why
local function one_word(text, at)
  local word = {}
  while at <= #text and not text:find("^%s", at) do
    local piece, behind = text:sub(at, at), at + 1
    if piece == '"' or piece == "'" then piece, behind = quoted(text, at) end
    if not piece then
      return nil, ("the quote at byte %d is not closed, or something follows it without a blank"):format(at)
    end
    word[#word + 1], at = piece, behind
  end
  return table.concat(word), at
end

-- words(text) -> list | nil, why
function M.words(text)
  local list, at = {}, text:match "^%s*()"
  while at <= #text do
    local word, behind = one_word(text, at)
    if not word then return nil, behind end
    list[#list + 1], at = word, text:match("^%s*()", behind)
  end
  return list
end

return M
