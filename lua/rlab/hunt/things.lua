-- What the hits of a failpoint were about: the field of its context that names things which come again, such
-- as accounts, and how often each came.
local tables = require "rlab.tables"

local M = {}

local PLAIN = "^[%w_.-]+$" -- stands in an expression as it is
local MOST = 0.9 -- of the hits: what comes again by chance, such as an amount, names no thing

local function counts_by_field(hits)
  local fields = {}
  for _, hit in ipairs(hits) do
    for field, value in pairs(hit.ctx or {}) do
      local word = tostring(value)
      fields[field] = fields[field] or {}
      if word:find(PLAIN) then fields[field][word] = (fields[field][word] or 0) + 1 end
    end
  end
  return fields
end

-- -> how many things came again, in how many hits
local function come_again(counts)
  local things, hits = 0, 0
  for _, times in pairs(counts) do
    if times > 1 then things, hits = things + 1, hits + times end
  end
  return things, hits
end

-- of(hits) -> {key = "account", counts = {["3"] = 2}} | nil where fewer than two things come again
function M.of(hits)
  local fields, best, most = counts_by_field(hits), nil, 1
  for _, field in ipairs(tables.sorted_keys(fields)) do
    local things, met = come_again(fields[field])
    if things > most and met >= MOST * #hits then best, most = field, things end
  end
  return best and { key = best, counts = fields[best] } or nil
end

return M
