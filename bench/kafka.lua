-- Lua against plain C over librdkafka: the same properties, the same shape of topic, rounds in turn (every second one begins with Lua), medians.
-- The ratio is the median of the ratios of the rounds, for two runs of one round have met the same load.
local clock = require "rlab.clock"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local term = require "rlab.term"

local BYTES, PARTITIONS, BATCH, TARGET = 100, 3, 1000, 0.9
local COMMON = { ["client.id"] = "rlab", ["log_level"] = "0", ["reconnect.backoff.ms"] = "20" }
local PRODUCE = { ["acks"] = "all", ["enable.idempotence"] = "true" }
-- at its default of 1 s a full local queue makes the fetcher pause that long, and some rounds stall
local CONSUME = { ["group.id"] = "rlab-bench", ["enable.auto.commit"] = "false", ["fetch.queue.backoff.ms"] = "5" }

local RUNS = {
  { what = "produce", side = "C", peer = true },
  { what = "produce", side = "Lua, batches", loop = "produce", target = TARGET },
  { what = "produce", side = "Lua, one by one", loop = "post" },
  { what = "consume", side = "C", peer = true },
  { what = "consume", side = "Lua, batches", loop = "consume", target = TARGET },
  { what = "consume", side = "Lua, one by one", loop = "each" },
}

local function properties(brokers, own)
  local list = { "bootstrap.servers=" .. brokers }
  for _, set in ipairs { COMMON, own } do
    for name, value in pairs(set) do list[#list + 1] = name .. "=" .. value end
  end
  table.sort(list)
  return list
end

local function measure(ctx, run, topic)
  local words = run.peer and { ctx.peers .. "/kafka_loop", run.what } or { ctx.rlab, "bench-loop", run.loop }
  for _, word in ipairs { topic, tostring(PARTITIONS), tostring(ctx.records), tostring(BYTES), tostring(BATCH) } do
    words[#words + 1] = word
  end
  for _, word in ipairs(ctx.properties[run.what]) do words[#words + 1] = word end
  local result = must(json.decode(ctx.run(words)))
  if result.records ~= ctx.records or result.failed ~= 0 then
    error(("%s, %s: %d of %d records, %d failed"):format(run.what, run.side, result.records, ctx.records, result.failed), 0)
  end
  return result.records / result.seconds, result.cpu / result.records * 1e6
end

-- One replica: the brokers share the cores with what is measured, and copies of copies would only hide the clients.
local function new_topic(admin)
  local name = ("rlab-bench-%x"):format(clock.ns())
  must(admin:create_topic { name = name, assignment = { { 1 }, { 2 }, { 3 } } })
  return name
end

-- Everybody consumes what C produced, so that the batches on disk are the same.
local function one_round(ctx, admin, turn)
  local topics, order = {}, { 1, 2, 3, 4, 5, 6 }
  if turn % 2 == 0 then order = { 3, 2, 1, 6, 5, 4 } end
  for _, i in ipairs(order) do
    local run = RUNS[i]
    if run.what == "produce" then topics[i] = new_topic(admin) end
    local rate, cpu = measure(ctx, run, run.what == "produce" and topics[i] or topics[1])
    run.rates[turn], run.cpus[turn] = rate, cpu
  end
  must(admin:delete_topics { topics[1], topics[2], topics[3] })
end

local function ratios(run, peer)
  local list = {}
  for i, rate in ipairs(run.rates) do list[i] = rate / peer.rates[i] end
  return list
end

local function row_of(ctx, run, peer)
  local row = { what = run.peer and run.what or "", side = run.side, rate = ctx.count_text(ctx.median(run.rates)),
    cpu = ("%.2f"):format(ctx.median(run.cpus)) }
  if run.peer then return row end
  local list = ratios(run, peer)
  run.ratio = ctx.median(list)
  row.ratio = ("%.2f"):format(run.ratio)
  row.span = ("%.2f to %.2f"):format(math.min(table.unpack(list)), math.max(table.unpack(list)))
  row.target = run.target and ("%s %.1f"):format(term.symbol "ge", run.target) or nil
  return row
end

return function(ctx, stack)
  local brokers = stack:brokers()
  ctx.properties = { produce = properties(brokers, PRODUCE), consume = properties(brokers, CONSUME) }
  local admin <close> = must(kafka.admin { brokers = brokers })
  for _, run in ipairs(RUNS) do run.rates, run.cpus = {}, {} end
  for turn = 1, ctx.rounds do one_round(ctx, admin, turn) end
  ctx.title("kafka", ("%s records of %d bytes in batches of %d, %d partitions, acks=all, idempotent; %d rounds in turn, medians"):format(
    ctx.count_text(ctx.records), BYTES, BATCH, PARTITIONS, ctx.rounds))
  local rows, missed, peer = {}, {}, nil
  for i, run in ipairs(RUNS) do
    peer = run.peer and run or peer
    rows[i] = row_of(ctx, run, peer)
    if run.target and run.ratio < run.target then
      missed[#missed + 1] = ("%s in batches: %.3f of C, target %.1f"):format(run.what, run.ratio, run.target)
    end
  end
  ctx.table({ { name = "", key = "what" }, { name = "", key = "side" }, { name = "records/s", key = "rate", align = "right" },
    { name = "Lua / C", key = "ratio", align = "right" }, { name = "in the rounds", key = "span", align = "right" },
    { name = "target", key = "target" }, { name = "CPU s per million", key = "cpu", align = "right" } }, rows)
  return missed
end
