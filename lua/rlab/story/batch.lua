-- Batches of numbered records: a value is its own id, so that a census can name what is missing. For roles,
-- too.
local tables = require "rlab.tables"

local M = {}

-- ids("tx-", 3) -> { "tx-01", "tx-02", "tx-03" }
function M.ids(prefix, n)
  local list = {}
  for i = 1, n do list[i] = ("%s%02d"):format(prefix, i) end
  return list
end

-- of(topic, partition, ids, [more]) -> messages for a producer; more: fields of each, such as a key
function M.of(topic, partition, ids, more)
  local list = {}
  for i, id in ipairs(ids) do
    list[i] = tables.merged({ topic = topic, partition = partition, value = id }, more)
  end
  return list
end

-- with_prefix(ids, prefix) -> those that begin with it
function M.with_prefix(ids, prefix)
  local found = {}
  for _, id in ipairs(ids) do
    if id:sub(1, #prefix) == prefix then found[#found + 1] = id end
  end
  return found
end

return M
