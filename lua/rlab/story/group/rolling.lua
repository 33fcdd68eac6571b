-- Four members of one group that are restarted one after the other, as in a deployment: SIGTERM, some time
-- without the process, and another one in its place, with the same group.instance.id where members have one.
-- There is work all the while. How the others were disturbed is counted from what they were told; what was
-- given out and done stands in MySQL.
local bag = require "rlab.bag"
local client = require "rlab.story.group.client"
local clock = require "rlab.clock"
local json = require "rlab.json"
local must = require "rlab.must"
local once = require "rlab.story.group.once"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local MEMBERS, PARTITIONS, AT_A_TIME = 4, 8, 40
local HANDLER = "5ms"
local DOWN_S = 1.0 -- what a restart takes besides the process's own start
local FENCED, UNRELEASED = 82, 111 -- FENCED_INSTANCE_ID, UNRELEASED_INSTANCE_ID

-- ---- a member ----

local function tell(ctx, consumer)
  for _, event in ipairs(consumer:events()) do
    if event.type ~= "commit_error" then
      ctx.say("rebalance", { type = event.type, at = event.at,
        partitions = json.array(client.partitions_of(event)) })
    end
  end
  for _, failure in ipairs(consumer:errors()) do
    ctx.say("error", { code = failure.code })
  end
end

-- Of a fatal error the client says only that it is one; whoever calls it then is told which.
local function cause_of(consumer, topic, failure)
  if not failure.fatal then return failure.code end
  local _, cause = consumer:subscribe { topic }
  return (cause or failure).code
end

local function handle(member, record)
  once.delivered(member.db, record.value, member.name)
  task.sleep(HANDLER)
  once.apply(member.db, record.value, member.name, true)
  member.consumer:store(record)
end

-- role(ctx): a member, for roles = { member = rolling.role }; SIGTERM lets it end the record in its hands,
--   commit and close. args: consumer and mysql (settings), topic, name
function M.role(ctx)
  local args = ctx.args
  local db <close> = must(require("rlab.mysql").connect(args.mysql))
  local consumer <close> = must(require("rlab.kafka").consumer(args.consumer))
  local member = { consumer = consumer, db = db, name = args.name }
  must(consumer:subscribe { args.topic })
  while true do
    local polled <close> = must(consumer:poll(1, "20ms"))
    tell(ctx, consumer)
    for record in polled:each() do
      if record.err then
        ctx.say("error", { code = cause_of(consumer, args.topic, record.err) })
      else
        task.shielded(handle, member, record)
      end
    end
  end
end

-- ---- the group ----

local Rolling = {}
Rolling.__index = Rolling

local function name_of(i) return "member-" .. i end

local function start(group, instance, name)
  local lab = group.lab
  local consumer = tables.merged(group.consumer,
    { ["group.instance.id"] = group.settings.static and instance or nil })
  return lab:start("member", { consumer = consumer, topic = group.topic, name = name,
    mysql = lab.stack:mysql_opts { database = lab:schema() } })
end

local function is_refusal(failure) return failure.code == FENCED or failure.code == UNRELEASED end

-- A member that lives loses its session only where its heartbeats, or the coordinator, were late. librdkafka
-- joins anew then, and what it still asks as the member that it was is refused with FENCED_INSTANCE_ID, which
-- ends the client (its issue 3437). The one that a rival is to fence is not meant.
local function note_loss(group, name, lost)
  if not lost or name == group.settings.who or tables.contains(group.lost, name) then return end
  table.insert(group.lost, name)
end

-- What the members have said by now.
local function listen(group)
  for name, member in pairs(group.members) do
    local told = group.told[name] or {}
    for _, event in ipairs(member:said "rebalance") do
      told[#told + 1] = event
      note_loss(group, name, event.type == "lost")
    end
    group.told[name] = told
    for _, failure in ipairs(member:said "error") do
      failure.member = name
      table.insert(group.errors, failure)
      note_loss(group, name, is_refusal(failure) and not group.settings.rival)
    end
  end
end

-- Each that was told that its name is another one's, once.
local function refused(group)
  local list, met = {}, {}
  for _, failure in ipairs(group.errors) do
    if is_refusal(failure) and not met[failure.member] then
      list[#list + 1], met[failure.member] = failure, true
    end
  end
  return list
end

-- Whether these members hold all partitions, each its share.
local function divided(group, names)
  listen(group)
  local all, least, most, sum = {}, PARTITIONS, 0, 0
  for _, name in ipairs(names) do
    local held = tables.sorted_keys(client.held_by(group.told[name]))
    least, most, sum = math.min(least, #held), math.max(most, #held), sum + #held
    for _, partition in ipairs(held) do all[partition] = true end
  end
  return sum == PARTITIONS and #tables.sorted_keys(all) == sum and most - least <= 1
end

-- The one that is out for good without a rival; with it the group cannot be divided any more.
local function fenced(group)
  local one = not group.settings.rival and refused(group)[1]
  return one and ("%s was refused with %d"):format(one.member, one.code)
end

local function owe_division(group, debt, what, names)
  group.lab:owed(debt, function() return fenced(group) or what end,
    function() return divided(group, names) or fenced(group) end, "15s")
end

-- open(lab, settings) -> group of four members with two partitions each
function M.open(lab, settings)
  for _, sql in ipairs { once.SEEN, once.EFFECT, once.DELIVERY } do must(lab:db():exec(sql)) end
  local group = setmetatable({ lab = lab, settings = settings, members = {}, told = {}, names = {},
    errors = {}, lost = {}, rebalances = 0, sent = 0, topic = lab:event_topic { partitions = PARTITIONS },
    producer = lab:producer {}, consumer = client.settings(lab, settings) }, Rolling)
  lab:watch_pipeline { "lag" }
  for i = 1, MEMBERS do
    group.names[i] = name_of(i)
    group.members[name_of(i)] = start(group, name_of(i), name_of(i))
  end
  local function settled() return divided(group, group.names) end
  lab:await("four members with two partitions each", settled)
  lab:together() -- those beside it start meanwhile: who is short of a processor may be thrown out
  lab:await("four members with two partitions each, still", settled)
  group.settled_ms, group.settled = clock.unix_ms(), lab:now()
  lab:gauge(function(row)
    local now = lab.run:watcher():group(lab:group())
    row["members"], row["rebalances"] = now and #now.members, group.rebalances
    row["refused"] = #refused(group)
  end)
  return group
end

-- group:publish(): 40 records more, over all partitions in turn
function Rolling:publish()
  local messages = {}
  for i = 1, AT_A_TIME do
    local place = self.sent + i
    messages[i] = { topic = self.topic, partition = (place - 1) % PARTITIONS,
      value = ("event-%03d"):format(place) }
  end
  self.sent = self.sent + AT_A_TIME
  self.lab:send_all(self.producer, messages, ("%d events"):format(AT_A_TIME))
end

-- It has nothing when it is gone.
local function stop(group, name)
  local fault = client.stop(group.lab, group.members[name], name)
  listen(group)
  local held = tables.sorted_keys(client.held_by(group.told[name]))
  table.insert(group.told[name], { type = "stopped", at = clock.unix_ms(), partitions = held })
  return fault
end

-- What the others were told since then (ms): the most of one of them.
local function disturbed(group, name, since)
  local most = 0
  for _, other in ipairs(group.names) do
    if other ~= name then most = math.max(most, client.changes(group.told[other], since)) end
  end
  return most
end

-- The restart takes its time; where the session is shorter, until the others have the partitions.
local function stay_away(group, name)
  if not group.settings.thrown_out then return task.sleep(DOWN_S) end
  local others = {}
  for _, other in ipairs(group.names) do others[#others + 1] = other ~= name and other or nil end
  owe_division(group, "passed-on", "the others hold its partitions", others)
end

-- The slowest restart, {from, to}: the machine can only make one longer than a session.
local function note_time(group, from)
  local to, slowest = group.lab:now(), group.slowest
  if not slowest or to - from > slowest.to - slowest.from then group.slowest = { from = from, to = to } end
end

-- group:restart(i) -> whether all members can go on: there is work; the member ends, and comes back after a
--   while, or when its partitions are the others'; owed: that they come to be, and that all have their share
--   at the end
function Rolling:restart(i)
  local name, since, from = name_of(i), clock.unix_ms(), self.lab:now()
  self:publish()
  local fault = stop(self, name)
  stay_away(self, name)
  self.members[name] = start(self, name, name)
  owe_division(self, "divided-again", "each member holds two partitions", self.names)
  note_time(self, from)
  fault:over()
  self.rebalances = self.rebalances + disturbed(self, name, since)
  return not fenced(self)
end

-- group:rival(): while the last member lives another process comes with its name; returns when one of the two
--   was told that it may not be
function Rolling:rival()
  self:publish()
  self.members.rival = start(self, name_of(MEMBERS), "rival")
  self.lab:await("one of two members of the same name to be refused", function()
    listen(self)
    return refused(self)[1]
  end)
end

-- group:drain(): owed: all that was published is done; by members that can
function Rolling:drain()
  if fenced(self) then return end
  self:publish()
  self.lab:within("15s", function()
    listen(self)
    return fenced(self) or self.lab:lag {} == 0
  end)
  if not fenced(self) then self.lab:drain { outbox = false, at_most = "15s" } end
end

local function idle(group, till)
  local sum = 0
  for _, name in ipairs(group.names) do
    sum = sum + client.idle(group.told[name], group.settled_ms, till)
  end
  return sum
end

-- group:look() -> {records, deliveries, effects, committed, rebalances, idle_s, refused = {{member, code}},
--   lost = names of those that lived and lost their session, slowest (of the restarts) and watched = {from,
--   to} in seconds of the arm}
function Rolling:look()
  local lab, till, db = self.lab, clock.unix_ms(), self.lab:db()
  listen(self)
  local seen = { committed = lab:committed(), records = lab:read(self.topic).records,
    deliveries = once.deliveries(db), effects = once.effects(db), rebalances = self.rebalances,
    idle_s = idle(self, till), refused = {}, lost = self.lost,
    slowest = self.slowest, watched = { from = self.settled, to = lab:now() } }
  for i, failure in ipairs(refused(self)) do
    seen.refused[i] = tables.picked(failure, { "member", "code" })
  end
  seen.again = #seen.deliveries - #bag.from(seen.deliveries):distinct()
  lab:number("rebalances", seen.rebalances)
  lab:number("member-seconds without a partition", seen.idle_s, "s")
  lab:number("delivered again", seen.again, "records")
  return seen
end

return M
