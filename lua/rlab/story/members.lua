-- Three members of one group on six partitions, each a process of its own: its handler runs in its poll loop,
-- or beside it while the partition is paused. Two events of one partition take long, or a member is frozen.
-- How often the group was divided anew, who had nothing meanwhile, and what came again is counted from what
-- the members were told, from their hit logs and from the brokers.
local bag = require "rlab.bag"
local client = require "rlab.story.group.client"
local clock = require "rlab.clock"
local json = require "rlab.json"
local must = require "rlab.must"
local once = require "rlab.story.group.once"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local PARTITIONS, MEMBERS = 6, 3
local SLOW_FOR, HANDLER = "2500ms", "5ms"
local AHEAD = 20 -- records of a partition that wait for its worker before it is paused
local EXCEEDED = -147

-- ---- a member ----

local Member = {}
Member.__index = Member

local function connect(member)
  return must(require("rlab.mysql").connect(member.args.mysql))
end

-- The row that knows the event is written behind the slow work, with the effect.
local function handle(member, db, record)
  require("rlab.fail").point("consumer.handle", { id = record.value, partition = record.partition,
    offset = record.offset, slow = record.value:find "^slow" and 1 or 0 })
  task.sleep(HANDLER)
  once.apply(db, record.value, member.args.name, member.args.dedup)
end

local function store(member, record)
  local ok, failure = member.consumer:store { topic = record.topic, partition = record.partition,
    offset = record.offset + 1 }
  if not ok then member.ctx.say("refused", { partition = record.partition, code = failure.code }) end
end

-- All that waits for the worker of a partition, until nothing does or the partition is somebody else's.
local function work_off(member, partition, queue)
  local db <close> = connect(member)
  while queue[1] and member.queues[partition] == queue do
    handle(member, db, queue[1])
    if member.queues[partition] ~= queue then return end
    store(member, queue[1])
    table.remove(queue, 1)
  end
  if member.queues[partition] ~= queue then return end
  member.queues[partition] = nil
  if queue.paused then
    must(member.consumer:resume { { topic = member.args.topic, partition = partition } })
  end
end

local function take_aside(member, record)
  local partition = record.partition
  local queue = member.queues[partition] or {}
  queue[#queue + 1] = { topic = record.topic, partition = partition, offset = record.offset,
    value = record.value }
  if member.queues[partition] ~= queue then
    member.queues[partition] = queue
    task.spawn(function()
      local ok, failure = pcall(work_off, member, partition, queue)
      if not ok then member.ctx.say("failed", { message = tostring(failure) }) end
    end)
  elseif #queue >= AHEAD and not queue.paused then
    queue.paused = true
    must(member.consumer:pause { { topic = member.args.topic, partition = partition } })
  end
end

-- A partition that comes back is still paused, for all that the client knows.
local function take_over(member, event)
  for _, partition in ipairs(client.partitions_of(event)) do
    member.queues[partition] = nil
    if event.type == "assign" then
      member.consumer:resume { { topic = member.args.topic, partition = partition } }
    end
  end
end

-- What it was told since the last poll.
local function tell(member)
  for _, event in ipairs(member.consumer:events()) do
    local list = client.partitions_of(event)
    if event.type ~= "commit_error" then take_over(member, event) end
    member.ctx.say(event.type == "commit_error" and event.type or "rebalance",
      { type = event.type, at = event.at, partitions = json.array(list) })
  end
  for _, failure in ipairs(member.consumer:errors()) do
    member.ctx.say("error", { code = failure.code, message = failure.message })
  end
end

-- role(ctx): a member, for roles = { member = members.role }. args: consumer and mysql (settings), topic,
--   name, dedup, aside (its handlers run beside its poll loop)
function M.role(ctx)
  local consumer <close> = must(require("rlab.kafka").consumer(ctx.args.consumer))
  local member = setmetatable({ ctx = ctx, args = ctx.args, consumer = consumer, queues = {} }, Member)
  local db <close> = connect(member)
  must(consumer:subscribe { ctx.args.topic })
  while true do
    local batch = must(consumer:poll(1, "20ms"))
    tell(member)
    for i = 1, #batch do
      local record = batch[i]
      if record.err then
        ctx.say("error", { code = record.err.code, message = record.err.message })
      elseif not record.eof and ctx.args.aside then
        take_aside(member, record)
      elseif not record.eof then
        handle(member, db, record)
        store(member, record)
      end
    end
  end
end

-- ---- the group ----

local Group = {}
Group.__index = Group

local function await_settled(group)
  group.lab:await("three members with two partitions each", function()
    local now = group.lab.run.admin:group(group.id)
    if not (now and now.state == "Stable" and group:divided()) then return false end
    group.protocol = now.type == "Consumer" and "consumer" or now.protocol
    return true
  end)
end

-- open(lab, settings) -> group of three members that hold two partitions each, as have the groups of the arms
--   beside this one
function M.open(lab, settings)
  local db, schema = lab:database(once.SEEN, once.EFFECT)
  local group = setmetatable({ lab = lab, db = db, id = lab:group(), members = {}, told = {}, errors = {},
    failed = {}, sent = {}, read = {}, deliveries = {}, times = {}, again = 0, left = 0,
    still = { all = 0, healthy = 0, longest = 0 },
    topic = lab:topic("events", { partitions = PARTITIONS }) }, Group)
  local consumer = client.settings(lab, settings)
  local mysql = lab.stack:mysql_opts { database = schema }
  for i = 1, MEMBERS do
    group.members[i] = lab:start("member", { consumer = consumer, mysql = mysql, topic = group.topic,
      name = "member-" .. i, dedup = settings.dedup ~= false, aside = settings.aside },
      { failpoints = { ["consumer.handle"] = ("sleep(%s) if slow=1"):format(SLOW_FOR) } })
    group.told[i], group.read[i] = {}, 0
  end
  await_settled(group)
  lab:together() -- those beside it start meanwhile: who is short of a processor may be thrown out
  await_settled(group)
  group.settled_ms, group.settled = clock.unix_ms(), lab:now()
  group:watch()
  return group
end

-- What the members have said by now.
local function listen(group)
  for i, member in ipairs(group.members) do
    tables.append(group.told[i], member:said "rebalance")
    tables.append(group.errors, member:said "error")
    tables.append(group.failed, member:said "failed")
  end
  if group.failed[1] then group.lab:give_up("a member failed: %s", group.failed[1].message) end
end

-- group:divided() -> whether each member holds two partitions, and all are held
function Group:divided()
  listen(self)
  local all = {}
  for _, told in ipairs(self.told) do
    local held, n = client.held_by(told), 0
    for partition in pairs(held) do
      all[partition], n = true, n + 1
    end
    if n ~= PARTITIONS // MEMBERS then return false end
  end
  return #tables.sorted_keys(all) == PARTITIONS
end

local function handled(member)
  local list = {}
  for _, line in ipairs(member:log()) do
    if line.name == "consumer.handle" and line.hit then list[#list + 1] = line end
  end
  return list
end

-- What was given to the members since the last look, by their hit logs.
local function read_logs(group)
  for i, member in ipairs(group.members) do
    local list = handled(member)
    for k = group.read[i] + 1, #list do
      local id = list[k].ctx.id
      table.insert(group.deliveries, id)
      group.times[id] = (group.times[id] or 0) + 1
      group.again = group.again + (group.times[id] > 1 and 1 or 0)
    end
    group.read[i] = #list
  end
end

-- How many of the records sent are the slow partition's, which is the first in turn.
local function sent_to_slow(group)
  return (#group.sent + PARTITIONS - 1) // PARTITIONS
end

-- The slow partition stands still although there is work: for how long by now, and how much of that the
-- coordinator saw three healthy members; `group.still` has the sums.
local function note_still(group, before, now)
  local still = before and group.began and before.at >= group.began and now.committed == before.committed
    and now.committed < sent_to_slow(group)
  local passed = still and now.at - before.at or 0
  local healthy = still and before.stable and now.stable and passed or 0
  now.still, now.healthy = still and before.still + passed or 0, still and before.healthy + healthy or 0
  local sum = group.still
  sum.all, sum.healthy = sum.all + passed, sum.healthy + healthy
  sum.longest = math.max(sum.longest, now.still)
end

-- Ten times a second: the coordinator's word, how far the slow partition is, and what came again.
function Group:watch()
  local lab, before = self.lab, nil
  lab:gauge(function(row)
    read_logs(self)
    row["delivered again"] = self.again
    local now = lab.run:watcher():group(self.id)
    local offsets = lab.run:watcher():group_offsets(self.id)
    if not (now and offsets) then return end
    local sample, done = { at = lab:now(), committed = 0, stable = now.state == "Stable"
      and #now.members == MEMBERS }, 0
    for _, one in ipairs(offsets) do
      local offset = one.topic == self.topic and math.max(0, one.offset) or 0
      done = done + offset
      if one.partition == 0 then sample.committed = math.max(sample.committed, offset) end
    end
    self.left = #self.sent - done
    note_still(self, before, sample)
    before = sample
    row["members"], row["p0.committed"] = #now.members, sample.committed
    row["seconds.no progress"], row["seconds.of it healthy"] = sample.still, sample.healthy
  end)
end

-- ---- work ----

-- group:publish(n, slow): so many events, over all partitions in turn; those at the places of `slow` take
--   long
function Group:publish(n, slow)
  local messages = {}
  for i = 1, n do
    local place = #self.sent + 1
    local id = ("%s-%03d"):format(tables.contains(slow or {}, place) and "slow" or "event", place)
    messages[i] = { topic = self.topic, partition = (place - 1) % PARTITIONS, value = id }
    self.sent[place] = id
  end
  self.left = self.left + n
  self.producer = self.producer or self.lab:producer { message_timeout_ms = 30000 }
  self.began = self.began or self.lab:now()
  self.lab:send_all(self.producer, messages, ("%d events"):format(n))
end

-- group:stop_short(n, seconds, thrown_out): so many events; in the middle of its work the first member stands
--   still for so long, as if its memory were collected; and until the coordinator has thrown it out
function Group:stop_short(n, seconds, thrown_out)
  local lab, first, before = self.lab, self.members[1], #handled(self.members[1])
  self:publish(n)
  lab:await("the first member to have work", function() return #handled(first) > before end)
  local frozen = first:freeze()
  task.sleep(seconds)
  if thrown_out then
    lab:await("the frozen member to be out", function() return lab:members() == MEMBERS - 1 end)
  end
  frozen.thaw()
end

-- group:divided_again(): owed
function Group:divided_again()
  self.lab:owed("divided-again", "each member holds two partitions", function() return self:divided() end,
    "10s")
end

-- group:drain(): owed
function Group:drain()
  self.lab:drain { outbox = false, topic = self.topic, group = self.id, at_most = "8s" }
  self.drained = self.lab:now() - self.began
end

local function most_often(group)
  local most = 0
  for id, times in pairs(group.times) do
    if id:find "^slow" then most = math.max(most, times) end
  end
  return most
end

local function all_begun(group)
  return #tables.sorted_keys(group.lab:committed { topic = group.topic, group = group.id }) == PARTITIONS
end

-- group:go_round(seconds, times): the window in which the arms are compared: so long from the first event
--   on, and until a slow event was delivered so often and each partition has an offset; on a slow machine
--   that is longer. It ends when all is done.
function Group:go_round(seconds, times)
  self.lab:within(("%ds"):format(seconds + 20), function()
    if self.left == 0 then return true end
    local over = self.lab:now() - self.began >= seconds
    return over and most_often(self) >= times and all_begun(self)
  end)
  self.window = self.lab:now() - self.began
  self.drained = self.left == 0 and self.window or nil
end

-- ---- what was seen ----

-- When the group was first divided anew since all were settled, in seconds of the arm | nil. till: now (ms)
local function upset_at(group, till)
  local first
  for _, told in ipairs(group.told) do
    for _, event in ipairs(told) do
      local later = event.at > group.settled_ms and event.partitions[1]
      first = later and math.min(first or till, event.at) or first
    end
  end
  return first and group.lab:now() - (till - first) / 1000
end

local function prove_delays(group)
  local seen, first = {}, math.huge
  for _, member in ipairs(group.members) do
    local hit = member:hits("consumer.handle")[1]
    if hit then
      seen[#seen + 1], first = group.lab.proof.hits(member, "consumer.handle"), math.min(first, hit.mono)
    end
  end
  if #seen == 0 then return end
  local fault = group.lab:fault(("a handler that takes %s"):format(SLOW_FOR)):fired(table.unpack(seen))
  fault.row.at = (first - group.lab.started_ns) / 1e9
end

local function exceeded(group)
  local n = 0
  for _, failure in ipairs(group.errors) do
    if failure.code == EXCEEDED then n = n + 1 end
  end
  return n
end

local function lag_table(group, records, committed)
  local ends, rows = {}, {}
  for _, record in ipairs(records) do ends[record.partition] = record.offset + 1 end
  for partition = 0, PARTITIONS - 1 do
    local at = committed[tostring(partition)] or 0
    rows[#rows + 1] = { partition, at, (ends[partition] or 0) - at }
  end
  group.lab:table { title = "Where the group is", head = { "partition", "committed", "lag" }, rows = rows }
end

-- What the arms are compared by.
local function numbers(lab, seen)
  lab:number("protocol", seen.protocol)
  lab:number("rebalances", seen.rebalances)
  lab:number("zero progress", seen.still_s, "s")
  lab:number("of it healthy by heartbeat", seen.healthy_s, "s")
  lab:number("longest stretch", seen.longest_s, "s")
  lab:number("delivered again", seen.again)
  lab:number("applied again", #seen.effects - #bag.from(seen.effects):distinct())
  lab:number("members without a partition", seen.idle_s, "s")
  lab:number("drained after", seen.drained_s, "s")
end

-- group:look() -> {records, deliveries, effects (ids), committed, rebalances, upset_at, idle_s, still_s,
--   healthy_s, longest_s, exceeded, again, drained_s, window_s, watched = {from, to} in seconds of the arm,
--   protocol, slow, behind (ids behind the first slow one)}; with proofs, numbers and the lag by partition
function Group:look()
  local lab, till = self.lab, clock.unix_ms()
  listen(self)
  local committed = lab:committed { topic = self.topic, group = self.id } -- before the effects: they go on
  local seen = { records = lab:read(self.topic).records, effects = once.effects(self.db),
    rebalances = 0, committed = committed,
    watched = { from = self.settled, to = lab:now() },
    exceeded = exceeded(self), idle_s = 0, drained_s = self.drained, window_s = self.window,
    protocol = self.protocol, slow = {}, behind = {}, upset_at = upset_at(self, till),
    still_s = self.still.all, healthy_s = self.still.healthy, longest_s = self.still.longest }
  read_logs(self)
  seen.again, seen.deliveries = self.again, table.move(self.deliveries, 1, #self.deliveries, 1, {})
  for _, told in ipairs(self.told) do
    seen.rebalances = math.max(seen.rebalances, client.changes(told, self.settled_ms))
    seen.idle_s = seen.idle_s + client.idle(told, self.settled_ms, till)
  end
  for _, record in ipairs(seen.records) do
    if record.partition == 0 then
      if seen.slow[1] then table.insert(seen.behind, record.id) end
      if record.id:find "^slow" then table.insert(seen.slow, record) end
    end
  end
  prove_delays(self)
  numbers(lab, seen)
  lag_table(self, seen.records, seen.committed)
  return seen
end

return M
