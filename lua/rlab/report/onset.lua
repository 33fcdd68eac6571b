-- The time in which the arms start up, where nothing is sampled and nothing happens yet: where that is a good
-- part of the time axis it is cut out of it, for all arms the same, and the section says so.
local tables = require "rlab.tables"

local onset = {}

local LEAST, SHARE = 1.5, 0.1 -- seconds; of the longest arm

-- When something is first known of an arm, or first happens in it.
local function firsts(result, samples)
  local first = {}
  local function earlier(arm, at)
    if arm ~= nil and type(at) == "number" then first[arm] = math.min(first[arm] or at, at) end
  end
  for _, row in ipairs(samples) do earlier(row.arm, row.t) end
  for _, list in ipairs { result.faults, result.spans, result.events } do
    for _, item in ipairs(list) do earlier(item.arm, item.at or 0) end
  end
  return first
end

local function seconds(result, samples)
  local longest, least = 0, math.huge
  local first = firsts(result, samples)
  for _, arm in ipairs(result.arms) do
    least = math.min(least, first[arm.name] or 0) -- of one of which nothing is known nothing is cut
    longest = math.max(longest, tonumber(arm.duration) or 0)
  end
  if least >= longest then return nil end
  least = math.floor(10 * least) / 10
  return least >= LEAST and least >= SHARE * longest and least or nil
end

local function shifted(list, fields, by)
  local out = {}
  for i, item in ipairs(list) do
    local copy = tables.merged(item)
    if item.arm or item.duration then
      for _, field in ipairs(fields) do
        copy[field] = type(item[field]) == "number" and item[field] - by or nil
      end
    end
    out[i] = copy
  end
  return out
end

-- cut(result, samples) -> both, the arms' times less `cut` seconds, which the result has then; or as they are
function onset.cut(result, samples)
  local by = seconds(result, samples)
  if not by then return result, samples end
  local happened = { "at", "until" }
  return tables.merged(result, { cut = by, arms = shifted(result.arms, { "duration" }, by),
    faults = shifted(result.faults, happened, by), spans = shifted(result.spans, happened, by),
    events = shifted(result.events, happened, by) }), shifted(samples, { "t" }, by)
end

-- said(result) -> a sentence on what was cut out, "" where nothing was
function onset.said(result)
  return result.cut and (" The first %.1f s, of starting up, are cut out of each."):format(result.cut) or ""
end

return onset
