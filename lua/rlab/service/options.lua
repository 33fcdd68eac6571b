-- The options of a service: one table says name, type, default and meaning; flags, the environment and a
-- file are read by it alone.
-- Precedence: flags > environment > file > default. A slip of the pen is an error everywhere, with "did you
-- mean".
local json = require "rlab.json"
local strict = require "rlab.options"
local tables = require "rlab.tables"
local units = require "rlab.units"
local urls = require "rlab.urls"
local usage = require "rlab.usage" ()

local M = {}

-- ---- types: from a text, or from what JSON has ----

local function try(f)
  return function(value)
    if type(value) ~= "string" and type(value) ~= "number" then return nil end
    local ok, result = pcall(f, value)
    return ok and result or nil
  end
end

local function as_int(value)
  return units.whole(type(value) == "string" and value:match "^%s*(.-)%s*$" or value)
end

local words = { ["true"] = true, yes = true, on = true, ["1"] = true, ["false"] = false, no = false,
  off = false, ["0"] = false }

local function as_bool(value)
  if type(value) == "boolean" then return value end
  return words[tostring(value):lower()]
end

local function as_json(value)
  if type(value) ~= "string" then return value end
  return (json.decode(value))
end

-- "a=1,b=2" or an object; commas in a value are written as \,
local function as_pairs(value)
  if type(value) == "table" then
    for key, v in pairs(value) do value[key] = tostring(v) end
    return value
  end
  local map = {}
  if type(value) ~= "string" then return nil end
  for part in value:gsub("\\,", "\0"):gmatch "[^,]+" do
    local key, v = part:match "^%s*([^=%s]+)%s*=(.*)$"
    if not key then return nil end
    map[key] = v:gsub("\0", ",")
  end
  return map
end

local function as_list(value)
  local list = {}
  if type(value) == "table" then return value end
  for part in tostring(value):gmatch "[^,%s]+" do list[#list + 1] = part end
  return list
end

-- What is said of pairs, among which may be a password.
local function without_values(text) return (text:gsub("=[^,]*", "=***")) end

local types = {
  int = { read = as_int, expected = "a whole number" },
  number = { read = units.number, expected = "a number" },
  size = { read = try(units.size), expected = 'a size such as "64KiB"' },
  duration = { read = try(units.duration), expected = 'a duration such as "200ms"' },
  rate = { read = try(units.rate), expected = 'a rate such as "2000/s"' },
  string = { read = function(v) return type(v) ~= "table" and tostring(v) or nil end, expected = "a text" },
  bool = { read = as_bool, expected = "true or false" },
  enum = { read = function(v) return type(v) ~= "table" and tostring(v) or nil end, expected = "a word" },
  json = { read = as_json, expected = "JSON" },
  pairs = { read = as_pairs, expected = '"key=value,key=value"', said = without_values },
  list = { read = as_list, expected = '"one,two"' },
  brokers = { read = urls.brokers, expected = '"host:port,host:port"' },
  mysql = { read = urls.mysql, expected = '"mysql://user:password@host:port/schema"',
    said = urls.masked },
  redis = { read = urls.redis, expected = '"redis://host:port/db" or "redis-cluster://host:port,..."',
    said = urls.masked },
}

-- ---- the options that every service has ----

local function local_stack()
  local layout = require "rlab.stack.layout"
  return layout.ports((layout.port_base()))
end

local function default_brokers()
  local ports = local_stack()
  return ("127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d"):format(ports["kafka-1"], ports["kafka-2"],
    ports["kafka-3"])
end

local function default_mysql()
  local mysql = require "rlab.stack.servers.mysql"
  local who = { user = mysql.user, password = mysql.password(require("rlab.stack.layout").home()) }
  return urls.write("mysql", who, urls.address("127.0.0.1", local_stack().mysql), mysql.database)
end

local function default_redis() return ("redis://127.0.0.1:%d/0"):format(local_stack().redis) end

local function common(description)
  return {
    { name = "host", type = "string", default = "127.0.0.1", help = "where it listens" },
    { name = "hosts", type = "list", default = "",
      help = "names that it is asked by, besides localhost and host, as a,b; a request for another Host is \z
        refused" },
    { name = "port", type = "int", default = description.port or 0, min = 0, max = 65535,
      help = "its port; 0: any that is free" },
    { name = "name", type = "string", default = description.name .. "-1",
      help = "this instance, in logs, metrics and leases" },
    { name = "brokers", type = "brokers", default = default_brokers, shown = "the local stack's",
      help = "Kafka's brokers" },
    { name = "mysql", type = "mysql", default = default_mysql, shown = "the local stack's",
      help = "mysql://user:password@host:port/schema; what has a meaning in a URL is written as %XX" },
    { name = "redis", type = "redis", default = default_redis, shown = "the local stack's",
      help = "redis://[user:password@]host:port/db; of the nodes of a Redis Cluster, some of \z
        them: redis-cluster://[user:password@]host:port,host:port" },
    { name = "log_level", type = "enum", values = { "debug", "info", "warn", "error", "off" },
      default = "info", help = "least level that is logged" },
    { name = "failpoints", type = "bool", default = false, env = false,
      help = "serve /failpoints, by which faults are armed: never in production" },
    { name = "drain_timeout", type = "duration", default = "10s",
      help = "how long SIGTERM waits for the work under way" },
    { name = "die_with_parent", type = "int", min = 1, env = false,
      help = "end when this process, which started it, ends" },
  }
end

local passthrough = {
  producer = { name = "producer", type = "pairs", default = "",
    help = "librdkafka's properties of the producer, as key=value,key=value" },
  consumer = { name = "consumer", type = "pairs", default = "",
    help = "librdkafka's properties of the consumer, as key=value,key=value" },
}

local option_keys = { name = true, type = true, default = true, shown = true, values = true, min = true,
  max = true, help = true, env = true }

-- A mistake in the service's own table is a bug of ours and raised as such.
local function check_option(service, option, taken)
  local where = ("service %s: option '%s'"):format(service, tostring(option.name))
  if type(option.name) ~= "string" or not option.name:find "^%l[%l%d_]*$" then
    error(where .. ": a name is lower case, digits and _", 0)
  end
  if taken[option.name] then error(where .. " is there twice", 0) end
  if not types[option.type] then error(where .. ": no type '" .. tostring(option.type) .. "'", 0) end
  if option.type == "enum" and type(option.values) ~= "table" then
    error(where .. ": an enum has values", 0)
  end
  if type(option.help) ~= "string" then error(where .. " has no help", 0) end
  for key in pairs(option) do
    if not option_keys[key] then error(where .. ": unknown key '" .. tostring(key) .. "'", 0) end
  end
  taken[option.name] = option
end

-- all(description) -> list of its options, its own first; also by name; list.common[name] where every
--   service has it
function M.all(description)
  local list, taken = { common = {} }, {}
  local function add(option)
    check_option(description.name, option, taken)
    list[#list + 1], list[option.name] = option, option
  end
  for _, option in ipairs(description.options or {}) do add(option) end
  for _, kind in ipairs { "producer", "consumer" } do
    if description.uses and description.uses[kind] then add(passthrough[kind]) end
  end
  for _, option in ipairs(common(description)) do
    add(option)
    list.common[option.name] = true
  end
  return list
end

-- ---- reading ----

local function flag_of(name) return "--" .. name:gsub("_", "-") end
local function env_of(option) return option.env ~= false and "RLAB_" .. option.name:upper() or nil end
local function key_of(word) return (word:gsub("-", "_")) end

local function in_range(option, value, where)
  if option.min and value < units[option.type == "duration" and "duration" or "size"](option.min) then
    usage("%s: %s is below %s", where, tostring(value), tostring(option.min))
  end
  if option.max and value > units[option.type == "duration" and "duration" or "size"](option.max) then
    usage("%s: %s is above %s", where, tostring(value), tostring(option.max))
  end
end

local function convert(option, text, where)
  local kind = types[option.type]
  local value = kind.read(text)
  if value == nil then
    local given = type(text) == "table" and json.encode(text) or tostring(text)
    usage("%s: %s expected, got '%s'", where, kind.expected, kind.said and kind.said(given) or given)
  end
  if option.type == "enum" then
    if tables.contains(option.values, value) then return value end
    usage("%s: '%s' is none of %s%s", where, value, table.concat(option.values, ", "),
      strict.hint(value, option.values, "; "))
  end
  if type(value) == "number" then in_range(option, value, where) end
  return value
end

local function find_flag(list, word, service)
  local name, value = word:match "^%-%-([^=]+)=?(.*)$"
  local given = word:find("=", 1, true) ~= nil
  local option = name and list[key_of(name)]
  if option then return option, given and value or nil end
  local negated = name and name:match "^no%-(.*)$"
  option = negated and list[key_of(negated)]
  if option and option.type == "bool" and not given then return option, "false" end
  local flags = {}
  for i, known in ipairs(list) do flags[i] = flag_of(known.name) end
  local hint = strict.hint(name and "--" .. name or word, flags)
  usage("service %s: unknown option '%s'%s", service, word,
    hint ~= "" and hint or ("; rlab service %s --help lists them"):format(service))
end

local function set_pair(list, text, flags, service)
  local key, value = tostring(text):match "^([^=]+)=(.*)$"
  if not key then usage("service %s: --set takes key=value, got '%s'", service, tostring(text)) end
  local option = list[key_of(key)]
  if not option then
    usage("service %s: --set: no option '%s'%s", service, key,
      strict.hint(key, tables.names_of(list), "; "))
  end
  flags[option.name] = { value, "--set " .. key }
end

-- The words as values by name, and the path of the file.
local function read_flags(list, args, service)
  local flags, file, i = {}, nil, 1
  local function next_word(word)
    i = i + 1
    if args[i] == nil then usage("service %s: %s needs a value", service, word) end
    return args[i]
  end
  while args[i] do
    local word = args[i]
    if word == "--config" or word:find "^%-%-config=" then
      file = word:match "^%-%-config=(.*)$" or next_word(word)
    elseif word == "--set" or word:find "^%-%-set=" then
      set_pair(list, word:match "^%-%-set=(.*)$" or next_word(word), flags, service)
    else
      local option, value = find_flag(list, word, service)
      if value == nil and option.type == "bool" and as_bool(args[i + 1] or "") == nil then value = true end
      flags[option.name] = { value == nil and next_word(word) or value, flag_of(option.name) }
    end
    i = i + 1
  end
  return flags, file
end

local function read_file(list, path, service)
  local text, failure = require("rlab.fs").read(path)
  if not text then usage("service %s: --config %s: %s", service, path, failure.message) end
  local map, wrong = json.decode(text)
  if not map then usage("service %s: %s: %s", service, path, wrong.message) end
  if type(map) ~= "table" or json.is_array(map) then
    usage("service %s: %s: an object of options expected", service, path)
  end
  local found = {}
  for key, value in pairs(map) do
    local option = list[key_of(tostring(key))]
    if not option then
      usage("service %s: %s: no option '%s'%s", service, path, tostring(key),
        strict.hint(key, tables.names_of(list), "; "))
    end
    found[option.name] = { value, ("%s: %s"):format(path, key) }
  end
  return found
end

local function default_of(option)
  local default = option.default
  if type(default) == "function" then return default() end
  return default
end

-- resolve(description, words[, getenv]) -> config: every option's value by its name, durations in seconds,
--   sizes in bytes
function M.resolve(description, args, getenv)
  getenv = getenv or os.getenv
  local service, list = description.name, M.all(description)
  local flags, file = read_flags(list, args, service)
  file = file or getenv "RLAB_CONFIG"
  local filed, config = file and file ~= "" and read_file(list, file, service) or {}, {}
  for _, option in ipairs(list) do
    local env = env_of(option)
    local from_env = env and getenv(env)
    local found = flags[option.name] or (from_env and from_env ~= "" and { from_env, env })
      or filed[option.name]
    local default = not found and default_of(option)
    if found then
      config[option.name] = convert(option, found[1], ("service %s: %s"):format(service, found[2]))
    elseif default ~= nil and default ~= false or option.type == "bool" then
      config[option.name] = convert(option, default or false,
        ("service %s: the default of %s"):format(service, option.name))
    end
  end
  return config
end

-- ---- what is printed ----

local function shown_default(option)
  if option.shown then return option.shown end
  if option.default == nil or option.default == "" then return "" end
  return tostring(default_of(option))
end

local function meaning(option)
  if option.type ~= "enum" then return option.help end
  return option.help .. ": " .. table.concat(option.values, ", ")
end

local FILE_HELP = 'a JSON file {"option": value, ...}'
local SET_HELP = "option=value, as a flag of that name"

-- rows(description) -> {{flag=, env=, type=, default=, help=, common=}, ...}
function M.rows(description)
  local rows, list = {}, M.all(description)
  for i, option in ipairs(list) do
    rows[i] = { flag = flag_of(option.name), env = env_of(option) or "", type = option.type,
      default = shown_default(option), help = meaning(option),
      common = list.common[option.name] == true }
  end
  return rows
end

-- declare(description, parser): its options as a parser of argparse has them, for the man page and completion
function M.declare(description, parser)
  for _, option in ipairs(M.all(description)) do
    local default = shown_default(option)
    local text = option.help .. (default ~= "" and (" (%s)"):format(default) or "")
    if option.type == "bool" then
      parser:flag(flag_of(option.name), text)
    else
      local declared = parser:option(flag_of(option.name), text)
      if option.values then declared:choices(option.values) end
    end
  end
  parser:option("--config", FILE_HELP)
  parser:option("--set", SET_HELP)
end

local WIDTH, INDENT = 100, 37

-- The words of the text in lines, the second and all after it below the first.
local function wrapped(text)
  local lines, line = {}, ""
  for word in text:gmatch "%S+" do
    if #line > 0 and #line + 1 + #word > WIDTH - INDENT then
      lines[#lines + 1] = line
      line = word
    else
      line = line == "" and word or line .. " " .. word
    end
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n" .. (" "):rep(INDENT))
end

-- help(description) -> text
function M.help(description)
  local out = { ("usage: rlab service %s [--config FILE.json] [--option value ...]\n\n%s\n\noptions"):format(
    description.name, description.help) }
  local function put(flag, kind, text)
    out[#out + 1] = ("  %-24s %-9s %s"):format(flag, kind, wrapped(text))
  end
  for _, row in ipairs(M.rows(description)) do
    put(row.flag, row.type, row.help .. (row.default ~= "" and (" (%s)"):format(row.default) or ""))
  end
  put("--config", "string", FILE_HELP)
  put("--set", "string", SET_HELP)
  out[#out + 1] = "\nEach option is also read from the environment as RLAB_<OPTION>; flags go before the \z
    environment, that before the file."
  return table.concat(out, "\n")
end

return M
