-- Services on the test stack: a schema of the spec's own, and services as children that are reached over
-- HTTP.
local fs = require "rlab.fs"
local http = require "rlab.http"
local json = require "rlab.json"
local migrate = require "rlab.stack.migrate"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local process = require "rlab.process"
local tables = require "rlab.tables"

local M = {}

local Service = {}
Service.__index = Service

local function stack()
  return must(require("rlab.stack").open { needs = { "kafka", "mysql", "redis" }, start = true })
end

local Ledger = {}
Ledger.__index = Ledger

-- new(word) -> ledger{stack, schema, db}: close() removes the schema
function M.new(word)
  local s = stack()
  local at, name = s.mysql, ("spec_%s_%s"):format(word, require("rlab.uuid").v7():gsub("-", ""))
  local db = must(mysql.connect { host = at.host, port = at.port, user = at.user, password = at.password })
  must(migrate.clone(db, must(migrate.template(s)), name))
  return setmetatable({ stack = s, schema = name, db = db,
    mysql = ("mysql://%s:%s@%s:%d/%s"):format(at.user, at.password, at.host, at.port, name) }, Ledger)
end

function Ledger:close()
  must(self.db:exec("DROP DATABASE IF EXISTS " .. self.schema))
  self.db:close()
end

function Ledger:value(...)
  return must(self.db:value(...))
end

-- spawn(name, {option = value}, {env = value}) -> Service that has said it is ready
function M.spawn(name, options, env)
  local cmd = { fs.self_exe(), "service", name, "--port", "0", "--die-with-parent", tostring(process.self()) }
  if name == "consumer" then options = tables.merged({ cache = "none" }, options) end
  for key, value in pairs(options or {}) do cmd[#cmd + 1] = ("--%s=%s"):format(key:gsub("_", "-"), value) end
  local child = must(process.spawn { cmd = cmd, env = env, stdout = "capture", stderr = "capture" })
  local line = child:lines()()
  if not line then error(select(2, child:output()), 2) end
  local ready = must(json.decode(line))
  return setmetatable({ child = child, pid = ready.pid, port = ready.port,
    url = ("http://127.0.0.1:%d"):format(ready.port) }, Service)
end

-- ledger:start(name, {option = value}, {env = value}) -> Service on this schema
function Ledger:start(name, options, env)
  local all = { failpoints = true, mysql = self.mysql, brokers = self.stack.kafka.brokers,
    redis = ("redis://%s:%d/0"):format(self.stack.redis.host, self.stack.redis.port) }
  for key, value in pairs(options or {}) do all[key] = value end
  return M.spawn(name, all, env)
end

-- service:call(method, path, body or nil, headers) -> status, decoded body, answer | nil, err
function Service:call(method, path, body, headers)
  if type(body) == "string" then
    headers = tables.merged({ ["content-type"] = "application/json" }, headers)
  end
  local answer, failure = http.request { method = method, url = self.url .. path, headers = headers,
    timeout = "60s",
    body = type(body) == "string" and body or nil, json = type(body) == "table" and body or nil }
  if not answer then return nil, failure end
  return answer.status, (json.decode(answer.body)), answer
end

function Service:metric(name)
  local text = must(http.get(self.url .. "/actuator/prometheus")).body
  return tonumber(("\n" .. text):match("\n" .. name:gsub("[%-%.%+%*%?%^%$%(%)%%{}%[%]]", "%%%0") .. " (%S+)"))
end

function Service:close()
  self.child:close()
end
Service.__close = Service.close

return M
