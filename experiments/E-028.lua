-- E-028: one EndTxn arrives late. It ends a transaction that it does not belong to.
local PARTITIONS, LATE_AT_MOST = 2, "5s"

-- The same two transactions in every arm and round: T1 is ended first and its end is late; T2 is written
-- around the late one's arrival, and ended the other way. A value is its id.
local ENDS = { commit = "abort", abort = "commit" }

local function id_of(round, name)
  return round.prefix .. name
end

-- ---- producers: one that goes on, one that is replaced, one that knows by itself, and Java's ----

local function settings(lab, id)
  return { brokers = lab:wire().brokers, ["client.id"] = lab:wire().client_id, ["transactional.id"] = id,
    ["linger.ms"] = 0,
    ["transaction.timeout.ms"] = 60000, ["socket.timeout.ms"] = 3000, ["message.timeout.ms"] = 20000 }
end

local makers = {}

-- next() is asked before each transaction: the producer to use for it.
function makers.reuse(lab, id)
  local p = lab:producer(settings(lab, id))
  must(p:init_transactions "20s")
  return { next = function() return p end }
end

function makers.fresh(lab, id)
  local p
  return { next = function()
    if p then p:close { abort = false } end
    p = lab:producer(settings(lab, id))
    must(p:init_transactions "20s")
    return p
  end }
end

makers["kafka.transactional"] = function(lab, id)
  local t = lab:own(must(kafka.transactional(lab:settings("producer", settings(lab, id)))))
  return { next = function() return must(t:producer()) end, replaced = function() return t.replaced end }
end

function makers.java(lab, id)
  local p = lab:java_producer { ["bootstrap.servers"] = lab:wire().brokers,
    ["client.id"] = lab:wire().client_id, ["transactional.id"] = id,
    ["linger.ms"] = 0, ["transaction.timeout.ms"] = 60000, ["request.timeout.ms"] = 3000,
    ["delivery.timeout.ms"] = 20000 }
  must(p:init_transactions())
  return { next = function() return p end, version = p.version }
end

-- ---- one round ----

local function send(lab, p, topic, partition, id)
  local report = lab:op("producer", "send", { id = id, partition = partition }, function()
    return p:send { topic = topic, partition = partition, value = id }
  end)
  return report and { id = id, partition = partition, offset = report.offset }
end

local function finish(lab, p, kind, name)
  local ok, failure = lab:op("producer", kind, name, function() return p[kind](p, "20s") end)
  return ok and true or false, failure
end

local function late_answer(lab, log)
  return log:await("the coordinator's answer to the late EndTxn",
    function(row) return row.direction == "late response" and row end, LATE_AT_MOST)
end

-- The first end is held back on its connection and the client's side is cut: it repeats it on a new one and
-- hears OK.
local function first_transaction(lab, p, round, topic)
  must(p:begin())
  local acked = { send(lab, p, topic, 0, id_of(round, "T1-a")), send(lab, p, topic, 1, id_of(round, "T1-b")) }
  if #acked ~= 2 then lab:give_up("%d of 2 records of T1 were acknowledged", #acked) end
  local rule = lab:rule { api = "EndTxn", action = "late", nth = 1, contains = round.transactional_id,
    name = ("EndTxn of T1 (%s) held back"):format(round.held) }
  local span = lab:span("transaction", id_of(round, "T1"))
  local from = clock.ns()
  local ok, failure = finish(lab, p, round.held, "T1")
  if not ok then lab:give_up("%s of T1: %s", round.held, tostring(failure)) end
  span.over(round.held == "commit" and "committed" or "aborted")
  rule:await()
  lab:number(("%s of T1, with its first request lost"):format(round.held), (clock.ns() - from) / 1e6, "ms")
  return acked, rule
end

local function second_transaction(lab, p, round, topic, rule, log)
  local kind = ENDS[round.held]
  must(p:begin())
  local span = lab:span("transaction", id_of(round, "T2"))
  local acked = { send(lab, p, topic, 0, id_of(round, "T2-a")) }
  if #acked ~= 1 then lab:give_up "T2-a was not acknowledged" end
  if rule:release() ~= 1 then lab:give_up "the late EndTxn could not be delivered: its connection is gone" end
  local answer = late_answer(lab, log)
  lab:event("the %s of T1 arrives late, while T2 is open: answered %d", round.held, answer.error)
  acked[#acked + 1] = send(lab, p, topic, 1, id_of(round, "T2-b"))
  local ok, failure = finish(lab, p, kind, "T2")
  span.over(ok and (kind == "commit" and "committed" or "aborted") or "open")
  return { acked = acked, ended = ok, error = failure and tostring(failure), late = answer.error,
    version = answer.version }
end

local function run_round(lab, arm, held)
  local round = { held = held, transactional_id = lab:name("tx-" .. held),
    prefix = #arm.settings.held > 1 and held .. "/" or "" }
  local topic = lab:topic("orders-" .. held, { partitions = PARTITIONS })
  for partition = 0, PARTITIONS - 1 do lab:watch(topic, partition, ("%s.p%d"):format(held, partition)) end
  local log = lab:wire_log { contains = round.transactional_id }
  local maker = makers[arm.settings.producer](lab, round.transactional_id)
  local first, rule = first_transaction(lab, maker.next(), round, topic)
  local second = second_transaction(lab, maker.next(), round, topic, rule, log)
  lab:settled(topic, 0)
  lab:settled(topic, 1)
  local rc, ru = lab:read_both(topic)
  return { held = held, topic = topic, first = first, second = second, rc = rc.records, ru = ru.records,
    ends = rc.ends, java = maker.version,
    replaced = maker.replaced and maker.replaced(), wire = log:rows(),
    transactional_id = round.transactional_id }
end

-- ---- what was promised, against what a read_committed reader gets ----

local function ids(records)
  local list = {}
  for i, record in ipairs(records) do list[i] = record.id end
  return list
end

local function joined(a, b)
  return table.move(b, 1, #b, #a + 1, table.move(a, 1, #a, 1, {}))
end

-- The ids of the transactions that the client was told are committed, and of those it was told are aborted.
local function promised(seen)
  local list = { committed = {}, aborted = {} }
  local one, two = seen.held == "commit" and "committed" or "aborted",
    seen.held == "commit" and "aborted" or "committed"
  list[one] = ids(seen.first)
  if seen.second.ended then list[two] = ids(seen.second.acked) else list.unknown = ids(seen.second.acked) end
  return list
end

local function mark(lab, seen)
  local promise, delivered = promised(seen), {}
  for _, record in ipairs(seen.rc) do delivered[record.id] = record end
  for _, id in ipairs(promise.aborted) do
    if delivered[id] then lab:anomaly(("%s was aborted, and is delivered"):format(id)) end
  end
  for _, id in ipairs(promise.committed) do
    if not delivered[id] then lab:anomaly(("%s was acknowledged and committed, and is gone"):format(id)) end
  end
end

-- ---- the picture: each offset of both partitions ----

local function cells_of(seen, partition)
  local delivered, wanted, cells = {}, {}, {}
  for _, record in ipairs(seen.rc) do delivered[record.id] = true end
  for _, id in ipairs(promised(seen).committed) do wanted[id] = true end
  local by_offset, last = {}, seen.ends[tostring(partition)] - 1
  for _, record in ipairs(seen.ru) do
    if record.partition == partition then by_offset[record.offset] = record end
  end
  local ended = "abort" -- a marker ends the records before it as the reader shows
  for offset = 0, last do
    local record = by_offset[offset]
    if record then ended = delivered[record.id] and "commit" or "abort" end
    local kind = not record and "control" or delivered[record.id] and "committed"
      or wanted[record.id] and "lost" or "aborted"
    cells[#cells + 1] = { offset = offset, kind = kind, id = record and record.id,
      label = not record and ended or nil }
  end
  return cells
end

local function picture(lab, seen)
  local partitions = {}
  for partition = 0, PARTITIONS - 1 do
    partitions[partition + 1] = { topic = seen.topic, partition = partition,
      cells = cells_of(seen, partition) }
  end
  lab:moment { title = ("T1 %s late, T2 %s: what a read_committed reader gets"):format(seen.held == "commit"
    and "committed" or "aborted",
      ENDS[seen.held] == "commit" and "committed" or "aborted"),
    note = "T2-a was written before the late EndTxn arrived, T2-b after it. The marker between them ends \z
      half of T2 the way T1 was ended.",
    partitions = partitions }
end

local function named(seen, word)
  return ("%s-%s"):format(word, seen.held)
end

-- ---- the wire: what the proxy saw of the round, by record and marker ----

local SHOWN = { InitProducerId = true, AddPartitionsToTxn = true, Produce = true, EndTxn = true }

local function partition_words(row)
  local words = {}
  for _, p in ipairs(row.partitions or {}) do
    local what = p.ids and table.concat(p.ids, ",") or p.base_offset and p.base_offset >= 0
      and ("offset %d"):format(p.base_offset)
    words[#words + 1] = ("p%d%s%s"):format(p.partition, what and " " .. what or "",
      p.error and p.error ~= 0 and (" error %d"):format(p.error) or "")
  end
  return table.concat(words, "; ")
end

local function what_of(row)
  if row.what then return row.what end
  if row.api == "EndTxn" and row.committed ~= nil then return row.committed and "commit" or "abort" end
  return partition_words(row)
end

local function answer_of(row)
  local list = {}
  local epoch = row.producer_epoch or row.partitions and row.partitions[1]
    and row.partitions[1].producer_epoch
  if epoch and epoch >= 0 then list[1] = ("epoch %d"):format(epoch) end
  if row.error then list[#list + 1] = ("error %d"):format(row.error) end
  return table.concat(list, ", ")
end

-- A new transaction has to wait until the last one's markers are written: those tries say nothing here.
local function is_wait(row)
  local first = row.api == "AddPartitionsToTxn" and row.partitions and row.partitions[1]
  return first and first.error == 51
end

local function told(rows)
  local waits, list = {}, {}
  for _, row in ipairs(rows) do
    if is_wait(row) then waits[row.conn .. "/" .. row.correlation] = true end
  end
  for _, row in ipairs(rows) do
    if not (row.correlation and waits[row.conn .. "/" .. row.correlation]) then list[#list + 1] = row end
  end
  return list
end

-- Rows for the report: seconds, connection, direction, request with its version, what it is about, its
-- answer.
local function wire_rows(seen)
  local list = {}
  for _, row in ipairs(told(seen.wire)) do
    if row.what or SHOWN[row.api] and row.direction ~= "rule" then
      list[#list + 1] = { ("%.3f"):format(row.time), ("%s/%d"):format(row.proxy, row.conn),
        row.what and "proxy" or row.direction,
        row.api and ("%s v%d"):format(row.api, row.version) or "", what_of(row), answer_of(row) }
    elseif row.direction == "rule" then
      list[#list + 1] = { ("%.3f"):format(row.time), ("%s/%d"):format(row.proxy, row.conn), "proxy",
        row.api, "held back; the client's side is cut", "" }
    end
  end
  return list
end

local WIRE_HEAD = { "s", "connection", "", "request", "about", "answer" }

local function show_wire(lab, seen)
  lab:table { title = ("On the wire: %s, %s of T1 late"):format(lab.label, seen.held), head = WIRE_HEAD,
    rows = wire_rows(seen),
    note = ("What the proxy saw of transactional.id %s; tries that were answered 51, \z
      CONCURRENT_TRANSACTIONS, are left out."):format(seen.transactional_id) }
end

local function sentence(all)
  local parts = {}
  for _, seen in ipairs(all) do
    local promise, delivered, torn, gone = promised(seen), {}, {}, {}
    for _, record in ipairs(seen.rc) do delivered[record.id] = true end
    for _, id in ipairs(promise.aborted) do torn[#torn + 1] = delivered[id] and id or nil end
    for _, id in ipairs(promise.committed) do gone[#gone + 1] = not delivered[id] and id or nil end
    parts[#parts + 1] = torn[1] and ("%s of an aborted transaction is delivered"):format(torn[1])
      or gone[1] and ("%s, acknowledged and committed, is gone without an error"):format(gone[1])
      or ("the late %s is answered %d, nothing is torn"):format(seen.held, seen.second.late)
  end
  return table.concat(parts, "; ")
end

-- ---- checks ----

-- Every transaction is delivered as a whole or not at all.
local function torn(seen)
  local delivered, found = {}, {}
  for _, record in ipairs(seen.rc) do delivered[record.id] = true end
  for _, records in ipairs { seen.first, seen.second.acked } do
    local n = 0
    for _, record in ipairs(records) do n = n + (delivered[record.id] and 1 or 0) end
    if n > 0 and n < #records then
      for _, record in ipairs(records) do
        found[#found + 1] = { id = record.id, partition = record.partition, offset = record.offset,
          note = delivered[record.id] and "delivered" or "not delivered" }
      end
    end
  end
  return found
end

local function check_round(lab, seen, arm)
  local promise = promised(seen)
  local held = arm.class == "wrong" and seen.held
  lab.check.custom(named(seen, "all-or-nothing"), function()
    local found = torn(seen)
    return #found == 0, #found == 0 and "each transaction is delivered as a whole or not at all"
      or "T2 is torn: a part of it is delivered", found
  end):expect { wrong = "violated", right = "holds" }
  lab.check.aborted_read { name = named(seen, "aborted-read"), aborted = promise.aborted, of = ids(seen.rc),
    details = seen.rc }
    :expect(held == "commit" and { "T2-a" } or "holds")
  lab.check.lost { name = named(seen, "lost"), of = promise.committed, in_ = ids(seen.rc),
    details = joined(seen.first, seen.second.acked) }
    :expect(held == "abort" and { "T2-a" } or "holds")
  lab.check.equals { name = named(seen, "told"), got = seen.second.error or "OK", want = "OK",
    what = "is what the client heard at the end of T2" }:expect "holds"
  lab.check.equals { name = named(seen, "late-answer"), got = seen.second.late, want = arm.settings.answer,
    what = "is the answer to the late EndTxn" }
    :expect "holds"
end

return experiment {
  id = "E-028",
  title = "A late EndTxn tears the next transaction",
  question = "Can a record be lost that was acknowledged and committed, with no error anywhere?",
  claim = "An EndTxn that was repeated after a lost connection and arrives late ends the producer's next \z
    transaction. After a new producer's init_transactions, or with EndTxn v5, it is refused.",
  lesson = "After a connection was lost while a transaction was ended, go on with a new producer of the \z
    same transactional.id.",
  needs = { "kafka", "proxy" },
  side_by_side = true,

  arms = {
    wrong "reuse-commit-late" { says = "the same producer goes on; T1's commit arrives late, T2 is aborted",
      producer = "reuse",
      held = { "commit" }, answer = 0 },
    wrong "reuse-abort-late" { says = "the same producer goes on; T1's abort arrives late, T2 is committed",
      producer = "reuse",
      held = { "abort" }, answer = 0 },
    right "fresh-producer" { says = "a new producer with the same transactional.id for T2",
      producer = "fresh", held = { "commit", "abort" }, answer = 47 },
    right "kafka.transactional" {
      says = "rlab's helper notices the lost connection and replaces the producer",
      producer = "kafka.transactional",
      held = { "commit", "abort" }, answer = 47 },
    right "java-client" { says = "Kafka's Java client: EndTxn v5 carries an epoch for each transaction \z
      (KIP-890)", producer = "java",
      held = { "commit", "abort" }, answer = 90 },
  },

  run = function(lab, arm)
    local all = {}
    if arm.settings.producer == "java" then
      lab:event("kafka-clients %s in a process of its own", lab:java_version())
    end
    lab:each(arm.settings.held, function(held)
      local seen = run_round(lab, arm, held)
      all[held == arm.settings.held[1] and 1 or 2] = seen
      show_wire(lab, seen)
      mark(lab, seen)
    end)
    if arm.name == "reuse-abort-late" then picture(lab, all[1]) end
    lab:fact("EndTxn version %d", all[1].second.version)
    return { rounds = all, says = sentence(all) }
  end,

  checks = function(lab, result, arm)
    local all = result.rounds
    for _, seen in ipairs(all) do check_round(lab, seen, arm) end
    if arm.settings.producer == "kafka.transactional" then
      for _, seen in ipairs(all) do
        lab.check.equals { name = named(seen, "replaced"), got = seen.replaced, want = 1,
          what = "is how often the helper replaced the producer" }:expect "holds"
      end
    end
  end,

  verdict = function(arms)
    local lost = arms["reuse-abort-late"]
    if not (lost and arms["java-client"] and arms["fresh-producer"]) then return nil end
    return ("librdkafka's EndTxn v%d cannot say which transaction it means: a late one took %s, \z
      acknowledged and committed, without an error. A new producer has it refused (47), Java's v%d too \z
      (90)."):format(lost.rounds[1].second.version, "T2-a", arms["java-client"].rounds[1].second.version)
  end,
}
