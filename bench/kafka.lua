-- Batches from Lua beside the same loop in plain C over librdkafka, turn and turn about on the same brokers; the ratio of the best rounds.
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local process = require "rlab.process"
local clock = require "rlab.clock"

local peer = ...
local RECORDS = math.tointeger(tonumber(os.getenv "RLAB_BENCH_RECORDS" or 500000))
local SIZE, BATCH, ROUNDS = 100, 1000, 5

local brokers = os.getenv "RLAB_TEST_BROKERS" or
  must(require("rlab.stack").open { needs = { "kafka" }, start = true }).kafka.brokers
local admin <close> = must(kafka.admin { brokers = brokers })
local topic = ("bench-%d"):format(os.time())

local function seconds(f)
  local start = clock.ns()
  f()
  return (clock.ns() - start) / 1e9
end

local function plain_c(what)
  local child = must(process.spawn { cmd = { peer, what, brokers, topic, tostring(RECORDS), tostring(SIZE), tostring(BATCH) } })
  local ended = must(child:wait())
  assert(ended.code == 0, "the peer failed")
  return tonumber((child:output()))
end

local function producer()
  return must(kafka.producer { brokers = brokers, linger_ms = 5, acks = 1 })
end

local function consumer()
  return must(kafka.consumer { brokers = brokers, group = "bench", enable_auto_commit = false })
end

local function produce_batches()
  local p <close> = producer()
  local values = {}
  for i = 1, BATCH do values[i] = ("v"):rep(SIZE) end
  return seconds(function()
    for _ = 1, RECORDS // BATCH do must(p:post_batch { topic = topic, partition = 0, values = values }) end
    must(p:flush "60s")
    assert(p:stats().acked == RECORDS)
  end)
end

local function produce_each()
  local p <close> = producer()
  local value = ("v"):rep(SIZE)
  return seconds(function()
    local i = 0
    while i < RECORDS do
      local ok, e = p:post { topic = topic, partition = 0, value = value }
      if ok then i = i + 1 elseif e.name == "_QUEUE_FULL" then p:flush "10ms" else error(e) end
    end
    must(p:flush "60s")
  end)
end

local function consume_batches()
  local c <close> = consumer()
  return seconds(function()
    must(c:assign { topic = topic, partition = 0, offset = 0 })
    local seen = 0
    while seen < RECORDS do
      local batch <close> = must(c:poll(BATCH, "1s"))
      seen = seen + select(2, batch:bytes())
    end
  end)
end

local function consume_each()
  local c <close> = consumer()
  return seconds(function()
    must(c:assign { topic = topic, partition = 0, offset = 0 })
    local seen = 0
    while seen < RECORDS do
      local batch <close> = must(c:poll(BATCH, "1s"))
      for r in batch:each() do
        assert(#r.value == SIZE)
        seen = seen + 1
      end
    end
  end)
end

local function line(what, n, best)
  print(("  %-34s %9.0f records/s"):format(what, n / best))
end

local function compare(what, c, batches, each)
  local best = { c = math.huge, batches = math.huge, each = math.huge }
  for _ = 1, ROUNDS do
    best.c = math.min(best.c, c())
    best.batches = math.min(best.batches, batches())
  end
  best.each = each()
  line(what .. ", plain C", RECORDS, best.c)
  line(what .. ", Lua batches of " .. BATCH, RECORDS, best.batches)
  line(what .. ", Lua record by record", RECORDS, best.each)
  print(("  %-34s %9.2f (target 0.90)"):format(what .. ", Lua batches / plain C", best.c / best.batches))
end

must(admin:create_topic { name = topic, partitions = 1, replication_factor = 1 })
print(("kafka: %d records of %d bytes, one partition, acks=1, best of %d"):format(RECORDS, SIZE, ROUNDS))
compare("produce", function() return plain_c "produce" end, produce_batches, produce_each)
compare("consume", function() return plain_c "consume" end, consume_batches, consume_each)
admin:delete_topics { topic }
