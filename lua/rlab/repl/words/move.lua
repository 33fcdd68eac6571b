-- Changing Kafka from the prompt: create, produce, and seek with a guard against members that are alive.
local function unix_ms() return require("rlab.clock").unix_ms() end
local err = require "rlab.err"
local show = require "rlab.repl.show"
local units = require "rlab.units"

local function failed(name, fmt, ...)
  return nil, err.new { domain = "kafka", code = 0, name = name, message = fmt:format(...) }
end

local RECORD = { "key", "value", "headers", "partition", "timestamp" }

local function record_of(topic, what)
  local record = { topic = topic }
  if type(what) ~= "table" then
    record.value = what
    return record
  end
  local known = {}
  for _, key in ipairs(RECORD) do known[key] = true end
  for key, value in pairs(what) do
    if not known[key] then
      local near = units.nearest(tostring(key), RECORD)
      error(("produce: a record has no '%s'%s"):format(tostring(key), near and ", did you mean '" .. near .. "'?" or ""), 3)
    end
    record[key] = value
  end
  return record
end

-- "-5m" or "2026-11-23T15:00:00Z" as milliseconds since 1970, or nil
local function moment(text)
  local back = text:match "^%-(.+)$"
  if back then
    local ok, seconds = pcall(units.duration, back)
    return ok and seconds and math.floor(unix_ms() - seconds * 1000) or nil
  end
  local y, mo, d, h, mi, s = text:match "^(%d%d%d%d)%-(%d%d)%-(%d%d)[T ](%d%d):(%d%d):?(%d*)"
  if not y then return nil end
  local at = os.time { year = y, month = mo, day = d, hour = h, min = mi, sec = tonumber(s) or 0 }
  if text:match "Z$" then at = at + os.difftime(at, os.time(os.date("!*t", at))) end
  return math.floor(at * 1000)
end

local WHERE = '"earliest", "latest", an offset, "-5m", "2026-11-23T15:00:00Z" or { [partition] = offset }'

-- spec(where) -> function(partition) -> what list_offsets or alter_group_offsets understands
local function target_of(where)
  if math.type(where) == "integer" then return function() return where end, false end
  if type(where) == "table" then return function(partition) return where[partition] end, false end
  if where == "earliest" or where == "latest" then return function() return where end, true end
  local at = type(where) == "string" and moment(where)
  if not at then error("seek: where is " .. WHERE, 3) end
  return function() return at end, true
end

local function live_members(admin, group)
  local described = admin:group(group)
  local names = {}
  for _, m in ipairs(described and described.members or {}) do
    names[#names + 1] = ("%s at %s"):format(m.client_id or m.id or "?", (m.host or "?"):gsub("^/", ""))
  end
  return names
end

local function partitions_of(admin, topic)
  local described, failure = admin:topic(topic)
  if not described then return nil, failure end
  local list = {}
  for i, p in ipairs(described.partitions) do list[i] = p.partition end
  return list
end

local function resolve(admin, topic, partition, spec, symbolic)
  local at, failure = admin:offsets(topic, partition)
  if not at then return nil, failure end
  if spec == "earliest" then return at.low end
  if spec == "latest" then return at.hw end
  if not symbolic then
    if spec < at.low or spec > at.hw then
      return failed("OFFSET_OUT_OF_RANGE", "%s-%d has offsets %d to %d, not %d", topic, partition, at.low, at.hw, spec)
    end
    return spec
  end
  local found
  found, failure = admin:list_offsets { { topic = topic, partition = partition, at = spec } }
  if not found then return nil, failure end
  local offset = found[1] and found[1].offset
  return offset and offset >= 0 and offset or at.hw
end

local function committed_of(admin, group, topic)
  local before = {}
  for _, c in ipairs(admin:group_offsets(group) or {}) do
    if c.topic == topic then before[c.partition] = c.offset end
  end
  return before
end

local function plan(admin, group, topic, where)
  local spec_for, symbolic = target_of(where)
  local partitions, failure = partitions_of(admin, topic)
  if not partitions then return nil, failure end
  local before, rows = committed_of(admin, group, topic), {}
  for _, partition in ipairs(partitions) do
    local spec = spec_for(partition)
    if spec ~= nil then
      local offset
      offset, failure = resolve(admin, topic, partition, spec, symbolic)
      if not offset then return nil, failure end
      local was = before[partition]
      rows[#rows + 1] = { topic = topic, partition = partition, offset = offset, before = was and was >= 0 and was or nil }
    end
  end
  return rows
end

local function seek(admin, group, topic, where)
  local live = live_members(admin, group)
  if #live > 0 then
    return failed("GROUP_HAS_MEMBERS", "group '%s' has %d live member%s (%s); stop them first, their next commit would undo the move",
      group, #live, #live == 1 and "" or "s", table.concat(live, ", "))
  end
  local rows, failure = plan(admin, group, topic, where)
  if not rows then return nil, failure end
  local list = {}
  for i, row in ipairs(rows) do list[i] = { topic = topic, partition = row.partition, offset = row.offset } end
  local done
  done, failure = admin:alter_group_offsets(group, list)
  if not done then return nil, failure end
  return show.listing(rows, { "topic", "partition", "before", { name = "now", key = "offset" } })
end

return function(session, words)
  local clients = session.clients

  function words.produce(topic, what, ...)
    if type(topic) ~= "string" or select("#", ...) > 0 then error('produce takes a topic and a value: produce("orders", { key = "k", value = "v" })', 2) end
    local record = record_of(topic, what)
    local producer, failure = clients:open "producer"
    if not producer then return nil, failure end
    local report
    report, failure = producer:send(record)
    if not report and failure.name:find "UNKNOWN_TOPIC" then
      clients:forget "producer" -- it remembers for a while that the topic does not exist
      failure.message = ('%s; create "%s" makes the topic'):format(failure.message, topic)
    end
    return report, failure
  end

  function words.create(topic, opts)
    if type(topic) ~= "string" then error('create takes a name: create "orders", or create("orders", { partitions = 3 })', 2) end
    local admin, failure = clients:open "admin"
    if not admin then return nil, failure end
    local what = { name = topic }
    for key, value in pairs(type(opts) == "number" and { partitions = opts } or opts or {}) do what[key] = value end
    local done
    done, failure = admin:create_topic(what)
    if not done then return nil, failure end
    return words.offsets(topic)
  end

  function words.admin()
    return clients:open "admin"
  end

  function words.seek(group, topic, where)
    if type(group) ~= "string" or type(topic) ~= "string" then error("seek(group, topic, where): where is " .. WHERE, 2) end
    local admin, failure = clients:open "admin"
    if not admin then return nil, failure end
    return seek(admin, group, topic, where)
  end
end
