-- A small terminal: turns what a program writes into the lines that a person would see. It knows what
-- libedit and rlab use.
local term = require "rlab.term"

local Screen = {}
Screen.__index = Screen

local function new(columns, rows)
  return setmetatable({ columns = columns or 80, rows = rows or 24, lines = { {} }, row = 1, column = 1,
    held = "" }, Screen)
end

local function line_at(self, row)
  while #self.lines < row do self.lines[#self.lines + 1] = {} end
  return self.lines[row]
end

-- the first row of the window; cursor movements never leave it
local function top(self)
  return math.max(1, #self.lines - self.rows + 1)
end

local function put(self, char, width)
  if self.column + width - 1 > self.columns then
    self.row, self.column = self.row + 1, 1
  end
  local line = line_at(self, self.row)
  for i = #line + 1, self.column - 1 do line[i] = " " end
  line[self.column] = char
  if width == 2 then line[self.column + 1] = "" end
  self.column = self.column + width
end

local function erase(line, from, to)
  for i = from, to do line[i] = i <= #line and " " or line[i] end
end

local commands = {
  A = function(self, n) self.row = math.max(top(self), self.row - n) end,
  B = function(self, n) self.row = self.row + n end,
  C = function(self, n) self.column = math.min(self.columns, self.column + n) end,
  D = function(self, n) self.column = math.max(1, self.column - n) end,
  G = function(self, n) self.column = n end,
  K = function(self, _, kind)
    local line = line_at(self, self.row)
    if kind == 0 then
      for i = #line, self.column, -1 do line[i] = nil end
    else
      erase(line, 1, kind == 1 and self.column or #line)
    end
  end,
  J = function(self, _, kind)
    if kind ~= 0 then self.lines, self.row, self.column = { {} }, 1, 1 return end
    local line = line_at(self, self.row)
    for i = #line, self.column, -1 do line[i] = nil end
    for i = #self.lines, self.row + 1, -1 do self.lines[i] = nil end
  end,
  P = function(self, n)
    local line = line_at(self, self.row)
    for _ = 1, n do if line[self.column] then table.remove(line, self.column) end end
  end,
  ["@"] = function(self, n)
    local line = line_at(self, self.row)
    for i = #line + 1, self.column - 1 do line[i] = " " end
    for _ = 1, n do table.insert(line, self.column, " ") end
  end,
  H = function(self) self.row, self.column = top(self), 1 end,
}

-- The screen that a program has for itself, and the one before.
local function alternate(self, on)
  if on == (self.kept ~= nil) then return end
  local now = { self.lines, self.row, self.column }
  local other = on and { { {} }, 1, 1 } or self.kept
  self.kept = on and now or nil
  self.lines, self.row, self.column = other[1], other[2], other[3]
end

local function control(self, c)
  if c == "\r" then
    self.column = 1
  elseif c == "\n" then
    self.row = self.row + 1
    line_at(self, self.row)
  elseif c == "\b" then
    self.column = math.max(1, self.column - 1)
  elseif c == "\t" then
    self.column = (self.column - 1) // 8 * 8 + 9
  end
end

-- one piece from the front of the text: its length, or nil when the rest is not there yet
local function step(self, text, at)
  local c = text:sub(at, at)
  if c == "\27" then
    local args, letter, after = text:match("^%[([%d;?]*)([%a@])()", at + 1)
    if letter then
      local n = tonumber(args:match "^%d+")
      if args == "?1049" then alternate(self, letter == "h") end
      if commands[letter] then commands[letter](self, n or 1, n or 0) end
      return after
    end
    return #text - at < 12 and nil or at + 1
  end
  if c:byte() < 32 or c == "\127" then
    control(self, c)
    return at + 1
  end
  local last = utf8.offset(text, 2, at) or #text + 1
  local char = text:sub(at, last - 1)
  if not utf8.len(char) then return nil end
  put(self, char, term.display_width(char))
  return last
end

--- takes more output
function Screen:feed(text)
  text = self.held .. text
  local at = 1
  while at <= #text do
    local after = step(self, text, at)
    if not after then break end
    at = after
  end
  self.held = text:sub(at)
end

--- what is seen, without trailing blanks
function Screen:text()
  local out = {}
  for i, line in ipairs(self.lines) do
    local cells = {}
    for c = 1, #line do cells[c] = line[c] or " " end
    out[i] = table.concat(cells):gsub("%s+$", "")
  end
  return (table.concat(out, "\n"):gsub("\n+$", ""))
end

return { new = new }
