-- The YAML of this repository's own files, read strictly: block maps and lists, flow ones on one line or
-- more, plain and quoted scalars, | and >- texts, anchors, aliases and merges. What it does not know is an
-- error with its line. Scalars stay texts.
local M = {}

local Reader = {}
Reader.__index = Reader

local function fail(r, what)
  local line = r.lines[r.at]
  error(("line %d: %s"):format(line and line.number or 0, what), 0)
end

-- a comment begins the line or follows a blank, outside quotes
local function without_comment(text)
  local quote
  for i = 1, #text do
    local c = text:sub(i, i)
    if quote then
      if c == quote and not (quote == '"' and text:sub(i - 1, i - 1) == "\\") then quote = nil end
    elseif (c == '"' or c == "'") and text:sub(i - 1, i - 1):find "^[%s,%[{:]?$" then
      quote = c
    elseif c == "#" and text:sub(i - 1, i - 1):find "^%s?$" then
      return text:sub(1, i - 1)
    end
  end
  return text
end

local ESCAPES = { n = "\n", t = "\t", ['"'] = '"', ["\\"] = "\\" }

-- ---- flow values: a cursor over one text ----

local flow

local function skip(s, at) return s:match("^%s*()", at) end

local function quoted(s, at)
  local q = s:sub(at, at)
  local out = {}
  at = at + 1
  while true do
    local c = s:sub(at, at)
    if c == "" then error("a quote has no end: " .. s, 0) end
    if c == q and q == "'" and s:sub(at + 1, at + 1) == "'" then
      out[#out + 1], at = "'", at + 2
    elseif c == q then
      return table.concat(out), at + 1
    elseif c == "\\" and q == '"' then
      out[#out + 1], at = ESCAPES[s:sub(at + 1, at + 1)] or error("escape in " .. s, 0), at + 2
    else
      out[#out + 1], at = c, at + 1
    end
  end
end

local function merge(map, from)
  for key, value in pairs(from) do
    if map[key] == nil then map[key] = value end
  end
end

local function flow_map(r, s, at)
  local map, merged = {}, nil
  at = skip(s, at + 1)
  while s:sub(at, at) ~= "}" do
    local key
    if s:find("^[\"']", at) then key, at = quoted(s, at) else key, at = s:match("^([^:,}]+)()", at) end
    at = assert(s:match("^%s*:%s*()", at), "a map in " .. s)
    local value
    value, at = flow(r, s, at)
    if key == "<<" then merged = value else map[key] = value end
    at = skip(s, at)
    at = s:match("^,%s*()", at) or at
  end
  if merged then merge(map, merged) end
  return map, at + 1
end

local function flow_list(r, s, at)
  local list = {}
  at = skip(s, at + 1)
  while s:sub(at, at) ~= "]" do
    if at > #s then error("a list has no end: " .. s, 0) end
    list[#list + 1], at = flow(r, s, at)
    at = skip(s, at)
    at = s:match("^,%s*()", at) or at
  end
  return list, at + 1
end

function flow(r, s, at)
  local c = s:sub(at, at)
  if c == "{" then return flow_map(r, s, at) end
  if c == "[" then return flow_list(r, s, at) end
  if c == '"' or c == "'" then return quoted(s, at) end
  local alias, after = s:match("^%*([%w-]+)()", at)
  if alias then return r.anchors[alias] or error("no anchor " .. alias, 0), after end
  return s:match("^(.-)%s*()%f[,%]}\0]", at)
end

-- ---- block values ----

local function folded(r, indent, style)
  local parts = {}
  while r.lines[r.at] and (r.lines[r.at].blank or r.lines[r.at].indent > indent) do
    parts[#parts + 1] = r.lines[r.at].text
    r.at = r.at + 1
  end
  while parts[#parts] == "" do parts[#parts] = nil end
  return table.concat(parts, style == "|" and "\n" or " ")
end

local function balanced(s)
  local _, open = s:gsub("[%[{]", "")
  local _, shut = s:gsub("[%]}]", "")
  return open <= shut
end

local function scalar(r, text, indent)
  local style = text:match "^([|>])%-?$"
  if style then return folded(r, indent, style) end
  if text:find "^[%[{]" then
    while not balanced(text) do
      local more = r.lines[r.at] or fail(r, "a list or map has no end")
      text, r.at = text .. " " .. without_comment(more.text), r.at + 1
    end
  end
  if text:find "^[%[{\"'*]" then
    local value, at = flow(r, text, 1)
    if skip(text, at) <= #text then fail(r, "something behind a value: " .. text) end
    return value
  end
  return text
end

local block

-- what stands behind "key:" or "- "
local function value_of(r, text, indent)
  local anchor, rest = text:match "^&([%w-]+)%s*(.*)$"
  if anchor then text = rest end
  local value
  if text == "" then
    local next_line = r.lines[r.at]
    local deeper = next_line and (next_line.indent > indent
      or next_line.indent == indent and next_line.text:find "^%- " and not r.in_list)
    value = deeper and block(r, next_line.indent) or ""
  else
    value = scalar(r, text, indent)
  end
  if anchor then r.anchors[anchor] = value end
  return value
end

local function key_of(text)
  if text:find '^"' then
    local key, at = quoted(text, 1)
    local rest = text:match("^:%s*(.*)$", at)
    return rest and key, rest
  end
  local key, rest = text:match "^([^%s\"'%[{][^:]-):%s+(.*)$"
  if not key then key, rest = text:match "^([^%s\"'%[{][^:]-):$", "" end
  return key, rest
end

local function next_line(r)
  while r.lines[r.at] and r.lines[r.at].blank do r.at = r.at + 1 end
  return r.lines[r.at]
end

local function read_map(r, indent)
  local map, merged = {}, nil
  local line = next_line(r)
  while line and line.indent == indent and not line.text:find "^%- " do
    local key, rest = key_of(without_comment(line.text):match "^(.-)%s*$")
    if not key then fail(r, "no key: " .. line.text) end
    r.at = r.at + 1
    next_line(r)
    local value = value_of(r, rest, indent)
    if key == "<<" then merged = value
    elseif map[key] ~= nil then fail(r, "twice: " .. key)
    else map[key] = value end
    line = next_line(r)
  end
  if merged then merge(map, merged) end
  return map
end

local function read_list(r, indent)
  local list = {}
  local line = next_line(r)
  while line and line.indent == indent and line.text:find "^%- " do
    local rest = without_comment(line.text:sub(3)):match "^%s*(.-)%s*$"
    if key_of(rest) then -- a map that begins behind the dash
      line.indent, line.text = indent + 2, line.text:sub(3)
      list[#list + 1] = read_map(r, indent + 2)
    else
      r.at = r.at + 1
      list[#list + 1] = value_of(r, rest, indent)
    end
    line = next_line(r)
  end
  return list
end

function block(r, indent)
  local line = next_line(r)
  local value = line.text:find "^%- " and read_list(r, indent) or read_map(r, indent)
  line = next_line(r)
  if line and line.indent > indent then fail(r, "indented for nothing: " .. line.text) end
  return value
end

-- decode(text) -> value | nil, message
function M.decode(text)
  local r = setmetatable({ lines = {}, at = 1, anchors = {} }, Reader)
  for line in (text:gsub("\n?$", "\n")):gmatch "(.-)\n" do
    local indent, rest = line:match "^( *)(.-)%s*$"
    r.lines[#r.lines + 1] = { indent = #indent, text = rest, number = #r.lines + 1,
      blank = rest == "" or rest:find "^#" ~= nil or rest == "---" }
  end
  local ok, value = pcall(block, r, 0)
  if not ok then return nil, value end
  if next_line(r) then return nil, ("line %d: %s"):format(r.lines[r.at].number, r.lines[r.at].text) end
  return value
end

return M
