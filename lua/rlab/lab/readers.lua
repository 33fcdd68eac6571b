-- Readers beside the story that note what they were given and when.
local must = require "rlab.must"

local M = {}

local Reader = {}
Reader.__index = Reader

-- reader:all_at(ids) -> when it had been given all of them, in seconds of the arm | nil
function Reader:all_at(ids)
  local last = 0
  for _, id in ipairs(ids) do
    if not self.at[id] then return nil end
    last = math.max(last, self.at[id])
  end
  return last
end

-- reader:values(partition) -> the values so far, a list of its own
function Reader:values(partition)
  local list = self.seen[partition]
  return table.move(list, 1, #list, 1, {})
end

-- reader{topic =, partitions = 1, isolation = "read_committed", name =} -> reader, from the beginning of each
--   partition until the arm ends
function M.reader(lab, opts)
  local isolation, parts, seen = opts.isolation or "read_committed", {}, {}
  for partition = 0, (opts.partitions or 1) - 1 do
    parts[partition + 1], seen[partition] =
      { topic = opts.topic, partition = partition, offset = "earliest" }, {}
  end
  local consumer = lab:consumer { isolation_level = isolation, group = lab:name(opts.name),
    enable_auto_commit = false, fetch_wait_max_ms = 50 }
  must(consumer:assign(parts))
  local reader = setmetatable({ seen = seen, at = {} }, Reader)
  lab:background("the " .. isolation .. " reader", function()
    while true do
      for record in must(consumer:poll(100, "50ms")):each() do
        if record.err and not record.eof then error(record.err, 0) end
        if not record.eof then
          table.insert(seen[record.partition], record.value)
          reader.at[record.value] = lab:now()
        end
      end
    end
  end)
  return reader
end

return M
