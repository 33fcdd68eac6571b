-- E-012: fifty small transactions, ten aborted, one log, five observers. Offsets are not a count of records.
local TRANSACTIONS, ABORTED, LAST_SIZE = 50, 10, 5

local function setup(lab)
  local topic = lab:topic("orders", { partitions = 1 })
  local db = lab:database "CREATE TABLE ledger_entry (event_id VARCHAR(40) PRIMARY KEY, amount BIGINT NOT \z
    NULL)"
  lab:watch(topic, 0, "p0")
  local plan = lab:plan_transactions { count = TRANSACTIONS, aborted = ABORTED, last = LAST_SIZE }
  local seen = lab:transactions(topic, plan, function(records) -- a ledger row exists only when it commits
    for _, record in ipairs(records) do
      must(db:exec("INSERT INTO ledger_entry VALUES (?, ?)", record.id, record.amount))
    end
  end)
  seen.ledger = must(db:query "SELECT CAST(SUM(amount) AS SIGNED) AS total FROM ledger_entry")[1].total
  lab:number("records", seen.records)
  lab:number("markers", seen.markers)
  lab:number("aborted records", #seen.aborted)
  lab:fact("%d transactions, %d aborted", TRANSACTIONS, ABORTED)
  lab:fact("%d records + %d markers, LSO %d = HW %d = LEO %d", seen.records, seen.markers, seen.lso, seen.hw,
    seen.leo)
  return seen
end

-- ---- the observers ----

local function committed_offset(lab, group)
  return lab:committed { topic = lab.shared.topic, group = group }["0"] or 0
end

local observers = {}

observers["offsets-as-count"] = function(lab, state)
  local topic = lab.shared.topic
  local consumer = lab:consumer { group = lab:name "auditor", enable_auto_commit = false }
  must(consumer:assign { { topic = topic, partition = 0, offset = "earliest" } })
  state.ended = lab:read_to_end(consumer, function(record)
    table.insert(state.ids, record.headers[1][2])
    table.insert(state.offsets, record.offset)
  end)
  local now = lab:watermarks(topic, 0)
  state.claimed = now.hw - now.low
  state.alarms = lab:gaps(state.offsets, now.low, state.ended)
  lab:anomaly(("%d offsets taken for records, %d records delivered"):format(state.claimed, #state.ids))
  state.says = ("sees %d \"records\", raises %d gap alarms"):format(state.claimed, #state.alarms)
end

observers["lag-by-watermark"] = function(lab, state)
  local topic, group = lab.shared.topic, lab:name "group"
  local consumer = lab:consumer { group = group, enable_auto_commit = false }
  must(consumer:subscribe { topic })
  state.ended = lab:read_to_end(consumer, function(record)
    must(consumer:commit({ topic = topic, partition = 0, offset = record.offset + 1 }, { sync = true }))
    table.insert(state.ids, record.headers[1][2])
    state.committed = record.offset + 1
  end)
  lab:anomaly(("all records done, the committed offset stops at %d"):format(state.committed))
  for _ = 1, 3 do must(consumer:poll(100, "150ms")) end -- however often it polls
  state.committed = committed_offset(lab, group)
  state.lag = lab:watermarks(topic, 0).hw - state.committed
  state.says = ("lag stays %d with all work done"):format(state.lag)
end

observers["read-uncommitted"] = function(lab, state)
  lab:apply_log(state, { isolation = "read_uncommitted" })
  state.says = ("applied %d records that were aborted, the balance is off by %d"):format(
    #(bag.from(state.ids) & bag.from(lab.shared.aborted)), state.view - lab.shared.ledger)
end

observers.ids = function(lab, state)
  lab:apply_log(state, { isolation = "read_committed" })
  local want = lab.shared.committed
  state.says = ("%d of %d ids, %d lost"):format(#state.ids, #want, #(bag.from(want) - bag.from(state.ids)))
end

observers["end-of-partition"] = function(lab, state)
  local topic, group = lab.shared.topic, lab:name "group"
  local consumer = lab:apply_log(state, { isolation = "read_committed", at_end = function(consumer, eof)
    must(consumer:store { topic = topic, partition = 0, offset = eof.offset })
  end })
  lab:within("3s", function()
    must(consumer:poll(100, "50ms"))
    state.committed = committed_offset(lab, group)
    return state.committed == state.ended
  end)
  state.lag = lab:watermarks(topic, 0).hw - state.committed
  state.says = ("caught up at %d, lag %d"):format(state.ended, state.lag)
end

local function picture(lab, shared)
  local aborted = bag.from(shared.aborted)
  local cells = lab:log_cells { records = shared.ru.records, from = shared.low, to = shared.hw,
    fate = function(record) return aborted:count(record.id) > 0 and "aborted" or "committed" end }
  lab:moment { title = "The end of the log: the last aborted transaction and its marker",
    note = "Every transaction costs one marker, and aborted records keep their offsets: the last \z
      delivered record is not the last offset.",
    partitions = { { topic = shared.topic, partition = 0, cells = cells,
      marks = { low = shared.low, lso = shared.lso, hw = shared.hw, leo = shared.leo,
        committed = shared.rc.records[#shared.rc.records].offset + 1 } } } }
end

local checks = {}

local function equals(lab, name, got, want, what)
  return lab.check.equals { name = name, got = got, want = want, what = what, unit = what:match "^%a+" }
end

checks["offsets-as-count"] = function(lab, seen, shared)
  equals(lab, "count", seen.claimed, shared.records, "records claimed"):expect "violated"
  equals(lab, "claim", seen.claimed, shared.records + shared.markers, "offsets counted"):expect "holds"
  lab.check.gap { offsets = seen.alarms,
    note = "an aborted record or a transaction marker" }:expect "violated"
  equals(lab, "alarms", #seen.alarms, #shared.aborted + shared.markers, "gap alarms"):expect "holds"
  lab.check.lost { of = shared.committed, in_ = seen.ids }:expect "holds"
end

checks["lag-by-watermark"] = function(lab, seen, shared)
  local tail = shared.hw - (shared.rc.records[#shared.rc.records].offset + 1)
  equals(lab, "lag", seen.lag, 0, "offsets behind"):expect "violated"
  equals(lab, "tail", seen.lag, tail, "offsets after the last delivered record"):expect "holds"
  lab.check.lost { of = shared.committed, in_ = seen.ids }:expect "holds"
end

checks["read-uncommitted"] = function(lab, seen, shared)
  local log = shared.ru.records
  lab.check.aborted_read { aborted = shared.aborted, of = seen.ids, details = log }:expect(shared.aborted)
  lab.check.phantom { of = seen.ids, in_ = shared.committed, control = #log }:expect(shared.aborted)
  lab.check.conservation { ledger = shared.ledger, view = seen.view, unit = "cents" }:expect "violated"
end

local function check_applied(lab, seen, shared)
  lab.check.lost { of = shared.committed, in_ = seen.ids }:expect "holds"
  lab.check.aborted_read { aborted = shared.aborted, of = seen.ids }:expect "holds"
  lab.check.same { name = "same-ids", got = seen.ids, want = shared.committed,
    what = "committed ids" }:expect "holds"
  lab.check.conservation { ledger = shared.ledger, view = seen.view, unit = "cents" }:expect "holds"
end

function checks.ids(lab, seen, shared)
  check_applied(lab, seen, shared)
  lab.check.same { name = "log-committed", got = bag.from(shared.rc.records), want = shared.committed,
    what = "committed ids in the log" }:expect "holds"
  lab.check.same { name = "log-all", got = bag.from(shared.ru.records), what = "ids in the log",
    want = bag.from(shared.committed) + bag.from(shared.aborted) }:expect "holds"
  equals(lab, "arithmetic", shared.hw - shared.low, shared.records + shared.markers, "offsets"):expect "holds"
end

checks["end-of-partition"] = function(lab, seen, shared)
  check_applied(lab, seen, shared)
  equals(lab, "caught-up", seen.ended, shared.hw, "is the end of partition"):expect "holds"
  equals(lab, "committed", seen.committed, shared.hw, "is the committed offset"):expect "holds"
  lab.check.agree { { "lag", seen.lag, 0, "offsets behind",
    control = { what = "the committed offset", seen = seen.committed } } }
end

return experiment {
  id = "E-012",
  title = "Aborted transactions, control records and offset gaps",
  question = "Offsets jump and lag never reads zero: did I lose records?",
  claim = "No record is lost: markers and aborted records use offsets, so count ids and test \"caught \z
    up\" with end of partition.",
  lesson = "Markers and aborted records use offsets. Count ids; a monitor that wants lag 0 must store the \z
    end of partition.",
  needs = { "kafka", "mysql" }, seconds = 6,
  telling = { { "gap + lag + aborted-read", "records believed too many", "records" } },
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
    lab:watch_observer(state, arm.settings.commit ~= nil)
    observers[arm.name](lab, state)
    lab:number("delivered", #state.ids, "records")
    lab:number("offsets", lab.shared.hw - lab.shared.low)
    if state.lag then lab:number("lag at the end", state.lag, "offsets") end
    picture(lab, lab.shared)
    return state
  end,

  checks = function(lab, seen, arm) checks[arm.name](lab, seen, lab.shared) end,

  verdict = function(arms, shared)
    local wrong, right = arms["lag-by-watermark"], arms["end-of-partition"]
    if not (wrong and right) then return nil end
    return ("Nothing was lost: the log has %d offsets for %d records; lag by watermark stays at %d for \z
      ever, end of partition reads %d."):format(shared.hw - shared.low, shared.records, wrong.lag, right.lag)
  end,
}
