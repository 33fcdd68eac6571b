-- The pipeline that a canary sends its commands through: rlab's command service, relay and consumer in a
-- namespace of its own on the stack, with a reader of the topic and a connection to MySQL that none of them
-- uses. What dies is started again; close() removes all.
local entry = require "rlab.lab.entry"
local lab_of = require "rlab.lab"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local null = require "rlab.null"
local task = require "rlab.task"

local M = {}

local Pipeline = {}
Pipeline.__index = Pipeline

local SERVICES = { "command", "relay", "consumer" }

local ACCOUNT = 1
-- Records that were read are of no use: rounds that are removed leave nothing behind that grows.
local TOPIC = { ["retention.ms"] = "3600000", ["segment.ms"] = "600000" }
-- One command at a time needs no more; their logs are of one namespace and last as long as the canary.
local SETTINGS = { command = { pool = 2, log_level = "warn" }, relay = { log_level = "warn" },
  consumer = { workers = 1, log_level = "warn" } }

local EFFECTS = [[SELECT CAST(l.request_id AS CHAR) AS id, o.published_at IS NOT NULL AS sent, o.parked_reason
    AS parked, COALESCE(e.n, 0) AS effects
  FROM ledger_entry l LEFT JOIN outbox_event o ON o.event_id = l.event_id
    LEFT JOIN (SELECT event_id, COUNT(*) AS n FROM effect_log GROUP BY event_id) e ON e.event_id = l.event_id
  WHERE l.request_id IN (%s)]]

-- The records of rounds that are over may come once more; they have no row in the ledger by then.
local FORGOTTEN = { "DELETE FROM ledger_entry WHERE request_id IN (%s)",
  "DELETE FROM outbox_event WHERE published_at IS NOT NULL AND event_id NOT IN \z
    (SELECT event_id FROM ledger_entry)",
  "DELETE FROM processed_event WHERE event_id NOT IN (SELECT event_id FROM ledger_entry)",
  "DELETE FROM effect_log WHERE event_id NOT IN (SELECT event_id FROM ledger_entry)" }

local function marks(ids) return ("?, "):rep(#ids - 1) .. "?" end

local function ids_of(batch, read)
  for record in batch:each() do
    local id = not (record.err or record.eof) and record:header "request-id"
    if id then read(id) end
  end
end

-- What it cannot read just now it reads later: librdkafka dials until somebody answers.
local function follow(consumer, read)
  while true do
    local batch = consumer:poll(100, "100ms")
    if batch then ids_of(batch, read) else task.sleep "100ms" end
  end
end

local function start_reader(self, read)
  local consumer = self.lab:consumer { group = self.lab:name "canary", enable_auto_commit = false,
    fetch_wait_max_ms = 50 }
  must(consumer:assign { { topic = self.lab:event_topic(), partition = 0, offset = "earliest" } })
  self.reader = task.spawn(follow, consumer, read)
end

local function start_services(self)
  task.group(function(group)
    for _, name in ipairs(SERVICES) do
      group:spawn(function() self.services[name] = self.lab:service(name, SETTINGS[name]) end)
    end
  end)
end

-- A group that is to form and a topic that nobody knows yet take seconds once: no round is judged by that.
local function warm_up(self, id)
  local answer, why = self:command(id, "10s")
  if answer ~= "ok" then self.lab:give_up("the first command of the canary was not taken: %s", why) end
  self.lab:await("the effect of its first command", function()
    local found = self:ask { id }
    return self.warm and found and found[id] and found[id].effects > 0
  end, "60s")
  self:forget { id }
end

-- open(session, read) -> pipeline, ready: read(request id) is called for each record of the topic. The
--   session (rlab.run.session) is an onlooker's, open
function M.open(session, read)
  local self = setmetatable({ lab = lab_of.new(session, nil), services = {} }, Pipeline)
  local ok, failure = pcall(function()
    local lab = self.lab
    lab:event_topic { partitions = 1, configs = TOPIC }
    lab:accounts(ACCOUNT)
    self.pool = mysql.pool(lab.stack:mysql_opts { database = lab:schema(), size = 1, wait = "2s",
      connect_timeout = "2s", read_timeout = "2s", write_timeout = "2s" })
    start_services(self)
    local first = lab:name "first"
    start_reader(self, function(id)
      self.warm = self.warm or id == first
      read(id)
    end)
    warm_up(self, first)
  end)
  if ok then return self end
  self:close()
  error(failure, 0)
end

-- pipeline:stand(): each service runs; one that ended is started again. Raises why one does not start.
function Pipeline:stand()
  for name, service in pairs(self.services) do
    if not service:alive() then self.services[name] = service:restart() end
  end
end

-- pipeline:command(id, at_most) -> "ok" | "fail" | "info", why
function Pipeline:command(id, at_most)
  local kind, why, answer = entry.send(self.services.command.url, { id = id, account = ACCOUNT, amount = 1 },
    at_most)
  if kind == "info" and not answer then why = "its answer has not come" end
  return kind, why
end

-- pipeline:ask(ids) -> {[id] = {sent, parked, effects}} of those that the ledger has | nil, why
function Pipeline:ask(ids)
  local rows, failure = self.pool:query(EFFECTS:format(marks(ids)), table.unpack(ids))
  if not rows then return nil, failure.message end
  local found = {}
  for _, row in ipairs(rows) do
    found[row.id] = { sent = row.sent == 1, parked = row.parked ~= null and row.parked or nil,
      effects = row.effects }
  end
  return found
end

-- pipeline:forget(ids): their rows in all tables; what cannot be removed now goes with the schema
function Pipeline:forget(ids)
  if #ids == 0 then return end
  for i, sql in ipairs(FORGOTTEN) do
    local done = self.pool:exec(i == 1 and sql:format(marks(ids)) or sql, table.unpack(i == 1 and ids or {}))
    if not done then return end
  end
end

function Pipeline:close()
  if self.reader then
    self.reader:cancel()
    self.reader:join()
  end
  if self.pool then self.pool:close() end
  return self.lab:close()
end

return M
