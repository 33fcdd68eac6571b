-- E-012: fifty small transactions, ten of them aborted, one log, five observers. Offsets are not a count of
-- records.
local TRANSACTIONS, ABORTED, LAST_SIZE, AMOUNT_MAX = 50, 10, 5, 90

-- The seed decides which nine of the first 49 transactions abort; the last one, with five records, always
-- does.
local function plan(lab)
  local rng = lab.rng:split "plan"
  local aborts = { [TRANSACTIONS] = true }
  for _, i in ipairs(rng:sample(TRANSACTIONS - 1, ABORTED - 1)) do aborts[i] = true end
  local list = {}
  for i = 1, TRANSACTIONS do
    local records = {}
    for k = 1, i == TRANSACTIONS and LAST_SIZE or 1 do
      records[k] = { id = ("tx%02d-%d"):format(i, k), amount = rng:int(1, AMOUNT_MAX) }
    end
    list[i] = { aborts = aborts[i] or false, records = records }
  end
  return list
end

local function messages(topic, records)
  local list = {}
  for k, record in ipairs(records) do
    list[k] = { topic = topic, partition = 0, key = "account", value = tostring(record.amount),
      headers = { { "event-id", record.id } } }
  end
  return list
end

-- How the coordinator says that the transaction ended: its word, not the client's, is the proof of the abort.
local function note_end(lab, tx, ends)
  local state = must(lab.run.admin:transaction(ends.id)).state
  local kind = state:find "Abort" and "aborted" or state:find "Commit" and "committed" or state
  ends[kind] = (ends[kind] or 0) + 1
  if kind ~= (tx.aborts and "aborted" or "committed") then
    lab:give_up("the transaction of %s should be %s, the coordinator says %s", tx.records[1].id,
      tx.aborts and "aborted" or "committed", state)
  end
end

-- One transaction: records flushed to the broker first, so that an aborted one is in the log. The ledger
-- row exists only when it commits.
local function transact(lab, producer, db, topic, tx, ends)
  must(producer:begin())
  local span = lab:span("transaction", tx.records[1].id)
  local sent = must(producer:submit(messages(topic, tx.records)))
  must(producer:flush "10s")
  if #sent:acked() ~= #tx.records then
    lab:give_up("%d of %d records acknowledged inside a transaction", #sent:acked(), #tx.records)
  end
  if tx.aborts then must(producer:abort "10s") else must(producer:commit "10s") end
  note_end(lab, tx, ends)
  span.over(tx.aborts and "aborted" or "committed")
  if tx.aborts then return true end
  for _, record in ipairs(tx.records) do
    must(db:exec("INSERT INTO ledger_entry VALUES (?, ?)", record.id, record.amount))
  end
  return true
end

local function setup(lab)
  local topic = lab:topic("orders", { partitions = 1 })
  local db = lab:database "CREATE TABLE ledger_entry (event_id VARCHAR(40) PRIMARY KEY, amount BIGINT NOT \z
    NULL)"
  local ends = { id = lab:name "tx", aborted = 0, committed = 0 }
  local producer = lab:producer { transactional_id = ends.id, linger_ms = 0 }
  local aborting = lab:fault(("abort %d of %d transactions after flush"):format(ABORTED, TRANSACTIONS))
  local seen = { topic = topic, committed = {}, aborted = {}, records = 0, markers = 0 }
  lab:watch(topic, 0, "p0")
  must(producer:init_transactions "20s")
  for i, tx in ipairs(plan(lab)) do
    lab:op("producer", tx.aborts and "abort" or "commit", tx.records,
      function() return transact(lab, producer, db, topic, tx, ends) end)
    for _, record in ipairs(tx.records) do
      table.insert(tx.aborts and seen.aborted or seen.committed, record.id)
    end
    seen.records, seen.markers = seen.records + #tx.records, seen.markers + 1
    lab:progress(i, TRANSACTIONS, "transactions")
  end
  local now = lab:settled(topic, 0)
  seen.low, seen.hw, seen.lso, seen.leo = now.low, now.hw, now.lso, now.leo
  seen.rc, seen.ru = lab:read_both(topic)
  lab:issued("transactions", ends.aborted + ends.committed, TRANSACTIONS)
  lab:issued("aborted transactions", ends.aborted, ABORTED)
  local in_log = #(bag.from(seen.aborted) & bag.from(lab:ids(seen.ru)))
  if in_log ~= #seen.aborted then
    lab:give_up("the independent reader found %d of %d aborted ids in the log", in_log, #seen.aborted)
  end
  aborting:fired("%d transactions aborted, says the coordinator; %d aborted ids in the log", ends.aborted,
    in_log):over()
  seen.ledger = must(db:query "SELECT CAST(SUM(amount) AS SIGNED) AS total FROM ledger_entry")[1].total
  lab:number("records", seen.records)
  lab:number("markers", seen.markers)
  lab:number("aborted records", #seen.aborted)
  lab:fact("%d transactions, %d aborted", TRANSACTIONS, ABORTED)
  lab:fact("%d records + %d markers, LSO %d = HW %d = LEO %d", seen.records, seen.markers, now.lso, now.hw,
    now.leo)
  return seen
end

-- ---- the observers ----

-- Polls until the consumer is at the end of the partition; on(record) sees every record, at_end(record) the
-- end-of-partition event.
local function read_to_end(lab, consumer, on, at_end)
  local ended
  lab:await("end of partition", function()
    for record in must(consumer:poll(100, "100ms")):each() do
      if record.eof then
        ended = record.offset
        if at_end then at_end(record) end
      elseif record.err then
        lab:give_up("the consumer: %s", tostring(record.err))
      else
        on(record)
      end
    end
    return ended
  end, "15s")
  return ended
end

local function id_of(record)
  return record.headers[1][2]
end

-- Offsets that the reader stepped over without a record, the tail up to the end included.
local function gaps(delivered, low, ended)
  local have, list = {}, {}
  for _, offset in ipairs(delivered) do have[offset] = true end
  for offset = low, ended - 1 do
    if not have[offset] then list[#list + 1] = offset end
  end
  return list
end

-- What the observer has, against the log that it reads.
local function sample_seen(lab, state)
  local shared = lab.shared
  lab:gauge(function(row)
    row["p0.hw"], row["p0.lso"], row["p0.seen"] = shared.hw, shared.lso, math.max(state.applied, #state.ids)
  end)
end

-- The lag by three definitions, sampled while the arm runs.
local function sample_lag(lab, state)
  local shared = lab.shared
  lab:gauge(function(row)
    row["p0.committed"] = state.committed
    row["lag.HW - committed"] = shared.hw - state.committed
    row["lag.LSO - committed"] = shared.lso - state.committed
    row["lag.ids left"] = #shared.committed - #state.ids
  end)
end

local function committed_offset(lab, group, topic)
  for _, row in ipairs(must(lab.run.admin:group_offsets(group))) do
    if row.topic == topic and row.partition == 0 then return row.offset end
  end
  return 0
end

local observers = {}

observers["offsets-as-count"] = function(lab, state)
  local topic = lab.shared.topic
  local consumer = lab:consumer { group = lab:name "auditor", enable_auto_commit = false }
  must(consumer:assign { { topic = topic, partition = 0, offset = "earliest" } })
  state.ended = read_to_end(lab, consumer, function(record)
    state.ids[#state.ids + 1], state.offsets[#state.offsets + 1] = id_of(record), record.offset
  end)
  local now = lab:watermarks(topic, 0)
  state.claimed = now.hw - now.low
  state.alarms = gaps(state.offsets, now.low, state.ended)
  lab:anomaly(("%d offsets taken for records, %d records delivered"):format(state.claimed, #state.ids))
  state.says = ("sees %d \"records\", raises %d gap alarms"):format(state.claimed, #state.alarms)
end

observers["lag-by-watermark"] = function(lab, state)
  local topic, group = lab.shared.topic, lab:name "group"
  local consumer = lab:consumer { group = group, enable_auto_commit = false }
  sample_lag(lab, state)
  must(consumer:subscribe { topic })
  state.ended = read_to_end(lab, consumer, function(record)
    must(consumer:commit({ topic = topic, partition = 0, offset = record.offset + 1 }, { sync = true }))
    state.ids[#state.ids + 1], state.committed = id_of(record), record.offset + 1
  end)
  lab:anomaly(("all records done, the committed offset stops at %d"):format(state.committed))
  for _ = 1, 3 do must(consumer:poll(100, "150ms")) end
  state.committed = committed_offset(lab, group, topic)
  state.lag = lab:watermarks(topic, 0).hw - state.committed
  state.says = ("lag stays %d with all work done"):format(state.lag)
end

-- Applies every record it gets to MySQL: the effect and the balance in one transaction.
local function applier(lab, state, isolation, at_end)
  local db = lab:database(
    "CREATE TABLE account_view (account VARCHAR(20) PRIMARY KEY, balance BIGINT NOT NULL)",
    "CREATE TABLE effect_log (event_id VARCHAR(40) NOT NULL)",
    "INSERT INTO account_view VALUES ('account', 0)")
  local consumer = lab:consumer { isolation_level = isolation, group = lab:name "group" }
  local aborted, told = bag.from(lab.shared.aborted), false
  must(consumer:subscribe { lab.shared.topic })
  state.ended = read_to_end(lab, consumer, function(record)
    must(db:tx(function(tx)
      must(tx:exec("INSERT INTO effect_log VALUES (?)", id_of(record)))
      must(tx:exec("UPDATE account_view SET balance = balance + ? WHERE account = ?",
        math.tointeger(record.value), record.key))
      return true
    end))
    must(consumer:store(record))
    state.applied = state.applied + 1
    if not told and aborted:count(id_of(record)) > 0 then
      told = true
      lab:anomaly(("applied %s, whose transaction was aborted"):format(id_of(record)))
    end
  end, at_end and function(eof) at_end(consumer, eof) end)
  for _, row in ipairs(must(db:query "SELECT event_id FROM effect_log")) do
    state.ids[#state.ids + 1] = row.event_id
  end
  state.view = must(db:query "SELECT balance FROM account_view")[1].balance
  return consumer
end

observers["read-uncommitted"] = function(lab, state)
  applier(lab, state, "read_uncommitted")
  state.says = ("applied %d records that were aborted, the balance is off by %d"):format(
    #(bag.from(state.ids) & bag.from(lab.shared.aborted)), state.view - lab.shared.ledger)
end

observers.ids = function(lab, state)
  applier(lab, state, "read_committed")
  local want = lab.shared.committed
  state.says = ("%d of %d ids, %d lost"):format(#state.ids, #want, #(bag.from(want) - bag.from(state.ids)))
end

observers["end-of-partition"] = function(lab, state)
  local topic, group = lab.shared.topic, lab:name "group"
  sample_lag(lab, state)
  local consumer = applier(lab, state, "read_committed", function(consumer, eof)
    must(consumer:store { topic = topic, partition = 0, offset = eof.offset })
  end)
  lab:within("3s", function()
    must(consumer:poll(100, "50ms"))
    state.committed = committed_offset(lab, group, topic)
    return state.committed == state.ended
  end)
  state.lag = lab:watermarks(topic, 0).hw - state.committed
  state.says = ("caught up at %d, lag %d"):format(state.ended, state.lag)
end

-- ---- the picture ----

local function picture(shared)
  local aborted, at, cells = {}, {}, {}
  for _, id in ipairs(shared.aborted) do aborted[id] = true end
  for _, record in ipairs(shared.ru.records) do at[record.offset] = record end
  local fate
  for offset = shared.low, shared.hw - 1 do
    local record = at[offset]
    if record then fate = aborted[record.id] and "aborted" or "committed" end
    cells[#cells + 1] = record and { offset = offset, kind = fate, id = record.id }
      or { offset = offset, kind = "control", label = fate == "aborted" and "abort" or "commit" }
  end
  return {
    title = "The end of the log: the last aborted transaction and its marker",
    note = "Every transaction costs one marker, and aborted records keep their offsets: the last \z
      delivered record is not the last offset.",
    partitions = { { topic = shared.topic, partition = 0, cells = cells,
      marks = { low = shared.low, lso = shared.lso, hw = shared.hw, leo = shared.leo,
        committed = shared.rc.records[#shared.rc.records].offset + 1 } } },
  }
end

local checks = {}

local function ids_in(census)
  local list = {}
  for i, record in ipairs(census.records) do list[i] = record.id end
  return list
end

local function both(a, b)
  return table.move(b, 1, #b, #a + 1, table.move(a, 1, #a, 1, {}))
end

checks["offsets-as-count"] = function(lab, seen, shared)
  lab.check.equals { name = "count", got = seen.claimed, want = shared.records,
    what = "records claimed" }:expect "violated"
  lab.check.equals { name = "claim", got = seen.claimed, want = shared.records + shared.markers,
    what = "offsets counted" }:expect "holds"
  lab.check.gap { offsets = seen.alarms,
    note = "an aborted record or a transaction marker" }:expect "violated"
  lab.check.equals { name = "alarms", got = #seen.alarms, want = #shared.aborted + shared.markers,
    what = "gap alarms" }:expect "holds"
  lab.check.lost { of = shared.committed, in_ = seen.ids }:expect "holds"
end

checks["lag-by-watermark"] = function(lab, seen, shared)
  local tail = shared.hw - (shared.rc.records[#shared.rc.records].offset + 1)
  lab.check.equals { name = "lag", got = seen.lag, want = 0, what = "offsets behind" }:expect "violated"
  lab.check.equals { name = "tail", got = seen.lag, want = tail,
    what = "offsets after the last delivered record" }:expect "holds"
  lab.check.lost { of = shared.committed, in_ = seen.ids }:expect "holds"
end

checks["read-uncommitted"] = function(lab, seen, shared)
  lab.check.aborted_read { aborted = shared.aborted, of = seen.ids,
    details = shared.ru.records }:expect(shared.aborted)
  lab.check.phantom { of = seen.ids, in_ = shared.committed,
    details = shared.ru.records }:expect(shared.aborted)
  lab.check.conservation { ledger = shared.ledger, view = seen.view }:expect "violated"
end

checks.ids = function(lab, seen, shared)
  lab.check.lost { of = shared.committed, in_ = seen.ids }:expect "holds"
  lab.check.aborted_read { aborted = shared.aborted, of = seen.ids }:expect "holds"
  lab.check.same { name = "same-ids", got = seen.ids, want = shared.committed,
    what = "committed ids" }:expect "holds"
  lab.check.conservation { ledger = shared.ledger, view = seen.view }:expect "holds"
  lab.check.same { name = "log-committed", got = ids_in(shared.rc), want = shared.committed,
    what = "committed ids in the log" }:expect "holds"
  lab.check.same { name = "log-all", got = ids_in(shared.ru), want = both(shared.committed, shared.aborted),
    what = "ids in the log" }:expect "holds"
  lab.check.equals { name = "arithmetic", got = shared.hw - shared.low,
    want = shared.records + shared.markers, what = "offsets" }:expect "holds"
end

checks["end-of-partition"] = function(lab, seen, shared)
  lab.check.same { name = "same-ids", got = seen.ids, want = shared.committed,
    what = "committed ids" }:expect "holds"
  lab.check.conservation { ledger = shared.ledger, view = seen.view }:expect "holds"
  lab.check.lost { of = shared.committed, in_ = seen.ids }:expect "holds"
  lab.check.aborted_read { aborted = shared.aborted, of = seen.ids }:expect "holds"
  lab.check.equals { name = "caught-up", got = seen.ended, want = shared.hw,
    what = "is the end of partition" }:expect "holds"
  lab.check.equals { name = "committed", got = seen.committed, want = shared.hw,
    what = "is the committed offset" }:expect "holds"
  lab.check.equals { name = "lag", got = seen.lag, want = 0, what = "offsets behind" }:expect "holds"
end

return experiment {
  id = "E-012",
  title = "Aborted transactions, control records and offset gaps",
  question = "Offsets jump and lag never reads zero: did I lose records?",
  claim = "No record is lost: markers and aborted records use offsets, so count ids and test \"caught \z
    up\" with end of partition.",
  lesson = "Markers and aborted records use offsets. Count ids; a monitor that wants lag 0 must store the \z
    end of partition.",
  needs = { "kafka", "mysql" },

  arms = {
    wrong "offsets-as-count" { says = "an auditor that takes high watermark - low watermark for the \z
      number of records", count = "offsets" },
    wrong "lag-by-watermark" { says = "commits each record's offset + 1 and waits for HW - committed = 0",
      commit = "record offset + 1" },
    wrong "read-uncommitted" { says = "applies whatever the log holds", isolation = "read_uncommitted" },
    right "ids" { says = "read_committed, compares sets of ids", isolation = "read_committed",
      count = "ids" },
    right "end-of-partition" { says = "stores the end-of-partition offset like a record's",
      isolation = "read_committed", commit = "end of partition" },
  },

  setup = setup,

  run = function(lab, arm)
    local state = { ids = {}, offsets = {}, committed = 0, applied = 0 }
    sample_seen(lab, state)
    observers[arm.name](lab, state)
    lab:number("delivered", #state.ids, "records")
    lab:number("offsets", lab.shared.hw - lab.shared.low)
    if state.lag then lab:number("lag at the end", state.lag, "offsets") end
    lab:moment(picture(lab.shared))
    return state
  end,

  checks = function(lab, seen, arm)
    checks[arm.name](lab, seen, lab.shared)
  end,

  verdict = function(arms, shared)
    local words = ("Nothing was lost: the log has %d offsets for %d records"):format(shared.hw - shared.low,
      shared.records)
    local wrong, right = arms["lag-by-watermark"], arms["end-of-partition"]
    if wrong then words = words .. ("; lag by watermark stays at %d for ever"):format(wrong.lag) end
    if right then
      words = words .. (wrong and ", end of partition reads %d"
        or "; at the end of partition lag reads %d"):format(right.lag)
    end
    return words .. "."
  end,
}
