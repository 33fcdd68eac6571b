-- What the drawing parts may rely on, whatever the file left out: arms and checks have names, cells and
-- links have offsets, numbers have a name. A result from an older or a newer rlab is drawn as far as it can
-- be.
local tables = require "rlab.tables"

local shape = {}

local function kept(list, fits)
  local out = {}
  for _, item in ipairs(type(list) == "table" and list or {}) do
    if type(item) == "table" and fits(item) then out[#out + 1] = item end
  end
  return out
end

local function has_offset(item)
  return math.type(item.offset) == "integer"
end

local function has_name(item)
  return item.name ~= nil
end

local function always()
  return true
end

local function sound_moment(m)
  if type(m) ~= "table" then return nil end
  local partitions = kept(m.partitions, always)
  for i, p in ipairs(partitions) do
    local copy = tables.merged(p)
    copy.cells, copy.partition = kept(p.cells, has_offset), p.partition or 0
    partitions[i] = copy
  end
  return { title = m.title, note = m.note, partitions = partitions, links = kept(m.links, has_offset) }
end

-- sound(result) -> a copy, sound at the top: lists are lists, and what stands in them can be named
function shape.sound(result)
  local out = tables.merged(result)
  out.arms, out.checks = {}, {}
  for i, arm in ipairs(kept(result.arms, always)) do
    local copy = tables.merged(arm)
    copy.name = tostring(arm.name or "arm " .. i)
    copy.numbers = kept(arm.numbers, has_name)
    copy.clients = kept(arm.clients, always)
    out.arms[i] = copy
  end
  for i, check in ipairs(kept(result.checks, always)) do
    local copy = tables.merged(check)
    copy.name, copy.arm = tostring(check.name or "check " .. i), tostring(check.arm or "all arms")
    copy.counterexamples = kept(check.counterexamples, always)
    out.checks[i] = copy
  end
  out.numbers = kept(result.numbers, has_name)
  out.faults, out.spans, out.events = kept(result.faults, always), kept(result.spans, always),
    kept(result.events, always)
  out.tables = {}
  for i, t in ipairs(kept(result.tables, always)) do
    local head = type(t.head) == "table" and t.head or {}
    out.tables[i] = { arm = t.arm, title = tostring(t.title or ""), note = t.note, head = head,
      rows = kept(t.rows, always) }
  end
  out.moment = sound_moment(result.moment)
  return out
end

return shape
