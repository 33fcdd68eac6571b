-- What the proxy saw of a transaction, as a table of the report: one row a message, in order.
local M = {}

local SHOWN = { InitProducerId = true, AddPartitionsToTxn = true, Produce = true, EndTxn = true }
local HEAD = { "s", "connection", "direction", "request", "about", "answer" }
local CONCURRENT_TRANSACTIONS = 51

local function partition_words(row)
  local words = {}
  for _, p in ipairs(row.partitions or {}) do
    local what = p.ids and table.concat(p.ids, ",") or p.base_offset and p.base_offset >= 0
      and ("offset %d"):format(p.base_offset)
    words[#words + 1] = ("p%d%s%s"):format(p.partition, what and " " .. what or "",
      p.error and p.error ~= 0 and (" error %d"):format(p.error) or "")
  end
  return table.concat(words, "; ")
end

local function about(row)
  if row.what then return row.what end
  if row.api == "EndTxn" and row.committed ~= nil then return row.committed and "commit" or "abort" end
  return partition_words(row)
end

local function answer(row)
  local list = {}
  local epoch = row.producer_epoch or row.partitions and row.partitions[1]
    and row.partitions[1].producer_epoch
  if epoch and epoch >= 0 then list[1] = ("epoch %d"):format(epoch) end
  if row.error then list[#list + 1] = ("error %d"):format(row.error) end
  return table.concat(list, ", ")
end

local DONE = { late = "held back; the client's side is cut", hold = "held back", drop = "lost",
  ["cut-after"] = "its answer is lost; the connection is cut" }

local function exchange(row) return row.conn .. "/" .. row.correlation end

-- A new transaction has to wait until the last one's markers are written: those tries say nothing.
local function without_waits(rows)
  local waits, list = {}, {}
  for _, row in ipairs(rows) do
    local first = row.api == "AddPartitionsToTxn" and row.partitions and row.partitions[1]
    if first and first.error == CONCURRENT_TRANSACTIONS then waits[exchange(row)] = true end
  end
  for _, row in ipairs(rows) do
    if not (row.correlation and waits[exchange(row)]) then list[#list + 1] = row end
  end
  return list
end

local function cells_of(row)
  local where = { ("%.3f"):format(row.time), ("%s/%d"):format(row.proxy, row.conn) }
  if row.what or SHOWN[row.api] and row.direction ~= "rule" then
    return { where[1], where[2], row.what and "proxy" or row.direction,
      row.api and ("%s v%d"):format(row.api, row.version) or "", about(row), answer(row) }
  end
  if row.direction == "rule" then
    return { where[1], where[2], "proxy", row.api, DONE[row.action] or row.action, "" }
  end
end

-- wire_table(title, rows, id): the rows of a wire log that watched transactional.id `id`
function M.wire_table(lab, title, rows, id)
  local list = {}
  for _, row in ipairs(without_waits(rows)) do list[#list + 1] = cells_of(row) end
  lab:table { title = title, head = HEAD, rows = list,
    note = ("What the proxy saw of transactional.id %s; AddPartitionsToTxn that were answered 51, \z
      CONCURRENT_TRANSACTIONS, are left out."):format(id) }
end

return M
