-- A share group of one topic with its DLQ: sixty records on one partition, one of which kills whoever handles
-- it; a downstream that is away, and members that are frozen with the records in their hands. What became of
-- each record is read from the table of effects and from the DLQ, whose headers name the source's offset.
local share_member = require "rlab.story.group.share_member"
local must = require "rlab.must"
local null = require "rlab.null"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local EFFECT = [[CREATE TABLE effect (seq BIGINT AUTO_INCREMENT PRIMARY KEY, id VARCHAR(40) NOT NULL,
  delivery INT NOT NULL, member VARCHAR(40) NOT NULL%s)]]
local AWAY = [[SELECT COUNT(*) FROM information_schema.tables
  WHERE table_schema = DATABASE() AND table_name = 'effect_away']]
local LOCK = "share.record.lock.duration.ms"
local ENABLE = "errors.deadletterqueue.group.enable"
local NO_MORE = 5 -- seconds without another record in the DLQ
local AGAIN = 2 -- seconds until the next record is rejected, where the first may have come too early
local OWN_HEADER, AFTER = "event-id", "evt-after"

M.role, M.UNDECODABLE = share_member.role, share_member.UNDECODABLE

local Group = {}
Group.__index = Group

-- ---- the group ----

-- A member has its first partition after one heartbeat. Brokers that are not ours may refuse so short ones:
-- then it takes longer.
local QUICK = { ["share.heartbeat.interval.ms"] = "300", ["share.session.timeout.ms"] = "3000",
  ["share.assignment.interval.ms"] = "0" }

local function configs_of(group, s)
  return { ["share.auto.offset.reset"] = "earliest", [LOCK] = tostring(s.lock),
    ["share.delivery.count.limit"] = tostring(s.limit),
    ["errors.deadletterqueue.topic.name"] = group.dlq,
    ["errors.deadletterqueue.copy.record.enable"] = tostring(s.copy ~= false) }
end

local function configure(group, s)
  local lab = group.lab
  lab.run.ledger:add("group", group.id)
  lab.run.ledger:add("group-config", group.id)
  local ok, failure = lab.run.admin:alter_configs { group = group.id, set = configs_of(group, s) }
  if not ok then lab:give_up("not run: the brokers take no share group with a DLQ: %s", failure.message) end
  lab.run.admin:alter_configs { group = group.id, set = QUICK }
end

-- open(lab, {limit =, lock = ms, copy =, enabled =, dedup =}) -> group, its topic, DLQ and table made
function M.open(lab, s)
  local group = setmetatable({ lab = lab, id = lab:group(), members = {}, told = {} }, Group)
  must(lab:db():exec(EFFECT:format(s.dedup and ", UNIQUE KEY (id)" or "")))
  group.topic = lab:topic "events"
  group.dlq = lab:topic("events", { prefix = "dlq.",
    configs = s.enabled ~= false and { [ENABLE] = "true" } or nil })
  configure(group, s)
  lab:gauge(function(row)
    row["processed"] = group:count()
    local now = lab.run:watcher():offsets(group.dlq, 0)
    row["in the DLQ"] = now and now.hw
  end)
  return group
end

-- group:set(name, value): a setting of the group, from the next record on that is acquired
function Group:set(name, value)
  must(self.lab.run.admin:alter_configs { group = self.id, set = { [name] = tostring(value) } })
end

-- group:enable_dlq(): the mend of a DLQ that does not take what it is sent. A broker hears of it a moment
--   later, and what is rejected before that is gone.
function Group:enable_dlq()
  must(self.lab.run.admin:alter_configs { topic = self.dlq, set = { [ENABLE] = "true" } })
  self.again = AGAIN
end

-- group:publish(ids)
function Group:publish(ids)
  local messages = {}
  for i, id in ipairs(ids) do
    messages[i] = { topic = self.topic, partition = 0, key = id, value = id,
      headers = { { OWN_HEADER, id } } }
  end
  self.producer = self.producer or self.lab:producer { linger_ms = 100 } -- one batch
  self.lab:send_all(self.producer, messages, ("%d events"):format(#ids))
end

-- group:member(settings, points) -> child that has joined the group; points: it must fire
function Group:member(settings, points)
  local lab = self.lab
  local client = tables.picked(lab:settings("consumer", {}), { "brokers" })
  client.group = self.id
  lab:note_client("share consumer", client)
  local child = lab:start("member", tables.merged({ client = client, topic = self.topic,
    name = ("member-%d"):format(#self.members + 1),
    mysql = lab.stack:mysql_opts { database = lab:schema(), read_timeout = "300s" } }, settings),
    { must_fire = points })
  self.members[#self.members + 1] = child
  return child
end

-- group:took(child, delivery): it has the sixty in its hands; with less of them the story is another one
function Group:took(child, delivery, n)
  local took = child:expect("took", "20s")
  self.lab:issued(("records of delivery %d in one hand"):format(delivery),
    took.delivery == delivery and took.n or 0, n)
end

-- ---- what becomes of the records ----

-- group:count() -> ids that have an effect
function Group:count()
  local db, sql = self.lab:db(), "SELECT COUNT(DISTINCT id) FROM "
  return db:value(sql .. "effect") or db:value(sql .. "effect_away") or 0
end

-- group:archived() -> records in the DLQ, by the brokers' word
function Group:archived()
  local now = self.lab:offsets(self.dlq, 0)
  return now and now.hw or 0
end

-- group:await_archived(n): DLQ writes trail; what does not come any more is the checks' to judge
function Group:await_archived(n)
  local before, since = -1, 0
  repeat
    local now, at = self:archived(), self.lab:now()
    if now > before then before, since = now, at end
    if now < n then task.sleep "20ms" end
  until now >= n or at - since > NO_MORE
end

local function header(record, name)
  for _, pair in ipairs(record.headers) do
    if pair[1] == name then return pair[2] end
  end
end

local function dead_of(group, ids)
  local list = {}
  for i, record in ipairs(group.lab:read(group.dlq, { headers = true }).records) do
    local at = math.tointeger(tonumber(header(record, "__dlq.errors.offset")))
    list[i] = { id = ids[at] or "unknown", offset = record.offset, partition = 0,
      value = record.value ~= null and record.value or nil, own = header(record, OWN_HEADER) ~= nil,
      why = header(record, "__dlq.errors.message"),
      delivery = tonumber(header(record, "__dlq.errors.delivery.count")) }
  end
  return list
end

-- group:look() -> {records, effects, dead}: the topic, the table, and the DLQ with the ids of the offsets
--   that its headers name
function Group:look()
  local records, ids, effects = self.lab:read(self.topic).records, {}, {}
  for _, record in ipairs(records) do ids[record.offset] = record.id end
  for i, row in ipairs(must(self.lab:db():query "SELECT id, delivery, member FROM effect ORDER BY seq")) do
    effects[i] = { id = row.id, delivery = row.delivery, member = row.member }
  end
  return { records = records, effects = effects, dead = dead_of(self, ids) }
end

-- group:settle(n): so many ids have an effect or stand in the DLQ
function Group:settle(n)
  local before
  self.lab:owed("settled", "each record is processed or archived", function()
    local now = self:count() + self:archived()
    if now == before then return false end
    before = now
    local seen = self:look()
    local ids = tables.set_of(tables.ids_of(seen.effects))
    for _, row in ipairs(seen.dead) do ids[row.id] = true end
    return #tables.sorted_keys(ids) >= n, n - #tables.sorted_keys(ids)
  end, "15s")
end

-- group:finish(): one more event, and one that nobody can decode: rejected, it comes to the DLQ behind all
--   that was archived before it. So the group lives, and nothing is under way any more.
function Group:finish()
  local lab, before = self.lab, nil
  self:publish { AFTER, M.UNDECODABLE }
  local sent = lab:now()
  lab:owed("goes-on", "what is rejected after all that is in the DLQ", function()
    local now = self:archived()
    if self.again and now == 0 and lab:now() - sent > self.again then
      self:publish { M.UNDECODABLE }
      sent = lab:now()
    end
    if now == before then return false end
    before = now
    local dead = self:look().dead
    return dead[#dead] and dead[#dead].id == M.UNDECODABLE
  end, "15s")
end

-- ---- the faults ----

-- group:crashes(n, settings, poison, all): so many members die of the record; the next one does not. all: how
--   many records there are
function Group:crashes(n, settings, poison, all)
  for delivery = 1, n do
    local member = self:member(settings, { ["share.handle"] = ("kill if id=%s"):format(poison) })
    if delivery == 1 or settings.commit ~= "record" then self:took(member, delivery, all) end
    member:wait_exit { signal = "KILL" }
  end
  self:member(settings)
end

-- group:outage(settings, seconds, archived) -> how long the table of effects was away: so long since a member
--   was first refused, and until so many records are archived, which a slow machine may need longer for
function Group:outage(settings, seconds, archived)
  local lab = self.lab
  local fault = lab:fault "RENAME TABLE effect":started()
  must(lab:db():exec "RENAME TABLE effect TO effect_away")
  fault:fired(lab.proof.rows("tables by the name of effect_away", { sql = AWAY, want = 1 }))
  local member = self:member(settings)
  member:expect("released", "20s")
  local from = lab:now()
  task.sleep(seconds)
  self:await_archived(archived)
  must(lab:db():exec "RENAME TABLE effect_away TO effect")
  local lasted = lab:now() - from
  fault:over()
  if archived == 0 and lasted > 2 * seconds then
    lab:give_up("the downstream was away for %.1f s, longer than %.1f s: the machine is too busy", lasted,
      2 * seconds)
  end
  return lasted
end

-- A lock of MySQL that the lab has until it lets go.
local function shut(lab, name)
  local gate = lab:name(name)
  must(lab:db():value("SELECT GET_LOCK(?, 0)", gate))
  return gate, function() must(lab:db():value("SELECT RELEASE_LOCK(?)", gate)) end
end

-- group:frozen(n, archived, lock): two members stand still with the n records handled and not yet
--   acknowledged; a third one takes over, and has so long a lock. They go on when it has the records in its
--   hands, or all are archived, and are answered before it goes on.
function Group:frozen(n, archived, lock)
  local lab, stopped = self.lab, {}
  local gate, open = shut(lab, "gate")
  local last, open_last = shut(lab, "last")
  for delivery = 1, 2 do
    local member = self:member { gate = gate }
    self:took(member, delivery, n)
    if delivery == 2 then self:set(LOCK, lock) end
    member:expect("handled", "20s")
    stopped[delivery] = member:freeze()
  end
  local third = self:member { gate = last }
  if archived == 0 then self:took(third, 3, n) else self:await_archived(archived) end
  open()
  for _, freeze in ipairs(stopped) do freeze.thaw() end
  for i = 1, 2 do
    lab:owed("answered", "the acknowledgements of a member that comes late are answered",
      function() return self:told_by(i, "refused")[1] or self:told_by(i, "committed")[1] end, "15s")
  end
  open_last()
end

-- group:told_by(i, word) -> what the i-th member has said so far
function Group:told_by(i, word)
  local all = self.told[i] or {}
  self.told[i], all[word] = all, tables.append(all[word] or {}, self.members[i]:said(word))
  return all[word]
end

-- group:told_all(word) -> of all members
function Group:told_all(word)
  local list = {}
  for i in ipairs(self.members) do tables.append(list, self:told_by(i, word)) end
  return list
end

return M
