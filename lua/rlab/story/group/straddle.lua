-- A batch that straddles a rebalance: a member has records of two partitions in its hands and stands still in
-- the middle, as it needs a row that somebody has locked; another member takes one of the partitions over.
-- Then the first goes on: what it drops and what it commits is the arm's. All poll all the while.
local client = require "rlab.story.group.client"
local clock = require "rlab.clock"
local must = require "rlab.must"
local once = require "rlab.story.group.once"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local PARTITIONS = 2
local LINGER_S = 0.1 -- a batch that is not full is begun so long after its last record
local RATE = "CREATE TABLE rate (cents INT NOT NULL)"

local function id_of(partition, n) return ("p%d-%02d"):format(partition, n) end

-- ids(partition, from, to) -> the ids of its records at these offsets
function M.ids(partition, from, to)
  local list = {}
  for n = from, to do list[#list + 1] = id_of(partition, n) end
  return list
end

-- ---- a member ----

-- Whether the record's partition is held still, or was given back since the record was read. It may have
-- come again meanwhile: then it is read anew.
local function is_ours(member, entry)
  local since = member.held[entry.partition]
  return since ~= nil and entry.generation >= since
end

-- Why a record is dropped before its transaction, by the arm.
local drops = {
  generation = function(member, entry) return not is_ours(member, entry) end,
  refused = function(member, entry) return member.refused[entry.partition] ~= nil end,
  nothing = function() return false end,
}

local function position(entry)
  return { topic = entry.topic, partition = entry.partition, offset = entry.offset + 1 }
end

-- The client refuses the offset of a partition that it does not hold.
local function store(member, entry)
  local ok, failure = member.consumer:store(position(entry))
  if not ok then member.refused[entry.partition] = failure.name end
end

local function commit_stored(member) return member.consumer:commit() end

-- What is stored behind a record, and what is committed behind the batch.
local commits = {
  batch = { behind = function(member, batch)
    local last = {}
    for _, entry in ipairs(batch) do last[entry.partition] = position(entry) end
    local list = {}
    for _, place in pairs(last) do list[#list + 1] = place end
    return member.consumer:commit(list)
  end },
  last = { behind = function(member, batch) return member.consumer:commit(position(batch[#batch])) end },
  each = { record = store, behind = commit_stored },
  default = { behind = commit_stored },
}

-- Somebody has locked the row; when it is free again is not for this member to say.
local function ask_for_the_rate(member)
  must(member.db:exec "SET SESSION innodb_lock_wait_timeout = 60")
  must(member.db:query "SELECT cents FROM rate FOR UPDATE")
end

local function work(member, batch)
  local args, dropped = member.args, 0
  local drop, commit = drops[args.drop], commits[args.commit]
  for i, entry in ipairs(batch) do
    if i == args.waits_at then ask_for_the_rate(member) end
    if drop(member, entry) then
      dropped = dropped + 1
    else
      once.delivered(member.db, entry.id, args.name)
      once.apply(member.db, entry.id, args.name, args.dedup)
      if commit.record then commit.record(member, entry) end
    end
  end
  local _, failure = commit.behind(member, batch)
  member.ctx.say("done", { batch = #batch, dropped = dropped, failure = failure and failure.name })
end

-- What it was told since the last poll.
local function follow(member)
  for _, event in ipairs(member.consumer:events()) do
    local list = client.partitions_of(event)
    for _, partition in ipairs(event.type ~= "commit_error" and list or {}) do
      member.held[partition] = event.type == "assign" and event.generation or nil
      member.refused[partition] = nil
    end
    if event.type ~= "commit_error" then
      member.ctx.say("rebalance", { type = event.type, partitions = require("rlab.json").array(list) })
    end
  end
end

local function is_full(member, batch)
  if #batch >= member.args.batch then return true end
  return #batch > 0 and not member.args.whole and clock.ns() - member.came >= LINGER_S * 1e9
end

-- Records that came together are worked off in turns of the partitions. The last one is partition 0's, which
-- cooperative-sticky moves.
local function in_turns(a, b)
  if a.offset ~= b.offset then return a.offset < b.offset end
  return a.partition > b.partition
end

local function take(member, batch)
  local room = math.max(1, member.args.batch - #batch)
  local polled <close> = must(member.consumer:poll(room, "20ms"))
  follow(member)
  for record in polled:each() do
    if not record.err then -- one of a broker that is late, say: the client goes on by itself
      member.came = clock.ns()
      batch[#batch + 1] = { id = record.value, topic = record.topic, partition = record.partition,
        offset = record.offset, generation = record.generation }
    end
  end
end

-- Polls for the membership's sake until the batch is done; what comes of a partition that is assigned
-- meanwhile is for the next one.
local function work_aside(member, batch)
  local after = {}
  must(member.consumer:pause())
  local worker = task.spawn(work, member, batch)
  repeat take(member, after) until worker:done()
  worker:join()
  must(member.consumer:resume())
  return after
end

-- role(ctx): a member, for roles = { member = straddle.role }. args: consumer and mysql (settings), topic,
--   name, batch, whole (no batch is begun before it is full), drop, commit, dedup, and waits_at: which record
--   of a batch needs the locked row
function M.role(ctx)
  local consumer <close> = must(require("rlab.kafka").consumer(ctx.args.consumer))
  local db <close> = must(require("rlab.mysql").connect(ctx.args.mysql))
  local member = { ctx = ctx, args = ctx.args, consumer = consumer, db = db, held = {}, refused = {} }
  must(consumer:subscribe { ctx.args.topic })
  local batch = {}
  while true do
    while not is_full(member, batch) do take(member, batch) end
    table.sort(batch, in_turns)
    batch = work_aside(member, batch)
  end
end

-- ---- the group ----

local Straddle = {}
Straddle.__index = Straddle

local function committed(lab)
  local at = lab:committed()
  for partition = 0, PARTITIONS - 1 do
    at[tostring(partition)] = at[tostring(partition)] or 0 -- a reader begins at the earliest record
  end
  return at
end

-- What the arm's way of committing asks of the client. Nobody is to be thrown out: only the story moves
-- partitions.
local function settings_of(s)
  return { partition_assignment_strategy = "cooperative-sticky", session_timeout_ms = 30000,
    max_poll_interval_ms = 60000, enable_auto_offset_store = s.commit == "default",
    enable_auto_commit = commits[s.commit].behind == commit_stored }
end

-- open(lab, settings) -> group without members
function M.open(lab, settings)
  local topic = lab:event_topic { partitions = PARTITIONS }
  for _, sql in ipairs { once.SEEN, once.EFFECT, once.DELIVERY, RATE, "INSERT INTO rate VALUES (150)" } do
    must(lab:db():exec(sql))
  end
  local group = setmetatable({ lab = lab, settings = settings, topic = topic, told = {}, sent = {},
    producer = lab:producer {}, consumer = client.settings(lab, settings_of(settings)) }, Straddle)
  lab:watch_pipeline { "lag" }
  lab:gauge(function(row)
    for _, one in ipairs(lab.run:watcher():group_offsets(lab:group()) or {}) do
      if one.offset >= 0 then row[("p%d.committed"):format(one.partition)] = one.offset end
    end
  end)
  return group
end

-- group:publish(partition, n): so many records more
function Straddle:publish(partition, n)
  local messages, sent = {}, self.sent[partition] or 0
  for i = 1, n do
    messages[i] = { topic = self.topic, partition = partition, value = id_of(partition, sent + i - 1) }
  end
  self.sent[partition] = sent + n
  self.lab:send_all(self.producer, messages, ("%d records of partition %d"):format(n, partition))
end

-- group:member(name, batch, [waits_at]) -> role; one that waits does so in the middle of a whole batch
function Straddle:member(name, batch, waits_at)
  local s = self.settings
  self.told[name] = {}
  return self.lab:start("member", { consumer = self.consumer, topic = self.topic, name = name,
    mysql = self.lab.stack:mysql_opts { database = self.lab:schema() }, batch = batch,
    whole = waits_at ~= nil, waits_at = waits_at, drop = s.drop or "nothing", commit = s.commit,
    dedup = s.dedup ~= false })
end

local function listen(told, role) return tables.append(told, role:said "rebalance") end

-- group:moved(first, second) -> the partition that the second has from the first
function Straddle:moved(first, second)
  return self.lab:await("one of two partitions to move", function()
    local had, has = client.held_by(listen(self.told.first, first)),
      client.held_by(listen(self.told.second, second))
    local partition = next(has)
    return partition and next(had) and not had[partition] and partition
  end)
end

-- group:committed() -> {["0"] = offset, ["1"] = offset}
function Straddle:committed() return committed(self.lab) end

local function applied(group, id)
  return tables.contains(once.effects(group.lab:db()), id)
end

-- group:overtaken(partition): owed: the second has applied and committed all that there is
function Straddle:overtaken(partition)
  local last = id_of(partition, self.sent[partition] - 1)
  self.lab:owed("overtaken", "the second member works off the partition that it was given", function()
    local left = self.sent[partition] - committed(self.lab)[tostring(partition)]
    return left == 0 and applied(self, last), left
  end)
end

local function moves(told)
  local n = 0
  for _, event in ipairs(told) do n = n + #event.partitions end
  return n
end

-- group:done(first, second) -> {batch, dropped} when the first is through. Nothing but that one partition has
--   moved, and no commit met another rebalance: else the arm has another story than this one.
function Straddle:done(first, second)
  local done = first:expect "done"
  if done.failure and done.failure ~= "_NO_OFFSET" then
    self.lab:give_up("the commit behind the batch was refused: %s", done.failure)
  end
  local a, b = moves(listen(self.told.first, first)), moves(listen(self.told.second, second))
  if a ~= PARTITIONS + 1 or b ~= 1 then
    self.lab:give_up("the group was divided once more: a member lost its session (%d and %d moves)", a, b)
  end
  return done
end

-- group:stop(role, name): SIGTERM; it leaves the group
function Straddle:stop(role, name) client.stop(self.lab, role, name):over() end

-- group:taken_over(batch): owed: who comes when both are gone is given what is published then
function Straddle:taken_over(batch)
  for partition = 0, PARTITIONS - 1 do self:publish(partition, 1) end
  self:member("third", batch)
  self.lab:owed("taken-over", "who comes after both is given what is published then", function()
    return applied(self, id_of(0, self.sent[0] - 1)) and applied(self, id_of(1, self.sent[1] - 1))
  end, "15s")
end

-- group:look() -> {records, deliveries, effects}: rows of the topic, ids
function Straddle:look()
  local db = self.lab:db()
  return { records = self.lab:read(self.topic).records, deliveries = once.deliveries(db),
    effects = once.effects(db) }
end

return M
