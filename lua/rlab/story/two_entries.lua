-- Two cached entries of each account in a Redis Cluster, the account's and its summary's: where their keys
-- lie, who takes them out when the account changes, and readers that fill what is missing from MySQL.
local err = require "rlab.err"
local json = require "rlab.json"
local must = require "rlab.must"
local null = require "rlab.null"
local redis = require "rlab.redis"

local M = { WORDS = { "account", "summary" } }

local function entry(balance, version) return json.encode { balance = balance, version = version } end

-- The first summary's key in another slot than the account's, on the same node or on another one.
local function apart(home, account, stem, same)
  for n = 1, 1000 do
    local key = ("%s:%d"):format(stem, n)
    if redis.slot(key) ~= redis.slot(account) and (home(key) == home(account)) == same then return key end
  end
end

-- kind_of(id) -> "X" or "Y"
function M.kind_of(id) return id % 2 == 1 and "X" or "Y" end

local function pair_of(lab, home, id, tags)
  local stem, kind = ("%s:%d"):format(lab:name "cache", id), M.kind_of(id)
  if tags then
    return { id = id, kind = kind, account = ("{%s}:account"):format(stem),
      summary = ("{%s}:summary"):format(stem) }
  end
  local account = stem .. ":account"
  return { id = id, kind = kind, account = account,
    summary = apart(home, account, stem .. ":summary", kind == "X") }
end

-- place(lab, count, tags) -> list of {id, account, summary, kind}: kind X: two slots of one node, Y: slots of
--   two nodes; with tags one slot. The servers compute each slot alike, or the arm is void.
function M.place(lab, count, tags)
  local view, list, asked, agreed = lab:cluster(), {}, {}, 0
  local home = view:homes()
  for id = 1, count do
    list[id] = pair_of(lab, home, id, tags)
    for _, word in ipairs(M.WORDS) do asked[#asked + 1] = { "CLUSTER", "KEYSLOT", list[id][word] } end
  end
  for i, slot in ipairs(must(view.nodes[1].conn:pipeline(asked))) do
    if slot == redis.slot(asked[i][3]) then agreed = agreed + 1 end
  end
  lab:issued("slots computed as the servers do", agreed, 2 * count)
  return list
end

-- id_of(pair, word) -> "17:summary"
function M.id_of(pair, word) return ("%d:%s"):format(pair.id, word) end

-- ids(list, wanted) -> ids of the entries for which wanted(pair, word)
function M.ids(list, wanted)
  local ids = {}
  for _, pair in ipairs(list) do
    for _, word in ipairs(M.WORDS) do
      if wanted(pair, word) then ids[#ids + 1] = M.id_of(pair, word) end
    end
  end
  return ids
end

-- fill(client, list): both entries as they were before the update
function M.fill(client, list)
  local commands = {}
  for _, pair in ipairs(list) do
    for _, word in ipairs(M.WORDS) do commands[#commands + 1] = { "SET", pair[word], entry(0, 0) } end
  end
  for _, reply in ipairs(client:pipeline(commands)) do must(reply == "OK" or nil, reply) end
end

-- ---- taking them out ----

local BOTH = "return redis.call('DEL', KEYS[1], KEYS[2])"
local UNDECLARED = "redis.call('DEL', KEYS[1])\nreturn redis.call('DEL', ARGV[1])"
local HEADER = "#!lua\n"

local ways = {}

ways["one-del"] = function(c, pair) return c:call("DEL", pair.account, pair.summary) end
ways.script = function(c, pair) return c:call("EVAL", BOTH, 2, pair.account, pair.summary) end
ways.undeclared = function(c, pair) return c:call("EVAL", UNDECLARED, 1, pair.account, pair.summary) end
ways.declared = function(c, pair) return c:call("EVAL", HEADER .. BOTH, 2, pair.account, pair.summary) end

ways["one-by-one"] = function(c, pair)
  local _, first = c:call("DEL", pair.account)
  local _, second = c:call("DEL", pair.summary)
  return not (first or second) or nil, first or second
end

ways["by-slot"] = function(c, pair)
  for _, reply in ipairs(c:pipeline { { "DEL", pair.account }, { "DEL", pair.summary } }) do
    if err.is(reply) then return nil, reply end
  end
  return true
end

-- Counted by kind, with the first text of each.
local function refuse(refused, pair, failure)
  local row = refused[pair.kind] or { count = 0, text = ("%s %s"):format(failure.name, failure.message) }
  row.count = row.count + 1
  refused[pair.kind], refused.all = row, refused.all + 1
end

-- invalidate(lab, client, list, way) -> refused {X = {count, text}, Y =, all = count}: each record of the
--   shared topic takes its account's entries out; what is refused is not done again
function M.invalidate(lab, client, list, way)
  local refused, records = { all = 0 }, 0
  local consumer = lab:consumer { enable_auto_commit = false }
  must(consumer:assign { { topic = lab.shared.topic, partition = 0, offset = "earliest" } })
  lab:read_to_end(consumer, function(record)
    local pair = list[tonumber(record.key)]
    records = records + 1
    local done, failure = ways[way](client, pair)
    if not done then refuse(refused, pair, failure) end
  end)
  lab:issued("updates whose entries are to go", records, #list)
  if refused.all > 0 then
    lab:anomaly(("%d updates could not take both entries out"):format(refused.all))
  end
  return refused
end

-- undeclared(lab, client) -> {X = text, Y = text}: what a script with a header is told that touches a key
--   beside those that it declared
function M.undeclared(lab, client)
  local texts = {}
  for _, pair in ipairs(M.place(lab, 2, false)) do
    local _, failure = client:call("EVAL", HEADER .. UNDECLARED, 1, pair.account, pair.summary)
    texts[pair.kind] = failure and failure.message or "done"
  end
  return texts
end

-- ---- reading ----

local readers = {}
function readers.each(c, pair) return c:pipeline { { "GET", pair.account }, { "GET", pair.summary } } end
function readers.both(c, pair) return c:call("MGET", pair.account, pair.summary) end

local function is_value(value) return value ~= nil and value ~= null and not err.is(value) end

local function failed(replies, failure)
  for _, reply in ipairs(replies or {}) do failure = failure or err.is(reply) end
  return failure and 1 or 0
end

-- Fills those that are missing, and leaves what is there.
local function load_missing(client, db, pair, got)
  local row = must(db:row("SELECT balance, version FROM account WHERE id = ?", pair.id))
  local commands = {}
  for i, word in ipairs(M.WORDS) do
    if not (got and is_value(got[i])) then
      commands[#commands + 1] = { "SET", pair[word], entry(row.balance, row.version) }
    end
  end
  return client:pipeline(commands)
end

-- SELECTs that MySQL has counted on this connection.
local function selects(db)
  return math.tointeger(tonumber(must(db:query "SHOW SESSION STATUS LIKE 'Com_select'")[1].Value))
end

-- read(client, db, list, way, rounds) -> {reads, failed, db_reads}: both entries of each account so often,
--   from the cache or else from MySQL, which then fills it. failed: reads to whom the cache gave an error,
--   which this reader takes for a miss
function M.read(client, db, list, way, rounds)
  local seen, before = { reads = rounds * #list, failed = 0 }, selects(db)
  for _ = 1, rounds do
    for _, pair in ipairs(list) do
      local got, failure = readers[way](client, pair)
      seen.failed = seen.failed + failed(got, failure)
      if not (got and is_value(got[1]) and is_value(got[2])) then
        seen.failed = seen.failed + failed(load_missing(client, db, pair, got))
      end
    end
  end
  seen.db_reads = selects(db) - before
  return seen
end

-- entries(lab, list) -> rows {key = "17:account", version, balance}, each from the node that has its slot
function M.entries(lab, list)
  local rows, home = {}, lab:cluster():homes()
  for _, pair in ipairs(list) do
    for _, word in ipairs(M.WORDS) do
      local value = must(home(pair[word]).conn:call("GET", pair[word]))
      local found = value ~= null and json.decode(value)
      if found then
        rows[#rows + 1] = { key = M.id_of(pair, word), version = found.version, balance = found.balance }
      end
    end
  end
  return rows
end

-- views(db) -> what both entries of each account should be: the same rows, from MySQL
function M.views(db)
  local rows = {}
  for _, row in ipairs(must(db:query "SELECT id, balance, version FROM account")) do
    for _, word in ipairs(M.WORDS) do
      rows[#rows + 1] = { key = M.id_of(row, word), version = row.version, balance = row.balance }
    end
  end
  return rows
end

return M
