-- The services' stores in MySQL: a schema of the arm's own, and what the census reads from it, over
-- connections that no service uses.
local migrate = require "rlab.stack.migrate"
local must = require "rlab.must"
local task = require "rlab.task"

local M = {}

local function connect(lab, database)
  return must(require("rlab.mysql").connect(lab.stack:mysql_opts { database = database }))
end

-- schema() -> the name of the arm's schema, copied from the migrated template when it is first asked for;
--   removed after the run.
function M.schema(lab)
  if lab.schema_name then return lab.schema_name end
  local name = (lab:name "ledger"):gsub("[^%w]", "_")
  lab.run.ledger:add("database", name)
  local db = lab:own(connect(lab))
  must(migrate.copy(db, lab.run:recipe(), name))
  lab.schema_name, lab.schema_db = name, db
  return name
end

-- db() -> the observer's connection to the arm's schema
function M.db(lab)
  lab:schema()
  return lab.schema_db
end

-- peak_status("Threads_running", f) -> the highest that this status variable of MySQL was while f() ran
function M.peak_status(lab, variable, f)
  local most, over = 0, false
  local db = lab:own(connect(lab))
  local watch = lab:background(variable, function()
    while not over do
      most = math.max(most, tonumber(
        must(db:query("SHOW GLOBAL STATUS WHERE Variable_name = ?", variable))[1].Value))
      task.sleep "1ms"
    end
  end)
  f()
  over = true
  watch:join()
  return most
end

-- ---- reading ----

local function is_id(column)
  return column == "event_id"
end

local function select_of(column)
  return is_id(column) and ("BIN_TO_UUID(%s) AS %s"):format(column, column) or column
end

-- effects(event) -> how often the event was applied
function M.effects(lab, event)
  return must(lab:db():value("SELECT COUNT(*) FROM effect_log WHERE event_id = UUID_TO_BIN(?)", event))
end

-- A table's natural order is its first key's: what was written first comes first.
local orders = { ledger_entry = "id", outbox_event = "id", effect_log = "seq",
  processed_event = "processed_at", account = "id", account_view = "account_id" }

-- rows("effect_log.event_id", {with = {"account_id", "version"}, where = "member = 'a'"}) -> list of
--   values, or of rows {id =, account_id =, ...} when more columns are asked for. Event ids are text.
function M.rows(lab, path, opts)
  opts = opts or {}
  local name, column = path:match "^([%w_]+)%.([%w_]+)$"
  if not name then error(("lab:rows: '%s' is no table.column"):format(tostring(path)), 2) end
  local columns = { select_of(column) }
  for _, more in ipairs(opts.with or {}) do columns[#columns + 1] = select_of(more) end
  local sql = ("SELECT %s FROM %s%s%s"):format(table.concat(columns, ", "), name,
    opts.where and " WHERE " .. opts.where or "",
    orders[name] and " ORDER BY " .. orders[name] or "")
  local list = {}
  for i, row in ipairs(must(lab:db():query(sql))) do
    local id = row[column]
    if opts.with then
      row[column], row.id = nil, id
      list[i] = row
    else
      list[i] = id
    end
  end
  return list
end

local reads = {
  ledger = [[SELECT request_id AS id, BIN_TO_UUID(event_id) AS event, account_id AS `key`, amount, version
    FROM ledger_entry ORDER BY id]],
  outbox = [[SELECT BIN_TO_UUID(event_id) AS event, CAST(message_key AS CHAR) AS `key`,
    published_at IS NOT NULL AS sent, parked_reason AS parked, topic FROM outbox_event ORDER BY id]],
  processed = [[SELECT BIN_TO_UUID(event_id) AS event, consumer FROM processed_event]],
  effects = [[SELECT BIN_TO_UUID(event_id) AS event, account_id AS `key`, version, member
    FROM effect_log ORDER BY seq]],
  accounts = [[SELECT id AS `key`, balance, version FROM account ORDER BY id]],
  views = [[SELECT account_id AS `key`, balance, version, entries FROM account_view ORDER BY account_id]],
}

local sums = {
  ledger = "SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) AS s FROM ledger_entry",
  account = "SELECT CAST(COALESCE(SUM(balance), 0) AS SIGNED) AS s FROM account",
  view = "SELECT CAST(COALESCE(SUM(balance), 0) AS SIGNED) AS s FROM account_view",
}

-- Rows are named by the id that a person knows, the request's; an event that the ledger does not know keeps
-- its own id.
local function name_rows(stores)
  local request = {}
  for _, row in ipairs(stores.ledger) do request[row.event] = row.id end
  for _, list in ipairs { stores.outbox, stores.processed, stores.effects } do
    for _, row in ipairs(list) do row.id = request[row.event] or row.event end
  end
  stores.request = request
end

-- A row of the outbox that names no topic goes to the relay's.
local function name_topics(lab, outbox)
  for _, row in ipairs(outbox) do
    if type(row.topic) ~= "string" then row.topic = lab.topic_of_events end
  end
end

-- stores() -> what the arm's schema holds, in one consistent snapshot: ledger, outbox, processed, effects
--   (rows with id, the request's, and event; of the outbox also topic), accounts, views (rows with key,
--   balance, version), sums {ledger, account, view}, request (request id by event id)
function M.stores(lab)
  local db = lab:db()
  return must(db:tx(function()
    local stores = { sums = {} }
    for name, sql in pairs(reads) do
      local rows = must(db:query(sql))
      stores[name] = {}
      for i, row in ipairs(rows) do stores[name][i] = row end
    end
    for name, sql in pairs(sums) do stores.sums[name] = must(db:value(sql)) end
    name_rows(stores)
    name_topics(lab, stores.outbox)
    return stores
  end, { snapshot = true, read_only = true }))
end

-- A record of somebody who gave it neither an id nor a value is called by where it is.
local function name_of(record, value)
  local id = record.request or value.request_id or record.id
  return type(id) == "string" and id or ("%s/%d@%d"):format(record.topic, record.partition, record.offset)
end

-- records(topic, opts) -> the events of a topic by the independent reader, in log order: rows with id (the
--   request's), event, key, version, amount, partition, offset, timestamp; opts as of lab:read
function M.records(lab, topic, opts)
  local json, list = require "rlab.json", {}
  for i, record in ipairs(lab:read(topic, opts).records) do
    local ok, value = pcall(json.decode, record.value)
    value = ok and type(value) == "table" and value or {}
    list[i] = { id = name_of(record, value), event = record.id, key = record.key,
      version = value.version, amount = value.amount, topic = record.topic, partition = record.partition,
      offset = record.offset, timestamp = record.timestamp }
  end
  return list
end

-- redis() -> the observer's connection to Redis, closed with the arm
function M.redis(lab)
  if not lab.redis_conn then
    lab.redis_conn = lab:own(must(require("rlab.redis").connect(lab.stack:redis_opts { timeout = "5s" })))
  end
  return lab.redis_conn
end

-- registry() -> the observer's Schema Registry, closed with the arm
function M.registry(lab)
  if not lab.registry_client then
    if not lab.stack.registry then error("lab:registry: the experiment's needs have no registry", 2) end
    lab.registry_client = lab:own(require("rlab.schema").open { url = lab.stack.registry.url,
      timeout = "20s" })
  end
  return lab.registry_client
end

-- Of a cluster each primary knows its own keys.
local function caches(lab)
  if lab.stack.redis and not lab.cached_in_cluster then return { lab:redis() } end
  local list = {}
  for i, node in ipairs(lab:cluster():primaries()) do list[i] = node.conn end
  return list
end

-- cache() -> rows {key, balance, version, state, stored_as = the key in Redis} of the accounts in the arm's
--   part of Redis
function M.cache(lab)
  local list = {}
  local cache, prefix = require "rlab.cache", lab:prefix()
  for _, redis in ipairs(caches(lab)) do
    for id, entry in pairs(must(cache.all(redis, prefix))) do
      list[#list + 1] = { key = id, balance = entry.balance, version = entry.version, state = entry.state,
        stored_as = cache.key(prefix, id) }
    end
  end
  table.sort(list, function(a, b) return a.key < b.key end)
  return list
end

-- drift(cache, views) -> rows {id, off} of the accounts whose entry holds another balance than the view, and
--   how far they are off in all
function M.drift(_, cache, views)
  local drift, total, balance = {}, 0, {}
  for _, row in ipairs(views) do balance[row.key] = row.balance end
  for _, row in ipairs(cache) do
    local off = row.balance - balance[row.key]
    if off ~= 0 then drift[#drift + 1] = { id = tostring(row.key), off = off } end
    total = total + off
  end
  return drift, total
end

-- cached(account) -> its row as above | nil when it is not cached; a tombstone is no value
function M.cached(lab, account)
  for _, row in ipairs(lab:cache()) do
    if row.key == account and row.state ~= "tombstone" then return row end
  end
end

-- viewed(account) -> its row of the read model {balance, version}
function M.viewed(lab, account)
  return must(lab:db():row("SELECT balance, version FROM account_view WHERE account_id = ?", account))
end

-- prefix() -> what the arm's keys in Redis begin with
function M.prefix(lab)
  return lab:name "cache" .. ":"
end

return M
