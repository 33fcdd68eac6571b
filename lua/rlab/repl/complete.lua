-- What Tab offers: names of the API and of the session outside quotes, live names of the stores inside.
-- Called while the prompt waits, so nothing here may wait or call a function of the user's.
local edit = require "rlab.edit"
local open_quote = require("rlab.repl.line").open_quote

local M = {}

local KEYWORDS = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in",
  "local", "nil", "not",
  "or", "repeat", "return", "then", "true", "until", "while" }

-- which names fit by the word in front of the quote, and by the argument's number
local BY_WORD = {
  create = { "topics" }, offsets = { "topics" }, tail = { "topics" }, produce = { "topics" },
  topic = { "topics" }, delete_topics = { "topics" },
  subscribe = { "topics" }, producers = { "topics" },
  lag = { "groups" }, group = { "groups" }, group_offsets = { "groups" },
  seek = { "groups", "topics" }, redis = { "keys" }, call = { "commands", "keys" },
  sql = { "tables" }, query = { "tables" }, exec = { "tables" },
  failpoints = { "services" }, failpoint = { "services", "points" },
  help = { "api" }, require = { "modules" }, as = { "forms" },
}
local BY_FIELD = { topic = "topics", group = "groups" }
local WHOLE = { topics = true, groups = true, services = true, points = true } -- names that fill their quotes

M.redis_commands = { "DEL", "EXISTS", "EXPIRE", "GET", "HGET", "HGETALL", "HSET", "INCR", "INFO", "KEYS",
  "LLEN", "LPUSH", "LRANGE", "MGET", "PING", "PTTL", "SADD", "SCAN", "SET", "SMEMBERS", "TTL", "TYPE",
  "XADD", "XLEN", "XRANGE", "ZADD", "ZRANGE" }
local SQL = { "select", "from", "where", "order by", "group by", "limit", "insert into", "update",
  "delete from", "show tables",
  "show databases", "describe", "explain", "count(*)" }

local function kind_for(before)
  local field = before:match "([%a_][%w_]*)%s*=%s*$"
  if field then return BY_FIELD[field] end
  local word, args = before:match "([%a_][%w_]*)%s*([%(%{]?[^%(%)%{%}]*)$"
  local kinds = BY_WORD[word or ""]
  if not kinds then return nil end
  local number = select(2, args:gsub(",", "")) + 1
  return kinds[number] or kinds[#kinds]
end

local function starting_with(prefix, ...)
  local found, seen = {}, {}
  for _, list in ipairs { ... } do
    for _, name in ipairs(list) do
      if type(name) == "string" and name:sub(1, #prefix) == prefix and not seen[name] then
        seen[name] = true
        found[#found + 1] = name
      end
    end
  end
  table.sort(found)
  return found
end

local function tables_and_columns(names)
  local all = {}
  for _, full in ipairs(names.tables) do
    all[#all + 1] = full
    all[#all + 1] = full:match "%.(.+)$"
  end
  return all
end

-- the only candidate is the whole word: its quote is closed
local function closed(list, quote)
  if #list == 1 then list[1] = list[1] .. quote end
  return list
end

local function inside_quote(session, text, start, quote)
  local names = session.names
  local content, kind = text:sub(start), kind_for(text:sub(1, start - 2))
  if kind == "api" then
    return closed(starting_with(content, require("rlab.docs.api").names()), quote), start
  end
  if kind == "forms" then
    return closed(starting_with(content, require("rlab.repl.forms").names()), quote), start
  end
  if kind == "modules" then
    return closed(starting_with(content, require("rlab.docs.api").module_names()), quote), start
  end
  if WHOLE[kind] then return closed(starting_with(content, names[kind]), quote), start end
  local word = content:match "[^%s,%(%)]*$"
  local from = #text - #word + 1
  if kind == "keys" and from == start or kind == "commands" then
    if content == "" then return {}, from end
    return starting_with(word:upper(), M.redis_commands), from
  end
  if kind == "tables" then return starting_with(word, tables_and_columns(names), SQL), from end
  if kind then return starting_with(word, names[kind]), from end
  return closed(starting_with(content, names.topics, names.groups), quote), start
end

local function fields(value, found)
  if type(value) == "table" then
    for key in next, value do
      if type(key) == "string" and not key:find "^_" then found[#found + 1] = key end
    end
  end
  local meta = debug.getmetatable(value)
  local index = type(meta) == "table" and rawget(meta, "__index")
  if type(index) == "table" and index ~= value then fields(index, found) end
  return found
end

-- follows a path such as kafka or p.pool without calling anything of the user's
local function resolve(session, path)
  local value
  for name in path:gmatch "[%a_][%w_]*" do
    if value == nil then
      value = rawget(session.env, name)
      if value == nil then value = session:known(name) end
    else
      local meta = debug.getmetatable(value)
      local index = type(value) == "table" and value or type(meta) == "table" and rawget(meta, "__index")
      value = type(index) == "table" and rawget(index, name) or nil
    end
    if value == nil then return nil end
  end
  return value
end

--- members(session, path, separator, prefix) -> "path.name" of each, without calling anything
function M.members(session, path, separator, prefix)
  local found = {}
  local value = resolve(session, path)
  if value ~= nil then fields(value, found) end
  local documented = require("rlab.docs.api").members(path, separator)
  local names = starting_with(prefix, found, value == nil and documented or {})
  for i, name in ipairs(names) do names[i] = path .. separator .. name end
  return names
end

--- globals(session) -> what a name alone can be: words, the user's own, modules, Lua's
function M.globals(session)
  local found = session.modules()
  for key in next, session.env do found[#found + 1] = key end
  for key in next, session.words do found[#found + 1] = key end
  for key in next, _G do
    if not tostring(key):find "^_" then found[#found + 1] = key end
  end
  return found
end

--- candidates(session, line, cursor) -> list, start
function M.candidates(session, line, cursor)
  local text = line:sub(1, cursor)
  local quote, start = open_quote(text)
  if quote == "--" then return {}, cursor + 1 end
  if quote then
    local list, from = inside_quote(session, text, start,
      line:sub(cursor + 1, cursor + 1) == quote and "" or quote)
    return list, from
  end
  local path, separator, prefix = text:match "([%a_][%w_%.]*)([%.:])([%a_]?[%w_]*)$"
  if path then return M.members(session, path, separator, prefix), cursor - #path - #prefix end
  prefix = text:match "[%a_][%w_]*$" or ""
  local before = text:sub(-#prefix - 2, -#prefix - 1)
  if prefix == "" or before:find "[^.][.:]$" then return {}, cursor + 1 end
  return starting_with(prefix, M.globals(session), KEYWORDS), cursor - #prefix + 1
end

function M.install(session)
  edit.complete(function(line, cursor)
    session.names:refresh()
    return M.candidates(session, line, cursor)
  end)
end

return M
