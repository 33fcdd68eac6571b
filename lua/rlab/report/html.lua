-- Small helpers that every part of the report shares: escaping, filling templates, writing numbers.
-- Escaping is the default: only a value that a template asks for as {!name} goes in as it is.
local characters = require "rlab.text"
local unit_for = require("rlab.check.core").unit_for

local html = {}

local ENTITIES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

-- Control characters cannot stand in HTML at all, and marks of direction turn what is beside them; they are
-- shown, since a key may hold any byte.
local function text_of(v)
  if v == nil then return "" end
  if math.type(v) == "float" then return html.number(v) end
  return characters.visible(tostring(v), true)
end

function html.escape(v)
  return (text_of(v):gsub("[&<>\"']", ENTITIES))
end

-- A text for people, in which `GET` is code.
function html.prose(v)
  return (html.escape(v):gsub("`([^`\n]+)`", "<code>%1</code>"))
end

-- fill("<b>{name}</b>{!rest}", {...}): {name} is escaped, {!name} is markup already.
function html.fill(template, values)
  return (template:gsub("{(!?)([%a_][%w_]*)}", function(raw, name)
    local v = values[name]
    if raw == "!" then return v == nil and "" or tostring(v) end
    return html.escape(v)
  end))
end

-- A word with a hyphen ("kafka-2") is not broken at it where a line is short and large.
function html.escape_unbroken(v)
  return (html.escape(v):gsub("[%w_.]+%-[%w_.%-]+", '<span class="nb">%0</span>'))
end

function html.each(list, f)
  local out = {}
  for i, item in ipairs(list or {}) do out[#out + 1] = f(item, i) end
  return table.concat(out)
end

-- each_filled(list, template): the template once for every item.
function html.each_filled(list, template)
  return html.each(list, function(item) return html.fill(template, item) end)
end

local function grouped(digits)
  if #digits < 4 then return digits end
  return (digits:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", ""))
end

-- number(3.14159) "3.14", number(1200) "1,200", number(-7) "−7": what a table shows.
function html.number(v)
  if type(v) ~= "number" then return text_of(v) end
  if v ~= v or v == math.huge or v == -math.huge then return "–" end
  local sign = v < 0 and "−" or ""
  if math.type(v) == "integer" then
    if v == math.mininteger then return "−" .. grouped(("%d"):format(v):sub(2)) end
    return sign .. grouped(("%d"):format(math.abs(v)))
  end
  local a = math.abs(v)
  local s = a >= 100 and ("%.0f"):format(a) or a >= 10 and ("%.1f"):format(a)
    or a >= 0.1 and ("%.2f"):format(a) or ("%.3g"):format(a)
  if s:find("e", 1, true) then return sign .. s end
  if s:find(".", 1, true) then s = s:gsub("0+$", ""):gsub("%.$", "") end
  local whole, rest = s:match("^(%d+)(.*)$")
  return sign .. grouped(whole) .. rest
end

-- quantity(3.2, "s") "3.2 s", quantity(0.0234, "s") "23.4 ms"
function html.quantity(v, unit)
  if unit == "s" and type(v) == "number" and v ~= 0 and math.abs(v) < 0.1 then v, unit = v * 1000, "ms" end
  if unit == "of 1" and type(v) == "number" then v, unit = v * 100, "%" end
  local s = html.number(v)
  unit = unit and unit_for(v, unit)
  return unit and unit ~= "" and s .. " " .. unit or s
end

function html.seconds(t)
  if type(t) ~= "number" then return "" end
  if t >= 120 then return ("%.0f min %02.0f s"):format(t // 60, t % 60 // 1) end
  return (t >= 10 and "%.1f s" or "%.2f s"):format(t)
end

function html.plural(n, noun)
  return ("%s %s%s"):format(html.number(n), noun, n == 1 and "" or "s")
end

-- json_block(text): JSON that may stand inside <script>, whatever it holds.
function html.json_block(text)
  return (text:gsub("[<>&]", function(c) return ("\\u%04x"):format(c:byte()) end)
    :gsub("\226\128[\168\169]", { ["\226\128\168"] = "\\u2028", ["\226\128\169"] = "\\u2029" }))
end

-- The width of text in pixels, good enough to place labels: there is no font to ask when the file is written.
function html.text_width(s, size, mono)
  local total, last, columns = 0, characters.step(s, 1)
  while last do
    total = total + (columns == 2 and 1 or columns * (mono and 0.61 or 0.54))
    last, columns = characters.step(s, last + 1)
  end
  return total * size
end

-- wrap(s, width, size): lines of text no wider than width pixels, as far as its words allow.
function html.wrap(s, width, size, mono)
  local lines, line = {}, ""
  for word in tostring(s):gmatch("%S+") do
    local longer = line == "" and word or line .. " " .. word
    if line ~= "" and html.text_width(longer, size, mono) > width then
      lines[#lines + 1] = line
      line = word
    else
      line = longer
    end
  end
  if line ~= "" then lines[#lines + 1] = line end
  return lines
end

-- tail("tx-000123", 6): the end of an id says more than its beginning.
function html.tail(s, n)
  s = text_of(s)
  local len = utf8.len(s)
  if len <= n then return s end
  return "…" .. s:sub(utf8.offset(s, len - n + 2))
end

-- head("a long text", 6): its beginning, where the rest says more of the same.
function html.head(s, n)
  s = text_of(s)
  if utf8.len(s) <= n then return s end
  return s:sub(1, utf8.offset(s, n) - 1) .. "…"
end

html.CLASSES = require("rlab.run.words").classes

-- An unknown word never becomes part of a class attribute.
function html.class_of(arm)
  return html.CLASSES[arm.class] and arm.class or "observe"
end

return html
