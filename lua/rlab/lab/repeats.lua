-- How an event comes twice: offsets that are set back, a member that is outlasted by its partition, copies in
-- a topic; each with its proof.
local bag = require "rlab.bag"
local must = require "rlab.must"

local M = {}

-- members() -> how many members the group of the arm's consumers has | nil when nobody says
function M.members(lab)
  local group = lab.run.admin:group(lab:group())
  return group and #group.members
end

-- reset_offsets(offset, [partitions = 1]) -> fault: the group's offset of the first partitions of the events
--   is set to that; proved by what the brokers say then. The group must be empty.
function M.reset_offsets(lab, offset, partitions)
  lab:await("the group to be empty", function() return lab:members() == 0 end)
  local fault = lab:fault(("offsets of the group set to %d"):format(offset))
  local topic, places, proofs = lab:event_topic(), {}, {}
  for p = 0, (partitions or 1) - 1 do
    places[p + 1] = { topic = topic, partition = p, offset = offset }
  end
  must(lab.run.admin:alter_group_offsets(lab:group(), places))
  for p = 0, #places - 1 do
    proofs[p + 1] = lab.proof.committed(offset, { topic = topic, partition = p })
  end
  return fault:fired(table.unpack(proofs)):over()
end

-- outlast(service, start, what, pred): the service is frozen, start() starts another member, and when pred()
--   holds and the group has one member the first goes on, whose partitions are the other's by then
function M.outlast(lab, service, start, what, pred)
  local frozen = service:freeze()
  start()
  lab:owed("taken-over", what, pred, "15s") -- its session and the rebalance are in it
  local left = lab:members()
  if left ~= 1 then lab:give_up("the group has %s members while one is frozen", tostring(left)) end
  lab:event("the frozen member is out of the group, the other did its work")
  return frozen.thaw()
end

-- comes_again(service, point) -> how many records of partition 0 a consumer that was killed at that failpoint
--   is given again, from the offset that the brokers have of its group up to the record in its hands; it is
--   started again
function M.comes_again(lab, service, point)
  service:wait_exit { signal = "KILL", at_most = "30s" }
  local hits = service:hits(point)
  if #hits == 0 then lab:give_up("%s wrote down no record at %s", service.name, point) end
  local again = hits[#hits].ctx.offset + 1 - (lab:committed()["0"] or 0)
  service:revive()
  return again
end

-- record_of(records, id) -> the first of them with that id | nil
function M.record_of(_, records, id)
  for _, record in ipairs(records) do
    if record.id == id then return record end
  end
end

local function first_copy(records)
  local met = bag.new {}
  for _, record in ipairs(records) do
    if met:count(record.id) > 0 then return record end
    met:add(record.id)
  end
end

local AROUND = 13

-- show_copies(records, effects, says): the picture of the records around the first one that came again, with
--   what effect_log holds of it; says: how it came to that
function M.show_copies(lab, records, effects, says)
  local count, first = bag.from(records), first_copy(records)
  if not first then return end
  lab:picture { records = records, partition = first.partition, around = first.offset, width = AROUND,
    title = ("%d events are in the log twice"):format(#count:duplicates()),
    note = ("%s: the second copies begin at offset %d."):format(says, first.offset),
    kind = function(record) return count:count(record.id) > 1 and "doubled" or "plain" end,
    link = { offset = first.offset, store = "effect_log",
      text = ("%d rows for %s"):format(bag.from(effects):count(first.id), first.id) } }
end

return M
