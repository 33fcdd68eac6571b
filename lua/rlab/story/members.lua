-- Three members of one group on six partitions, each a process of its own: its handler runs in its poll loop,
-- or beside it while the partition is paused. Two events of one partition take long, or a member is frozen.
-- How often the group was divided anew, who had nothing meanwhile, and what came again is counted from what
-- the members were told, from their hit logs and from the brokers.
local bag = require "rlab.bag"
local clock = require "rlab.clock"
local json = require "rlab.json"
local must = require "rlab.must"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local PARTITIONS, MEMBERS = 6, 3
local SLOW_FOR, HANDLER = "2500ms", "5ms"
local AHEAD = 20 -- records of a partition that wait for its worker before it is paused
local SEEN = "CREATE TABLE seen (id VARCHAR(40) NOT NULL PRIMARY KEY)"
local EFFECT = [[CREATE TABLE effect (seq BIGINT AUTO_INCREMENT PRIMARY KEY, id VARCHAR(40) NOT NULL,
  member VARCHAR(64) NOT NULL)]]
local DUPLICATE, EXCEEDED = 1062, -147

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
  must(db:exec "START TRANSACTION")
  local fresh, failure = true, nil
  if member.args.dedup then fresh, failure = db:exec("INSERT INTO seen (id) VALUES (?)", record.value) end
  if not fresh and failure.code ~= DUPLICATE then error(failure, 0) end
  if fresh then
    must(db:exec("INSERT INTO effect (id, member) VALUES (?, ?)", record.value, member.args.name))
  end
  must(db:exec "COMMIT")
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

local function partitions_of(event)
  local list = {}
  for i, place in ipairs(event.partitions or {}) do list[i] = place.partition end
  return list
end

-- A partition that comes back is still paused, for all that the client knows.
local function take_over(member, event)
  for _, partition in ipairs(partitions_of(event)) do
    member.queues[partition] = nil
    if event.type == "assign" then
      member.consumer:resume { { topic = member.args.topic, partition = partition } }
    end
  end
end

-- What it was told since the last poll.
local function tell(member)
  for _, event in ipairs(member.consumer:events()) do
    local list = partitions_of(event)
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

-- With KIP-848 the broker knows these.
local BROKERS_OWN = { "session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy" }

local function settings_of(lab, arm_settings)
  local given = { ["enable.partition.eof"] = false, group = lab:group() }
  for _, name in ipairs { "session_timeout_ms", "heartbeat_interval_ms", "max_poll_interval_ms",
    "partition_assignment_strategy", "group_protocol" } do
    given[name] = arm_settings[name]
  end
  local all = lab:settings("consumer", given)
  if given.group_protocol == "consumer" then
    for _, name in ipairs(BROKERS_OWN) do all[name] = nil end
  end
  return all
end

-- open(lab, settings) -> group of three members that hold two partitions each
function M.open(lab, settings)
  local db, schema = lab:database(SEEN, EFFECT)
  local group = setmetatable({ lab = lab, db = db, id = lab:group(), members = {}, told = {}, errors = {},
    failed = {}, samples = {}, sent = {}, topic = lab:topic("events", { partitions = PARTITIONS }) }, Group)
  local consumer = settings_of(lab, settings)
  lab.run.ledger:add("group", group.id)
  lab:note_client("consumer", consumer)
  local mysql = lab.stack:mysql_opts { database = schema }
  for i = 1, MEMBERS do
    group.members[i] = lab:start("member", { consumer = consumer, mysql = mysql, topic = group.topic,
      name = "member-" .. i, dedup = settings.dedup ~= false, aside = settings.aside },
      { failpoints = { ["consumer.handle"] = ("sleep(%s) if slow=1"):format(SLOW_FOR) } })
    group.told[i] = {}
  end
  lab:await("three members with two partitions each", function()
    local now = lab.run.admin:group(group.id)
    if not (now and now.state == "Stable" and group:divided()) then return false end
    group.protocol = now.type == "Consumer" and "consumer" or now.protocol
    return true
  end)
  group.settled_ms = clock.unix_ms()
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

local function held_by(told)
  local held = {}
  for _, event in ipairs(told) do
    for _, partition in ipairs(event.partitions) do
      held[partition] = event.type == "assign" or nil
    end
  end
  return held
end

-- group:divided() -> whether each member holds two partitions, and all are held
function Group:divided()
  listen(self)
  local all = {}
  for _, told in ipairs(self.told) do
    local held, n = held_by(told), 0
    for partition in pairs(held) do
      all[partition], n = true, n + 1
    end
    if n ~= PARTITIONS // MEMBERS then return false end
  end
  return #tables.sorted_keys(all) == PARTITIONS
end

-- Ten times a second: the coordinator's word, and how far the slow partition is.
function Group:watch()
  local lab = self.lab
  lab:gauge(function(row)
    local now = lab.run:watcher():group(self.id)
    local offsets = lab.run:watcher():group_offsets(self.id)
    if not (now and offsets) then return end
    local stable, committed = now.state == "Stable" and #now.members == MEMBERS, 0
    for _, one in ipairs(offsets) do
      if one.topic == self.topic and one.partition == 0 then committed = math.max(0, one.offset) end
    end
    row["members"], row["stable"], row["p0.committed"] = #now.members, stable and 1 or 0, committed
    self.samples[#self.samples + 1] = { at = lab:now(), stable = stable, committed = committed }
  end)
end

-- ---- work ----

local function handled(member)
  local list = {}
  for _, line in ipairs(member:log()) do
    if line.name == "consumer.handle" and line.hit then list[#list + 1] = line end
  end
  return list
end

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

-- group:go_round(seconds, times): the window in which the arms are compared: so long from the first event
--   on, and until a slow event was delivered so often and each partition has an offset; on a slow machine
--   that is longer
function Group:go_round(seconds, times)
  task.sleep(math.max(0, self.began + seconds - self.lab:now()))
  self.lab:within("20s", function()
    local slow, most = bag.new {}, 0
    for _, member in ipairs(self.members) do
      for _, line in ipairs(handled(member)) do
        if line.ctx.slow == 1 then slow:add(line.ctx.id) end
      end
    end
    for _, id in ipairs(slow:ids()) do most = math.max(most, slow:count(id)) end
    local committed = self.lab:committed { topic = self.topic, group = self.id }
    return most >= times and #tables.sorted_keys(committed) == PARTITIONS
  end)
  self.window = self.lab:now() - self.began
end

-- ---- what was seen ----

-- How often it was given partitions, or they were taken away, since all were settled: whichever is more. That
-- nothing changes is told, too, by the cooperative protocols.
local function changes(group, told)
  local given, taken = 0, 0
  for _, event in ipairs(told) do
    local later = event.at > group.settled_ms and event.partitions[1] and 1 or 0
    if event.type == "assign" then given = given + later else taken = taken + later end
  end
  return math.max(given, taken)
end

-- Seconds, since all were settled and until `till` (ms), in which a member had no partition.
local function idle(group, told, till)
  local held, since, sum = {}, nil, 0
  for _, event in ipairs(told) do
    for _, partition in ipairs(event.partitions) do held[partition] = event.type == "assign" or nil end
    local at = math.max(event.at, group.settled_ms)
    if next(held) and since then
      sum, since = sum + at - since, nil
    elseif not next(held) then
      since = since or at
    end
  end
  return (sum + (since and math.max(0, till - since) or 0)) / 1000
end

-- Seconds in which the coordinator saw three healthy members and the slow partition stood still, with records
-- to do.
local function healthy_without_progress(group, last)
  local sum = 0
  for i = 2, #group.samples do
    local a, b = group.samples[i - 1], group.samples[i]
    local healthy, still = a.stable and b.stable, a.committed == b.committed and b.committed < last
    if a.at >= group.began and healthy and still then
      sum = sum + b.at - a.at
    end
  end
  return sum
end

local function prove_delays(group)
  local seen = {}
  for _, member in ipairs(group.members) do
    if #member:hits "consumer.handle" > 0 then
      seen[#seen + 1] = group.lab.proof.hits(member, "consumer.handle")
    end
  end
  if #seen > 0 then
    group.lab:fault(("a handler that takes %s"):format(SLOW_FOR)):fired(table.unpack(seen))
  end
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

local function ids_of(group)
  local ids = {}
  for i, row in ipairs(must(group.db:query "SELECT id FROM effect ORDER BY seq")) do ids[i] = row.id end
  return ids
end

-- group:look() -> {records, deliveries, effects (ids), committed, rebalances, idle_s, healthy_s, exceeded,
--   again, drained_s, window_s, protocol, slow, behind (ids behind the first slow one)}; with
--   proofs, numbers and the lag by partition
function Group:look()
  local lab, till = self.lab, clock.unix_ms()
  listen(self)
  local seen = { records = lab:read(self.topic).records, deliveries = {}, effects = ids_of(self),
    rebalances = 0, committed = lab:committed { topic = self.topic, group = self.id },
    exceeded = exceeded(self), idle_s = 0, drained_s = self.drained, window_s = self.window,
    protocol = self.protocol, slow = {}, behind = {} }
  for i, member in ipairs(self.members) do
    for _, line in ipairs(handled(member)) do table.insert(seen.deliveries, line.ctx.id) end
    seen.rebalances = math.max(seen.rebalances, changes(self, self.told[i]))
    seen.idle_s = seen.idle_s + idle(self, self.told[i], till)
  end
  local last = 0
  for _, record in ipairs(seen.records) do
    if record.partition == 0 then
      last = math.max(last, record.offset + 1)
      if seen.slow[1] then table.insert(seen.behind, record.id) end
      if record.id:find "^slow" then table.insert(seen.slow, record) end
    end
  end
  seen.healthy_s = healthy_without_progress(self, last)
  seen.again = #seen.deliveries - #bag.from(seen.deliveries):distinct()
  prove_delays(self)
  lab:number("rebalances", seen.rebalances)
  lab:number("without a partition", seen.idle_s, "member-seconds")
  lab:number("healthy by heartbeat, zero progress", seen.healthy_s, "s")
  lab:number("redelivered", seen.again, "records")
  lab:number("drained after", seen.drained_s, "s")
  lag_table(self, seen.records, seen.committed)
  return seen
end

return M
