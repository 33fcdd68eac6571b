-- The whole public Lua API as data: what help(), completion, docs/api.md and the editors' definitions are
-- made of.
-- The entries live by noun in lua/rlab/docs/api/*.lua; a test holds them true against the modules in both
-- directions.
--
-- A file returns { module=, kind=, doc=, functions={entry...}, types={ {name=, meta=, doc=,
-- methods={entry...}, fields={...}}... } } kind is "module" (require "rlab.<module>"), "words" (the prompt)
-- or "dsl" (experiment files).
-- An entry is { name, signature, doc, params={...}, returns=, errors=, example= }. A parameter is one
-- string: "name: type [= default], what it means". In a signature with braces the parameters are the keys
-- of that table.
local host = require "rlab.core_host"

local M = {}

local nouns

-- A type may be spread over files too: its methods come together under the entry that has a doc.
local function add_type(list, one)
  for _, known in ipairs(list) do
    if known.name == one.name then
      known.doc, known.meta, known.fields = known.doc or one.doc, known.meta or one.meta,
        known.fields or one.fields
      table.move(one.methods or {}, 1, #(one.methods or {}), #known.methods + 1, known.methods)
      return
    end
  end
  list[#list + 1] = one
end

-- a noun may be spread over files: the first with a doc leads
local function add_noun(noun)
  for _, known in ipairs(nouns) do
    if known.module == noun.module then
      known.doc = known.doc or noun.doc
      for _, part in ipairs { "functions", "types", "fields" } do
        local list = known[part] or {}
        for _, one in ipairs(noun[part] or {}) do
          if part == "types" then add_type(list, one) else list[#list + 1] = one end
        end
        known[part] = list
      end
      return
    end
  end
  nouns[#nouns + 1] = noun
end

local function load_nouns()
  if nouns then return nouns end
  nouns = {}
  for _, file in ipairs(host.embedded_names "lua/rlab/docs/api/") do
    local found = require("rlab.docs.api." .. file:match "([%w_]+)%.lua$")
    if found.module then found = { found } end
    for _, noun in ipairs(found) do add_noun(noun) end
  end
  table.sort(nouns, function(a, b) return a.module < b.module end)
  return nouns
end

--- all nouns, sorted by name
function M.nouns()
  return load_nouns()
end

--- the noun of a name such as "kafka" | nil
function M.noun(name)
  for _, noun in ipairs(load_nouns()) do
    if noun.module == name then return noun end
  end
end

-- entries of words and of the experiment language stand for themselves; those of a module carry its name
function M.prefix(noun)
  return noun.kind == "module" and noun.module .. "." or ""
end

local index

local function put(name, kind, noun, entry, type_)
  index[#index + 1] = { name = name, kind = kind, noun = noun, entry = entry, type = type_ }
  index[name] = index[name] or index[#index]
end

local function build_index()
  if index then return index end
  index = {}
  for _, noun in ipairs(load_nouns()) do
    put(noun.module, "module", noun, noun)
    for _, entry in ipairs(noun.functions or {}) do
      put(M.prefix(noun) .. entry[1], "function", noun, entry)
    end
    for _, t in ipairs(noun.types or {}) do
      put(M.prefix(noun) .. t.name, "type", noun, t, t)
      for _, entry in ipairs(t.methods or {}) do
        put(M.prefix(noun) .. t.name .. ":" .. entry[1], "method", noun, entry, t)
      end
    end
  end
  return index
end

--- find(name) -> item {name, kind, noun, entry, type} | nil, nearest name. Also by the last part: "send"
---   finds kafka.producer:send.
function M.find(name)
  local all = build_index()
  if all[name] then return all[name] end
  local names, last = {}, name:match "[%.:]([%w_]+)$" or name
  for _, item in ipairs(all) do
    if item.name:match "[%w_]+$" == last then return item end
    names[#names + 1] = item.name
  end
  return nil, require("rlab.units").nearest(name, names)
end

--- type(name) -> the item of the handle that a function of the same name makes | nil
function M.type(name)
  for _, item in ipairs(build_index()) do
    if item.kind == "type" and item.name == name then return item end
  end
end

--- several(name) -> every item whose last part is the name
function M.several(name)
  local found = {}
  for _, item in ipairs(build_index()) do
    if item.name:match "[%w_]+$" == name then found[#found + 1] = item end
  end
  return found
end

--- every documented name
function M.names()
  local names = {}
  for i, item in ipairs(build_index()) do names[i] = item.name end
  table.sort(names)
  return names
end

--- names that require takes
function M.module_names()
  local names = {}
  for _, noun in ipairs(load_nouns()) do
    if noun.kind == "module" then names[#names + 1] = "rlab." .. noun.module end
  end
  return names
end

--- members(path, separator) -> names behind "kafka." or behind any handle's ":"
function M.members(path, separator)
  local found = {}
  if separator == "." then
    local noun = M.noun(path)
    for _, entry in ipairs(noun and noun.kind == "module" and noun.functions or {}) do
      found[#found + 1] = entry[1]
    end
    return found
  end
  for _, item in ipairs(build_index()) do
    if item.kind == "method" then found[#found + 1] = item.entry[1] end
  end
  return found
end

--- parse_param("at_most: duration = 10s, how long to wait") -> {name, type, default, doc}
function M.parse_param(text)
  local name, rest = text:match "^([^:]+):%s*(.*)$"
  if not name then error("api: a parameter is 'name: type, meaning', not '" .. text .. "'", 2) end
  local head, doc = rest:match "^(.-),%s+(.*)$"
  head, doc = head or rest, doc or ""
  local type_, default = head:match "^(.-)%s*=%s*(.*)$"
  return { name = name, type = type_ or head, default = default, doc = doc }
end

-- functions by identity, so that help(kafka.producer) works
local function identify(value)
  for _, noun in ipairs(load_nouns()) do
    if noun.kind == "module" then
      local ok, module = pcall(require, "rlab." .. noun.module)
      if ok and rawequal(module, value) then return noun.module end
      for name, member in pairs(ok and type(module) == "table" and module or {}) do
        if rawequal(member, value) then return noun.module .. "." .. tostring(name) end
      end
    end
  end
end

local function type_of(value)
  local meta = debug.getmetatable(value)
  if type(meta) ~= "table" then return nil end
  for _, noun in ipairs(load_nouns()) do
    for _, t in ipairs(noun.types or {}) do
      if t.meta and (meta.__name == t.meta or debug.getregistry()[t.meta] == meta) then
        return M.prefix(noun) .. t.name
      end
    end
  end
end

--- name_of(value) -> the documented name of a function, module or handle | nil
function M.name_of(value)
  return identify(value) or type_of(value)
end

return M
