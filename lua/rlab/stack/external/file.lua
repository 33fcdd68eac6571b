-- The file that says where somebody's own Kafka, MySQL and Redis are, and how one is let in: JSON, a section
-- a store, in which a secret is named by the file or the variable that has it
-- (docs/bring-your-own/external.md).
local drivers = require "rlab.stack.external.drivers"
local fs = require "rlab.fs"
local json = require "rlab.json"
local options = require "rlab.options"
local tables = require "rlab.tables"
local urls = require "rlab.urls"
local usage = require "rlab.usage" "--stack external: "

local M = {}

local PREFIX = "rlab-"
local STORE_KEYS = { "host", "port", "user", "password", "tls", "ca", "cert", "key", "force" }
local SECTIONS = { "prefix", "kafka", "mysql", "redis", "registry", "abort_if", "faults" }
local TLS = { "off", "on", "verify" }
-- Settings that are secrets themselves, and those that are paths.
local SECRETS = { "password", "sasl.password", "ssl.key.password", "ssl.key.pem", "ssl.keystore.password",
  "sasl.oauthbearer.client.secret" }
local PATHS = { "ca", "cert", "key", "ssl.ca.location", "ssl.certificate.location", "ssl.key.location",
  "ssl.keystore.location" }

-- ---- secrets ----

local function readable_by_others(path)
  local found = fs.stat(path)
  return found ~= nil and found.mode & 0x3f ~= 0 -- rwxrwx of group and others
end

local function beside(from, path)
  return path:sub(1, 1) == "/" and path or from.folder .. "/" .. path
end

local function of_file(from, where, path)
  if type(path) ~= "string" then usage("%s: %s is the path of a file", from.path, where) end
  local text, why = fs.read(beside(from, path))
  if not text then usage("%s: %s: %s", from.path, where, why.message) end
  return (text:gsub("\r?\n$", ""))
end

local function of_env(from, where, name)
  local text = type(name) == "string" and os.getenv(name)
  if not text or text == "" then
    usage("%s: %s: the variable %s is not set", from.path, where, tostring(name))
  end
  return text
end

local function literal(from, where)
  if readable_by_others(from.path) then
    usage("%s: %s stands in a file that others may read: chmod 600 it, or say %s_file or %s_env", from.path,
      where, where, where)
  end
end

-- Kept apart, too: what no command may be given, and what no driver's last words may tell.
local function secret(from, text)
  if type(text) == "string" and text ~= "" then from.secrets[#from.secrets + 1] = text end
  return text
end

-- NAME_file and NAME_env give NAME.
local function resolved(from, section, given)
  local own = {}
  for key, value in pairs(given) do
    local name, how = key:match "^(.+)_(%l+)$"
    local where = section .. "." .. key
    if how == "file" and tables.contains(SECRETS, name) then
      own[name] = secret(from, of_file(from, where, value))
    elseif how == "env" and tables.contains(SECRETS, name) then
      own[name] = secret(from, of_env(from, where, value))
      from.hidden[value] = false
    else
      if tables.contains(SECRETS, key) then
        literal(from, where)
        secret(from, value)
      end
      own[key] = tables.contains(PATHS, key) and type(value) == "string" and beside(from, value) or value
    end
  end
  return own
end

-- ---- the stores ----

local function store(from, section, given, port, more)
  local own = resolved(from, section, given)
  local known = tables.append(tables.append({}, STORE_KEYS), more or {})
  for key in pairs(own) do
    if not tables.contains(known, key) then
      usage("%s: %s has no '%s'; %s", from.path, section, tostring(key), options.advice(key, known))
    end
  end
  local host, at = urls.split(urls.address(tostring(own.host or "127.0.0.1"), own.port or port))
  if not host then usage("%s: %s.host and %s.port are no address", from.path, section, section) end
  own.host, own.port, own.tls = host, at, own.tls or "off"
  if not tables.contains(TLS, own.tls) then
    usage("%s: %s.tls is one of %s, not '%s'", from.path, section, table.concat(TLS, ", "), tostring(own.tls))
  end
  return own
end

-- A program with a folder in its name counts from the file's.
local function token_command(from, own)
  local command = own["sasl.token_command"]
  if command == nil then return end
  local words = type(command) == "table" and #command > 0
  for key, word in pairs(words and command or {}) do
    words = words and math.type(key) == "integer" and type(word) == "string"
  end
  if not words then
    usage("%s: kafka.sasl.token_command is a list of words, such as [\"./token.sh\"]", from.path)
  end
  local mechanism = own["sasl.mechanisms"] or own["sasl.mechanism"] or "OAUTHBEARER"
  if tostring(mechanism):upper() ~= "OAUTHBEARER" then
    usage("%s: kafka.sasl.token_command gives tokens for OAUTHBEARER, and kafka.sasl.mechanisms is %s",
      from.path, tostring(mechanism))
  end
  if command[1]:find("/", 1, true) then
    own["sasl.token_command"] = tables.merged(command, { beside(from, command[1]) })
  end
end

local function kafka(from, given)
  local own = resolved(from, "kafka", given)
  token_command(from, own)
  if not urls.brokers(own.brokers or "") then
    usage("%s: kafka.brokers are host:port,host:port, not '%s'", from.path, tostring(own.brokers))
  end
  local found = { brokers = own.brokers, force = own.force, settings = own }
  own.brokers, own.force = nil, nil
  return found
end

local function registry(from, given)
  if type(given.url) ~= "string" then usage("%s: registry.url is missing", from.path) end
  return { url = given.url }
end

local readers = {
  kafka = kafka,
  mysql = function(from, given) return store(from, "mysql", given, 3306) end,
  redis = function(from, given) return store(from, "redis", given, 6379, { "db" }) end,
  registry = registry,
  faults = drivers.read,
}

-- ---- the file ----

local function decoded(path)
  local text, why = fs.read(path)
  if not text then usage("%s", why.message) end
  local ok, value = pcall(json.decode, text)
  if not ok or type(value) ~= "table" then usage("%s is no JSON object", path) end
  return value
end

local function prefix_of(from, given)
  local prefix = given == nil and PREFIX or given
  if type(prefix) ~= "string" or not prefix:find "^%l[%l%d-]*%-$" or #prefix > 16 then
    usage("%s: prefix is lower case letters, digits and - with a - at its end, at most 16, not '%s'",
      from.path, tostring(prefix))
  end
  return prefix
end

-- What ends a run here before it does harm, whoever starts it.
local function conditions(from, given)
  if given == nil then return nil end
  local texts = type(given) == "table" and given or { given }
  for key, text in pairs(texts) do
    if math.type(key) ~= "integer" or type(text) ~= "string" then
      usage("%s: abort_if is a list of conditions, such as [\"isr<2\"]", from.path)
    end
  end
  local _, wrong = require("rlab.run.abort").all(texts)
  if wrong then usage("%s: abort_if: %s", from.path, wrong) end
  return texts
end

-- Where it lies, and all secrets and the variables that have some.
local function source_of(path)
  local real = fs.realpath(path) or path
  return { path = path, real = real, folder = real:match "^(.*)/[^/]*$" or ".", secrets = {}, hidden = {} }
end

-- read(path) -> {path = absolute, folder, prefix, kafka {brokers, settings, force}, mysql, redis {what
--   connect takes, and force}, registry {url}, abort_if = texts, faults (rlab.stack.external.drivers),
--   secrets = all that it has, hidden = {[variable] = false} of those}, each section where the file has it;
--   what is wrong in it raises USAGE
function M.read(path)
  local from = source_of(path)
  local value = decoded(path)
  local file = { path = from.real, folder = from.folder, prefix = prefix_of(from, value.prefix),
    abort_if = conditions(from, value.abort_if), secrets = from.secrets, hidden = from.hidden }
  for section, given in pairs(value) do
    if not tables.contains(SECTIONS, section) then
      usage("%s has no section '%s'; %s", path, tostring(section), options.advice(section, SECTIONS))
    end
    if readers[section] then
      if type(given) ~= "table" then usage("%s: %s is an object", path, section) end
      file[section] = readers[section](from, given)
    end
  end
  file.faults = file.faults or {}
  drivers.check(from, file.faults, file.secrets)
  return file
end

-- adopt(file): from here on each Kafka client of this process is let in by the file's settings
function M.adopt(file)
  local defaults = require("rlab.kafka").defaults
  for key, value in pairs(file.kafka and file.kafka.settings or {}) do defaults[key] = value end
end

return M
