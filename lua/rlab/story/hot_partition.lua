-- The same keys in a topic: one key is one partition, and its reader falls behind while the others wait for
-- work.
local clock = require "rlab.clock"
local must = require "rlab.must"
local task = require "rlab.task"

local M = {}

local PARTITIONS = 3
local CAPACITY = 500 -- records a second that the handler of one partition does

local function start_readers(lab, topic, done)
  for partition = 0, PARTITIONS - 1 do
    local consumer = lab:consumer { group = lab:name("reader-" .. partition), enable_auto_commit = false }
    must(consumer:assign { { topic = topic, partition = partition, offset = 0 } })
    done[partition] = 0
    lab:background("the reader of partition " .. partition, function()
      while true do
        local count = 0
        for record in must(consumer:poll(50, "20ms")):each() do
          if record.err and not record.eof then error(record.err, 0) end
          count = count + (record.eof and 0 or 1)
        end
        task.sleep(count / CAPACITY)
        done[partition] = done[partition] + count
      end
    end)
  end
end

-- What is due by the schedule is sent, and waits for no report.
local function send(producer, topic, plan, rate)
  local deliveries, began, i = {}, clock.ns(), 0
  while i < #plan do
    local due, list = math.min(#plan, (clock.ns() - began) * rate // 1000000000), {}
    while i < due do
      i = i + 1
      list[#list + 1] = { topic = topic, key = plan[i].key, value = tostring(i) }
    end
    if list[1] then deliveries[#deliveries + 1] = producer:submit(list) end
    task.sleep(0.01)
  end
  return deliveries
end

-- How far the readers are behind: that of the busiest partition, and the others together.
local function look(lab, topic, done, seen)
  local all = 0
  for partition = 0, PARTITIONS - 1 do
    local hw = lab:watermarks(topic, partition).hw
    local lag = hw - done[partition]
    seen.most, seen.lag, all = math.max(seen.most, hw), math.max(seen.lag, lag), all + lag
  end
  seen.others = all - seen.lag
end

-- run(lab, plan, rate) -> {due, records, most = of the busiest partition, lag = of it, others = lag}, once
--   the last record was sent
function M.run(lab, plan, rate)
  local topic, producer = lab:topic("hot", { partitions = PARTITIONS }), lab:producer {}
  local done, seen = {}, { due = #plan, records = 0, most = 0, lag = 0 }
  start_readers(lab, topic, done)
  for partition = 0, PARTITIONS - 1 do lab:watch(topic, partition, "p" .. partition) end
  lab:gauge(function(row)
    for partition, count in pairs(done) do row[("p%d.position"):format(partition)] = count end
  end)
  local operation = lab:invoke("producer", "send", { records = #plan })
  for _, delivery in ipairs(send(producer, topic, plan, rate)) do
    delivery:wait "10s"
    seen.records = seen.records + #delivery:acked()
  end
  operation:over "ok"
  look(lab, topic, done, seen)
  lab:number("busiest partition", 100 * seen.most / seen.records, "%")
  lab:number("its lag", seen.lag)
  lab:number("lag of the others", seen.others)
  return seen
end

return M
