-- A schema of its own, topics and events for specs of the services on a running stack.
local fs = require "rlab.fs"
local hit_log = require "rlab.failpoint.log"
local http = require "rlab.http"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local migrate = require "rlab.stack.migrate"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local patience = require "spec.support.patience"
local process = require "rlab.process"
local rng = require "rlab.rng"
local task = require "rlab.task"

local M = {}
M.__index = M

local brokers = assert(os.getenv "RLAB_TEST_BROKERS", "RLAB_TEST_BROKERS is not set")
local my_host, my_port, user,
  password = assert(os.getenv "RLAB_TEST_MYSQL",
  "RLAB_TEST_MYSQL is not set"):match "^(.-):(%d+) (%S+) (%S*)$"
local redis_host, redis_port = assert(os.getenv "RLAB_TEST_REDIS",
  "RLAB_TEST_REDIS is not set"):match "^(.*):(%d+)$"

M.brokers = brokers
M.redis = { host = redis_host, port = math.tointeger(tonumber(redis_port)) }
M.mysql = { host = my_host, port = math.tointeger(tonumber(my_port)), user = user, password = password }

local count = 0

local function with(table, more)
  local all = {}
  for key, value in pairs(table) do all[key] = value end
  for key, value in pairs(more) do all[key] = value end
  return all
end

-- On a server of one's own there is no template of the stack.
local function run_migrations(db, schema)
  for _, statement in ipairs { "CREATE DATABASE " .. schema, "USE " .. schema } do
    must(db:exec(statement))
  end
  for _, file in ipairs(migrate.files()) do
    for statement in (file.text:gsub("%-%-[^\n]*", "") .. ";"):gmatch "%s*([^;]+);" do
      if statement:find "%S" then must(db:exec(statement)) end
    end
  end
end

-- open(word[, {partitions = 3, topics = {"retry.5s", ...}, mysql = options, redis = options}]) -> ledger:
--   .topic, .schema, .db, .mysql, .group, .prefix
function M.open(word, options)
  options = options or {}
  count = count + 1
  local self = setmetatable({}, M)
  local name = ("spec-%s-%d-%d"):format(word, process.self(), count)
  self.topic, self.group, self.prefix = name, name, name .. ":"
  self.schema = name:gsub("-", "_")
  self.admin = must(kafka.admin { brokers = brokers, at_most = "60s" })
  self.topics = { name }
  for _, suffix in ipairs(options.topics or {}) do self.topics[#self.topics + 1] = name .. "." .. suffix end
  for _, topic in ipairs(self.topics) do
    must(self.admin:create_topic { name = topic, partitions = options.partitions or 3,
      replication_factor = 3 })
  end
  self.db = must(mysql.connect(with(options.mysql or M.mysql, {})))
  must(self.db:exec("DROP DATABASE IF EXISTS " .. self.schema))
  if options.mysql then
    run_migrations(self.db, self.schema)
  else
    must(migrate.clone(self.db,
      must(migrate.template { home = os.getenv "RLAB_HOME" or ".rlab", mysql = M.mysql }), self.schema))
  end
  self.mysql, self.redis = with(options.mysql or M.mysql, { database = self.schema }),
    options.redis or M.redis
  self.producer = must(kafka.producer { brokers = brokers, acks = "all", linger_ms = 0 })
  self.rng, self.versions, self.balances = rng.new(options.seed or 7), {}, {}
  return self
end

function M:close()
  self.producer:close()
  self.db:exec("DROP DATABASE IF EXISTS " .. self.schema)
  self.db:close()
  self.admin:delete_topics(self.topics)
  self.admin:close()
end
M.__close = M.close

-- event(n, account, amount) -> {id =, account =, amount =, version =, balance =}
function M:event(n, account, amount)
  local version = (self.versions[account] or 0) + 1
  local balance = (self.balances[account] or 0) + amount
  self.versions[account], self.balances[account] = version, balance
  return { id = ("00000001-0000-7000-8000-%012x"):format(n), n = n, account = account, amount = amount,
    version = version, balance = balance }
end

function M:record(event, more)
  return with({ topic = self.topic, key = tostring(event.account),
    headers = { { "event-id", event.id }, { "request-id", "cmd-" .. event.n } },
    value = json.encode { event_id = event.id, account_id = event.account, amount = event.amount,
      balance = event.balance, version = event.version,
      request_id = "cmd-" .. event.n, type = "entry" } }, more or {})
end

-- transfer(n, from, to, amount, partition) -> event with two legs, published
function M:transfer(n, from, to, amount, partition)
  local id = ("00000003-0000-7000-8000-%012x"):format(n)
  local event = { id = id, n = n, from = from, to = to, amount = amount, partition = partition }
  must(self.producer:send { topic = self.topic, partition = partition, key = tostring(from),
    headers = { { "event-id", id } },
    value = json.encode { event_id = id, type = "transfer", from = from, to = to, amount = amount,
      version = n } })
  return event
end

-- publish(count[, {accounts = 10, partition =}]) -> list of events, with their place
function M:publish(n, options)
  options = options or {}
  local list = {}
  for i = 1, n do
    local account = self.rng:int(1, options.accounts or 10)
    local event = self:event((self.published or 0) + i, account, self.rng:int(1, 500))
    local report = must(self.producer:send(self:record(event, { partition = options.partition })))
    event.partition, event.offset = report.partition, report.offset
    list[i] = event
  end
  self.published = (self.published or 0) + n
  return list
end

-- until_(what, f[, at_most]): f() becomes true in time
function M.until_(what, f, at_most)
  at_most = at_most or patience
  local ok = task.timeout(at_most, function()
    while not f() do task.sleep "10ms" end
    return true
  end)
  if not ok then error(what .. ": not within " .. at_most, 2) end
end

function M:count(table) return must(self.db:value("SELECT COUNT(*) FROM " .. table)) end

-- effects() -> how often each event id is in effect_log
function M:effects()
  local found = {}
  for _, row in ipairs(must(self.db:query "SELECT BIN_TO_UUID(event_id) AS id, COUNT(*) AS n FROM \z
    effect_log GROUP BY event_id")) do
    found[row.id] = row.n
  end
  return found
end

-- committed([topic[, partition]]) -> sum of the group's offsets
function M:committed(topic, partition)
  local sum = 0
  for _, row in ipairs(must(self.admin:group_offsets(self.group))) do
    local asked = row.topic == (topic or self.topic) and (not partition or row.partition == partition)
    if asked and row.offset and row.offset > 0 then sum = sum + row.offset end
  end
  return sum
end

-- ---- services as processes ----

local Service = {}
Service.__index = Service

-- service(name, settings[, failpoints]) -> service that is ready: .url, .process
function M:service(name, settings, failpoints)
  local points = {}
  for point, expr in pairs(failpoints or {}) do points[#points + 1] = point .. "=" .. expr end
  local at, log = self.mysql, os.tmpname()
  local config = os.tmpname()
  must(fs.write(config, json.encode(with({ topic = self.topic, group = self.group, prefix = self.prefix },
    settings or {}))))
  local started = setmetatable({ log = log, hits_path = os.tmpname() }, Service)
  started.process = must(process.spawn { stdout = "capture", stderr = log,
    cmd = { fs.self_exe(), "service", name, "--config", config, "--port", "0", "--failpoints",
      "--die-with-parent", tostring(process.self()) },
    env = { RLAB_BROKERS = settings and settings.brokers or brokers,
      RLAB_FAILPOINTS = table.concat(points, ";"),
      RLAB_REDIS = ("redis://%s:%d/0"):format(self.redis.host, self.redis.port),
      RLAB_FAILPOINT_LOG = started.hits_path, RLAB_LOG = "json",
      RLAB_MYSQL = ("mysql://%s:%s@%s:%d/%s"):format(at.user, at.password, at.host, at.port, at.database) } })
  for line in started.process:lines() do
    local said = json.decode(line)
    if said and said.say == "ready" then
      started.url = ("http://127.0.0.1:%d"):format(said.port)
      break
    end
  end
  os.remove(config)
  if not started.url then error(name .. " did not start: " .. tostring(fs.read(log)), 2) end
  return started
end

-- hits() -> list of what fired: {point =, action =, ctx...}
function Service:hits()
  return hit_log.acted(hit_log.read(self.hits_path))
end

function Service:text() return fs.read(self.log) or "" end

-- metric(name) -> its value; of several labels the sum
function Service:metric(name)
  local sum
  for key, value in must(http.get(self.url .. "/actuator/prometheus",
    { timeout = "20s" })).body:gmatch "\n([^#%s][^%s]*) ([^\n]+)" do
    if key:match "^[%w_:]+" == name then sum = (sum or 0) + tonumber(value) end
  end
  return sum
end

function Service:health()
  local answer = must(http.get(self.url .. "/actuator/health", { timeout = "20s" }))
  return answer.status == 200, answer.body
end

function Service:failpoint(name, expr)
  must(http.request { method = expr and "PUT" or "DELETE", url = self.url .. "/failpoints/" .. name,
    body = expr })
end

function Service:resume(name) must(http.post(self.url .. "/failpoints/" .. name .. "/resume", "")) end

-- await(signal) -> the status once it has ended
function Service:await(at_most)
  return assert(self.process:wait(at_most or "60s"), "it did not end in time")
end

-- stop() -> status after SIGTERM
function Service:stop()
  self.process:kill "TERM"
  return self:await()
end

function Service:__close()
  if not self.process:wait "0s" then self.process:kill "KILL" end
  self.process:wait "60s"
  os.remove(self.log)
  os.remove(self.hits_path)
end

return M
