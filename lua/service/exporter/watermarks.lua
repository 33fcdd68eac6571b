-- exporter: which offset was the end of a partition at which time, so that a lag in offsets becomes one in
-- seconds. A look at the ends is kept where they had moved; of a partition KEPT of them at most, the older
-- the sparser.
local M = {}

local KEPT = 128

local Watermarks = {}
Watermarks.__index = Watermarks

-- new() -> watermarks
function M.new() return setmetatable({ topics = {} }, Watermarks) end

-- Every second one of the older half goes; the oldest, which says how far we can look back, stays.
local function thin(times, ends)
  local n, kept = #times, 0
  for i = 1, n do
    if i == 1 or i > n // 2 or i % 2 == 0 then
      kept = kept + 1
      times[kept], ends[kept] = times[i], ends[i]
    end
  end
  for i = n, kept + 1, -1 do times[i], ends[i] = nil, nil end
end

-- An end that did not move is seen once more only so that its last time is known; one that moved back is
-- that of a topic made anew.
local function note(seen, at, stop)
  local times, ends = seen.times, seen.ends
  local n = #times
  if n > 0 and stop < ends[n] then
    seen.times, seen.ends = { at }, { stop }
    return
  end
  if n > 1 and ends[n] == stop and ends[n - 1] == stop then
    times[n] = at
    return
  end
  times[n + 1], ends[n + 1] = at, stop
  if n + 1 > KEPT then thin(times, ends) end
end

local function place_of(topics, topic, partition)
  local partitions = topics[topic]
  if not partitions then
    partitions = {}
    topics[topic] = partitions
  end
  local seen = partitions[partition]
  if not seen then
    seen = { times = {}, ends = {} }
    partitions[partition] = seen
  end
  return seen
end

-- watermarks:note(at, survey): the ends as they were at that time, in seconds; topics that are gone are
--   forgotten
function Watermarks:note(at, survey)
  local topics = {}
  for _, topic in ipairs(survey.topics) do
    topics[topic.name] = self.topics[topic.name] or {}
    for _, p in ipairs(topic.partitions) do
      if p.hw then note(place_of(topics, topic.name, p.partition), at, p.hw) end
    end
  end
  self.topics = topics
end

-- The first look at which the end was beyond the offset.
local function first_beyond(ends, offset)
  local low, high = 1, #ends
  while low < high do
    local middle = (low + high) // 2
    if ends[middle] > offset then high = middle else low = middle + 1 end
  end
  return low
end

-- watermarks:age(now, topic, partition, offset) -> seconds since the record at the offset came, between two
--   looks by the straight line; of one that was there at our first look, at least so many; 0 at the end; nil
--   where nothing is known
function Watermarks:age(now, topic, partition, offset)
  local partitions = self.topics[topic]
  local seen = partitions and partitions[partition]
  if not seen then return nil end
  local times, ends = seen.times, seen.ends
  if offset >= ends[#ends] then return 0 end
  local i = first_beyond(ends, offset)
  if i == 1 then return math.max(0, now - times[1]) end
  local share = (offset + 1 - ends[i - 1]) / (ends[i] - ends[i - 1])
  return math.max(0, now - (times[i - 1] + share * (times[i] - times[i - 1])))
end

return M
