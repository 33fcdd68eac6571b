-- One application, written on each client library: it polls, works on what it gets, record by record in
-- MySQL, and polls again; whether and when offsets are passed is the library's own business, or a call behind
-- the batch. The story does the work and the library's process the rest, so that a kill of it is a crash.
local must = require "rlab.must"
local once = require "rlab.story.group.once"
local programs = require "rlab.lab.foreign.programs"
local proof = require "rlab.proof"
local tables = require "rlab.tables"

local M = {}

local POLL_MS, MOST = 200, 500
-- Asked of every library, so that a round is short: all else is the library's own.
local PACE = { ["session.timeout.ms"] = 6000, ["heartbeat.interval.ms"] = 500,
  ["auto.commit.interval.ms"] = 500 }

local Round, Member = {}, {}
Round.__index, Member.__index = Round, Member

-- tables_of(lab): the arm's tables of deliveries and effects
function M.tables_of(lab)
  for _, sql in ipairs { once.EFFECT, once.DELIVERY } do must(lab:db():exec(sql)) end
end

-- begin(lab, who, name, partitions) -> round: a topic and a group of its own, which begins at offset 0, so
--   that no policy decides there. who: {library =, consumer = settings that are not the library's own}
function M.begin(lab, who, name, partitions)
  local round = setmetatable({ lab = lab, who = who, name = name, members = 0, ids = {},
    topic = lab:topic(name, { partitions = partitions }), group = lab:name(name .. "-group"),
    producer = lab:producer {} }, Round)
  lab.run.ledger:add("group", round.group)
  local places = {}
  for p = 0, partitions - 1 do places[p + 1] = { topic = round.topic, partition = p, offset = 0 } end
  must(lab.run.admin:alter_group_offsets(round.group, places))
  return round
end

-- round:publish(n[, partition]) -> ids of the records
function Round:publish(n, partition)
  local messages, ids = {}, {}
  for i = 1, n do
    ids[i] = ("%s/%02d"):format(self.name, #self.ids + 1)
    self.ids[#self.ids + 1] = ids[i]
    messages[i] = { topic = self.topic, partition = partition or 0, value = ids[i] }
  end
  self.lab:send_all(self.producer, messages, ("%d records of %s"):format(n, self.name))
  return ids
end

-- round:committed([partition]) -> the brokers' offset of the group | nil
function Round:committed(partition)
  for _, one in ipairs(must(self.lab.run.admin:group_offsets(self.group))) do
    if one.partition == (partition or 0) and one.offset >= 0 then return one.offset end
  end
end

-- round:member_id() -> the id that the coordinator has of the group's one member | nil
function Round:member_id()
  local group = self.lab.run.admin:group(self.group)
  local member = group and group.members[1]
  return member and member.id
end

-- round:member([settings]) -> member: a process of the library, in the group
function Round:member(settings)
  self.members = self.members + 1
  local tag = ("%s-%s-%d"):format(self.who.library, self.name, self.members)
  local client = programs.start(self.lab, self.who.library, tag)
  local all = { ["bootstrap.servers"] = self.lab.stack.kafka.brokers, ["client.id"] = self.lab:name(tag),
    ["group.id"] = self.group, topic = self.topic }
  all = tables.merged(all, PACE, self.who.consumer, settings)
  client:open(tag, "consume", all)
  return setmetatable({ lab = self.lab, client = client, name = tag, told = {},
    commits = all["enable.auto.commit"] == "false" }, Member)
end

-- member:poll() -> records; what the library says besides is kept in `told`
function Member:poll()
  local answer, failure, whole = self.client:ask(self.name, ("poll %d %d"):format(MOST, POLL_MS))
  if failure then self.told[#self.told + 1] = failure end
  local records = (answer or whole).records or {}
  for _, record in ipairs(records) do once.delivered(self.lab:db(), record.value, self.name) end
  return records
end

-- member:work(records[, n]): on the first n of them, or all
function Member:work(records, n)
  for i = 1, n or #records do once.apply(self.lab:db(), records[i].value, self.name) end
end

-- member:finish(records): works on all, and commits where that is its own business
function Member:finish(records)
  self:work(records)
  if self.commits and #records > 0 then must(self:commit()) end
end

-- member:take(what) -> the records that come next, which is at least one
function Member:take(what)
  local records
  self.lab:owed("taken", what, function()
    records = self:poll()
    return #records > 0
  end, "30s")
  return records
end

-- member:work_until(ids): it polls and works until it has worked on these
function Member:work_until(ids)
  local left = tables.set_of(ids)
  self.lab:owed("worked", ("%s comes to %s"):format(self.name, table.concat(ids, " and ")), function()
    local records = self:poll()
    self:finish(records)
    for _, record in ipairs(records) do left[record.value] = nil end
    return next(left) == nil
  end, "30s")
end

-- member:commit() -> true | nil, err: all that was handed over since the last one
function Member:commit() return self.client:ask(self.name, "commit 10000") end

-- member:kill(): SIGKILL
function Member:kill() return self.client:kill() end

-- member:close(): the library's polite end, and then the process's
function Member:close()
  self.client:ask(self.name, "close")
end

-- told_by(from, what, got, want) -> proof
function M.told_by(from, what, got, want)
  return proof.of("read", { what = what, from = from, got = got, want = want })
end

return M
