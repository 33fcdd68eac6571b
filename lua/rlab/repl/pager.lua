-- What is longer than the screen, a screen at a time: Enter goes on, a shows the rest, q leaves it; any
-- other line is the next one of the prompt.
local edit = require "rlab.edit"
local out = require "rlab.repl.out"
local term = require "rlab.term"

local M = {}

local LINE_ABOVE = "\27[%dA\r\27[J"

local function rows_of(line, columns)
  return math.max(1, math.ceil(term.display_width(line) / columns))
end

local function lines_of(text)
  local lines = {}
  for line in (text:gsub("\n$", "") .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

-- The last line of the screen that begins at `from`; one row is the question's. A line that is longer than
-- the screen is shown whole.
local function screen_end(lines, from, columns, rows)
  local used, to = rows_of(lines[from], columns), from
  while to < #lines and used + rows_of(lines[to + 1], columns) < rows do
    to = to + 1
    used = used + rows_of(lines[to], columns)
  end
  return to
end

local function ask(to, count, columns)
  local question = term.fit(("-- %d of %d lines; Enter: more, a: all, q: stop "):format(to, count),
    columns - 2)
  local answer = edit.readline(term.colour("dim", question))
  if answer == "" or answer == "a" then
    return answer, LINE_ABOVE:format(rows_of(question .. answer, columns))
  end
  return answer
end

-- Whether all of it can stand on the screen, with the next prompt.
local function fits(lines, columns, rows)
  local used = 1
  for _, line in ipairs(lines) do
    used = used + rows_of(line, columns)
    if used > rows then return false end
  end
  return true
end

--- show(text) -> nil, or the line that was typed instead of an answer
function M.show(text)
  local columns, rows = edit.size(1)
  local lines = lines_of(text)
  if not columns or os.getenv "TERM" == "dumb" or fits(lines, columns, rows) then return out.line(text) end
  local from, before = 1, ""
  while true do
    local to = screen_end(lines, from, columns, rows)
    out.line(before .. table.concat(lines, "\n", from, to))
    if to == #lines then return nil end
    local answer
    answer, before = ask(to, #lines, columns)
    if not answer or answer == "q" then return nil end
    if not before then return answer end
    if answer == "a" then
      return out.line(before .. table.concat(lines, "\n", to + 1))
    end
    from = to + 1
  end
end

return M
