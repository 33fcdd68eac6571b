-- The dedup table and who cleans it up: rows of the last 20 days, a way of cleaning, live inserts beside it,
-- and old events that are delivered again afterwards. An event's day is in its id, a UUID of version 7.
local clock = require "rlab.clock"
local fs = require "rlab.fs"
local json = require "rlab.json"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local proof = require "rlab.proof"
local task = require "rlab.task"

local M = {}

local TODAY = 20454 -- 2026-01-01, the day of the lab's live events, in days since 1970
local DAY_MS, DAYS = 86400000, 20
local LOCK_WAIT, INTERRUPTED = 1205, 1317
local SELDOM = 5 -- samples from one look at the table to the next

-- ---- the rows of the last days, loaded once ----

local function id_of(age, n)
  local ms = (TODAY - age) * DAY_MS + n
  return ("%08x-%04x-7000-8000-%012x"):format(ms >> 16, ms & 0xffff, n)
end

local FILL = [[INSERT INTO old_event (event_id, processed_at)
  WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d),
  ages (age) AS (SELECT 1 UNION ALL SELECT age + 1 FROM ages WHERE age < %d)
  SELECT UUID_TO_BIN(CONCAT(INSERT(LPAD(HEX((%d - age) * 86400000 + i), 12, '0'), 9, 0, '-'),
  '-7000-8001-', LPAD(HEX(age * 65536 + i), 12, '0'))), NOW(6) - INTERVAL age * 24 - 12 HOUR
  FROM ages, n ORDER BY age DESC, i]]

-- One statement for all of the events: format says what stands for each.
local function insert(db, into, list, format)
  local values = {}
  for i, e in ipairs(list) do values[i] = (format:gsub("{(%a+)}", e)) end
  must(db:exec(("INSERT INTO %s VALUES %s"):format(into, table.concat(values, ", "))))
end

-- load(lab, {a_day =, ages =, each =}) -> {schema, rows, old}: so many rows of each of the last 20 days,
--   loaded once for all arms, and with them those of old events {id, event, account, age}, `each` of each age
function M.load(lab, opts)
  local db, schema = lab:database "CREATE TABLE old_event (event_id BINARY(16) NOT NULL PRIMARY KEY, \z
    processed_at TIMESTAMP(6) NOT NULL)"
  must(db:exec "SET SESSION cte_max_recursion_depth = 100000")
  must(db:exec(FILL:format(opts.a_day, DAYS, TODAY)))
  local list = {}
  for _, age in ipairs(opts.ages) do
    for i = 1, opts.each do
      local n = age * 100 + i
      list[#list + 1] = { id = ("age%02d-%02d"):format(age, i), event = id_of(age, n), account = n,
        age = age }
    end
  end
  insert(db, "old_event", list, "(UUID_TO_BIN('{event}'), NOW(6) - INTERVAL {age} * 24 - 12 HOUR)")
  lab:fact("%d rows of the last %d days", opts.a_day * DAYS, DAYS)
  return { schema = schema, rows = opts.a_day * DAYS + #list, old = list }
end

-- ---- the table ----

-- The day of a row, once the table has one: by the event's id, or by the day of the story on which it is
-- written.
local DAYS_OF = {
  event = "CONV(HEX(SUBSTR(NEW.event_id, 1, 6)), 16, 10) DIV 86400000",
  today = "(SELECT day FROM today)",
}

local function partitions()
  local list = {}
  for age = DAYS, 1, -1 do
    list[#list + 1] = ("PARTITION d%02d VALUES LESS THAN (%d)"):format(age, TODAY - age + 1)
  end
  list[#list + 1] = "PARTITION rest VALUES LESS THAN MAXVALUE"
  return table.concat(list, ", ")
end

local function divide(db)
  must(db:exec "CREATE TABLE today (day INT NOT NULL)")
  must(db:exec("INSERT INTO today VALUES (?)", TODAY))
  must(db:exec("ALTER TABLE processed_event ADD COLUMN day INT NOT NULL DEFAULT 0, DROP PRIMARY KEY, \z
    ADD PRIMARY KEY (consumer, event_id, day) PARTITION BY RANGE (day) (" .. partitions() .. ")"))
end

-- Of a row that was written on its own day.
local OWN_DAY = ("%d - TIMESTAMPDIFF(DAY, processed_at - INTERVAL 12 HOUR, NOW(6))"):format(TODAY)

local function fill(lab, by)
  local columns = "event_id, processed_at"
  local into, from = columns, columns
  if by then
    local day = by == "today" and OWN_DAY or DAYS_OF[by]:gsub("NEW%.", "")
    into, from = columns .. ", day", columns .. ", " .. day
  end
  must(lab:db():exec(("INSERT INTO processed_event (consumer, %s) SELECT '%s', %s FROM %s.old_event"):format(
    into, lab:group(), from, lab.shared.schema)))
end

-- What else is there of the old events, which were applied once.
local function apply_old(db, list)
  insert(db, "ledger_entry (event_id, request_id, account_id, amount, balance, version)", list,
    "(UUID_TO_BIN('{event}'), '{id}', {account}, 100, 100, 1)")
  insert(db, "account_view (account_id, balance, version, entries)", list, "({account}, 100, 1, 1)")
  insert(db, "effect_log (event_id, account_id, version, member)", list,
    "(UUID_TO_BIN('{event}'), {account}, 1, 'before')")
end

local function copy(lab, opts)
  local db = lab:db()
  if opts.day then divide(db) end
  fill(lab, opts.day)
  if opts.index then must(db:exec "ALTER TABLE processed_event ADD KEY by_age (processed_at)") end
  apply_old(db, lab.shared.old)
  if opts.day then
    must(db:exec("CREATE TRIGGER day_of BEFORE INSERT ON processed_event FOR EACH ROW SET NEW.day = "
      .. DAYS_OF[opts.day]))
  end
end

-- prepare(lab, {day = "event" | "today" | nil, index = true}, beside): the arm's copy of what was loaded,
--   applied once; beside() is called meanwhile
function M.prepare(lab, opts, beside)
  lab:schema()
  lab:each({ function() copy(lab, opts) end, beside }, function(act) act() end)
  lab:issued("old rows", M.left(lab), lab.shared.rows)
end

-- kept(lab, keep) -> {old, too_old, expected}: the ids of the old events and of those whose rows a clean-up
--   that keeps so many days takes; the old rows that it leaves
function M.kept(lab, keep)
  local shared = lab.shared
  local seen = { old = {}, too_old = {}, expected = (shared.rows - #shared.old) // DAYS * keep }
  for i, event in ipairs(shared.old) do
    seen.old[i] = event.id
    if event.age > keep then table.insert(seen.too_old, event.id) else seen.expected = seen.expected + 1 end
  end
  return seen
end

-- left(lab) -> old rows that are still there
function M.left(lab)
  return must(lab:db():value([[SELECT COUNT(*) FROM processed_event WHERE consumer = ? AND processed_at <
    NOW(6) - INTERVAL 6 HOUR]], lab:group()))
end

-- effects(lab) -> rows {id, key, version} in the order in which they were applied
function M.effects(lab)
  local list = {}
  for i, row in ipairs(must(lab:db():query([[SELECT l.request_id AS id, e.account_id AS `key`, e.version
    FROM effect_log e JOIN ledger_entry l USING (event_id) ORDER BY e.seq]]))) do list[i] = row end
  return list
end

-- standstill(lab, from, to) -> ms between two effects of the consumer, the longest between those marks
function M.standstill(lab, from, to)
  return must(lab:db():value([[SELECT MAX(ms) FROM (SELECT TIMESTAMPDIFF(MICROSECOND, LAG(at) OVER (ORDER BY
    at), at) / 1000e0 AS ms, at FROM effect_log WHERE member <> 'before') AS gaps WHERE at BETWEEN ? AND ?]],
    from, to))
end

-- history_length(lab) -> undo that InnoDB still keeps
function M.history_length(lab)
  local status = must(lab:db():row "SHOW ENGINE INNODB STATUS").Status
  return math.tointeger(tonumber(status:match "History list length (%d+)"))
end

-- size(lab) -> MiB of the table's files
function M.size(lab)
  return must(lab:db():value([[SELECT CAST(SUM(file_size) / 1048576e0 AS DOUBLE) FROM
    information_schema.innodb_tablespaces WHERE name LIKE ?]], lab:schema() .. "/processed\\_event%"))
end

-- ---- beside it ----

local function connect(lab)
  return lab:own(must(mysql.connect(lab.stack:mysql_opts { database = lab:schema() })))
end

local Probe = {}
Probe.__index = Probe

-- probe:waits() -> ms that the insert under way has taken so far
function Probe:waits()
  return self.since and (clock.ns() - self.since) / 1e6 or 0
end

-- probe:stop(): no further insert, beside it neither
function Probe:stop()
  self.over, self.beside.over = true, true
end

-- The longest of its inserts that were under way since then.
local function longest_since(probe, since)
  local most = probe:waits()
  for i = #probe.past, 1, -1 do
    local one = probe.past[i]
    if one.ended < since then break end
    most = math.max(most, one.ms)
  end
  return most
end

local function note(probe, refused)
  local one = { ms = probe:waits(), ended = clock.ns() }
  table.insert(probe.past, one)
  probe.longest, probe.recent = math.max(probe.longest, one.ms), math.max(probe.recent, one.ms)
  probe.inserts, probe.refused = probe.inserts + 1, probe.refused + (refused and 1 or 0)
  if probe.beside then
    probe.excess = math.max(probe.excess, one.ms - longest_since(probe.beside, probe.since))
  end
  probe.since = nil
end

-- One row every 50 ms, and how long it took.
local function insert_on_and_on(lab, sql, state)
  local probe = setmetatable(state, Probe)
  local db, uuid = connect(lab), require "rlab.uuid"
  must(db:exec "SET SESSION innodb_lock_wait_timeout = 1")
  lab:background("the probe", function()
    while not probe.over do
      probe.since = clock.ns()
      local ok, failure = db:exec(sql, uuid.v7())
      if not ok and failure.code ~= LOCK_WAIT then error(failure, 0) end
      note(probe, not ok)
      task.sleep "50ms"
    end
  end)
  return probe
end

local function new_probe(beside)
  return { beside = beside, past = {}, longest = 0, recent = 0, excess = 0, inserts = 0, refused = 0 }
end

-- probe(lab) -> probe {longest = ms, inserts = n, refused = n, beside = another, excess = ms}: writes rows of
--   another consumer, and waits for a lock at most a second; beside it one writes into a table that nobody
--   cleans up, which is what the machine costs; excess: how much longer than beside it at the same time an
--   insert took at most
function M.probe(lab)
  must(lab:db():exec "CREATE TABLE beside (event_id BINARY(16) PRIMARY KEY)")
  local beside = insert_on_and_on(lab, "INSERT INTO beside VALUES (UUID_TO_BIN(?))", new_probe())
  return insert_on_and_on(lab, "INSERT INTO processed_event (consumer, event_id) VALUES ('probe', \z
    UUID_TO_BIN(?))", new_probe(beside))
end

-- watch(lab, probe): the table's size and the probe's longest insert since the last look, as series of the
--   report
function M.watch(lab, probe)
  lab:gauge(function(row)
    row["table, MiB.size"], row["insert, ms.longest"] = M.size(lab), math.max(probe.recent, probe:waits())
    probe.recent = 0
  end, SELDOM)
end

-- reader(lab) -> reader: a transaction that has read the table and stays open; reader.close() ends it
function M.reader(lab)
  local db, reader = connect(lab), {}
  must(db:exec "START TRANSACTION")
  must(db:query "SELECT COUNT(*) FROM processed_event")
  reader.fault = lab:fault("a reader's transaction stays open"):started()
  function reader.waiting()
    local waiting = 0
    for _, session in ipairs(must(lab:db():sessions())) do
      local behind = session.schema == lab:schema() and session.state == "Waiting for table metadata lock"
      waiting = waiting + (behind and 1 or 0)
    end
    return waiting
  end
  function reader.close(got, what, want)
    must(db:exec "ROLLBACK")
    reader.fault:fired(proof.of("read", { what = what, from = "MySQL", got = got,
      want = { at_least = want } })):over()
  end
  return reader
end

-- ---- ways of cleaning up ----

local ways = {}

-- One DELETE, held before its COMMIT until somebody has been refused.
ways["one-delete"] = function(lab, o, at)
  local db, fault = connect(lab), lab:fault "a DELETE of all old rows that is not committed yet"
  must(db:exec "START TRANSACTION")
  local done = must(db:exec("DELETE FROM processed_event WHERE processed_at < NOW(6) - INTERVAL ? DAY",
    o.keep))
  lab:within("4s", function() return at.probe.refused > 0 end)
  must(db:exec "COMMIT")
  fault:fired(proof.of("read", { what = "rows of a transaction", from = "MySQL", got = done.affected,
    want = { at_least = 1 } })):over()
end

local function chunks(lab, o, may)
  local db = connect(lab)
  must(db:exec "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
  repeat
    if not may() then return end
    local done = must(db:exec("DELETE FROM processed_event WHERE processed_at < NOW(6) - INTERVAL ? DAY \z
      ORDER BY processed_at LIMIT 1000", o.keep))
  until done.affected == 0
end

ways.chunks = function(lab, o)
  chunks(lab, o, function()
    lab:owed("live-first", "live traffic to be at most 100 records behind",
      function() return (lab:lag {} or 101) <= 100 end, "10s")
    return true
  end)
end

-- Only when nothing has come for 200 ms; gives up when live traffic has gone on for so many looks.
ways["when-idle"] = function(lab, o, at)
  local last, looks = at.traffic.turn, 0
  chunks(lab, o, function()
    repeat
      task.sleep "200ms"
      local idle = at.traffic.turn == last
      last, looks = at.traffic.turn, looks + 1
    until idle or looks >= 10
    return looks < 10
  end)
end

local function names_of(o)
  local list = {}
  for age = DAYS, o.keep + 1, -1 do list[#list + 1] = ("d%02d"):format(age) end
  return list
end

local function drop(o)
  return "ALTER TABLE processed_event DROP PARTITION " .. table.concat(names_of(o), ", ")
end

ways.drop = function(lab, o) must(connect(lab):exec(drop(o))) end

-- Behind a reader, for as long as it takes: whoever writes stands behind it.
ways["drop-waiting"] = function(lab, o, at)
  local db, reader, waiting = connect(lab), M.reader(lab), 0
  local work = task.spawn(function() must(db:exec(drop(o))) end)
  lab:await("an insert to wait behind the DROP for 900 ms more than beside it", function()
    waiting = math.max(waiting, reader.waiting())
    return at.probe:waits() >= 900 + at.probe.beside.longest
  end)
  reader.close(waiting, "threads that wait for the table's metadata lock", 2)
  work:join()
end

-- The statement is ended after 100 ms of waiting, and tried again; the reader goes after two of those.
local function impatient(lab, statement)
  local db, other, reader, ended = connect(lab), connect(lab), M.reader(lab), 0
  local id = must(db:value "SELECT CONNECTION_ID()")
  while true do
    local ok, failure
    local work = task.spawn(function() ok, failure = db:exec(statement) end)
    if not task.timeout("100ms", function() work:join() return true end) then
      must(other:exec(("KILL QUERY %d"):format(id)))
      work:join()
    end
    if ok then break end
    if failure.code ~= INTERRUPTED then error(failure, 0) end
    ended = ended + 1
    if ended == 2 then reader.close(ended, "statements ended while they waited", 2) end
    task.sleep "50ms"
  end
end

ways["drop-impatient"] = function(lab, o) impatient(lab, drop(o)) end

-- The rows go to a table of their own, which costs as little.
ways.exchange = function(lab, o)
  local db = connect(lab)
  must(db:exec "CREATE TABLE archive LIKE processed_event")
  must(db:exec "ALTER TABLE archive REMOVE PARTITIONING")
  impatient(lab, ("ALTER TABLE processed_event EXCHANGE PARTITION d%02d WITH TABLE archive"):format(DAYS))
  must(db:exec(drop(o)))
end

-- clean(lab, way, {keep = days}, {probe =, traffic =}) -> seconds that it took
function M.clean(lab, way, o, at)
  local from = lab:now()
  ways[way](lab, o, at)
  return lab:now() - from
end

-- ---- old events again ----

-- midnight(lab): the next day of the story begins
function M.midnight(lab)
  local fault = lab:fault "midnight between the first delivery and the second"
  must(lab:db():exec "UPDATE today SET day = day + 1")
  fault:fired(lab.proof.rows("the day of the story", { want = TODAY + 1, sql = "SELECT day FROM today" }))
  fault:over()
end

-- handler(lab, keep) -> path of a handler that refuses what is older: its dedup row may be gone
function M.handler(lab, keep)
  local path = ("%s/too-old-%s.lua"):format(lab.run.dir, lab.label)
  must(fs.write(path, ([[
    return { batch = function(records)
      local refused = {}
      for i, record in ipairs(records) do
        local ms = tonumber(record.id:sub(1, 8) .. record.id:sub(10, 13), 16)
        if ms < %d then refused[i] = "older than the dedup rows that are kept" end
      end
      return refused
    end }]]):format((TODAY - keep) * DAY_MS)))
  return path
end

-- again(lab, list): the old events are sent to the topic once more, with their own ids
function M.again(lab, list)
  local producer, messages = lab:producer {}, {}
  for i, e in ipairs(list) do
    messages[i] = { topic = lab:event_topic(), key = tostring(e.account),
      headers = { { "event-id", e.event }, { "request-id", e.id } },
      value = json.encode { event_id = e.event, account_id = e.account, amount = 100, balance = 100,
        version = 1, request_id = e.id, type = "entry" } }
  end
  lab:send_all(producer, messages, list)
end

return M
