-- A schema, a key prefix and query services of a spec's own, on the servers under test, or on a Redis of
-- its own that a spec may freeze and kill.
local cache = require "rlab.cache"
local flow_load = require "rlab.flow_load"
local fs = require "rlab.fs"
local http = require "rlab.http"
local json = require "rlab.json"
local migrate = require "rlab.stack.migrate"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local process = require "rlab.process"
local redis = require "rlab.redis"
local task = require "rlab.task"

local my_host, my_port, user,
  password = assert(os.getenv "RLAB_TEST_MYSQL",
  "RLAB_TEST_MYSQL is not set"):match "^(.-):(%d+) (%S+) (%S*)$"
local redis_at = assert(os.getenv "RLAB_TEST_REDIS", "RLAB_TEST_REDIS is not set")

local Bed = {}
Bed.__index = Bed

local Query = {}
Query.__index = Query

local count = 0

-- ---- a service ----

function Query:call(method, path, body)
  return must(http.request { method = method, url = self.url .. path, body = body, timeout = "60s" })
end

-- read(account) -> {status =, source =, balance =, version =, age_ms =, ms = how long it took}
function Query:read(account)
  local clock = require "rlab.clock"
  local began = clock.ns()
  local answer = self:call("GET", "/accounts/" .. account)
  local seen = must(json.decode(answer.body))
  seen.status, seen.headers, seen.ms = answer.status, answer.headers, (clock.ns() - began) / 1e6
  return seen
end

-- readers(n, account, f) -> answers: n connections ask at once; f() runs while they wait
function Query:readers(n, account, f)
  local load <close> = must(flow_load.open { url = self.url, readers = n, count = 1, rows = n,
    body = "1KiB", timeout = "60s",
    request = { path = "/accounts/" .. account } })
  if f then f() end
  must(load:wait "60s")
  local answers = {}
  for i, row in ipairs(load:take(n)) do
    answers[i] = row.body and json.decode(row.body) or {}
    answers[i].status, answers[i].outcome = row.status, row.outcome
  end
  return answers
end

function Query:arm(point, expr) assert(self:call("PUT", "/failpoints/" .. point, expr).status == 200) end
function Query:disarm(point) self:call("DELETE", "/failpoints/" .. point) end
function Query:resume(point) assert(self:call("POST", "/failpoints/" .. point .. "/resume").status == 204) end

function Query:hits(point)
  local answer = self:call("GET", "/failpoints/" .. point)
  return answer.status == 200 and json.decode(answer.body).hits or 0
end

function Query:await_hits(point, n)
  must(task.wait_until(function() return self:hits(point) >= n end,
    { at_most = "60s", every = "2ms", what = n .. " hits of " .. point }))
end

-- metric("db_reads") -> number
function Query:metric(name, labels)
  local body = self:call("GET", "/actuator/prometheus").body
  local line = ("\nrlab_query_%s%s "):format(name, labels or "")
  local at = select(2, body:find(line, 1, true)) or error("no metric " .. line)
  return tonumber(body:match("^%S+", at + 1))
end

function Query:total(name) return self:metric(name .. "_total") end

-- ---- the bed ----

-- query{option = value}[, {ill = true}] -> a service that is healthy, unless it may be ill
function Bed:query(settings, options)
  -- the machine may be busy
  local all = { prefix = self.prefix, jitter = 0, ttl = "30s", redis_timeout = "2s", db_timeout = "5s",
    db_wait = "5s" }
  for key, value in pairs(settings or {}) do all[key] = value end
  local config = ("%s/q%d.json"):format(self.dir, #self.services + 1)
  must(fs.write(config, json.encode(all)))
  local child = must(process.spawn { stdout = "capture", stderr = config .. ".log",
    cmd = { fs.self_exe(), "service", "query", "--config", config, "--port", "0", "--failpoints",
      "--die-with-parent", tostring(process.self()) },
    env = { RLAB_REDIS = ("redis://%s%s/0"):format(self.redis_login or "", self.redis_at),
      RLAB_MYSQL = ("mysql://%s:%s@%s:%d/%s"):format(self.mysql.user, self.mysql.password, self.mysql.host,
        self.mysql.port, self.schema) } })
  local line = assert(child:lines()(), "the query service did not start; see " .. config .. ".log")
  local q = setmetatable({ child = child, url = ("http://127.0.0.1:%d"):format(json.decode(line).port),
    log = config .. ".log" }, Query)
  self.services[#self.services + 1] = q
  if options and options.ill then return q end
  must(task.wait_until(function() return q:call("GET", "/actuator/health").status == 200 end,
    { at_most = "60s", every = "5ms", what = "a healthy query" }))
  return q
end

-- account(id, balance, version): its row in account_view
function Bed:account(id, balance, version)
  must(self.db:exec("REPLACE INTO account_view (account_id, balance, version) VALUES (?, ?, ?)", id,
    balance, version))
end

function Bed:entry(id)
  local found = must(cache.read(self.r, self.prefix, id))
  return found ~= require "rlab.null" and found or nil
end

function Bed:expire(id)
  must(self.r:call("DEL", cache.key(self.prefix, id)))
end

function Bed:close()
  for _, q in ipairs(self.services) do
    q.child:cont()
    q.child:kill "KILL"
    q.child:wait "60s"
    q.child:close()
  end
  self.services = {}
  if self.server then
    self.server:cont()
    self.server:kill "KILL"
    self.server:wait "60s"
    self.server:close()
  elseif not self.r:broken() then
    for id in pairs(cache.all(self.r, self.prefix) or {}) do
      self.r:call("DEL", cache.key(self.prefix, id), cache.lease_key(self.prefix, id))
    end
  end
  self.r:close()
  self.db:exec("DROP DATABASE IF EXISTS " .. self.schema)
  self.db:close()
  fs.remove(self.dir)
end
Bed.__close = Bed.close

local function with(list, more)
  local all = {}
  for key, value in pairs(list) do all[key] = value end
  for key, value in pairs(more) do all[key] = value end
  return all
end

function Bed:start_redis()
  local port = tonumber(self.redis_at:match "%d+$")
  self.server = must(process.spawn { stdout = "null", stderr = "null",
    cmd = { "redis-server", "--port", tostring(port), "--bind", "127.0.0.1", "--save", "", "--appendonly",
      "no", "--dir", self.dir } })
  must(task.wait_until(function()
    local r = redis.connect { port = port }
    if r then r:close() end
    return r ~= nil
  end, { at_most = "60s", every = "10ms", what = "a Redis" }))
end

-- open{own_redis = true, mysql = {host, port, user, password} of another server} -> bed
local function open(options)
  options = options or {}
  count = count + 1
  local name = ("spec-query-%d-%d"):format(process.self(), count)
  local self = setmetatable({ prefix = name .. ":", schema = name:gsub("-", "_"), services = {},
    redis_at = redis_at }, Bed)
  self.mysql = options.mysql or { host = my_host, port = math.tointeger(tonumber(my_port)), user = user,
    password = password }
  self.dir = must(fs.tmpdir "query")
  self.db = must(mysql.connect(with(self.mysql, {})))
  must(self.db:exec("CREATE DATABASE " .. self.schema))
  must(self.db:exec("USE " .. self.schema))
  for _, file in ipairs(migrate.files()) do
    local text = file.text:gsub("%-%-[^\n]*", "")
    for statement in text:gmatch "[^;]+" do
      if statement:find "account_view" then must(self.db:exec(statement)) end
    end
  end
  if options.own_redis then
    self.redis_at = "127.0.0.1:" .. must(process.free_ports(1))[1]
    self:start_redis()
  end
  local host, port = self.redis_at:match "^(.*):(%d+)$"
  self.r = must(redis.connect { host = host, port = math.tointeger(tonumber(port)), timeout = "20s" })
  return self
end

return { open = open }
