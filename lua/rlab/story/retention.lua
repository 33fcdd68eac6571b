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

-- ---- the table ----

local function id_of(age, n)
  local ms = (TODAY - age) * DAY_MS + n
  return ("%08x-%04x-7000-8000-%012x"):format(ms >> 16, ms & 0xffff, n)
end

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

local function divide(lab, by)
  local db = lab:db()
  must(db:exec "CREATE TABLE today (day INT NOT NULL)")
  must(db:exec("INSERT INTO today VALUES (?)", TODAY))
  must(db:exec("ALTER TABLE processed_event ADD COLUMN day INT NOT NULL DEFAULT 0, DROP PRIMARY KEY, \z
    ADD PRIMARY KEY (consumer, event_id, day) PARTITION BY RANGE (day) (" .. partitions() .. ")"))
  must(db:exec("CREATE TRIGGER day_of BEFORE INSERT ON processed_event FOR EACH ROW SET NEW.day = "
    .. DAYS_OF[by]))
end

local FILL = [[INSERT INTO processed_event (consumer, event_id, processed_at)
  WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d),
  ages (age) AS (SELECT 1 UNION ALL SELECT age + 1 FROM ages WHERE age < %d)
  SELECT '%s', UUID_TO_BIN(CONCAT(INSERT(LPAD(HEX((%d - age) * 86400000 + i), 12, '0'), 9, 0, '-'),
  '-7000-8001-', LPAD(HEX(age * 65536 + i), 12, '0'))), NOW(6) - INTERVAL age * 24 - 12 HOUR
  FROM ages, n]]

local function fill(lab, rows)
  must(lab:db():exec "SET SESSION cte_max_recursion_depth = 100000")
  must(lab:db():exec(FILL:format(rows // DAYS, DAYS, lab:group(), TODAY)))
end

-- Events that were applied so many days ago, and wait in a DLQ.
local function apply_old(lab, ages, each)
  local db, list = lab:db(), {}
  for _, age in ipairs(ages) do
    for i = 1, each do
      local n = age * 100 + i
      list[#list + 1] = { id = ("age%02d-%02d"):format(age, i), event = id_of(age, n), account = n,
        age = age }
    end
  end
  for _, e in ipairs(list) do
    must(db:exec("INSERT INTO ledger_entry (event_id, request_id, account_id, amount, balance, version) \z
      VALUES (UUID_TO_BIN(?), ?, ?, 100, 100, 1)", e.event, e.id, e.account))
    must(db:exec("INSERT INTO processed_event (consumer, event_id, processed_at) VALUES (?, UUID_TO_BIN(?), \z
      NOW(6) - INTERVAL ? HOUR)", lab:group(), e.event, e.age * 24 - 12))
    must(db:exec("INSERT INTO account_view (account_id, balance, version, entries) VALUES (?, 100, 1, 1)",
      e.account))
    must(db:exec("INSERT INTO effect_log (event_id, account_id, version, member) VALUES (UUID_TO_BIN(?), ?, \z
      1, 'before')", e.event, e.account))
  end
  return list
end

-- prepare(lab, {rows =, ages =, each =, day = "event" | "today" | nil, index = true}) -> the old events {id,
--   event, account, age}, so many of each of those ages, applied once
function M.prepare(lab, opts)
  local db = lab:db()
  if opts.day then divide(lab, opts.day) end
  fill(lab, opts.rows)
  if opts.index then must(db:exec "ALTER TABLE processed_event ADD KEY by_age (processed_at)") end
  local list = apply_old(lab, opts.ages, opts.each)
  if opts.day == "today" then -- each was written on its own day
    must(db:exec("UPDATE processed_event SET day = ? - TIMESTAMPDIFF(DAY, processed_at - INTERVAL 12 HOUR, \z
      NOW(6))", TODAY))
  end
  lab:issued("old rows", M.left(lab), opts.rows + #list)
  return list
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

-- One row every 50 ms, and how long it took.
local function insert_on_and_on(lab, probe, state, sql)
  local db, uuid = connect(lab), require "rlab.uuid"
  must(db:exec "SET SESSION innodb_lock_wait_timeout = 1")
  lab:background("the probe", function()
    while not probe.over do
      state.since = clock.ns()
      local ok, failure = db:exec(sql, uuid.v7())
      if not ok and failure.code ~= LOCK_WAIT then error(failure, 0) end
      state.longest, state.since = math.max(state.longest, (clock.ns() - state.since) / 1e6), nil
      state.inserts, state.refused = state.inserts + 1, state.refused + (ok and 0 or 1)
      task.sleep "50ms"
    end
  end)
end

-- probe(lab) -> probe {longest = ms, inserts = n, refused = n, beside() -> ms, waits() -> ms of the insert
--   under way}: writes rows of another consumer, and waits for a lock at most a second; beside: the longest
--   insert into a table that nobody cleans up, which is what the machine costs
function M.probe(lab)
  local probe, control = { longest = 0, inserts = 0, refused = 0 }, { longest = 0, inserts = 0, refused = 0 }
  function probe.waits() return probe.since and (clock.ns() - probe.since) / 1e6 or 0 end
  function probe.beside() return control.longest end
  must(lab:db():exec "CREATE TABLE beside (event_id BINARY(16) PRIMARY KEY)")
  insert_on_and_on(lab, probe, probe, "INSERT INTO processed_event (consumer, event_id) VALUES ('probe', \z
    UUID_TO_BIN(?))")
  insert_on_and_on(lab, probe, control, "INSERT INTO beside VALUES (UUID_TO_BIN(?))")
  return probe
end

-- reader(lab) -> reader: a transaction that has read the table and stays open; reader.close() ends it
function M.reader(lab)
  local db, reader = connect(lab), {}
  must(db:exec "START TRANSACTION")
  must(db:query "SELECT COUNT(*) FROM processed_event")
  reader.fault = lab:fault("a reader's transaction stays open"):started()
  function reader.waiting()
    return must(lab:db():value([[SELECT COUNT(*) FROM information_schema.processlist WHERE db = ? AND
      state = 'Waiting for table metadata lock']], lab:schema()))
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
      ORDER BY processed_at LIMIT 500", o.keep))
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
    return at.probe.waits() >= 900 + at.probe.beside()
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
