-- exporter: how many records a group will really get. Markers of transactions and aborted records take
-- offsets too, so that a lag in offsets may never come to 0 though all is done; only who reads them knows.
local kafka = require "rlab.kafka"
local left = require "rlab.kafka.left"
local span = require "rlab.kafka.span"

local M = {}

local Readable = {}
Readable.__index = Readable

-- new(settings, most) -> readable: settings of a consumer; most offsets of a partition are read
function M.new(settings, most) return setmetatable({ settings = settings, most = most }, Readable) end

-- One span a partition, from the furthest group that is near enough.
local function spans_of(survey, places, most)
  local by_place, spans = {}, {}
  for _, group in ipairs(survey.groups) do
    for topic, offsets in pairs(group.committed) do
      for partition, offset in pairs(offsets) do
        local at = places[topic] and places[topic][partition]
        local row = at and left.of(at, offset) or {}
        if row.readable and row.readable > 0 and row.readable <= most then
          local known = by_place[at]
          if not known then
            known = { topic = topic, partition = partition, from = row.from, to = at.lso, offsets = {} }
            by_place[at], spans[#spans + 1] = known, known
          end
          known.from = math.min(known.from, row.from)
        end
      end
    end
  end
  return by_place, spans
end

function Readable:open()
  if not self.consumer then
    local consumer, failure = kafka.consumer(self.settings)
    if not consumer then return nil, failure end
    self.consumer = consumer
  end
  return self.consumer
end

local function count_from(offsets, from)
  local low, high = 1, #offsets + 1
  while low < high do
    local middle = (low + high) // 2
    if offsets[middle] >= from then high = middle else low = middle + 1 end
  end
  return #offsets + 1 - low
end

-- readable:read(survey, places, at_most) -> counted, complete: counted(at, left) -> how many records, from
--   where left.of says, a read_committed reader gets of that partition; nil where nobody counted. complete:
--   all that was near enough was read in time. places: by topic and partition.
function Readable:read(survey, places, at_most)
  local by_place, spans = spans_of(survey, places, self.most)
  local complete = true
  if #spans > 0 then
    local consumer = at_most > 0 and self:open()
    complete = consumer and span.read(consumer, spans, function(record, s)
      s.offsets[#s.offsets + 1] = record.offset
    end, at_most) or false
    if consumer then consumer:assign {} end -- else it would fetch on and on until the next scrape
  end
  return function(at, row)
    if row.readable == 0 then return 0 end
    local s = by_place[at]
    if not s or not s.done or not row.readable or row.from < s.from then return nil end
    return count_from(s.offsets, row.from)
  end, complete
end

function Readable:close()
  if self.consumer then self.consumer:close() end
  self.consumer = nil
end

return M
