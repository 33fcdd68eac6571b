-- A group that has lost its place in the log: the brokers forgot its offset, the log begins behind it, or
-- there is a partition of which it never had one. What decides then is auto.offset.reset.
local bag = require "rlab.bag"
local fs = require "rlab.fs"
local must = require "rlab.must"
local proof = require "rlab.proof"
local tables = require "rlab.tables"

local M = {}

local function told_by(from, what, got, want, control)
  return proof.of("read", { what = what, from = from, got = got, want = want, control = control })
end

-- ---- the consumers ----

-- begin(lab): the group is made at the beginning of partition 0, so that no policy decides there
function M.begin(lab)
  must(lab.run.admin:alter_group_offsets(lab:group(),
    { { topic = lab:event_topic(), partition = 0, offset = 0 } }))
end

-- start(lab, s) -> service: a consumer as in the arm's settings. It looks for new partitions as seldom as
--   clients do by default.
function M.start(lab, s)
  return lab:service("consumer", { commit = s.commit, dedup = s.dedup, dlq = "-",
    consumer = { ["auto.offset.reset"] = s.reset, ["topic.metadata.refresh.interval.ms"] = "300000" } })
end

-- complaints(lab, consumer) -> how often its log says that it has no position (librdkafka's -140)
function M.complaints(lab, consumer)
  local log = fs.read(("%s/%s.log"):format(lab.run.dir, consumer.name)) or ""
  return select(2, log:gsub("AUTO_OFFSET_RESET", ""))
end

-- ---- how the place is lost ----

-- forgotten(lab): OffsetDelete, as offsets.retention.minutes does it after seven days
function M.forgotten(lab)
  local fault, place = lab:fault "the brokers forget the group's offset",
    { topic = lab:event_topic(), partition = 0 }
  lab:await("the group to be empty", function() return lab:members() == 0 end)
  local before = #tables.sorted_keys(lab:committed())
  must(lab.run.admin:delete_group_offsets(lab:group(), { place }))
  local control, after = told_by("the coordinator", "committed offsets before", before, 1),
    #tables.sorted_keys(lab:committed())
  fault:fired(control, told_by("the coordinator", "committed offsets", after, 0, control.facts)):over()
end

-- deleted(lab, before): DeleteRecords, as retention.ms does it
function M.deleted(lab, before)
  local fault, topic = lab:fault(("the log begins at offset %d"):format(before)), lab:event_topic()
  lab:delete_records(0, before)
  fault:fired(told_by("the broker", "offset at which the log begins", lab:watermarks(topic, 0).low, before))
    :over()
end

local function assigned(lab)
  local group, n = lab.run.admin:group(lab:group()), 0
  for _, member in ipairs(group and group.members or {}) do n = n + #(member.assignment or {}) end
  return n
end

-- grown(lab, write, count): a second partition, of which write() has so many records acknowledged before any
--   member has heard of it
function M.grown(lab, write, count)
  local fault = lab:fault "records in a partition that nobody reads yet"
  lab:more_partitions(2)
  write()
  fault:fired(told_by("the broker", "records in the second partition",
    lab:watermarks(lab:event_topic(), 1).hw, count),
    told_by("the coordinator", "partitions that the group reads", assigned(lab), 1)):over()
end

-- ---- somebody decides ----

-- resend(lab, relay) -> ids: what is neither applied nor in the topic any more, by the outbox, is sent once
--   more. A relay looks below its last row only while one may be committed late, so it begins anew.
function M.resend(lab, relay)
  local stores, events, ids = lab:stores(), {}, {}
  local there = bag.from(stores.effects) + bag.from(lab:records(lab:event_topic()))
  for _, row in ipairs(stores.outbox) do
    if there:count(row.id) == 0 then
      events[#events + 1], ids[#ids + 1] = ("UUID_TO_BIN('%s')"):format(row.event), row.id
    end
  end
  if not ids[1] then return ids end
  relay:stop()
  must(lab:db():exec("UPDATE outbox_event SET published_at = NULL WHERE event_id IN ("
    .. table.concat(events, ", ") .. ")"))
  relay:restart()
  lab:event("%d events that the log has no more are sent again from the outbox", #ids)
  return ids
end

-- ---- what the log had ----

-- range(records, partition, from, to) -> those of the partition at these offsets, `to` not included
function M.range(records, partition, from, to)
  local found = {}
  for _, record in ipairs(records) do
    if record.partition == partition and record.offset >= from and record.offset < to then
      found[#found + 1] = record
    end
  end
  return found
end

-- sum(records) -> their amounts
function M.sum(records)
  local sum = 0
  for _, record in ipairs(records) do sum = sum + record.amount end
  return sum
end

return M
