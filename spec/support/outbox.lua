-- A schema with an outbox in it, a topic, and what is in both: for specs and measurements of the relay.
-- RLAB_TEST_MYSQL and RLAB_TEST_BROKERS say where.
local fs = require "rlab.fs"
local hit_log = require "rlab.failpoint.log"
local http = require "rlab.http"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local patience = require "spec.support.patience"
local process = require "rlab.process"
local task = require "rlab.task"

local Outbox = {}
Outbox.__index = Outbox

local count = 0

local function address()
  local text = assert(os.getenv "RLAB_TEST_MYSQL", "RLAB_TEST_MYSQL is not set")
  local host, port, user, password = text:match "^(%S+):(%d+) (%S+) ?(%S*)$"
  return { host = host, port = math.tointeger(tonumber(port)), user = user, password = password }
end

local function migrate(db)
  for _, name in ipairs { "V1__core.sql", "V4__outbox_topic.sql", "V5__outbox_shard.sql" } do
    local text = must(fs.read("migrations/" .. name)):gsub("%-%-[^\n]*", "")
    for statement in text:gmatch "[^;]+" do
      if statement:find "%S" then must(db:exec(statement)) end
    end
  end
end

local function table_of(first, second)
  local all = {}
  for _, source in ipairs { first, second } do
    for key, value in pairs(source) do all[key] = value end
  end
  return all
end

-- open([{partitions = 3, configs =, mysql = options of another server, hasty = more options of the relay's
-- connections}])
-- -> outbox: .db, .admin, .topic, .mysql (options of a connection), .brokers
local function open(opts)
  opts = opts or {}
  count = count + 1
  local pid = process.self()
  local self = setmetatable({ mysql = opts.mysql or address(), hasty = opts.hasty or {},
    brokers = assert(os.getenv "RLAB_TEST_BROKERS", "RLAB_TEST_BROKERS is not set"),
    topic = ("relay-spec-%d-%d"):format(pid, count), schema = ("relay_spec_%d_%d"):format(pid, count) },
      Outbox)
  self.db = must(mysql.connect(self.mysql))
  must(self.db:exec("CREATE DATABASE " .. self.schema))
  must(self.db:exec("USE " .. self.schema))
  migrate(self.db)
  self.mysql.database = self.schema
  self.admin = must(kafka.admin { brokers = self.brokers, at_most = "60s" })
  must(self.admin:create_topic { name = self.topic, partitions = opts.partitions or 3,
    replication_factor = 3, configs = opts.configs })
  return self
end

-- another connection to the schema
function Outbox:connect()
  return must(mysql.connect(self.mysql))
end

-- add(n, {keys = 10, prefix = "k", db = , payload =, headers =}): rows with event ids 1.. in the order of
-- their insertion; key k<i % keys>
function Outbox:add(n, opts)
  opts = opts or {}
  local db, keys, rows = opts.db or self.db, opts.keys or 10, {}
  for i = 1, n do
    self.events = (self.events or 0) + 1
    local key = opts.key or (opts.prefix or "k") .. i % keys
    local payload = opts.payload or ('{"n":%d}'):format(self.events)
    rows[i] = ("(UUID_TO_BIN('%s'), CRC32('%s') %% 64, '%s', '%s', %s)"):format(self.event_id(self.events),
      key, key, payload, opts.headers or "NULL")
    if #rows == 500 or i == n then
      must(db:exec("INSERT INTO outbox_event (event_id, shard, message_key, payload, headers) VALUES "
        .. table.concat(rows, ",")))
      rows = {}
      if i < n then return self:add(n - i, opts) end
    end
  end
end

-- the id of the n-th event added
function Outbox.event_id(n)
  return ("00000000-0000-7000-8000-%012d"):format(n)
end

-- options of flow_relay.open
function Outbox:options(more)
  local mysql_options = table_of(self.mysql, self.hasty)
  local options = table_of({ name = "relay", topic = self.topic, brokers = self.brokers,
    mysql = mysql_options }, more or {})
  return options
end

function Outbox:count(where)
  return must(self.db:value("SELECT COUNT(*) FROM outbox_event WHERE " .. where))
end

local function headers_of(record)
  local map = {}
  for _, pair in ipairs(record.headers or {}) do map[pair[1]] = pair[2] end
  return map
end

-- records([isolation]) -> list of {id, key, value, headers, partition, offset} of the whole topic by a
--   reader of its own, in the order of each partition
function Outbox:records(isolation)
  local reader <close> = must(kafka.consumer { brokers = self.brokers, group = "none-" .. self.topic,
    enable_auto_commit = false,
    isolation_level = isolation or "read_committed", enable_partition_eof = true, fetch_wait_max_ms = 20 })
  local parts, left, list = {}, {}, {}
  for _, p in ipairs(must(self.admin:topic(self.topic)).partitions) do
    parts[#parts + 1] = { topic = self.topic, partition = p.partition, offset = 0 }
    left[p.partition] = must(task.wait_until(function() -- a commit returns before its markers are written
      local at = self.admin:offsets(self.topic, p.partition)
      return at and at.lso == at.hw and at.hw == at.leo and at.leo
    end, { at_most = "60s", what = "the end of the last transaction" }))
  end
  must(reader:assign(parts))
  while next(left) do
    for record in must(reader:poll(1000, "60s")):each() do
      if record.eof then
        if left[record.partition] and record.offset >= left[record.partition] then
          left[record.partition] = nil
        end
      else
        local headers = headers_of(record)
        list[#list + 1] = { id = headers["event-id"], key = record.key, value = record.value,
          headers = record.headers,
          partition = record.partition, offset = record.offset }
      end
    end
  end
  return list
end

-- await(what, f) -> f's value once it is true
local function await(what, f)
  return must(task.wait_until(f, { at_most = patience, every = "10ms", what = what }))
end

-- settled(mark) -> whether nothing waits to be sent
function Outbox:settled(mark)
  if mark ~= "cursor" then return self:count "published_at IS NULL" == 0 end
  return self:count "published_at IS NULL AND id > (SELECT COALESCE(MIN(position), 0) FROM relay_lease)" == 0
end

-- drained(mark): waits for it
function Outbox:drained(mark)
  await("no unsent row", function() return self:settled(mark) end)
end

-- ---- the service, in a process of its own ----

local Service = {}
Service.__index = Service

-- service({options}, {point = expr}) -> service that has started: .process, .url
function Outbox:service(settings, failpoints)
  self.services = (self.services or 0) + 1
  local my = self.mysql
  local log = ("%s/%s-%d.hits"):format(fs.tmpdir(), self.topic, self.services)
  local armed, cmd = {}, { fs.self_exe(), "service", "relay", "--topic", self.topic, "--port", "0",
    "--failpoints",
    "--name", "relay-" .. self.services, "--die-with-parent", tostring(process.self()) }
  for point, expr in pairs(failpoints or {}) do armed[#armed + 1] = point .. "=" .. expr end
  for key, value in pairs(settings or {}) do
    table.move({ "--set", ("%s=%s"):format(key, tostring(value)) }, 1, 2, #cmd + 1, cmd)
  end
  local child = must(process.spawn { cmd = cmd, stdout = "capture", env = { RLAB_BROKERS = self.brokers,
    RLAB_MYSQL = ("mysql://%s:%s@%s:%d/%s"):format(my.user, my.password, my.host, my.port, my.database),
    RLAB_FAILPOINTS = table.concat(armed, ";"), RLAB_FAILPOINT_LOG = log } })
  local service = setmetatable({ process = child, log = log }, Service)
  for line in child:lines() do
    local message = json.decode(line)
    if message and message.say == "ready" then
      service.url = "http://127.0.0.1:" .. message.port
      return service
    end
  end
  error("the relay did not start: " .. select(2, child:output()))
end

-- hits() -> list of the firings of its failpoints
function Service:hits()
  return hit_log.acted(hit_log.read(self.log))
end

-- metric("marked_total") -> number
function Service:metric(name)
  local answer = must(http.get(self.url .. "/actuator/prometheus"))
  return tonumber(answer.body:match("\nrlab_relay_" .. name .. " (%S+)"))
end

function Service:health()
  local answer = must(http.get(self.url .. "/actuator/health/readiness"))
  return answer.status == 200, answer.body
end

function Service:resume(point)
  assert(must(http.post(("%s/failpoints/%s/resume"):format(self.url, point))).status == 204)
end

function Service:close()
  self.process:close()
  fs.remove(self.log)
end
Service.__close = Service.close

function Outbox:close()
  self.db:exec("DROP DATABASE IF EXISTS " .. self.schema)
  self.db:close()
  self.admin:delete_topics { self.topic }
  self.admin:close()
end

-- ---- what is in a topic ----

-- ids -> how often each is there
local function tally(records)
  local counts = {}
  for _, record in ipairs(records) do counts[record.id] = (counts[record.id] or 0) + 1 end
  return counts
end

local function doubles(records)
  local list = {}
  for id, n in pairs(tally(records)) do
    if n > 1 then list[#list + 1] = id end
  end
  table.sort(list)
  return list
end

-- the ids of a key must come in the order of their insertion, counting first copies only
local function assert_ordered(records)
  local last, seen = {}, {}
  for _, record in ipairs(records) do
    if not seen[record.id] then
      assert(record.id > (last[record.key] or ""),
        ("%s of key %s comes after %s"):format(record.id, record.key, last[record.key] or ""))
      last[record.key], seen[record.id] = record.id, true
    end
  end
end

local function assert_all(o, records, n)
  local counts = tally(records)
  for i = 1, n do assert(counts[o.event_id(i)], "event " .. i .. " is not in the topic") end
end

-- the topic has what the table has
local function assert_as_table(o, records)
  local counts, n = tally(records), 0
  for _, row in ipairs(must(o.db:query "SELECT BIN_TO_UUID(event_id) id FROM outbox_event")) do
    assert(counts[row.id], "event " .. row.id .. " is not in the topic")
    n = n + 1
  end
  assert(n == #records, ("%d rows, %d records"):format(n, #records))
end

return { open = open, address = address, await = await, tally = tally, doubles = doubles,
  assert_ordered = assert_ordered, assert_all = assert_all, assert_as_table = assert_as_table }
