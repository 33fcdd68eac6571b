-- Reading a dead-letter topic from end to end, as it is at the beginning, without joining a group.
local characters = require "rlab.text"
local clock = require "rlab.clock"
local dlq = require "rlab.dlq"
local kafka = require "rlab.kafka"
local null = require "rlab.null"
local places = require "rlab.replay.places"
local span = require "rlab.kafka.span"
local term = require "rlab.term"

local M = {}

-- identity(record) -> its event id, or "partition/offset" when it has none
function M.identity(record)
  local id = record:header "event-id"
  return type(id) == "string" and id or ("%d/%d"):format(record.partition, record.offset)
end

local function set_of(list)
  local set = {}
  for _, word in ipairs(list or {}) do set[word] = true end
  return next(set) and set or nil
end

M.set_of = set_of

-- filter{ids = {}, key =, class =, headers = {name = value}} -> f(record) -> boolean, or nil when nothing
--   is asked
function M.filter(what)
  local ids, headers = set_of(what.ids), what.headers or {}
  if not (ids or what.key or what.class or next(headers)) then return nil end
  return function(record)
    if ids and not (ids[M.identity(record)] or ids[("%d/%d"):format(record.partition, record.offset)]) then
      return false
    end
    if what.key and record.key ~= what.key then return false end
    if what.class and record:header "rlab-error-class" ~= what.class then return false end
    for name, value in pairs(headers) do
      if record:header(name) ~= value then return false end
    end
    return true
  end
end

-- bounds(admin, topic) -> list of {topic, partition, low, high} | nil, err: high is what a read_committed
--   reader can reach now
function M.bounds(admin, topic)
  local described, failure = admin:topic(topic)
  if not described then return nil, failure end
  local list = {}
  for i, p in ipairs(described.partitions) do
    local at
    at, failure = places.ends(admin, topic, p.partition)
    if not at then return nil, failure end
    list[i] = { topic = topic, partition = p.partition, low = at.low, high = at.lso }
  end
  return list
end

local function plain(record)
  local value = record.value
  return { id = M.identity(record), partition = record.partition, offset = record.offset,
    timestamp = record.timestamp,
    key = record.key ~= null and record.key or nil, value = value ~= null and value or nil,
    headers = record.headers,
    story = dlq.read(record.headers) }
end

-- each(brokers, bounds, visit[, from]) -> true | nil, err: visit(record) for all between low (or
--   from[partition]) and high
function M.each(brokers, bounds, visit, from)
  local spans = {}
  for i, b in ipairs(bounds) do
    spans[i] = { topic = b.topic, partition = b.partition,
      from = math.max(b.low, from and from[b.partition] or 0), to = b.high }
  end
  local consumer <close>, failure = kafka.consumer { brokers = brokers, group = "rlab-replay-reader",
    enable_auto_commit = false,
    enable_partition_eof = true, auto_offset_reset = "earliest" }
  if not consumer then return nil, failure end
  return span.read(consumer, spans, visit)
end

-- list{admin =, brokers =, topic =, group =, filter =, limit =} -> rows {id, partition, offset, key, value,
--   headers, story, waiting} | nil, err; the oldest first; `waiting` is whether the replay group has it
--   still before it
function M.list(what)
  local bounds, failure = M.bounds(what.admin, what.topic)
  if not bounds then return nil, failure end
  local done
  done, failure = places.committed(what.admin, what.group, what.topic)
  if not done then return nil, failure end
  local ok
  local rows, total = {}, 0
  ok, failure = M.each(what.brokers, bounds, function(record)
    if what.filter and not what.filter(record) then return end
    total = total + 1
    if #rows >= (what.limit or math.huge) then return end
    local row = plain(record)
    row.waiting = record.offset >= (done[record.partition] or 0)
    rows[#rows + 1] = row
  end)
  if not ok then return nil, failure end
  return rows, total
end

-- described(row) -> text: a record with all its headers for a terminal, which nothing in it can steer
function M.described(row)
  local lines, names, width = {}, {}, 0
  lines[1] = ("  %d/%d  key %s  %s"):format(row.partition, row.offset, characters.visible(row.key or "null"),
    row.timestamp and clock.iso(row.timestamp) or "no time")
  for i, pair in ipairs(row.headers or {}) do
    names[i] = characters.visible(pair[1])
    width = math.max(width, term.display_width(names[i]))
  end
  for i, pair in ipairs(row.headers or {}) do
    lines[#lines + 1] = ("    %s  %s"):format(term.pad(names[i], width),
      characters.visible(tostring(pair[2])))
  end
  lines[#lines + 1] = "  " .. characters.visible(row.value or "null", true)
  return table.concat(lines, "\n")
end

return M
