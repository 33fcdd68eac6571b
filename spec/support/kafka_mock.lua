-- librdkafka's in-process mock cluster for specs of our own bindings: three brokers, and clients on them.
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

-- open() -> closable; the clients below are of the last one opened
function M.open()
  local mock = assert(kafka.producer { test_mock_num_brokers = 3 })
  M.brokers = mock:mock_brokers()
  return mock
end

function M.wait(...)
  return must(task.wait_until(...))
end

function M.producer(options)
  return assert(kafka.producer(tables.merged(
    { brokers = M.brokers, linger_ms = 0, message_timeout_ms = "60s" }, options)))
end

function M.consumer(options)
  return assert(kafka.consumer(tables.merged(
    { brokers = M.brokers, auto_offset_reset = "earliest", fetch_wait_max_ms = 20 }, options)))
end

-- read(consumer, n) -> n records of a partition as tables {key, value, offset, eof}
function M.read(c, n)
  local seen = {}
  M.wait(function()
    local batch <close> = assert(c:poll(n, "200ms"))
    for r in batch:each() do
      assert(not r.err, tostring(r.err))
      seen[#seen + 1] = { key = r.key, value = r.value, offset = r.offset, eof = r.eof }
    end
    return #seen >= n
  end, { at_most = "60s", what = n .. " records" })
  return seen
end

-- reader(topic[, options]) -> a consumer at the begin of its partition 0
function M.reader(topic, options)
  local c = M.consumer(options)
  assert(c:assign { { topic = topic, partition = 0, offset = "earliest" } })
  return c
end

return M
