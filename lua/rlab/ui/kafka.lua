-- What the console shows of Kafka, and what it does there: the words of the prompt (rlab.repl.words), whose
-- lines stand beside what they do, and the records of a stretch of a partition with what became of them.
local cell = require "rlab.ui.cell"
local clock = require "rlab.clock"
local decoder = require "rlab.ui.decoder"
local json = require "rlab.json"
local left = require "rlab.kafka.left"
local moves = require "rlab.replay.offsets"
local must = require "rlab.must"
local refuse = require("rlab.ui.asked").refuse
local span = require "rlab.kafka.span"
local task = require "rlab.task"

local M = {}

local Kafka = {}
Kafka.__index = Kafka

local PATIENCE, MOST, DESCRIBED = "10s", 200, 100

-- new() -> kafka; connections are opened when they are first needed
function M.new()
  local clients = require("rlab.repl.clients").new()
  local words = {}
  require "rlab.repl.words.kafka"({ clients = clients }, words)
  require "rlab.repl.words.move"({ clients = clients }, words)
  return setmetatable({ clients = clients, words = words }, Kafka)
end

function Kafka:close() self.clients:close() end

-- A list as JSON wants it, without the words' way to print themselves.
local function plain(rows)
  local list = {}
  for i, row in ipairs(rows) do list[i] = row end
  return json.array(list)
end

-- some(list, key, wanted, described) -> {rows, all = how many there are, found = in how many names `wanted`
--   is}. Each takes a question of its own: of very many only the first are listed, by their names.
local function some(list, key, wanted, described)
  local found = {}
  for _, one in ipairs(list) do
    if not wanted or one[key]:find(wanted, 1, true) then found[#found + 1] = one end
  end
  local answer = { all = #list, found = #found }
  if #found <= DESCRIBED then
    answer.rows = plain(must(described(wanted and wanted:gsub("%W", "%%%0") or nil)))
  else
    table.sort(found, function(a, b) return a[key] < b[key] end)
    answer.rows = json.array(table.move(found, 1, MOST, 1, {}))
  end
  return answer
end

-- kafka:topics([wanted]), groups([wanted]) -> {rows, all, found}
function Kafka:topics(wanted)
  local list = must(must(self.clients:open "admin"):topics())
  for i, name in ipairs(list) do list[i] = { topic = name } end
  return some(list, "topic", wanted, self.words.topics)
end

function Kafka:groups(wanted)
  local list = {}
  for i, g in ipairs(must(must(self.clients:open "admin"):groups())) do
    list[i] = { group = g.id, state = g.state }
  end
  return some(list, "group", wanted, self.words.groups)
end

-- ---- a topic ----

-- The transactions that are open on a partition, by the producers that the broker knows there.
local function open_on(admin, topic, partition)
  local list = {}
  for _, p in ipairs(admin:producers(topic, partition) or {}) do
    if math.type(p.txn_start) == "integer" and p.txn_start >= 0 then
      list[#list + 1] = { id = p.transaction, producer_id = p.producer_id, epoch = p.epoch,
        from = p.txn_start, holds_lso = p.holds_lso }
    end
  end
  return json.array(list)
end

-- kafka:topic(name) -> {partitions = rows with low, lso, hw, leo, open = transactions}
function Kafka:topic(name)
  local admin, rows = must(self.clients:open "admin"), plain(must(self.words.offsets(name)))
  for _, row in ipairs(rows) do
    if row.lso and row.hw and row.lso < row.hw then row.open = open_on(admin, name, row.partition) end
  end
  return { name = name, partitions = rows }
end

-- ---- records ----

local function read(self, isolation, place, visit)
  local consumer <close> = must(self.clients:consumer { group = "rlab-ui",
    ["isolation.level"] = isolation })
  must(span.read(consumer, { place }, visit, PATIENCE))
end

local function headers_of(record)
  local list = {}
  for i, header in ipairs(record.headers or {}) do
    list[i] = { name = cell.of(header[1]).text, value = cell.of(header[2]) }
  end
  return json.array(list)
end

local function shown(record, decoded)
  return { offset = record.offset, timestamp = record.timestamp, key = cell.of(record.key),
    value = cell.of(record.value), decoded = decoded(record.value), headers = headers_of(record) }
end

-- What became of the record at an offset: read_committed delivers it, passes over it, or is not there yet.
local function fate(offset, committed, lso)
  if committed[offset] then return "committed" end
  return offset < lso and "aborted" or "open"
end

local function stretch(at, from, n)
  local low, hw = at.low or 0, at.hw
  local first = from or hw - n
  first = math.max(low, math.min(first, hw))
  return first, math.min(first + n, hw)
end

-- kafka:records(topic, partition, from | nil, n) -> {records, from, to, low, lso, hw}: `n` offsets from
--   there, or the last ones. An offset without a record is a marker, or was removed by compaction.
function Kafka:records(topic, partition, from, n)
  local admin = must(self.clients:open "admin")
  local at = must(admin:offsets(topic, partition))
  if not at.hw then error(at.why, 0) end
  local first, stop = stretch(at, from, math.max(1, math.min(n or 50, MOST)))
  local lso, list, committed = math.min(at.lso or at.hw, at.hw), {}, {}
  local decoded = decoder.new(self.clients)
  local function place(to) return { topic = topic, partition = partition, from = first, to = to } end
  task.group(function(group)
    group:spawn(read, self, "read_uncommitted", place(stop), function(r)
      list[#list + 1] = shown(r, decoded)
    end)
    group:spawn(read, self, "read_committed", place(math.min(stop, lso)), function(r)
      committed[r.offset] = true
    end)
  end)
  local by_offset = {}
  for _, r in ipairs(list) do
    r.fate = fate(r.offset, committed, lso)
    by_offset[r.offset] = r
  end
  local rows = {}
  for offset = first, stop - 1 do
    rows[#rows + 1] = by_offset[offset] or { offset = offset, fate = "control" }
  end
  return { topic = topic, partition = partition, records = json.array(rows), from = first, to = stop,
    low = at.low, lso = at.lso, hw = at.hw, leo = at.leo }
end

-- kafka:offset_at(topic, partition, where) -> {offset, ms, after}: the first record that is not older than
--   "-5m" or "2026-11-23T15:00:00Z"; after = true: none is, and it is the end
function Kafka:offset_at(topic, partition, where)
  local ms, why = moves.moment(where)
  if not ms then
    refuse("'%s' is no offset, and no time such as -5m or 2026-11-23T15:00:00Z: %s", where, why)
  end
  local admin = must(self.clients:open "admin")
  local found = must(admin:list_offsets { { topic = topic, partition = partition, at = ms } })[1]
  if found.err then error(found.err, 0) end
  if found.offset and found.offset >= 0 then return { offset = found.offset, ms = ms } end
  return { offset = must(admin:offsets(topic, partition)).hw, ms = ms, after = true }
end

-- kafka:produce(topic, {key, value, headers, partition}) -> {partition, offset}; a value of null is a
--   tombstone
function Kafka:produce(topic, record)
  local report = must(self.words.produce(topic, record))
  return { partition = report.partition, offset = report.offset }
end

-- ---- a group ----

local function member_of(m)
  local held = {}
  for i, p in ipairs(m.assignment or {}) do held[i] = ("%s/%d"):format(p.topic, p.partition) end
  local host = (m.host or ""):gsub("^/", "")
  return { id = m.id, client = m.client_id, host = host, partitions = json.array(held) }
end

local OLDEST = "2s"

-- Of each place that has something left to read, how old the first such record is: a lag in seconds. What
-- could not be read in time has none.
local function note_ages(self, rows)
  local spans = {}
  for _, row in ipairs(rows) do
    if (row.readable or 0) > 0 and #spans < DESCRIBED then
      spans[#spans + 1] = { topic = row.topic, partition = row.partition, from = row.from, to = row.lso,
        row = row }
    end
  end
  if #spans == 0 then return end
  local consumer <close> = must(self.clients:consumer { group = "rlab-ui", isolation_level = "read_committed",
    ["max.partition.fetch.bytes"] = 65536 })
  local now = clock.unix_ms()
  span.read(consumer, spans, function(record, s)
    s.row.seconds = math.max(0, now - (record.timestamp or now)) / 1000
    return "enough"
  end, OLDEST)
end

-- kafka:open_transactions() -> rows {id, state, epoch, open = how long, timeout, holds = what it holds back}
function Kafka:open_transactions()
  local rows = plain(must(self.words.txns()))
  for _, row in ipairs(rows) do
    row.holds, row["holds back"] = row["holds back"], nil
  end
  return rows
end

-- kafka:fence(id) -> what became of it: its open transaction is aborted, and its producer can write no more
function Kafka:fence(id)
  return plain(must(self.words.fence(id)))[1]
end

-- kafka:group(id) -> {state, members, lag = rows with the three lags, and in seconds}
function Kafka:group(id)
  local admin = must(self.clients:open "admin")
  local described = must(admin:group(id))
  local members, rows = {}, plain(must(self.words.lag(id)))
  for i, m in ipairs(described.members or {}) do members[i] = member_of(m) end
  for _, row in ipairs(rows) do
    row.stable = left.of({ low = row.from, lso = row.lso, hw = row.hw }, row.from).readable
  end
  note_ages(self, rows)
  return { id = id, state = described.state, members = json.array(members), lag = rows }
end

local function target_of(where)
  local target, why = moves.target(where)
  if target then return target end
  refuse("where is %s%s", moves.WHERE, why and "; " .. why or "")
end

-- kafka:plan(group, topic, where) -> rows {topic, partition, before, offset}; nothing is changed
function Kafka:plan(group, topic, where)
  local admin = must(self.clients:open "admin")
  local rows = plain(must(moves.plan(admin, group, topic, target_of(where))))
  local free, why = moves.guard(admin, group)
  return { rows = rows, refused = not free and why.message or nil }
end

-- kafka:seek(group, topic, where) -> rows, as they are now
function Kafka:seek(group, topic, where)
  return { rows = plain(must(self.words.seek(group, topic, where))) }
end

return M
