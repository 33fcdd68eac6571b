-- Transactions as a story writes them: a planned series with the coordinator's word for each end, and
-- producers that go on in different ways after one.
local must = require "rlab.must"
local proof = require "rlab.proof"
local tables = require "rlab.tables"

local M = {}

-- ---- a planned series ----

-- plan_transactions{count =, aborted =, last =, amount_max = 90} -> list of { aborts, records = {{ id,
--   amount }} }: the seed decides which ones abort; the last one, with `last` records, always does
function M.plan_transactions(lab, opts)
  local rng, aborts, list = lab.rng:split "plan", { [opts.count] = true }, {}
  for _, i in ipairs(rng:sample(opts.count - 1, opts.aborted - 1)) do aborts[i] = true end
  for i = 1, opts.count do
    local records = {}
    for k = 1, i == opts.count and opts.last or 1 do
      records[k] = { id = ("tx%02d-%d"):format(i, k), amount = rng:int(1, opts.amount_max or 90) }
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

-- How the coordinator says that the transaction ended: its word, not the client's, is the proof.
local function ended_as(lab, id, tx)
  local state = must(lab.run.admin:transaction(id)).state
  local kind = state:find "Abort" and "aborted" or state:find "Commit" and "committed" or state
  local due = tx.aborts and "aborted" or "committed"
  if kind ~= due then
    lab:give_up("the transaction of %s should be %s, the coordinator says %s", tx.records[1].id, due, state)
  end
  return kind
end

-- One transaction: records flushed to the broker first, so that an aborted one is in the log.
local function transact(lab, producer, topic, tx, ends)
  must(producer:begin())
  local span = lab:span("transaction", tx.records[1].id)
  local sent = must(producer:submit(messages(topic, tx.records)))
  must(producer:flush "10s")
  if #sent:acked() ~= #tx.records then
    lab:give_up("%d of %d records acknowledged inside a transaction", #sent:acked(), #tx.records)
  end
  if tx.aborts then must(producer:abort "10s") else must(producer:commit "10s") end
  local kind = ended_as(lab, ends.id, tx)
  ends[kind] = ends[kind] + 1
  span.over(kind)
  return true
end

local function aborting(plan)
  local n = 0
  for _, tx in ipairs(plan) do n = n + (tx.aborts and 1 or 0) end
  return n
end

-- What became of them, by the coordinator and by the independent reader: the proof that the aborts happened.
local function prove(lab, fault, topic, plan, seen, ends)
  local now = lab:settled(topic, 0)
  seen.topic, seen.low, seen.hw, seen.lso, seen.leo = topic, now.low, now.hw, now.lso, now.leo
  seen.rc, seen.ru = lab:read_both(topic)
  local bag = require "rlab.bag"
  local in_log = #(bag.from(seen.aborted) & bag.from(lab:ids(seen.ru)))
  lab:issued("transactions", ends.aborted + ends.committed, #plan)
  lab:issued("aborted transactions", ends.aborted, aborting(plan))
  lab:issued("aborted ids in the log", in_log, #seen.aborted)
  local function seen_by(from, what, got, want)
    return proof.of("read", { what = what, from = from, got = got, want = want })
  end
  fault:fired(seen_by("the coordinator", "transactions aborted", ends.aborted, aborting(plan)),
    seen_by("the independent reader", "aborted ids in the log", in_log, #seen.aborted)):over()
end

-- transactions(topic, plan, on_commit) -> { committed = ids, aborted = ids, records = n, markers = n,
--   topic, low, lso, hw, leo, rc, ru }: one after the other to partition 0, and the log read back;
--   on_commit(records) after each that committed
function M.transactions(lab, topic, plan, on_commit)
  local ends = { id = lab:name "tx", aborted = 0, committed = 0 }
  local producer = lab:producer { transactional_id = ends.id, linger_ms = 0 }
  local fault = lab:fault(("abort %d of %d transactions after flush"):format(aborting(plan), #plan))
  local seen = { committed = {}, aborted = {}, records = 0, markers = 0 }
  must(producer:init_transactions "20s")
  for i, tx in ipairs(plan) do
    lab:op("producer", tx.aborts and "abort" or "commit", tx.records, function()
      return transact(lab, producer, topic, tx, ends)
    end)
    if not tx.aborts then on_commit(tx.records) end
    for _, record in ipairs(tx.records) do
      table.insert(tx.aborts and seen.aborted or seen.committed, record.id)
    end
    seen.records, seen.markers = seen.records + #tx.records, seen.markers + 1
    lab:progress(i, #plan, "transactions")
  end
  prove(lab, fault, topic, plan, seen, ends)
  return seen
end

-- ---- producers that go on after the end of a transaction, each in its way ----

local LONG = 60000 -- ms that a transaction may be open, unless a story says otherwise

-- librdkafka wants its socket.timeout.ms below the transaction's, and message.timeout.ms no longer than that.
local function settings(lab, id, opts)
  local timeout = opts.timeout or LONG
  return { brokers = lab:wire().brokers, ["client.id"] = lab:wire().client_id, ["transactional.id"] = id,
    ["linger.ms"] = 0, ["transaction.timeout.ms"] = timeout,
    ["socket.timeout.ms"] = math.min(3000, timeout), ["message.timeout.ms"] = math.min(20000, timeout) }
end

-- The same of another library, with what else it wants.
local function foreign(lab, id, opts, more)
  return tables.merged({ ["bootstrap.servers"] = lab:wire().brokers, ["client.id"] = lab:wire().client_id,
    ["transactional.id"] = id, ["transaction.timeout.ms"] = opts.timeout or LONG }, more)
end

local function reused(p)
  must(p:init_transactions "20s")
  return { next = function() return p end, version = p.version }
end

local kinds = {}

function kinds.reuse(lab, id, opts)
  return reused(lab:producer(settings(lab, id, opts)))
end

function kinds.fresh(lab, id, opts)
  local p
  return { next = function()
    if p then p:close { abort = false } end
    p = lab:producer(settings(lab, id, opts))
    must(p:init_transactions "20s")
    return p
  end }
end

kinds["kafka.transactional"] = function(lab, id, opts)
  local all = lab:settings("producer", settings(lab, id, opts))
  local t = lab:own(must(require("rlab.kafka").transactional(all)))
  return { next = function() return must(t:producer()) end, replaced = function() return t.replaced end }
end

function kinds.java(lab, id, opts)
  return reused(lab:java_producer(foreign(lab, id, opts, { ["linger.ms"] = 0,
    ["request.timeout.ms"] = opts.request or 3000, ["delivery.timeout.ms"] = 20000,
    ["max.block.ms"] = opts.block or LONG })))
end

local GO = { "franz-go", "franz-go-old", "sarama" }

for _, name in ipairs(GO) do
  kinds[name] = function(lab, id, opts)
    return reused(lab:go_producer(name, foreign(lab, id, opts, { ["end.timeout.ms"] = opts.patience })))
  end
end

-- transactional(kind, id[, {timeout =, patience =, request =, block =}]) -> { next() -> the producer for the
--   next transaction, replaced(), version }: kind is "reuse" (the same one goes on), "fresh" (a new one each
--   time), "kafka.transactional" (replaced when a connection was lost); of other libraries "java",
--   "franz-go", "franz-go-old", "sarama". In ms: how long a transaction may be open; sarama waits for an
--   answer; Java waits for an answer, and for a call to be over.
function M.transactional(lab, kind, id, opts)
  return kinds[kind](lab, id, opts or {})
end

return M
