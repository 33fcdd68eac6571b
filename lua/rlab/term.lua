-- What rlab draws on a terminal: colours by meaning, display widths, grids, bars and a block that is
-- redrawn in place.
-- Colour only adds to words: without it (NO_COLOR, a pipe, TERM=dumb) the same text is written.
local host = require "rlab.core_host"
local edit = require "rlab.edit"
local characters = require "rlab.text"

local M = {}

-- { dark 24 bit, light 24 bit, dark 256, light 256 }, the palette of the report too
local PALETTE = {
  right = { "45;212;191", "15;118;110", 43, 30 },
  wrong = { "251;146;60", "194;65;12", 208, 166 },
  observed = { "148;163;184", "71;85;105", 248, 240 },
  inconclusive = { "250;204;21", "161;98;7", 220, 136 },
  hw = { "37;99;235", "37;99;235", 33, 26 },
  lso = { "124;58;237", "124;58;237", 99, 93 },
  backlog = { "180;83;9", "180;83;9", 130, 130 },
}
local STYLE = { dim = "2", bold = "1", underline = "4" }

function M.is_tty(fd)
  return host.isatty(fd or 1)
end

local function env(name)
  local v = os.getenv(name)
  return v ~= "" and v or nil
end

-- COLORFGBG is "foreground;background"; 7 and 15 are the light grounds
local function light_ground()
  local ground = (env "COLORFGBG" or ""):match(";(%d+)$")
  return ground == "7" or ground == "15"
end

local forced
--- Overrides the detection: "always", "never" or "auto".
function M.colour_mode(mode)
  if mode == "auto" then forced = nil else forced = mode == "always" end
end

function M.has_colour(fd)
  if forced ~= nil then return forced end
  return not env "NO_COLOR" and env "TERM" ~= "dumb" and M.is_tty(fd)
end

local function code_of(class)
  if STYLE[class] then return STYLE[class] end
  local p = PALETTE[class] or error("no colour named " .. tostring(class), 3)
  local light = light_ground() and 1 or 0
  local depth = env "COLORTERM"
  if depth == "truecolor" or depth == "24bit" then return "38;2;" .. p[1 + light] end
  return "38;5;" .. p[3 + light]
end

--- text in the colour of its meaning, plain where colour is not wanted
function M.colour(class, text, fd)
  text = tostring(text)
  if text == "" or not M.has_colour(fd) then return text end
  return ("\27[%sm%s\27[0m"):format(code_of(class), text)
end

local function locale_is_utf8()
  local name = env "LC_ALL" or env "LC_CTYPE" or env "LANG" or ""
  return name:lower():find "utf%-?8" ~= nil
end

--- true when the terminal shows UTF-8: RLAB_ASCII=1 says no, then the locale decides; without one
--- everything but the Linux console and a dumb terminal does
function M.utf8()
  if env "RLAB_ASCII" then return false end
  if env "LC_ALL" or env "LC_CTYPE" or env "LANG" then return locale_is_utf8() end
  return env "TERM" ~= "linux" and env "TERM" ~= "dumb"
end

local SYMBOLS = {
  bar = { "━", "=" }, rest = { "━", "-" }, dot = { "·", "-" }, arrow = { "→", "->" },
  line = { "─", "-" },
  ellipsis = { "…", "..." }, cross = { "×", "x" }, ge = { "≥", ">=" }, le = { "≤", "<=" },
  band = { "▒", "#" },
  tick = { "▏", "|" }, mark = { "▲", "^" },
}
--- a symbol by name, in ASCII where UTF-8 is not shown
function M.symbol(name)
  local pair = SYMBOLS[name] or error("no symbol named " .. tostring(name), 2)
  return pair[M.utf8() and 1 or 2]
end

--- columns of the terminal (80 on a pipe)
function M.width(fd)
  local columns = edit.size(fd or 1) or tonumber(env "COLUMNS")
  return columns and columns >= 20 and columns or 80
end

-- iterates over piece, width: characters as a reader sees them, and escape sequences (width 0)
local function pieces(s)
  local at = 1
  return function()
    local last, columns = characters.step(s, at)
    if not last then return nil end
    local piece = s:sub(at, last)
    at = last + 1
    return piece, columns
  end
end

--- columns that the text takes: Korean counts double, colours nothing
M.display_width = characters.width

--- at most `width` columns of the text, with an ellipsis where something is missing
function M.fit(text, width)
  if M.display_width(text) <= width then return text end
  local tail = M.symbol "ellipsis"
  local room, out, coloured = width - M.display_width(tail), {}, false
  if room < 0 then tail, room = "", width end
  for piece, w in pieces(text) do
    if w > room then break end
    coloured = coloured or piece:byte() == 27
    room = room - w
    out[#out + 1] = piece
  end
  return table.concat(out) .. tail .. (coloured and "\27[0m" or "")
end

--- text filled with spaces to a width; align is "left" (default), "right" or "center"
function M.pad(text, width, align)
  text = tostring(text)
  local missing = width - M.display_width(text)
  if missing <= 0 then return text end
  if align == "right" then return (" "):rep(missing) .. text end
  if align == "center" then return (" "):rep(missing // 2) .. text .. (" "):rep(missing - missing // 2) end
  return text .. (" "):rep(missing)
end

--- breaks a paragraph at spaces; returns a list of lines
function M.wrap(text, width)
  local lines, line, used = {}, {}, 0
  for word in text:gmatch "%S+" do
    local w = M.display_width(word)
    if used > 0 and used + 1 + w > width then
      lines[#lines + 1] = table.concat(line, " ")
      line, used = {}, 0
    end
    line[#line + 1] = word
    used = used + w + (used > 0 and 1 or 0)
  end
  if used > 0 then lines[#lines + 1] = table.concat(line, " ") end
  return lines
end

--- a filled bar: fraction 0..1 in `width` columns
function M.bar(fraction, width, class)
  local full = math.floor(math.max(0, math.min(1, fraction)) * width + 0.5)
  local rest = width - full
  if not M.utf8() or not M.has_colour() then
    return M.symbol("bar"):rep(full) .. (M.utf8() and " " or "-"):rep(rest)
  end
  local done = M.symbol("bar"):rep(full)
  return (class and M.colour(class, done) or done) .. M.colour("dim", M.symbol("rest"):rep(rest))
end

local function cell_text(value, column)
  if column.format then return tostring(column.format(value)) end
  if value == nil then return "" end
  if math.type(value) == "float" then return ("%.10g"):format(value) end
  return characters.visible((tostring(value):gsub("[\n\r\t]", " ")))
end

local function columns_of(columns)
  local out = {}
  for i, c in ipairs(columns) do
    if type(c) == "string" then c = { name = c } end
    out[i] = { name = c.name, key = c.key or c.name, align = c.align, format = c.format, max = c.max,
      class = c.class }
  end
  return out
end

local function fill(columns, rows, limit)
  local cells = {}
  for _, c in ipairs(columns) do c.width, c.numeric = M.display_width(c.name), true end
  for r = 1, math.min(#rows, limit) do
    cells[r] = {}
    for i, c in ipairs(columns) do
      local value = rows[r][c.key]
      if value == nil then value = rows[r][i] end
      local text = cell_text(value, c)
      if c.max then text = M.fit(text, c.max) end
      cells[r][i] = text
      c.width = math.max(c.width, M.display_width(text))
      if type(value) ~= "number" and value ~= nil then c.numeric = false end
    end
  end
  return cells
end

-- takes columns from the widest until the grid fits
local function shrink(columns, room)
  local total = -2
  for _, c in ipairs(columns) do total = total + c.width + 2 end
  while total > room do
    local widest = columns[1]
    for _, c in ipairs(columns) do if c.width > widest.width then widest = c end end
    if widest.width <= 6 then return end
    widest.width, total = widest.width - 1, total - 1
  end
end

local function grid_line(columns, cells, indent, paint)
  local out = {}
  for i, c in ipairs(columns) do
    local text = M.fit(cells[i], c.width)
    local align = c.align or (c.numeric and "right" or "left")
    local padded = (i == #columns and align == "left") and text or M.pad(text, c.width, align)
    out[i] = paint and paint(padded, c) or padded
  end
  return (indent .. table.concat(out, "  ")):gsub("%s+$", "")
end

local PIPE_WIDTH = 160

local function room_of(opts)
  return (opts.width or M.is_tty() and M.width() or PIPE_WIDTH) - (opts.indent or 0)
end

local LONG = 40 -- columns that a cut cell keeps, at least: an id is never cut

--- grid_fits(columns, rows[, opts]) -> whether grid can draw them with no more than its longest column cut
function M.grid_fits(columns, rows, opts)
  opts = opts or {}
  columns = columns_of(columns)
  fill(columns, rows, opts.max_rows or 1000)
  local total, longest = -2, 0
  for _, c in ipairs(columns) do
    total, longest = total + c.width + 2, math.max(longest, c.width)
  end
  return total - longest + math.min(longest, LONG) <= room_of(opts)
end

--- A grid as text. columns: names, or {name=, key=, align=, format=, max=, class=}; rows: lists or records.
--- opts: indent (columns, default 0), max_rows (default 1000), width (default that of the terminal, 160 on
--- a pipe),
--- more (text after "+N more")
function M.grid(columns, rows, opts)
  opts = opts or {}
  columns = columns_of(columns)
  local indent = (" "):rep(opts.indent or 0)
  local cells = fill(columns, rows, opts.max_rows or 1000)
  shrink(columns, room_of(opts))
  local header = {}
  for i, c in ipairs(columns) do header[i] = c.name end
  local lines = { (grid_line(columns, header, indent, function(text) return M.colour("dim", text) end)) }
  for _, row in ipairs(cells) do
    lines[#lines + 1] = (grid_line(columns, row, indent, function(text, c)
      return c.class and M.colour(c.class, text) or text
    end))
  end
  if #rows > #cells then
    lines[#lines + 1] = indent .. M.colour("dim", ("+%d more%s"):format(#rows - #cells, opts.more or ""))
  end
  return table.concat(lines, "\n")
end

local Live = {}
Live.__index = Live

--- A block of lines redrawn in place on a terminal. On a pipe nothing is drawn until :done(lines).
function M.live(fd)
  return setmetatable({ out = fd == 2 and io.stderr or io.stdout, tty = M.is_tty(fd) and env "TERM" ~= "dumb",
    fd = fd or 1, lines = {} }, Live)
end

-- Colours stay; what else a terminal would obey is shown: names, sentences and records come from anywhere.
local function harmless(text)
  local out, at = {}, 1
  for from, colour, behind in text:gmatch "()(\27%[[%d;]*m)()" do
    out[#out + 1] = characters.visible(text:sub(at, from - 1), true) .. colour
    at = behind
  end
  return table.concat(out) .. characters.visible(text:sub(at), true)
end

local function rewind(self)
  return #self.lines > 0 and ("\r\27[%dA\27[J"):format(#self.lines) or ""
end

local function draw(self, before, lines)
  local width, out = M.width(self.fd) - 1, { before }
  for _, line in ipairs(lines) do out[#out + 1] = M.fit(harmless(line), width) .. "\n" end
  self.out:write(table.concat(out))
  self.out:flush()
  self.lines = lines
end

function Live:update(lines)
  if not self.tty then return end
  local _, rows = edit.size(self.fd)
  local room = (rows or 24) - 1
  if #lines > room then lines = table.move(lines, #lines - room + 1, #lines, 1, {}) end
  draw(self, rewind(self), lines)
end

--- writes lasting text above the block
function Live:above(text)
  text = harmless(text)
  if not text:find "\n$" then text = text .. "\n" end
  if not self.tty then
    self.out:write(text)
    return
  end
  draw(self, rewind(self) .. text, self.lines)
end

function Live:clear()
  if self.tty then draw(self, rewind(self), {}) end
end

--- ends the block; `lines`, when given, stay
function Live:done(lines)
  if self.tty then
    draw(self, rewind(self), lines or self.lines)
  elseif lines then
    self.out:write(harmless(table.concat(lines, "\n")), "\n")
  end
  self.lines = {}
end

return M
