-- rlab.urls: connection URLs, read and written in one place: mysql://user:password@host:port/schema,
-- redis://user:password@host:port/db, redis-cluster://user:password@host:port,host:port. Over TLS it is
-- mysql://...?tls=verify&ca=FILE&cert=FILE&key=FILE, and rediss://...?ca=FILE, which verifies unless tls=on
-- says otherwise. What has a meaning in a URL is written as %XX in a user, a password, a schema or a path; an
-- IPv6 address stands in brackets.
local tables = require "rlab.tables"

local M = {}

local DB_MAX = 2147483647

local function encode(text)
  return (tostring(text):gsub("[^%w._~-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

-- A % without two hex digits stands for itself; nil: a NUL.
local function decode(text)
  local decoded = text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  return not decoded:find "\0" and decoded or nil
end

-- address("::1", 3306) -> "[::1]:3306"
function M.address(host, port)
  return (host:find(":", 1, true) and "[%s]:%s" or "%s:%s"):format(host, port)
end

-- split("[::1]:3306"[, otherwise]) -> "::1", 3306 | nil; without a port the other one
function M.split(text, otherwise)
  local host, rest = text:match "^%[([%x:.]+)%](.*)$"
  if not host then host, rest = text:match "^([%w%-._\128-\255]+)(.*)$" end
  if not host then return nil end
  local port = rest == "" and otherwise or tonumber(rest:match "^:(%d+)$" or "")
  if not port or port < 1 or port > 65535 then return nil end
  return host, port
end

local protocols = { PLAINTEXT = true, SSL = true, SASL_PLAINTEXT = true, SASL_SSL = true }

-- brokers("a:9092,[::1]:9092") -> the same | nil: as librdkafka reads bootstrap.servers, which says of an
-- address that cannot be only that nobody is there
function M.brokers(text)
  local some = false
  for part in tostring(text):gmatch "[^,]+" do
    local address = part:match "^%s*(.-)%s*$"
    local protocol, behind = address:match "^([%u_]+)://(.*)$"
    if protocol and not protocols[protocol] or not M.split(behind or address, 9092) then return nil end
    some = true
  end
  return some and text or nil
end

-- "user:password@rest" -> user | nil, password | nil, rest; nil when it is malformed
local function login(text)
  local before, rest = text:match "^(.*)@([^@]*)$"
  if not before then return { rest = text } end
  local user, password = before:match "^([^:]*):?(.*)$"
  user, password = decode(user), decode(password)
  return user and password and { user = user, password = password, rest = rest } or nil
end

local function given(text) return text ~= "" and text or nil end

-- ---- TLS ----

local TLS = { "tls", "ca", "cert", "key" }
local is_tls = { off = true, on = true, verify = true }

-- "a?tls=on&ca=x" -> "a", { tls = "on", ca = "x" } | nil when something else is asked for; a ? of
-- the password stands before the @
local function without_tls(text)
  local before, query = text:match "^(.*@[^?@]*)%?([^@]*)$"
  if not before and not text:find "@" then before, query = text:match "^([^?]*)%?(.*)$" end
  if not before then return text, {} end
  local found = {}
  for part in query:gmatch "[^&]+" do
    local key, value = part:match "^(%l+)=([^&=?#%s]+)$"
    value = key and decode(value)
    if not value or not tables.contains(TLS, key) then return nil end
    found[key] = value
  end
  if found.tls and not is_tls[found.tls] then return nil end
  return before, found
end

local function tls_query(who, otherwise)
  local list = {}
  for _, key in ipairs(TLS) do
    if who[key] and not (key == "tls" and who.tls == otherwise) then
      list[#list + 1] = key .. "=" .. encode(who[key])
    end
  end
  return #list > 0 and "?" .. table.concat(list, "&") or ""
end

-- mysql("mysql://user:password@host:port/schema") -> what mysql.connect takes | nil
function M.mysql(text)
  local rest, tls = without_tls(tostring(text):match "^mysql://(.*)$" or "")
  local found = rest and login(rest)
  local at, schema = (found and found.rest or ""):match "^([^/?#]+)/?([^/?#%s%c]*)$"
  local host, port = M.split(at or "", 3306)
  schema = schema and decode(schema)
  if not host or not schema or not found.user then return nil end
  return tables.merged(tls, { host = host, port = port, user = found.user, password = found.password,
    database = given(schema) })
end

local function one_redis(text)
  local at, db = text:match "^([^/]+)/?(%d*)$"
  local host, port = M.split(at or "", 6379)
  local number = math.tointeger(tonumber(db == "" and "0" or db))
  return host and number and number <= DB_MAX and { host = host, port = port, db = number } or nil
end

-- Those of a Redis Cluster that are asked first.
local function some_nodes(text)
  for node in (text .. ","):gmatch "(.-)," do
    if not M.split(node) then return nil end
  end
  return { nodes = text }
end

local readers = { redis = one_redis, rediss = one_redis, ["redis-cluster"] = some_nodes }

-- redis("redis://user:password@host:port/db") -> what redis.connect takes | nil
function M.redis(text)
  local kind, behind = tostring(text):match "^(redis[%a-]*)://(.*)$"
  local read = readers[kind]
  local rest, tls = without_tls(behind or "")
  local found = read and rest and login(rest)
  local at = found and read(found.rest)
  if not at or kind ~= "rediss" and next(tls) then return nil end
  if kind == "rediss" then at = tables.merged({ tls = "verify" }, tls, at) end
  at.user, at.password = given(found.user or ""), given(found.password or "")
  return at
end

-- masked("mysql://a:secret@h") -> "mysql://a:***@h": for what is said of a URL, be it malformed
function M.masked(text)
  return (tostring(text):gsub("^(.-://[^:/@]*):.*@", "%1:***@"))
end

-- write("mysql", {user=, password=, tls=, ca=, cert=, key=}, "host:port", "schema") -> URL
function M.write(scheme, who, address, path)
  local before, query = "", ""
  local tls = who.tls and who.tls ~= "off"
  if scheme == "redis" and tls then scheme = "rediss" end
  if tls then query = tls_query(who, scheme == "rediss" and "verify" or nil) end
  if who.user or who.password then
    before = ("%s:%s@"):format(encode(who.user or ""), encode(who.password or ""))
  end
  return ("%s://%s%s/%s%s"):format(scheme, before, address, encode(path), query)
end

return M
