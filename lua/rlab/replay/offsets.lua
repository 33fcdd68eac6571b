-- Moving a group's offsets: first a plan (what it would be), then the change, refused while the group has
-- live members.
local clock = require "rlab.clock"
local err = require "rlab.err"
local places = require "rlab.replay.places"
local tables = require "rlab.tables"
local units = require "rlab.units"

local M = {}

M.WHERE = '"earliest", "latest", an offset, "-5m", "2026-11-23T15:00:00Z" or { [partition] = offset }'

local function failed(name, fmt, ...)
  return nil, err.new { domain = "kafka", code = 0, name = name, message = fmt:format(...) }
end

-- moment("-5m" or "2026-11-23T15:00:00Z") -> ms since 1970 | nil, why not
function M.moment(text)
  local back = text:match "^%-(.+)$"
  if not back then return clock.parse(text) end
  local ok, seconds = pcall(units.duration, back)
  if not ok then return nil, ("'%s' is no duration"):format(back) end
  return math.floor(clock.unix_ms() - seconds * 1000)
end

-- An offset beyond 64 bits lies behind the log's end, or before its beginning.
local function moved(committed, shift)
  return units.add(committed, shift) or (shift > 0 and math.maxinteger or 0)
end

-- target(where) -> t | nil, why; t.of(partition, committed) is an offset, "earliest", "latest" or a time
--   (t.time), or nil for a partition that stays. where is what M.WHERE says, or { shift = -100 }.
function M.target(where)
  if math.type(where) == "integer" then return { of = function() return where end } end
  if type(where) == "table" and where.shift then
    local function of(_, committed) return committed and moved(committed, where.shift) end
    return { clamp = true, of = of }
  end
  if type(where) == "table" then
    return { named = tables.sorted_keys(where), of = function(partition) return where[partition] end }
  end
  if where == "earliest" or where == "latest" then return { of = function() return where end } end
  if type(where) ~= "string" then return nil end
  local at, why = M.moment(where)
  if not at then return nil, ("'%s': %s"):format(where, why) end
  return { time = true, of = function() return at end }
end

local function partitions_of(admin, topic)
  local described, failure = admin:topic(topic)
  if not described then return nil, failure end
  local list = {}
  for i, p in ipairs(described.partitions) do list[i] = p.partition end
  return list
end

local function at_time(admin, topic, partition, ms, high)
  local found, failure = admin:list_offsets { { topic = topic, partition = partition, at = ms } }
  if not found then return nil, failure end
  local offset = found[1] and found[1].offset
  return offset and offset >= 0 and offset or high
end

local function resolve(admin, topic, at, target, wanted)
  if wanted == "earliest" then return at.low end
  if wanted == "latest" then return at.hw end
  if target.time then return at_time(admin, topic, at.partition, wanted, at.hw) end
  if target.clamp then return math.max(at.low, math.min(at.hw, wanted)) end
  if wanted < at.low or wanted > at.hw then
    return failed("OFFSET_OUT_OF_RANGE", "%s-%d has offsets %d to %d, not %d", topic, at.partition, at.low,
      at.hw, wanted)
  end
  return wanted
end

local function row_of(admin, topic, partition, target, committed)
  local wanted = target.of(partition, committed)
  if wanted == nil then return false end
  local at, failure = places.ends(admin, topic, partition)
  if not at then return nil, failure end
  local offset
  offset, failure = resolve(admin, topic, at, target, wanted)
  if not offset then return nil, failure end
  return { topic = topic, partition = partition, before = committed, offset = offset, low = at.low,
    high = at.hw }
end

-- plan(admin, group, topic, target [, partition]) -> rows {topic, partition, before, offset, low, high} |
--   nil, err; nothing is changed
function M.plan(admin, group, topic, target, only)
  local partitions, failure = partitions_of(admin, topic)
  if not partitions then return nil, failure end
  local before
  before, failure = places.committed(admin, group, topic)
  if not before then return nil, failure end
  for _, partition in ipairs(only and { only } or target.named or {}) do
    if not tables.contains(partitions, partition) then
      return failed("NO_SUCH_PARTITION", "%s has no partition %s", topic, tostring(partition))
    end
  end
  local rows = {}
  for _, partition in ipairs(partitions) do
    if only == nil or only == partition then
      local row
      row, failure = row_of(admin, topic, partition, target, before[partition])
      if row == nil then return nil, failure end
      rows[#rows + 1] = row or nil
    end
  end
  return rows
end

-- guard(admin, group) -> true | nil, err when the group has live members, or nobody could tell
function M.guard(admin, group)
  local described, failure = admin:group(group)
  if not described then return nil, failure end
  local names = {}
  for _, m in ipairs(described.members) do
    names[#names + 1] = ("%s at %s"):format(m.client_id or m.id or "?", (m.host or "?"):gsub("^/", ""))
  end
  if #names == 0 then return true end
  return failed("GROUP_HAS_MEMBERS",
    "group '%s' has %d live member%s (%s); stop them first, their next commit would undo the move",
    group, #names, #names == 1 and "" or "s", table.concat(names, ", "))
end

-- apply(admin, group, rows) -> true | nil, err
function M.apply(admin, group, rows)
  local free, failure = M.guard(admin, group)
  if not free then return nil, failure end
  local list = {}
  for i, row in ipairs(rows) do
    list[i] = { topic = row.topic, partition = row.partition, offset = row.offset }
  end
  local done
  done, failure = admin:alter_group_offsets(group, list)
  if not done then return nil, failure end
  return true
end

return M
