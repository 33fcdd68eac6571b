-- The census: what the stores contain, read over fresh connections that no service under test uses.
local kafka = require "rlab.kafka"
local must = require "rlab.must"

local M = {}

local function header(record, name)
  for _, pair in ipairs(record.headers or {}) do
    if pair[1] == name then return pair[2] end
  end
end

-- What the census keeps of a record; the id is the header event-id, else the value.
local function keep(record, with_headers)
  return {
    headers = with_headers and record.headers or nil,
    topic = record.topic, partition = record.partition, offset = record.offset,
    id = header(record, "event-id") or record.value,
    request = header(record, "request-id"),
    key = record.key ~= require "rlab.null" and record.key or nil, timestamp = record.timestamp,
    value = record.value,
  }
end

local function all_ended(ends, count)
  local n = 0
  for _ in pairs(ends) do n = n + 1 end
  return n >= count
end

-- Where to read from, by partition: the offset that the brokers name, as "earliest" costs librdkafka half a
-- second of waiting for a leader. Beside it where they say that the partition ends for this isolation. A
-- position that they do not know at the moment is left out.
local function bounds(lab, topic, isolation)
  local parts, marks, name = {}, {}, isolation == "read_committed" and "lso" or "hw"
  for _, p in ipairs(must(lab.run.admin:topic(topic)).partitions) do
    local now = lab:offsets(topic, p.partition)
    parts[#parts + 1] = { topic = topic, partition = p.partition, offset = now and now.low or "earliest" }
    marks[tostring(p.partition)] = now and now[name]
  end
  return parts, marks
end

-- A reader that stopped before the end, or left a partition out, proves nothing.
local function demand_complete(lab, topic, marks, ends)
  for partition, mark in pairs(marks) do
    local ended = ends[partition]
    if not ended then lab:give_up("the independent reader of %s left out partition %s", topic, partition) end
    if ended < mark then
      lab:give_up("the independent reader of %s/%s stopped at %d, the brokers had %d before it began",
        topic, partition, ended, mark)
    end
  end
end

-- read(topic, {isolation="read_committed", headers=false, at_most="30s"}) -> {records = {...}, ends =
--   {["0"] = EOF offset}}: every record from the log start to the end
function M.read(lab, topic, opts)
  opts = opts or {}
  local isolation = opts.isolation or "read_committed"
  local consumer <close> = must(kafka.consumer(lab:settings("consumer", {
    group = lab:name("census-" .. isolation), ["isolation.level"] = isolation, ["enable.auto.commit"] = false,
    ["fetch.wait.max.ms"] = 20, ["socket.timeout.ms"] = 2000,
  })))
  local parts, marks = bounds(lab, topic, isolation)
  must(consumer:assign(parts))
  local records, ends = {}, {}
  lab:await("the end of " .. topic .. " on the independent reader", function()
    for record in must(consumer:poll(1000, "100ms")):each() do
      if record.eof then
        ends[tostring(record.partition)] = record.offset
      elseif record.err then
        lab:give_up("the independent reader of %s: %s", topic, tostring(record.err))
      else
        records[#records + 1] = keep(record, opts.headers)
      end
    end
    return all_ended(ends, #parts)
  end, opts.at_most or "30s")
  demand_complete(lab, topic, marks, ends)
  return { records = records, ends = ends }
end

-- read_both(topic) -> the census as read_committed sees it, and as read_uncommitted does
function M.read_both(lab, topic)
  local committed, uncommitted
  lab:each({
    function() committed = lab:read(topic) end,
    function() uncommitted = lab:read(topic, { isolation = "read_uncommitted" }) end,
  }, function(read) read() end)
  return committed, uncommitted
end

-- ids(census, filter) -> list of ids in log order; filter(record) is optional
function M.ids(_, census, filter)
  local list = {}
  for _, record in ipairs(census.records) do
    if not filter or filter(record) then list[#list + 1] = record.id end
  end
  return list
end

-- watermarks(topic, partition, at_most) -> offsets with low, lso, hw and leo all known; a busy broker may
--   leave one out for a moment
function M.watermarks(lab, topic, partition, at_most)
  return lab:await(("the watermarks of %s/%d"):format(topic, partition or 0), function()
    local now = lab:offsets(topic, partition or 0)
    return now and now.low and now.lso and now.hw and now.leo and now
  end, at_most or "30s")
end

-- settled(topic, partition) -> offsets once LSO = HW = LEO: transaction markers trail the call's return by
--   a moment
function M.settled(lab, topic, partition, at_most)
  local now
  lab:await(("LSO = HW = LEO on %s/%d"):format(topic, partition or 0), function()
    now = lab:offsets(topic, partition or 0)
    return now and now.low and now.lso and now.lso == now.hw and now.hw == now.leo
  end, at_most or "30s")
  return now
end

return M
