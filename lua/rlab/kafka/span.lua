-- Reading stretches of partitions, from one offset to another. Between two offsets there may be fewer records
-- than their difference: markers, aborted and removed ones take an offset and are never delivered.
local clock = require "rlab.clock"
local err = require "rlab.err"
local units = require "rlab.units"

local M = {}

local STEP = 4 -- a reader that found too little looks so many times as far back

local function key(place) return place.topic .. "/" .. place.partition end

local function starts_of(spans)
  local starts, left = {}, {}
  for _, span in ipairs(spans) do
    if span.from < span.to then
      starts[#starts + 1] = { topic = span.topic, partition = span.partition, offset = span.from }
      left[key(span)] = span
    end
  end
  return starts, left
end

local function too_late(at_most)
  return nil, err.new { domain = "rlab", code = 0, name = "TIMEOUT",
    message = ("the end was not reached within %s"):format(units.print_duration(units.duration(at_most))) }
end

-- read(consumer, spans, visit [, at_most]) -> true | nil, err: visit(record, span) for what lies in each span
--   {topic, partition, from, to}, without the last offset; one that was read to its end, or of which visit
--   has said "enough", has done = true. The
--   consumer says where a partition ends (enable.partition.eof), belongs to no group, and is assigned here.
function M.read(consumer, spans, visit, at_most)
  local starts, left = starts_of(spans)
  if #starts == 0 then return true end
  local ok, failure = consumer:assign(starts)
  if not ok then return nil, failure end
  local deadline = at_most and clock.ns() + units.duration(at_most) * 1e9 or math.huge
  while next(left) do
    if clock.ns() > deadline then return too_late(at_most) end
    local batch
    batch, failure = consumer:poll(500, "200ms")
    if not batch then return nil, failure end
    for record in batch:each() do
      if record.err and not record.eof then return nil, record.err end
      local span = left[key(record)]
      local wanted = span and not record.eof and record.offset < span.to
      local said = wanted and visit(record, span)
      if span and (said == "enough" or record.offset + (record.eof and 0 or 1) >= span.to) then
        span.done, left[key(record)] = true, nil
      end
    end
  end
  return true
end

-- The stretches before what was read so far, of the places that have not given n yet.
local function further_back(places, n, window)
  local spans = {}
  for _, place in ipairs(places) do
    if place.found < n and place.from > place.low then
      local to = place.from
      place.from = math.max(place.low, to - window)
      spans[#spans + 1] = { topic = place.topic, partition = place.partition, from = place.from, to = to,
        place = place }
    end
  end
  return spans
end

-- last(consumer, places, n, visit [, at_most]) -> true | nil, err: visit(record) for the last n records, or
--   some more, of each place {topic, partition, low, stop}; nearer stretches come first
function M.last(consumer, places, n, visit, at_most)
  for _, place in ipairs(places) do place.from, place.found = place.stop, 0 end
  local window, spans = n, further_back(places, n, n)
  while #spans > 0 do
    local ok, failure = M.read(consumer, spans, function(record, span)
      span.place.found = span.place.found + 1
      visit(record)
    end, at_most)
    if not ok then return nil, failure end
    window = window * STEP
    spans = further_back(places, n, window)
  end
  return true
end

return M
