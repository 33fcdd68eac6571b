-- A line of Lua as it is typed, whole or not: the quote that is open at its end, and the line without its
-- comment.
local M = {}

--- open_quote(text) -> the quote that is open at the end of the text, where its content starts; "--" in a
---   comment, where that starts
function M.open_quote(text)
  local quote, start, at = nil, nil, 1
  while at <= #text do
    local c = text:sub(at, at)
    if c == "\\" and quote then
      at = at + 1
    elseif quote then
      if c == quote then quote = nil end
    elseif c == '"' or c == "'" then
      quote, start = c, at + 1
    elseif c == "-" and text:sub(at, at + 1) == "--" then
      return "--", at
    end
    at = at + 1
  end
  if quote then return quote, start end
end

--- without_comment(line) -> the line up to the comment that ends it
function M.without_comment(line)
  local quote, at = M.open_quote(line)
  return quote == "--" and line:sub(1, at - 1) or line
end

return M
