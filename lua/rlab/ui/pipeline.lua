-- What waits between the stores: the outbox by schema, the dead-letter topics and what a re-drive of one
-- would do, and the cached accounts beside the rows that they stand for.
local cache = require "rlab.cache"
local clock = require "rlab.clock"
local dlq = require "rlab.dlq"
local json = require "rlab.json"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local null = require "rlab.null"
local preview = require "rlab.replay.preview"
local replay = require "rlab.replay"
local sql_name = require "rlab.sql_name"

local M = {}

local Pipeline = {}
Pipeline.__index = Pipeline

local SHOWN, SCHEMAS = 200, 20 -- rows and keys that are shown at most; schemas whose outbox is counted
local ROUNDS = 20 -- of a SCAN, so that a large keyspace is not read whole again and again
local MAX_REPLAYS = 3

-- new(clients) -> pipeline; clients: rlab.repl.clients
function M.new(clients)
  local words = {}
  require "rlab.repl.words.stores"({ clients = clients }, words)
  return setmetatable({ clients = clients, words = words }, Pipeline)
end

local function value_of(value) return value ~= null and value or nil end

-- ---- the outbox ----

M.OUTBOX = [[SELECT COUNT(*) AS waiting, TIMESTAMPDIFF(MICROSECOND, MIN(created_at), NOW(6)) / 1e6 AS oldest,
  (SELECT COUNT(*) FROM %s.outbox_event WHERE parked_reason IS NOT NULL) AS parked
  FROM %s.outbox_event WHERE published_at IS NULL]]

local function outbox_of(self, schema)
  local name = sql_name(schema)
  local row, failure = self.words.sql(M.OUTBOX:format(name, name))
  if not row then return { schema = schema, note = failure.message } end
  row = row[1]
  return { schema = schema, waiting = row.waiting, oldest = tonumber(value_of(row.oldest)),
    parked = row.parked }
end

-- the schemas that have an outbox, the stack's own first
local function schemas_of(self)
  local rows = must(self.words.sql [[SELECT TABLE_SCHEMA AS name FROM information_schema.TABLES
    WHERE TABLE_NAME = 'outbox_event'
    AND TABLE_SCHEMA NOT LIKE 'rlab\\_template\\_%' ORDER BY CREATE_TIME DESC]])
  local own, names = self.clients:stack().mysql.database, {}
  for _, row in ipairs(rows) do
    if row.name == own then table.insert(names, 1, own) else names[#names + 1] = row.name end
  end
  return names
end

-- pipeline:outbox() -> {rows = {schema, waiting, oldest in s, parked}, more}
function Pipeline:outbox()
  local names, rows = schemas_of(self), json.array {}
  for i = 1, math.min(#names, SCHEMAS) do rows[i] = outbox_of(self, names[i]) end
  return { rows = rows, more = math.max(0, #names - SCHEMAS) }
end

-- ---- dead letters ----

local function topic_of(name) return name:match "^(.+)%.dlq$" end

-- pipeline:dead() -> rows {topic, dlq, waiting}
function Pipeline:dead()
  local admin, rows = must(self.clients:open "admin"), json.array {}
  local names = must(admin:topics())
  table.sort(names)
  for _, name in ipairs(names) do
    local topic = topic_of(name)
    if topic and #rows < SHOWN then
      local waiting, failure = replay.lag(admin, name, dlq.replay_group(topic))
      rows[#rows + 1] = { topic = topic, dlq = name, waiting = waiting, note = failure and failure.message }
    end
  end
  return rows
end

-- settings(topic) -> what rlab.replay.new takes to re-drive the dead letters of a topic
function Pipeline:settings(topic)
  return { brokers = self.clients:stack().kafka.brokers, topic = topic, dlq = dlq.dlq_topic(topic),
    group = dlq.replay_group(topic), target = "original", guard = true, max = MAX_REPLAYS, batch = 1,
    follow = false }
end

-- A look into processed_event where there is one; why there was none.
local function dedup(self, rows, schema)
  local stack = self.clients:stack()
  if not stack.mysql then return "MySQL is not running" end
  local db <close>, failure = mysql.connect(stack:mysql_opts { database = schema })
  local ok = db
  if db then ok, failure = preview.deduped(db, rows) end
  return not ok and failure.message or nil
end

-- pipeline:preview(topic, schema) -> {rows, total, counts, max, unknown = why dedup is not known}: what a
--   re-drive would do now, and the dedup by what that schema holds
function Pipeline:preview(topic, schema)
  local admin, o = must(self.clients:open "admin"), self:settings(topic)
  o.limit = SHOWN
  local rows, total = preview.rows(admin, o)
  must(rows, total)
  local unknown = dedup(self, rows, schema)
  return { topic = topic, rows = json.array(rows), total = total, counts = preview.counts(rows),
    max = MAX_REPLAYS, unknown = unknown }
end

-- ---- the cache ----

-- The schema whose rows the keys with a prefix stand for: a run names both alike (lab:schema, lab:prefix).
local function schema_of(self, prefix)
  if prefix == "" then return self.clients:stack().mysql.database end
  local run = prefix:match "^(.+)%-cache:$"
  return run and (run .. "-ledger"):gsub("[^%w]", "_") or nil
end

local function entry_row(self, r, key)
  local prefix, account = key:match "^(.*)account:{(%d+)}$"
  account = math.tointeger(tonumber(account))
  local entry = account and must(cache.read(r, prefix, account))
  if not entry or entry == null then return nil end
  local age = entry.stored and math.max(0, clock.unix_ms() - entry.stored) / 1000
  return { key = key, account = account, schema = schema_of(self, prefix), state = entry.state,
    version = entry.version, balance = entry.balance, age = age, ttl = must(r:call("PTTL", key)) / 1000 }
end

local function scanned(self)
  local r, rows, cursor = must(self.clients:open "redis"), {}, "0"
  for _ = 1, ROUNDS do
    local reply = must(r:call("SCAN", cursor, "MATCH", "*account:{*}", "COUNT", 1000))
    cursor = reply[1]
    for _, key in ipairs(reply[2]) do
      rows[#rows + 1] = entry_row(self, r, key)
      if #rows >= SHOWN then return rows, true end
    end
    if cursor == "0" then return rows, false end
  end
  return rows, true
end

-- What the row and the entry say of each other, by version and never by age.
local function judged(row)
  if row.note then return "not known" end
  if row.state == "tombstone" then return "no value" end
  if not row.row_version then return row.state == "negative" and "fresh" or "no row" end
  if row.state == "negative" or not row.version then return "stale" end
  if row.version == row.row_version then return "fresh" end
  return row.version < row.row_version and "stale" or "ahead"
end

local function view_of(self, schema, ids)
  local marks = ("?, "):rep(#ids):sub(1, -3)
  local found, failure = self.words.sql(("SELECT account_id AS id, version, balance FROM %s.account_view \z
    WHERE account_id IN (%s)"):format(sql_name(schema), marks), table.unpack(ids))
  if not found then return nil, failure.message end
  local by_id = {}
  for _, row in ipairs(found) do by_id[row.id] = row end
  return by_id
end

local function with_rows(self, rows)
  local by_schema = {}
  for _, row in ipairs(rows) do
    if row.schema then
      by_schema[row.schema] = by_schema[row.schema] or {}
      table.insert(by_schema[row.schema], row)
    else
      row.note = "whose row it stands for is not known"
    end
  end
  for schema, list in pairs(by_schema) do
    local ids = {}
    for i, row in ipairs(list) do ids[i] = row.account end
    local view, why = view_of(self, schema, ids)
    for _, row in ipairs(list) do
      local found = view and view[row.account]
      row.note, row.row_version, row.row_balance = why, found and found.version, found and found.balance
    end
  end
end

local ORDER = { stale = 1, ahead = 2, ["no row"] = 3, ["not known"] = 4, ["no value"] = 5, fresh = 6 }

-- pipeline:cached() -> {rows {key, account, schema, state, version, balance, age, ttl, row_version,
--   row_balance, judged}, cut}: those that are not fresh first
function Pipeline:cached()
  local rows, cut = scanned(self)
  with_rows(self, rows)
  for _, row in ipairs(rows) do row.judged = judged(row) end
  table.sort(rows, function(a, b)
    if a.judged ~= b.judged then return ORDER[a.judged] < ORDER[b.judged] end
    return a.key < b.key
  end)
  return { rows = json.array(rows), cut = cut }
end

M.judged = judged

return M
