-- help(), help "name", help(value): the API's own words at the prompt.
local api = require "rlab.docs.api"
local out = require "rlab.repl.out"
local term = require "rlab.term"

local M = {}

local function put(lines, text)
  lines[#lines + 1] = text or ""
end

local function paragraph(lines, text, indent)
  for _, line in ipairs(term.wrap(text, math.min(term.width(), 96) - indent)) do
    put(lines, (" "):rep(indent) .. line)
  end
end

local LEAST = 16 -- columns in which words are still read

-- What is said of something in a column beside it; below it where the terminal is too narrow for two.
local function beside(lines, left, text, indent)
  local margin, width = (" "):rep(indent), term.display_width(left)
  local room = math.min(term.width(), 110) - indent - width - 3
  if room < LEAST then
    put(lines, margin .. left:gsub("%s+$", ""))
    return paragraph(lines, text, indent + 2)
  end
  local said = term.wrap(text, room)
  put(lines, (margin .. left .. "  " .. (said[1] or "")):gsub("%s+$", ""))
  for i = 2, #said do put(lines, margin .. (" "):rep(width + 2) .. said[i]) end
end

local function short(lines, entries, indent, text_of)
  local width = 0
  for _, e in ipairs(entries) do width = math.max(width, #e[1]) end
  for _, e in ipairs(entries) do
    beside(lines, term.colour("bold", term.pad(e[1], width)), text_of and text_of(e[3]) or e[3], indent)
  end
end

local function first_sentence(text) return text:match "^(.-%.)%s" or text end

local function overview(lines)
  put(lines, term.colour("bold", "At this prompt") .. term.colour("dim", "   help \"tail\" says more"))
  local words = api.noun "prompt"
  short(lines, words.functions, 2, first_sentence)
  put(lines)
  put(lines, term.colour("bold", "Modules") .. term.colour("dim",
    "   help \"kafka\", help(kafka.producer), Tab after a dot"))
  local modules, width = {}, 0
  for _, noun in ipairs(api.nouns()) do
    if noun.kind == "module" then modules[#modules + 1] = noun end
  end
  for _, noun in ipairs(modules) do width = math.max(width, #noun.module) end
  for _, noun in ipairs(modules) do
    put(lines, term.fit(("  %s  %s"):format(term.pad(noun.module, width), noun.doc), term.width() - 1))
  end
  put(lines)
  paragraph(lines, [[A line is shown as if it began with return; an unfinished one goes on after "..".
    A local of one line is a field of the session for the next ones. _ is the last result. Ctrl-C stops
    what runs, Ctrl-D leaves. What calls a server returns nil and an error; must(...) raises it. spawn(f)
    goes on while you type.]], 0)
end

local function module_help(lines, noun)
  put(lines, term.colour("bold", noun.module) .. "  " .. noun.doc)
  if noun.functions and #noun.functions > 0 then
    put(lines)
    short(lines, noun.functions, 2)
  end
  for _, t in ipairs(noun.types or {}) do
    put(lines)
    put(lines, term.colour("bold", api.prefix(noun) .. t.name) .. "  " .. t.doc)
    short(lines, t.methods or {}, 2)
  end
end

local function type_help(lines, item)
  put(lines, term.colour("bold", item.name) .. "  " .. item.entry.doc)
  short(lines, item.entry.methods or {}, 2)
  for _, field in ipairs(item.entry.fields or {}) do
    local p = api.parse_param(field)
    put(lines, ("  .%s  %s"):format(term.pad(p.name, 14), p.doc ~= "" and p.doc or p.type))
  end
end

local function params(lines, list)
  if not list then return end
  local width = 0
  local parsed = {}
  for i, text in ipairs(list) do
    parsed[i] = api.parse_param(text)
    width = math.max(width, #parsed[i].name)
  end
  put(lines)
  for _, p in ipairs(parsed) do
    local kind = p.type .. (p.default and " = " .. p.default or "")
    beside(lines, ("%s  %s"):format(term.colour("bold", term.pad(p.name, width)),
      term.colour("dim", term.pad(kind, 18))), p.doc, 2)
  end
end

local function entry_help(lines, item)
  local e = item.entry
  for i, line in ipairs(term.wrap(e[2], term.width() - 5)) do
    put(lines, (i > 1 and "    " or "") .. term.colour("bold", line))
  end
  paragraph(lines, e[3], 2)
  params(lines, e.params)
  if e.returns then put(lines) paragraph(lines, "returns " .. e.returns, 2) end
  if e.errors then put(lines) paragraph(lines, "errors  " .. e.errors, 2) end
  if e.example then
    put(lines)
    for line in (e.example .. "\n"):gmatch "([^\n]*)\n" do put(lines, "    " .. line) end
  end
end

local function item_help(lines, item)
  if item.kind == "module" then return module_help(lines, item.noun) end
  if item.kind == "type" then return type_help(lines, item) end
  entry_help(lines, item)
end

local function by_name(lines, name)
  local item, near = api.find(name)
  if not item then
    put(lines, ("nothing is called '%s'%s"):format(require("rlab.text").visible(name),
      near and ("; did you mean '" .. near .. "'?") or ""))
    return false
  end
  item_help(lines, item)
  local t = item.kind == "function" and api.type(item.name)
  if t then
    put(lines)
    type_help(lines, t)
  end
  local also = {}
  for _, other in ipairs(api.several(name:match "[%w_]+$" or name)) do
    if other.entry ~= item.entry and other ~= t then also[#also + 1] = other.name end
  end
  if #also > 0 then put(lines) put(lines, term.colour("dim", "also " .. table.concat(also, ", "))) end
  return true
end

local function name_of(session, value)
  for name, word in pairs(session.words) do
    if rawequal(word, value) then return name end
  end
  return api.name_of(value)
end

--- text(session, what) -> the help, whether there was something to say
function M.text(session, what)
  local lines, found = {}, true
  if what == nil then
    overview(lines)
  elseif type(what) == "string" then
    found = by_name(lines, what)
  else
    local name = name_of(session, what)
    if name then
      found = by_name(lines, name)
    else
      found = false
      put(lines, "nothing is written about " .. tostring(what) .. "; help() lists what there is")
    end
  end
  return table.concat(lines, "\n"), found
end

--- show(session, what): in pages behind the line that runs at the prompt, else at once
function M.show(session, what)
  local text = M.text(session, what)
  if session.pages and session.current then
    session.pages[#session.pages + 1] = text
  else
    out.line(text .. "\n")
  end
end

return M
