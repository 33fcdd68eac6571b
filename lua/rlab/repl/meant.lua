-- What was meant by a line that means nothing: the nearest word, module, field or method, or where such a
-- line belongs. Looks at names only and calls nothing of the user's.
local complete = require "rlab.repl.complete"
local err = require "rlab.err"
local options = require "rlab.options"
local tables = require "rlab.tables"

local M = {}

local function commands()
  return tables.names_of(require("rlab.cli").commands())
end

local function hint_of(name, known, before)
  table.sort(known)
  return options.hint(name, known, before)
end

-- The table or handle whose member is spoken of in the source: "kafka" for kafka.prodcer; nil where it is
-- no name.
local function owner_in(source, separator, name)
  return (" " .. source):match(("[^%%w_%%.:]([%%a_][%%w_%%.]*)%%%s%s%%f[^%%w_]"):format(separator, name))
end

-- kind: "global", or what stands before the name, "." or ":"
local function nearest(session, source, kind, name)
  if kind == "global" then return hint_of(name, complete.globals(session)) end
  local owner = owner_in(source, kind, name)
  local known = {}
  for i, member in ipairs(owner and complete.members(session, owner, kind, "") or {}) do
    known[i] = member:sub(#owner + 2)
  end
  return hint_of(name, known)
end

-- A line that the shell takes, typed at the prompt.
local function shell_line(source)
  local line = source:match "^%s*rlab%s+(%S.-)%s*$" or source:match "^%s*(.-)%s*$"
  local word = line:match "^%S*"
  if word:match "^[Ee]%-%d+$" or tables.contains(commands(), word) then
    return ("; a line of the shell: rlab %s"):format(line)
  end
  return ""
end

local KINDS = { global = "global", field = ".", method = ":" }

--- of_failure(session, message, source) -> ", did you mean 'x'?" | ""; message: what Lua said of the source
function M.of_failure(session, message, source)
  local kind, name = message:match "%((%l+) '([%a_][%w_]*)'%)"
  if not KINDS[kind] then return "" end
  if kind == "global" then
    local elsewhere = shell_line(source)
    if elsewhere ~= "" then return elsewhere end
  end
  return nearest(session, source, KINDS[kind], name)
end

--- of_syntax(session, source) -> what to write instead of `tail orders` or `rlab E-012` | ""
function M.of_syntax(session, source)
  local word, rest = source:match "^%s*([%a_][%w_]*)%s+([%w_][%w_.-]*)%s*$"
  if word and session.words[word] then return ('; a name is quoted: %s "%s"'):format(word, rest) end
  local elsewhere = shell_line(source)
  if elsewhere ~= "" or not word then return elsewhere end
  return hint_of(word, tables.sorted_keys(session.words))
end

--- of_nil(session, source) -> what was meant by a line that is only a name and has no value | ""
function M.of_nil(session, source)
  local name = source:match "^%s*([%a_][%w_%.]*)%s*$"
  if not name or name == "nil" then return "" end
  local path, last = name:match "^(.*)%.([%w_]+)$"
  if path then return nearest(session, source, ".", last) end
  local elsewhere = shell_line(source)
  if elsewhere ~= "" then return elsewhere end
  return nearest(session, source, "global", name)
end

--- of_error(failure) -> the command that Redis does not know | ""
function M.of_error(failure)
  local word = err.is(failure) and failure.domain == "redis"
    and tostring(failure.message):match "unknown command [`'\"]?(%a+)"
  return word and options.hint(word:upper(), complete.redis_commands) or ""
end

return M
