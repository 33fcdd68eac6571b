-- What can happen to the EndTxn of a producer on its way to the coordinator: it arrives late, while the next
-- transaction is open; it or its answers are lost, until the client gives up; it comes after the coordinator
-- has aborted the transaction by itself. A value is its id.
-- A round is about one transactional id on a topic of its own, and ends with what the two readers got.
local bag = require "rlab.bag"
local clock = require "rlab.clock"
local must = require "rlab.must"
local task = require "rlab.task"

local M = { PARTITIONS = 2 }

local LATE_AT_MOST, END_AT_MOST = "5s", "20s"
local PATIENCE = 1500    -- ms that a client waits for an end whose requests are lost
-- Settings of those libraries that take it as one: an answer is waited for less long than the call.
local PATIENT = { patience = 1000, request = 1000, block = 3000 }
local TIMEOUT = 2000     -- ms after which the coordinator aborts a transaction by itself
local ABORTED = "CompleteAbort"
local CONCURRENT_TRANSACTIONS, NOT_COORDINATOR = 51, 16
local REPEATS = 5        -- of a commit that got no answer, once answers come again

-- T1 is ended first, and T2 the other way.
M.ENDS = { commit = "abort", abort = "commit" }
M.ENDED = { commit = "committed", abort = "aborted" }

-- ---- what all rounds do ----

-- begin_round(lab, {name =, prefix =}) -> round: its topic, transactional id and wire log
local function begin_round(lab, what)
  local round = { name = what.name, prefix = what.prefix, transactional_id = lab:name("tx-" .. what.name),
    topic = lab:topic("orders-" .. what.name, { partitions = M.PARTITIONS }) }
  for partition = 0, M.PARTITIONS - 1 do
    lab:watch(round.topic, partition, ("%s.p%d"):format(what.name, partition))
  end
  round.log = lab:wire_log { contains = round.transactional_id }
  return round
end

local function end_round(lab, round, seen)
  for partition = 0, M.PARTITIONS - 1 do lab:settled(round.topic, partition) end
  local rc, ru = lab:read_both(round.topic)
  seen.topic, seen.transactional_id, seen.wire = round.topic, round.transactional_id, round.log:rows()
  seen.rc, seen.ru, seen.ends = rc.records, ru.records, rc.ends
  return seen
end

local function send(lab, p, round, partition, word)
  local id = round.prefix .. word
  local report = lab:op("producer", "send", { id = id, partition = partition }, function()
    return p:send { topic = round.topic, partition = partition, value = id }
  end)
  return report and { id = id, partition = partition, offset = report.offset }
end

-- A transaction with a record in each partition, all of them acknowledged and none ended.
local function write_both(lab, p, round, name)
  must(p:begin())
  local acked = { send(lab, p, round, 0, name .. "-a"), send(lab, p, round, 1, name .. "-b") }
  if #acked ~= M.PARTITIONS then
    lab:give_up("%d of %d records of %s were acknowledged", #acked, M.PARTITIONS, name)
  end
  return acked
end

local function finish(lab, p, kind, name, at_most)
  local ok, failure = lab:op("producer", kind, name, function() return p[kind](p, at_most or END_AT_MOST) end)
  return ok and true or false, failure
end

local function rule_on_end(lab, round, spec)
  spec.api, spec.nth, spec.contains = "EndTxn", 1, round.transactional_id
  return lab:rule(spec)
end

-- ---- late ----

-- The first end is held back on its connection and the client's side is cut: it repeats it on a new one and
-- hears OK.
local function first_transaction(lab, p, round, held)
  local acked = write_both(lab, p, round, "T1")
  local rule = rule_on_end(lab, round, { action = "late",
    name = ("EndTxn of T1 (%s) held back"):format(held) })
  local span = lab:span("transaction", round.prefix .. "T1")
  local from = clock.ns()
  local ok, failure = finish(lab, p, held, "T1")
  if not ok then lab:give_up("%s of T1: %s", held, tostring(failure)) end
  span.over(M.ENDED[held])
  rule:await()
  lab:number(("%s of T1, with its first request lost"):format(held), (clock.ns() - from) / 1e6, "ms")
  return acked, rule
end

local function second_transaction(lab, p, round, held, rule)
  local kind = M.ENDS[held]
  must(p:begin())
  local span = lab:span("transaction", round.prefix .. "T2")
  local acked = { send(lab, p, round, 0, "T2-a") }
  if #acked ~= 1 then lab:give_up "T2-a was not acknowledged" end
  if rule:release() ~= 1 then lab:give_up "the late EndTxn could not be delivered: its connection is gone" end
  local answer = round.log:await("the coordinator's answer to the late EndTxn",
    function(row) return row.direction == "late response" and row end, LATE_AT_MOST)
  if answer.error == NOT_COORDINATOR then lab:give_up "the coordinator has moved meanwhile" end
  lab:event("the %s of T1 arrives late, while T2 is open: answered %d", held, answer.error)
  acked[#acked + 1] = send(lab, p, round, 1, "T2-b")
  local ok, failure = finish(lab, p, kind, "T2")
  span.over(ok and M.ENDED[kind] or "open")
  return { acked = acked, ended = ok, error = failure and tostring(failure), late = answer.error,
    version = answer.version }
end

-- late(lab, {kind =, held = "commit" | "abort", prefix =, fresh =}) -> what was seen: two transactions of a
--   producer of that kind (lab:transactional), or with `fresh` of two of them, the end of the first arriving
--   around T2-a
function M.late(lab, what)
  local round = begin_round(lab, { name = what.fresh and "fresh-" .. what.held or what.held,
    prefix = what.prefix })
  local maker = lab:transactional(what.kind, round.transactional_id)
  local first, rule = first_transaction(lab, maker.next(), round, what.held)
  if what.fresh then maker = lab:transactional(what.kind, round.transactional_id) end
  local second = second_transaction(lab, maker.next(), round, what.held, rule)
  return end_round(lab, round, { held = what.held, first = first, second = second,
    version = maker.version, replaced = maker.replaced and maker.replaced() })
end

-- ---- lost ----

-- What a careful application does with a commit that failed: it aborts, and where that is refused it asks
-- for the commit again. -> what the last call that went well has promised, or "unknown"; and each call
local function settle(lab, p, rule)
  local steps = {}
  for i = 1, 2 + REPEATS do
    local kind, at_most = i == 2 and "abort" or "commit", i == 1 and ("%dms"):format(PATIENCE) or nil
    local ok, failure = finish(lab, p, kind, "T1", at_most)
    steps[i] = { kind = kind, ok = ok, error = failure and tostring(failure) }
    if i == 1 then rule:remove() end
    if ok then return M.ENDED[kind], steps end
  end
  return "unknown", steps
end

-- T2 as far as the same producer brings it: what was acknowledged, and why it is not committed.
local function try_next(lab, p, round)
  local acked, ok, failure = {}, p:begin()
  for partition, word in ipairs { "T2-a", "T2-b" } do
    if ok then acked[#acked + 1] = send(lab, p, round, partition - 1, word) end
  end
  if not ok then return acked, tostring(failure) end
  if #acked < M.PARTITIONS then return acked, "its records are refused" end
  ok, failure = finish(lab, p, "commit", "T2")
  return acked, not ok and tostring(failure) or nil
end

-- The transactions after T1: of the same producer, and where that has died of a new one.
local function next_transactions(lab, maker, round, open)
  local acked, dead = try_next(lab, maker.next(), round)
  if not dead then return { { acked = acked, told = "committed" } } end
  local p = open().next()
  local third = write_both(lab, p, round, "T3")
  if not finish(lab, p, "commit", "T3") then lab:give_up "T3 could not be committed" end
  return { { acked = acked, told = "unknown" }, { acked = third, told = "committed" } }, dead
end

local LOST = { request = { action = "drop", name = "every EndTxn of T1 lost" },
  answer = { action = "cut-after", name = "every answer to an EndTxn of T1 lost" } }

-- lost(lab, {kind =, lost = "request" | "answer", prefix =}) -> what was seen: the commit of T1 gets no
--   answer until the client gives up; then T2 is written and committed
function M.lost(lab, what)
  local round = begin_round(lab, { name = "lost-" .. what.lost, prefix = what.prefix })
  local function open()
    return lab:transactional(what.kind, round.transactional_id, PATIENT)
  end
  local maker, spec = open(), LOST[what.lost]
  local first = write_both(lab, maker.next(), round, "T1")
  local rule = rule_on_end(lab, round, { action = spec.action, name = spec.name, times = 1000 })
  local told, steps = settle(lab, maker.next(), rule)
  if steps[1].ok then lab:give_up "the commit whose answers were lost went well" end
  local later, dead = next_transactions(lab, maker, round, open)
  return end_round(lab, round, { told = told, steps = steps, dead = dead, version = maker.version,
    transactions = table.move(later, 1, #later, 2, { { acked = first, told = told } }) })
end

-- ---- raced ----

-- Held back until the coordinator has given the transaction up. librdkafka waits for an answer no longer than
-- a transaction may be open, so that the commit must not be too early.
local function outlived(lab, p, round)
  local admin = lab.run.admin
  lab:await("a transaction half of whose time is over", function()
    return clock.unix_ms() - must(admin:transaction(round.transactional_id)).start_ms > TIMEOUT / 2
  end)
  local rule = rule_on_end(lab, round, { action = "hold", name = "EndTxn of T1 (commit) held" })
  local commit = task.spawn(finish, lab, p, "commit", "T1")
  rule:await()
  lab:await("the coordinator's own abort", function()
    return must(admin:transaction(round.transactional_id)).state == ABORTED
  end)
  rule:release()
  local ok, failure = commit:join()
  return ok, failure and tostring(failure)
end

-- raced(lab, {kind =, prefix =}) -> what was seen: the commit of T1 comes after the coordinator's own abort;
--   a new producer writes and commits T2
function M.raced(lab, what)
  local round = begin_round(lab, { name = "raced", prefix = what.prefix })
  local function open()
    local opts = { timeout = TIMEOUT, request = 10000 }
    return lab:transactional(what.kind, round.transactional_id, opts).next()
  end
  local p = open()
  local first = write_both(lab, p, round, "T1")
  local ok, failure = outlived(lab, p, round)
  local answer = round.log:await("the coordinator's answer to the commit that came after its abort",
    function(row)
      local ended = row.api == "EndTxn" and row.direction == "response"
      return ended and row.error ~= CONCURRENT_TRANSACTIONS and row
    end, LATE_AT_MOST)
  p = open()
  local second = write_both(lab, p, round, "T2")
  if not finish(lab, p, "commit", "T2") then lab:give_up "T2 could not be committed" end
  -- An error alone would leave T1 unknown: that it is aborted is the coordinator's word, seen above.
  return end_round(lab, round, { error = failure, answer = answer.error,
    transactions = { { acked = first, told = ok and "committed" or "aborted" },
      { acked = second, told = "committed" } } })
end

-- ---- what was promised, against what a read_committed reader gets ----

-- A late round keeps its two as `first` and `second`, once: what the checks read is nowhere else.
local function transactions_of(seen)
  if seen.transactions then return seen.transactions end
  local second = seen.second
  return { { acked = seen.first, told = M.ENDED[seen.held] },
    { acked = second.acked, told = second.ended and M.ENDED[M.ENDS[seen.held]] or "unknown" } }
end

-- promised(seen) -> { committed =, aborted =, torn =, gone = }: ids of the transactions that the client was
--   told are committed, and of those it was told are aborted; aborted ones that are delivered, and committed
--   ones that are not
function M.promised(seen)
  local delivered, list = bag.from(seen.rc), { committed = {}, aborted = {}, torn = {}, gone = {} }
  for _, transaction in ipairs(transactions_of(seen)) do
    for _, row in ipairs(list[transaction.told] and transaction.acked or {}) do
      local there = delivered:count(row.id) > 0
      table.insert(list[transaction.told], row.id)
      if transaction.told == "aborted" and there then table.insert(list.torn, row.id) end
      if transaction.told == "committed" and not there then table.insert(list.gone, row.id) end
    end
  end
  return list
end

return M
