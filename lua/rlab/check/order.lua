-- Checks of order and position: events of a key in the wrong order, offsets that were stepped over.
local core = require "rlab.check.core"

local M = {}
local SHOWN = 8

local words = {
  publish = { name = "reorder-publish", good = "each account's events are in the topic in order" },
  apply = { name = "reorder-apply", good = "each account's events were applied in order" },
}

-- reorder{of = rows {id, key, version} in their order, what = "publish" | "apply", name =}: per key, first
-- copies: the version must not go down
function M.reorder(lab, a)
  local word = words[a.what] or error("check.reorder: 'what' is \"publish\" or \"apply\"", 0)
  local found, ids, shown = core.ordered(a.of):inversions { by = "key", of = "version" }, {}, {}
  for i, row in ipairs(found) do
    ids[i] = row.id
    if i <= SHOWN then
      shown[i] = { id = row.id, key = row.key,
        note = ("version %d comes after %d (%s)"):format(row.version, row.after, row.after_id) }
    end
  end
  return core.add(lab, a.name or word.name, {
    outcome = #ids == 0 and "holds" or "violated", ids = ids, counterexamples = shown,
    more = math.max(0, #ids - SHOWN),
    sentence = #ids == 0 and word.good
      or ("%s after a later one of the same account"):format(core.plural(#ids, "event")),
  })
end

local function of_offsets(a)
  local ids, shown = {}, {}
  for i, offset in ipairs(a.offsets) do ids[i] = tostring(offset) end
  for i = 1, math.min(#ids, SHOWN) do
    shown[i] = { id = ids[i], partition = a.partition or 0, offset = a.offsets[i], note = a.note }
  end
  return ids, shown, "every offset was delivered", ("%d offsets passed without a record"):format(#ids)
end

local function position_of(a, partition)
  return a.position[partition] or a.position[tostring(partition)]
end

-- Records of the log below the position at which reading goes on, which were not delivered before it.
local function of_records(a)
  local set = require("rlab.bag").new {}
  for _, row in ipairs(a.of) do
    if row.offset < position_of(a, row.partition) then set:add(row.id) end
  end
  local ids = (set - core.bag_of(a.delivered)):ids()
  table.sort(ids)
  return ids, (core.examples(ids, a.of)), "reading goes on behind what was delivered",
    ("the position passes %s"):format(core.plural(#ids, "record"))
end

local function not_measured(a)
  if not a.position then return "the position" end
  if not a.delivered then return "what was delivered" end
  for _, row in ipairs(a.of) do
    if not position_of(a, row.partition) then return "the position of partition " .. row.partition end
  end
end

-- gap{offsets = offsets that were passed and never delivered, partition =, note =}, or
-- gap{of = records of the topic, position = {[partition] = where reading goes on}, delivered = ids}
function M.gap(lab, a)
  if not a.offsets and not a.of then error("check.gap: needs 'offsets', or 'of' and 'position'", 0) end
  local missing = not a.offsets and not_measured(a)
  if missing then return core.unmeasured(lab, a.name or "gap", missing) end
  local ids, shown, good, bad = (a.offsets and of_offsets or of_records)(a)
  return core.add(lab, a.name or "gap", {
    outcome = #ids == 0 and "holds" or "violated", ids = ids, counterexamples = shown,
    more = math.max(0, #ids - SHOWN),
    sentence = #ids == 0 and good or bad,
  })
end

return M
