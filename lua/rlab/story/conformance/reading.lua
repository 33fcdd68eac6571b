-- Rounds of a consumer: it ends with records in its hands, its partition moves meanwhile, its place in the
-- log is gone, and there are two of one name. Each ends with an outcome in words, which is from the stores.
local app = require "rlab.story.conformance.app"
local bag = require "rlab.bag"
local must = require "rlab.must"
local tables = require "rlab.tables"

local M = {}

local FIRST, THEN = 10, 20 -- records that are worked off, and those that it has in its hands after them
local MORE = 5             -- of its partition, when another one has that
local PATIENCE = "3s"      -- six times what lies between two commits of a library's own

-- ---- it ends with records in its hands ----

-- Half of what it has in its hands is done when it ends.
local function in_hand(round, member, wait)
  local ids = round:publish(FIRST)
  member:work_until { ids[#ids] }
  round:publish(THEN)
  local records = member:take "what comes next"
  local done = #records // 2
  member:work(records, done)
  local offset = records[done + 1].offset
  if wait then round.lab:within(PATIENCE, function() return (round:committed() or 0) > offset end) end
  local list = {}
  for i = done + 1, #records do list[#list + 1] = records[i].value end
  return list
end

-- The next one works off what is left for it.
local function successor(round)
  local last = round:publish(1)
  local member = round:member()
  member:work_until(last)
  member:close()
end

local function applied(round)
  local rows = must(round.lab:db():query("SELECT id FROM effect WHERE id LIKE ?", round.name .. "/%"))
  local ids = {}
  for i, row in ipairs(rows) do ids[i] = row.id end
  return ids
end

-- What is published in a round, what was worked on, and what a bad outcome would lose.
local function end_of(round, at_stake, outcome)
  local done = applied(round)
  return { ids = round.ids, at_stake = at_stake, done = done, outcome = outcome(done) }
end

local function lost_or_kept(round)
  return function(done) return #(bag.from(round.ids) - bag.from(done)) > 0 and "lost" or "kept" end
end

function M.killed(lab, who)
  local round = app.begin(lab, who, "killed", 1)
  local member = round:member()
  local at_stake = in_hand(round, member, true)
  member:kill()
  successor(round)
  return end_of(round, at_stake, lost_or_kept(round))
end

function M.closed(lab, who)
  local round = app.begin(lab, who, "closed", 1)
  local member = round:member()
  local at_stake = in_hand(round, member, false)
  member:close()
  successor(round)
  return end_of(round, at_stake, lost_or_kept(round))
end

-- ---- its partition moves while it has records in its hands ----

M.MORE = MORE

local function from_both(member)
  local held, records = {}, {}
  member.lab:owed("taken", "records of both partitions", function()
    local came = member:poll()
    for _, record in ipairs(came) do held[record.partition] = true end
    tables.append(records, came)
    return #came == 0 and held[0] and held[1]
  end, "30s")
  return records
end

-- The second member is given a partition whose records the first has in its hands, works them off, and five
-- more; then the first one is done with its batch, and commits it.
local function overtaken(round, second, came)
  local partition = came[1].partition
  second:finish(came)
  second:work_until { round:publish(MORE, partition)[MORE] }
  return partition, round:committed(partition)
end

function M.straddle(lab, who)
  local round = app.begin(lab, who, "straddle", 2)
  for partition = 0, 1 do round:publish(FIRST, partition) end
  local manual = { ["enable.auto.commit"] = "false" }
  local first = round:member(manual)
  local records = from_both(first)
  local second, came = round:member(manual), nil
  local moved = lab:within("6s", function()
    came = second:poll()
    return #came > 0
  end)
  local partition, before
  if moved then partition, before = overtaken(round, second, came) end
  first:work(records)
  local ok, failure = first:commit()
  local fell = moved and before - round:committed(partition) or 0
  first:close()
  second:work_until { round:publish(1, 0)[1], round:publish(1, 1)[1] }
  second:close()
  local seen = end_of(round, {}, function()
    if not moved then return ok and "waits for the poll" or "waits for the poll, and refuses the commit" end
    if fell > 0 then return "goes back" end
    return ok and "stays, and says OK" or "stays, refused: " .. failure.name
  end)
  seen.fell = fell
  return seen
end

-- ---- its place in the log is gone ----

local WAITING, DELETED = 30, 10

local function away(round)
  local member = round:member()
  local ids = round:publish(FIRST)
  member:work_until { ids[FIRST] }
  member:poll() -- done with them
  round.lab:owed("committed", "its offset is committed", function()
    return round:committed() == FIRST or not member:poll()
  end, "15s")
  member:close()
  round.lab:await("the group to be empty", function() return not round:member_id() end)
  return round:publish(WAITING)
end

local function forget(round)
  local fault = round.lab:fault("the brokers forget the group's offset"):started()
  local before = round:committed()
  must(round.lab.run.admin:delete_group_offsets(round.group, { { topic = round.topic, partition = 0 } }))
  fault:fired(app.told_by("the coordinator", "committed offset before", before, FIRST),
    app.told_by("the coordinator", "is there an offset", round:committed() ~= nil, false)):over()
end

local function delete(round)
  local fault, to = round.lab:fault("the log begins behind the group's offset"):started(), FIRST + DELETED
  must(round.lab.run.admin:delete_records { topic = round.topic, partition = 0, before = to })
  fault:fired(app.told_by("the broker", "offset at which the log begins",
    round.lab:watermarks(round.topic, 0).low, to)):over()
end

local function probe(round)
  round.probes = (round.probes or 0) + 1
  local id = ("%s-after/%02d"):format(round.name, round.probes)
  round.lab:send_all(round.producer, { { topic = round.topic, partition = 0, value = id } }, "a record after")
  return id
end

-- Until something comes, one record is written after the other: what a member that begins at the end does not
-- get is no loss of this round. Then it works on all that it gets.
local function goes_on(round, member)
  local first
  round.lab:owed("goes-on", "the group goes on", function()
    probe(round)
    local records = member:poll()
    member:finish(records)
    first = records[1]
    return first
  end, "30s")
  member:work_until { probe(round) }
  return first.offset
end

local function where(offset, log_begins, ends)
  if offset >= ends then return "at the end" end
  if offset == log_begins then return "at the log's beginning" end
  return "at offset " .. offset
end

local function lost_place(lab, who, name, lose)
  local round = app.begin(lab, who, name, 1)
  local waiting = away(round)
  lose(round)
  local member = round:member()
  local offset = goes_on(round, member)
  local low = lab:watermarks(round.topic, 0).low
  member:close()
  local at_stake = table.move(waiting, low > 0 and DELETED + 1 or 1, #waiting, 1, {})
  round.ids = tables.append(table.move(round.ids, 1, FIRST, 1, {}), at_stake)
  return end_of(round, at_stake, function() return where(offset, low, FIRST + WAITING) end)
end

function M.forgotten(lab, who) return lost_place(lab, who, "forgotten", forget) end
function M.deleted(lab, who) return lost_place(lab, who, "deleted", delete) end

-- With the library's setting for no policy at all.
function M.strict(lab, who)
  local round = app.begin(lab, who, "strict", 1)
  away(round)
  delete(round)
  local member = round:member { ["auto.offset.reset"] = who.library == "librdkafka" and "error" or "none" }
  local records
  lab:within("8s", function()
    records = member:poll()
    return #records > 0 or #member.told > 0
  end)
  local told = member.told[1]
  member:kill()
  round.ids = table.move(round.ids, 1, FIRST, 1, {})
  return end_of(round, {}, function()
    if #records > 0 then return where(records[1].offset, FIRST + DELETED, FIRST + WAITING) end
    return told and "stands still, and says so" or "stands still, and says nothing"
  end)
end

-- ---- two of one name ----

-- How often the coordinator has another member under that name.
local function watched(round, members)
  local ids, last = 0, round:member_id()
  round.lab:within("6s", function()
    for _, member in ipairs(members) do member:work(member:poll()) end
    local now = round:member_id()
    if now and now ~= last then ids, last = ids + 1, now end
    return false
  end)
  return ids
end

function M.rival(lab, who)
  local round = app.begin(lab, who, "rival", 1)
  local named = { ["group.instance.id"] = "worker-1" }
  local first = round:member(named)
  first:work_until { round:publish(FIRST)[FIRST] }
  local fault = lab:fault("a second process with the name of one that lives"):started()
  local second = round:member(named)
  local changes = watched(round, { first, second })
  fault:fired(app.told_by("the coordinator", "members that came under the name", changes > 0, true)):over()
  local told = first.told[1]
  if told then lab:event("the old one hears: %s", told.message) end
  first:kill()
  second:close()
  return end_of(round, {}, function()
    if changes ~= 1 then return ("%d members in turn"):format(changes) end
    return "the new one has it, the old one hears " .. (told and "of it" or "nothing")
  end)
end

return M
