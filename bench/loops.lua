-- One measurement in a process of its own: rlab bench-loop WHAT ARGUMENTS... prints one JSON line, as
-- bench/kafka_loop does.
--   produce | post | consume | each   TOPIC PARTITIONS RECORDS BYTES BATCH [property=value]...
--   task TURNS
--   apply none|batch|record HOST PORT USER PASSWORD SCHEMA TOPIC PARTITIONS EVENTS BATCH [property=value]...
--   relay MARK HOST PORT USER PASSWORD SCHEMA TOPIC ROWS BATCH [property=value]...
local clock = require "rlab.clock"
local fs = require "rlab.fs"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local task = require "rlab.task"

local loops = {}

-- stopwatch() -> function() -> {seconds=, cpu=}; cpu counts all threads
local function stopwatch()
  local began, cpu = clock.ns(), os.clock()
  return function(result)
    result.seconds, result.cpu = (clock.ns() - began) / 1e9, os.clock() - cpu
    return result
  end
end

local function properties_of(words, from)
  local properties = {}
  for i = from, #words do
    local name, value = words[i]:match "^([^=]+)=(.*)$"
    properties[name] = value
  end
  return properties
end

local function work_of(words)
  local w = { topic = words[1], partitions = math.tointeger(words[2]), records = math.tointeger(words[3]),
    bytes = math.tointeger(words[4]),
    batch = math.tointeger(words[5]), properties = properties_of(words, 6) }
  return w
end

-- ---- produce ----

local function values_of(w)
  local values = {}
  for i = 1, w.batch do values[i] = string.char(97 + (i - 1) % 26):rep(w.bytes) end
  return values
end

-- with_producer(words, send): times send(producer, work, values) until every record is acknowledged
local function with_producer(words, send)
  local w = work_of(words)
  local values = values_of(w)
  local producer <close> = must(kafka.producer(w.properties))
  for p = 0, w.partitions - 1 do must(producer:post { topic = w.topic, partition = p, value = "warm" }) end
  must(producer:flush "60s")
  local stop = stopwatch()
  send(producer, w, values)
  must(producer:flush "60s")
  local stats = producer:stats()
  local acked = stats.acked - w.partitions
  return stop { records = acked, failed = stats.failed, bytes = acked * w.bytes }
end

function loops.produce(words)
  return with_producer(words, function(producer, w, values)
    local left = w.records
    while left > 0 do
      local list = left >= w.batch and values or table.move(values, 1, left, 1, {})
      must(producer:post_batch { topic = w.topic, values = list })
      left = left - #list
    end
  end)
end

-- The report of a record comes by the loop, so a script that only posts must let it run now and then.
local function post(producer, record)
  local ok, e = producer:post(record)
  while not ok do
    if e.name ~= "_QUEUE_FULL" then error(e, 0) end
    task.sleep "1ms"
    ok, e = producer:post(record)
  end
end

function loops.post(words)
  return with_producer(words, function(producer, w, values)
    for i = 1, w.records do
      post(producer, { topic = w.topic, value = values[i % w.batch + 1] })
      if i % w.batch == 0 then task.yield() end
    end
  end)
end

-- ---- consume ----

-- with_consumer(words, take): take(batch) -> bytes, records; the clock starts at the first record
local function with_consumer(words, take)
  local w = work_of(words)
  local consumer <close> = must(kafka.consumer(w.properties))
  local all = {}
  for p = 0, w.partitions - 1 do all[#all + 1] = { topic = w.topic, partition = p, offset = "earliest" } end
  must(consumer:assign(all))
  local bytes, records = take(must(consumer:poll(1, "60s"))), 0
  local stop = stopwatch()
  while records < w.records do
    local batch <close> = must(consumer:poll(math.min(w.batch, w.records - records), "1s"))
    local more_bytes, more_records = take(batch)
    bytes, records = bytes + more_bytes, records + more_records
  end
  return stop { records = records, failed = 0, bytes = bytes }
end

function loops.consume(words)
  return with_consumer(words, function(batch) return batch:bytes() end)
end

function loops.each(words)
  local seen = 0
  return with_consumer(words, function(batch)
    local bytes, records = 0, 0
    for record in batch:each() do
      bytes, records, seen = bytes + #record.value, records + 1, seen + record.offset
    end
    return bytes, records
  end)
end

-- ---- tasks ----

local function per_turn(turns, f)
  local began = clock.ns()
  f(turns)
  return (clock.ns() - began) / turns
end

-- Two tasks that wake each other in turn: two switches a turn.
local function ping_pong(turns)
  local here, there = task.event(), task.event()
  local other = task.spawn(function()
    for _ = 1, turns do
      there:wait()
      here:set()
    end
  end)
  task.yield()
  for _ = 1, turns do
    there:set()
    here:wait()
  end
  other:join()
end

-- A call that runs on the thread pool and does next to nothing there.
local function awaits(turns)
  for _ = 1, turns do must(fs.remove "/nonexistent/rlab-bench") end
end

function loops.task(words)
  local turns = math.tointeger(words[1])
  return { switch = per_turn(turns, ping_pong) / 2, await = per_turn(turns, awaits) }
end

-- ---- relay ----

-- Looking costs what is measured: seldom while much is left.
local function until_it(flow, field, wanted)
  local every = wanted > 1 and "100ms" or "1ms"
  while true do
    local n = flow:stats()[field]
    if n >= wanted then return end
    if n > wanted * 0.9 then every = "5ms" end
    for _, event in ipairs(flow:events(every)) do
      if event.err and event.err.name ~= "CONNECTING" then error(event.err.message, 0) end
    end
  end
end

-- From the first rows that were read until all are marked.
function loops.relay(words)
  local rows = math.tointeger(words[8])
  local flow <close> = must(require("rlab.flow_relay").open { mark = words[1], topic = words[7],
    batch = math.tointeger(words[9]),
    mysql = { host = words[2], port = math.tointeger(words[3]), user = words[4], password = words[5],
      database = words[6] },
    producer = properties_of(words, 10) })
  until_it(flow, "read", 1)
  local stop = stopwatch()
  until_it(flow, "marked", rows)
  local stats = flow:stats()
  return stop { records = stats.marked, failed = stats.retries + stats.fenced + stats.parked }
end

-- ---- consume ----

-- What a handler would do at least: look at each event. One of records is called as the service calls it.
local amount = 0
local function look(record) amount = amount + record.amount end

local handlers = {
  batch = function(records)
    for _, record in ipairs(records) do look(record) end
  end,
  record = function(records)
    local verdicts = {}
    for i, record in ipairs(records) do
      local ok, why = pcall(look, record)
      if not ok then verdicts[i] = why end
    end
    return verdicts
  end,
}

local function serve(flow, handler)
  local number, records = flow:batch()
  while number do
    flow:answer(number, handler(records))
    number, records = flow:batch()
  end
end

-- From the first records that were taken until all are applied. Looking costs what is measured: seldom
-- while much is left.
function loops.apply(words)
  local wanted, handler, every = math.tointeger(words[9]), handlers[words[1]], "1ms"
  local properties = properties_of(words, 11)
  local group, brokers = properties["group.id"], properties["bootstrap.servers"]
  properties["group.id"], properties["bootstrap.servers"] = nil, nil
  local flow <close> = must(require("rlab.flow_consume").open { brokers = brokers, group = group,
    consumer = properties, topic = words[7],
    mysql = { host = words[2], port = math.tointeger(words[3]), user = words[4], password = words[5],
      database = words[6] },
    consumer_name = "bench", member = "bench", workers = math.tointeger(words[8]),
    batch = math.tointeger(words[10]), handler = handler ~= nil })
  local stop, stats
  repeat
    for _, event in ipairs(flow:events(every)) do
      if event.err then error(event.err.message, 0) end
    end
    if handler then serve(flow, handler) end
    stats = flow:stats()
    if not stop and stats.polled > 0 then stop, every = stopwatch(), "50ms" end
    if stats.applied > wanted * 0.9 then every = "5ms" end
  until stats.applied >= wanted
  return stop { records = stats.applied, failed = stats.failed }
end

return function(words)
  print(json.encode(loops[words[1]](table.move(words, 2, #words, 1, {}))))
  return 0
end
