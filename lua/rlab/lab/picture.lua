-- The picture of an arm's report, drawn from records: a cell for each, at its offset.
local strict = require "rlab.options"

local M = {}

local OPTION_KEYS = { "title", "note", "records", "kind", "topic", "partition", "around", "width", "marks",
  "link" }

local function cells_of(opts, partition)
  local cells = {}
  for _, record in ipairs(opts.records) do
    local near = not opts.around or math.abs(record.offset - opts.around) <= opts.width
    if record.partition == partition and near then
      local kind, note
      if opts.kind then kind, note = opts.kind(record) end
      cells[#cells + 1] = { offset = record.offset, kind = kind or "plain", id = record.id,
        key = record.key, note = note }
    end
  end
  return cells
end

-- picture{title =, note =, records =, kind =, topic = "events", partition = 0, around =, width =, marks =,
--   link =}: the records of a partition as cells, as lab:moment draws them. kind(record) -> its kind [,
--   note]; `around` and `width` leave out what is farther away; link = {offset =, store =, text =} says what
--   a store holds of one of them.
function M.picture(lab, opts)
  opts = strict.check("lab:picture", opts, OPTION_KEYS)
  local partition, link = opts.partition or 0, opts.link
  lab:moment { title = opts.title, note = opts.note,
    partitions = { { topic = opts.topic or "events", partition = partition, marks = opts.marks or {},
      cells = cells_of(opts, partition) } },
    links = link and { { partition = partition, offset = link.offset, store = link.store,
      text = link.text } } or nil }
end

return M
