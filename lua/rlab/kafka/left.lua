-- What a group has still before it. A committed offset is a place and no count: it may lie beyond the end, or
-- before what retention has left; and a partition that was never committed has all of its records before it.
local M = {}

local function noted(committed, low, hw)
  if not committed then return "nothing committed" end
  if committed > hw then return ("committed beyond the end, %d"):format(hw) end
  if low and committed < low then return ("%d to %d were removed unread"):format(committed, low - 1) end
end

-- of(at, committed) -> {from, lag, readable, note}: from where it goes on, offsets up to the high watermark
--   and up to the last stable one; what cannot be known is left out. at: {low, lso, hw} of a partition.
function M.of(at, committed)
  if not at.hw then return {} end
  local from = committed and math.max(committed, at.low or committed) or at.low
  return { from = from, note = noted(committed, at.low, at.hw),
    lag = from and math.max(0, at.hw - from),
    readable = from and at.lso and math.max(0, at.lso - from) }
end

local function place_before(a, b)
  if a.topic ~= b.topic then return a.topic < b.topic end
  return a.partition < b.partition
end

local function add_partitions(admin, topic, add)
  local found, why = admin:topic(topic)
  for _, p in ipairs(found and found.partitions or {}) do add(topic, p.partition) end
  return why
end

-- places(admin, group) -> list of {topic, partition, committed, note} | nil, err: the partitions of every
--   topic of which the group has committed, or its members hold, one
function M.places(admin, group)
  local committed, failure = admin:group_offsets(group)
  if not committed then return nil, failure end
  local described, why = admin:group(group)
  if not described and why.name ~= "GROUP_ID_NOT_FOUND" then return nil, why end
  local list, known, topics = {}, {}, {}
  local function add(topic, partition, offset)
    local key = topic .. "/" .. partition
    topics[topic] = topics[topic] or {}
    if not known[key] then
      known[key] = { topic = topic, partition = partition }
      list[#list + 1] = known[key]
    end
    known[key].committed = offset or known[key].committed
  end
  for _, c in ipairs(committed) do add(c.topic, c.partition, c.offset) end
  for _, member in ipairs(described and described.members or {}) do
    for _, p in ipairs(member.assignment or {}) do add(p.topic, p.partition) end
  end
  for topic in pairs(topics) do topics[topic].why = add_partitions(admin, topic, add) end
  for _, place in ipairs(list) do place.note = topics[place.topic].why and topics[place.topic].why.name end
  table.sort(list, place_before)
  return list
end

return M
