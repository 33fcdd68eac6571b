-- Lua against plain C over librdkafka: the same properties, the same shape of topic, rounds in turn (every
-- second one begins with Lua), medians.
-- The ratio is the median of the ratios of the rounds, for two runs of one round have met the same load.
local clock = require "rlab.clock"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local term = require "rlab.term"

local BYTES, PARTITIONS, BATCH, TARGET = 100, 3, 1000, 0.9
local READ = 4 -- consuming is so much faster that it gets so many times the records
local COMMON = { ["client.id"] = "rlab", ["log_level"] = "0", ["reconnect.backoff.ms"] = "20" }
local PRODUCE = { ["acks"] = "all", ["enable.idempotence"] = "true" }
-- at its default of 1 s a full local queue makes the fetcher pause that long, and some rounds stall
local CONSUME = { ["group.id"] = "rlab-bench", ["enable.auto.commit"] = "false",
  ["fetch.queue.backoff.ms"] = "5" }

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

local function records_of(ctx, run)
  return run.what == "produce" and ctx.records or ctx.records * READ
end

local function measure(ctx, run, topic)
  local words = run.peer and { ctx.peers .. "/kafka_loop", run.what } or { ctx.rlab, "bench-loop", run.loop }
  local wanted = records_of(ctx, run)
  for _, word in ipairs { topic, tostring(PARTITIONS), tostring(wanted), tostring(BYTES), tostring(BATCH) } do
    words[#words + 1] = word
  end
  for _, word in ipairs(ctx.properties[run.what]) do words[#words + 1] = word end
  local result = must(json.decode(ctx.run(words)))
  if result.records ~= wanted or result.failed ~= 0 then
    error(("%s, %s: %d of %d records, %d failed"):format(run.what, run.side, result.records, wanted,
      result.failed), 0)
  end
  return result.records / result.seconds, result.cpu / result.records * 1e6
end

-- One replica: the brokers share the cores with what is measured, and copies of copies would only hide the
-- clients.
local function new_topic(admin)
  local name = ("rlab-bench-%x"):format(clock.ns())
  must(admin:create_topic { name = name, assignment = { { 1 }, { 2 }, { 3 } } })
  return name
end

-- Everybody consumes one topic that C produced, so that the batches on disk are the same.
local function fill(ctx, admin)
  local topic = new_topic(admin)
  for _ = 1, READ do measure(ctx, RUNS[1], topic) end
  return topic
end

local function one_round(ctx, admin, turn, filled)
  local order = turn % 2 == 1 and { 1, 2, 3, 4, 5, 6 } or { 3, 2, 1, 6, 5, 4 }
  for _, i in ipairs(order) do
    local run = RUNS[i]
    local topic = run.what == "produce" and new_topic(admin) or filled
    run.rates[turn], run.cpus[turn] = measure(ctx, run, topic)
    if topic ~= filled then must(admin:delete_topics { topic }) end
  end
end

local function ratios(run, peer)
  local list = {}
  for i, rate in ipairs(run.rates) do list[i] = rate / peer.rates[i] end
  return list
end

local function row_of(ctx, run, peer)
  local row = { what = run.peer and run.what or "", side = run.side,
    rate = ctx.count_text(ctx.median(run.rates)),
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
  local filled = fill(ctx, admin)
  for turn = 1, ctx.rounds do one_round(ctx, admin, turn, filled) end
  must(admin:delete_topics { filled })
  ctx.title("kafka", ("%s records produced, %s consumed, %d bytes each, in batches of %d; %d partitions, \z
    acks=all, idempotent; medians of %d rounds"):format(
    ctx.count_text(ctx.records), ctx.count_text(ctx.records * READ), BYTES, BATCH, PARTITIONS, ctx.rounds))
  local rows, missed, peer = {}, {}, nil
  for i, run in ipairs(RUNS) do
    peer = run.peer and run or peer
    rows[i] = row_of(ctx, run, peer)
    if run.target and run.ratio < run.target then
      missed[#missed + 1] = ("%s in batches: %.3f of C, target %.1f"):format(run.what, run.ratio, run.target)
    end
  end
  ctx.table({ { name = "", key = "what" }, { name = "", key = "side" },
    { name = "records/s", key = "rate", align = "right" },
    { name = "Lua / C", key = "ratio", align = "right" },
    { name = "in the rounds", key = "span", align = "right" },
    { name = "target", key = "target" }, { name = "CPU s per million", key = "cpu", align = "right" } }, rows)
  return missed
end
