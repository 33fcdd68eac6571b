-- The work that the services are given: accounts, commands over HTTP with their outcomes in the history,
-- and events written to the topic directly.
-- The seed pins ids, accounts, amounts and the order per client.
local clock = require "rlab.clock"
local entry = require "rlab.lab.entry"
local left_of = require("rlab.kafka.left").of
local must = require "rlab.must"
local rate_cap = require "rlab.run.rate_cap"
local strict = require "rlab.options"
local tables = require "rlab.tables"

local M = {}

local function insert(lab, columns, n, format)
  local values = {}
  for id = 1, n do values[id] = format:gsub("id", ("%d"):format(id)) end
  must(lab:db():exec(("INSERT INTO %s VALUES %s"):format(columns, table.concat(values, ", "))))
  return n
end

-- accounts(n) -> n: accounts 1..n with nothing in them
function M.accounts(lab, n)
  return insert(lab, "account (id)", n, "(id)")
end

-- views(n, each) -> n: accounts 1..n in the read model; with `each` the balances are 1 * each, 2 * each, ...
--   at version 1, else nothing has happened yet
function M.views(lab, n, each)
  if not each then return insert(lab, "account_view (account_id)", n, "(id)") end
  return insert(lab, "account_view (account_id, balance, version)", n, ("(id, id * %d, 1)"):format(each))
end

-- plan(count, accounts, word) -> list of { id = "cmd-0001", account =, amount = }: no amount is 0, so that
--   each can be missed
function M.plan(lab, count, accounts, word)
  local rng, list = lab.rng:split(word or "cmd"), {}
  for i = 1, count do
    local amount = rng:int(1, 500)
    list[i] = { id = ("%s-%04d"):format(word or "cmd", i), account = rng:int(1, accounts),
      amount = rng:chance(0.4) and -amount or amount }
  end
  return list
end

-- ---- commands over HTTP ----

-- The supervisor: a service that was killed is started again before the next command, once for all clients.
local function standing(opts)
  if opts.reviving then opts.reviving:wait() end
  if opts.restart and not opts.to:alive() then
    opts.reviving = require("rlab.task").event()
    opts.to, opts.restarts = opts.to:restart(), opts.restarts + 1
    opts.reviving:set(true)
    opts.reviving = nil
  end
  return opts.to
end

local function run_client(lab, name, commands, opts, seen)
  for _, command in ipairs(commands) do
    local service = standing(opts)
    if opts.before then opts.before(command) end
    if lab.run.rate_cap then lab.run.rate_cap:take(1) end
    local operation = lab:invoke(name, "entry", command)
    local kind, why, answer = entry.send(service.url, command, opts.at_most)
    operation:over(kind, why, command)
    if kind ~= "ok" then command.why = why end
    table.insert(seen[kind], command.id)
    seen.ended[command.id] = lab:now()
    seen.issued = seen.issued + 1
    if opts.after then opts.after(command, kind) end
    lab:progress(seen.issued, seen.count, "commands")
    if kind == "info" and not answer and opts.restart then -- it may be dying
      lab:within("1s", function() return not service:alive() end)
    end
  end
end

local function shares(list, clients)
  local all = {}
  for k = 1, clients do
    all[k] = {}
    for i = k, #list, clients do table.insert(all[k], list[i]) end
  end
  return all
end

local COMMAND_KEYS = { "to", "count", "accounts", "list", "clients", "restart", "at_most", "before", "after",
  "accepted" }

-- The first command that was not taken, and why.
local function first_refusal(list)
  for _, command in ipairs(list) do
    if command.why then return ("%s: %s"):format(command.id, command.why) end
  end
end

-- A kill takes at most one command out of each client's hands.
local function accepted_at_least(opts, own, n)
  local kills = own.restarts + (own.restart and not own.to:alive() and 1 or 0)
  return opts.accepted or n - kills * (opts.clients or 1)
end

-- commands{to = service, count =, accounts =, clients = 1, restart =, accepted =} -> {ok = ids, fail = ids,
--   unknown = ids, list = {...}, ended = {[id] = seconds}}: deposits and withdrawals by so many clients, each
--   one after the other. With `restart` a service that was killed is started again, as a supervisor does; a
--   command is never sent twice. accepted: so many must be answered with success, else the arm is
--   inconclusive; by default all but those that a restart took out of the clients' hands.
function M.commands(lab, opts)
  opts = strict.check("lab:commands", opts, COMMAND_KEYS)
  local list = opts.list or lab:plan(opts.count, opts.accounts)
  local seen = { ok = {}, fail = {}, info = {}, issued = 0, count = #list, list = list,
    ended = {} }
  local own = { to = opts.to, restart = opts.restart, restarts = 0, at_most = opts.at_most or "10s",
    before = opts.before, after = opts.after }
  local clients = {}
  for k, share in ipairs(shares(list, opts.clients or 1)) do
    clients[k] = { name = "client-" .. k, commands = share }
  end
  lab:each(clients, function(client) run_client(lab, client.name, client.commands, own, seen) end)
  lab:issued("commands", seen.issued, #list)
  lab:accepted("commands", #seen.ok, accepted_at_least(opts, own, #list), first_refusal(list))
  seen.unknown, seen.info, seen.service = seen.info, nil, own.to
  return seen
end

-- ---- events written directly ----

-- A UUID version 7 of the seed: sortable by its number, the same in every run.
local EPOCH_MS = 1767225600000 -- 2026-01-01
local function uuid(rng, i)
  local a, b = rng:int(0, 0xfff), rng:int(0, 0x3fff)
  return ("%08x-%04x-7%03x-%04x-%012x"):format((EPOCH_MS + i) >> 16, (EPOCH_MS + i) & 0xffff, a, 0x8000 | b,
    rng:int(0, 0xffffffffffff))
end

local function name_event(made, event)
  local account = made.accounts[event.account] or { balance = 0, version = 0 }
  account.balance, account.version, made.n = account.balance + event.amount, account.version + 1, made.n + 1
  made.accounts[event.account] = account
  event.event, event.version, event.balance = uuid(made.rng, made.n), account.version, account.balance
end

local function made_so_far(lab)
  lab.made = lab.made or { rng = lab.rng:split "events", n = 0, accounts = {} }
  return lab.made
end

-- opened(account, balance, version): an account of the arm that stands so before its first event
function M.opened(lab, account, balance, version)
  made_so_far(lab).accounts[account] = { balance = balance, version = version }
end

-- Each planned command becomes the event that the command service would have written: ids, versions and
-- balances run on by account, over all that the arm publishes. Returns how the accounts concerned stand
-- then.
local function events_of(lab, list)
  local made, touched = made_so_far(lab), {}
  for _, event in ipairs(list) do
    if not event.event then name_event(made, event) end
    touched[event.account] = { balance = event.balance, version = event.version }
  end
  return touched
end

-- name_events(list) -> list: planned events with the ids, versions and balances under which publish{list =
--   ...} will write them; a part at a time, if need be
function M.name_events(lab, list)
  events_of(lab, list)
  return list
end

local function payload_of(event)
  return require("rlab.json").encode { event_id = event.event, account_id = event.account,
    amount = event.amount, balance = event.balance,
    version = event.version, request_id = event.id, type = "entry", at = require("rlab.clock").iso() }
end

-- opts.value and opts.headers of lab:publish are functions of an event
local function message_of(topic, event, opts)
  local headers = { { "event-id", event.event }, { "request-id", event.id } }
  if opts.headers then tables.append(headers, opts.headers(event)) end
  return { topic = topic, key = tostring(event.account), partition = opts.partition or event.partition,
    value = (opts.value or payload_of)(event, topic), headers = headers }
end

local function write_ledger(lab, list, state)
  local db, rows, accounts = lab:db(), {}, {}
  for i, e in ipairs(list) do
    rows[i] = ("(UUID_TO_BIN('%s'), '%s', %d, %d, %d, %d)"):format(e.event, e.id, e.account, e.amount,
      e.balance, e.version)
  end
  for id, account in pairs(state) do
    accounts[#accounts + 1] = ("(%d, %d, %d)"):format(id, account.balance, account.version)
  end
  must(db:tx(function()
    must(db:exec(
      "INSERT INTO ledger_entry (event_id, request_id, account_id, amount, balance, version) VALUES "
      .. table.concat(rows, ", ")))
    must(db:exec("INSERT INTO account (id, balance, version) VALUES " .. table.concat(accounts, ", ")
      .. " ON DUPLICATE KEY UPDATE balance = VALUES(balance), version = VALUES(version)"))
  end))
end

-- Each event as one row, or as one for each of these topics, in one transaction.
local function write_outbox(lab, list, opts)
  local rows, values = {}, {}
  for _, e in ipairs(list) do
    for _, topic in ipairs(opts.topics or { require "rlab.null" }) do
      rows[#rows + 1] = ("(UUID_TO_BIN('%s'), CRC32('%d') %% 64, '%d', ?, ?, '[[\"request-id\",\"%s\"]]')")
        :format(e.event, e.account, e.account, e.id)
      tables.append(values, { (opts.value or payload_of)(e, topic), topic })
    end
  end
  must(lab:db():exec(
    "INSERT INTO outbox_event (event_id, shard, message_key, payload, topic, headers) VALUES "
    .. table.concat(rows, ", "), table.unpack(values)))
end

-- A second publish of an arm is of other commands than its first: their request ids go on.
local function next_plan(lab, opts)
  lab.published = (lab.published or 0) + 1
  return lab:plan(opts.events, opts.accounts or 10, "evt" .. (lab.published > 1 and lab.published or ""))
end

local PUBLISH_KEYS = { "topic", "events", "accounts", "partition", "producer", "list", "outbox", "topics",
  "value", "headers" }

-- publish{events = 100, accounts = 10, topic =, partition =, outbox = true} -> list of {id =, event =,
--   account =, amount =, version =}: the ledger's rows and, when they are there, the same events in the
--   topic, or in each of `topics`, acknowledged; or, with `outbox`, as rows that wait for a relay. Of
--   an event of one's own list .partition counts; value(event, topic) is written in place of the usual JSON,
--   and the pairs of headers(event) beside the usual ones of a record.
function M.publish(lab, opts)
  opts = strict.check("lab:publish", opts, PUBLISH_KEYS)
  local list = opts.list or next_plan(lab, opts)
  write_ledger(lab, list, events_of(lab, list))
  if opts.outbox then
    if lab.run.rate_cap then lab.run.rate_cap:take(#list) end
    write_outbox(lab, list, opts)
    return list
  end
  local messages = {}
  for _, topic in ipairs(opts.topics or { opts.topic or lab:event_topic() }) do
    for _, event in ipairs(list) do messages[#messages + 1] = message_of(topic, event, opts) end
  end
  local producer = opts.producer or lab.run:publisher()
  local operation = lab:invoke("publisher", "send", list)
  local acked = 0
  for part in rate_cap.parts(lab.run.rate_cap, messages) do
    local sent = must(producer:submit(part))
    must(producer:flush "10s")
    acked = acked + #sent:acked()
  end
  lab:issued("events acknowledged", acked, #messages)
  operation:over "ok"
  return list
end

-- event_topic([{partitions = 3, ...}]) -> the arm's topic of events, made when it is first asked for;
--   options as of lab:topic
function M.event_topic(lab, opts)
  if not lab.topic_of_events then
    lab.topic_of_events = lab:topic("events", tables.merged({ partitions = 3 }, opts))
  elseif opts then
    error("lab:event_topic: the topic is there already; ask for it with options before a service starts", 2)
  end
  return lab.topic_of_events
end

-- What is remembered for lab:lag.
local function forget_partitions(lab, topic)
  if lab.known_partitions then lab.known_partitions[topic] = nil end
end

-- more_partitions(count): the topic of events grows to so many in all; members hear of it when they ask
function M.more_partitions(lab, count)
  local topic = lab:event_topic()
  must(lab.run.admin:create_partitions { topic = topic, count = count })
  forget_partitions(lab, topic)
end

-- delete_records(partition, before): the log of events begins there, as when retention has passed
function M.delete_records(lab, partition, before)
  local topic = lab:event_topic()
  must(lab.run.admin:delete_records { topic = topic, partition = partition, before = before })
  forget_partitions(lab, topic)
end

-- group() -> the group of the arm's consumers
function M.group(lab)
  return lab:name "consumer"
end

-- ---- quiescence ----

-- unsent() -> outbox rows that wait for a relay
function M.unsent(lab)
  return must(lab:db():value "SELECT COUNT(*) FROM outbox_event WHERE published_at IS NULL")
end

-- How far the group is, by partition: what it committed to the brokers, or to the table in MySQL; nil when
-- nobody can say just now.
local function committed_offsets(lab, admin, topic, opts)
  local at = {}
  if opts.offsets == "mysql" then
    local rows = must(lab:db():query(
      "SELECT partition_id AS p, next_offset AS o FROM consumer_offset WHERE topic = ?", topic))
    for _, row in ipairs(rows) do at[row.p] = row.o end
    return at
  end
  local rows = admin:group_offsets(opts.group or lab:group())
  for _, row in ipairs(rows or {}) do
    if row.topic == topic then at[row.partition] = row.offset end
  end
  return rows and at
end

-- committed{topic =, group =, offsets = "kafka"} -> {["0"] = offset, ...}: how far the group is, by
--   partition, as the checks want it
function M.committed(lab, opts)
  opts = opts or {}
  local at = committed_offsets(lab, lab.run.admin, opts.topic or lab:event_topic(), opts)
  if not at then lab:give_up("the offsets of %s are not known", opts.group or lab:group()) end
  local list = {}
  for partition, offset in pairs(at) do list[tostring(partition)] = offset >= 0 and offset or nil end
  return list
end

local FRESH_NS = 1000000000 -- where a log begins is asked for again after that: records may be removed

-- The partitions of a topic as list_offsets wants them, which change by lab:more_partitions alone.
local function partitions_of(lab, admin, topic)
  lab.known_partitions = lab.known_partitions or {}
  local known = lab.known_partitions[topic]
  if known then return known end
  local found = admin:topic(topic)
  if not found then return nil end
  known = { first = {}, last = {} }
  for i, p in ipairs(found.partitions) do
    known.first[i] = { topic = topic, partition = p.partition, at = "earliest" }
    known.last[i] = { topic = topic, partition = p.partition, at = "latest" }
  end
  lab.known_partitions[topic] = known
  return known
end

-- The offset at which each partition begins | nil
local function begins_of(admin, known)
  if known.low and clock.ns() - known.low_ns < FRESH_NS then return known.low end
  local asked, low, rows = clock.ns(), {}, admin:list_offsets(known.first)
  if not rows then return nil end
  for i, row in ipairs(rows) do
    if not row.offset then return nil end
    low[i] = row.offset
  end
  known.low, known.low_ns = low, asked
  return low
end

-- lag{topic =, group =, offsets =, admin =} -> records up to the last stable offset that the group has not
--   finished, by the brokers' positions; nil when one is not known at the moment
function M.lag(lab, opts)
  opts = opts or {}
  local admin, topic, sum = opts.admin or lab.run.admin, opts.topic or lab:event_topic(), 0
  local parts = partitions_of(lab, admin, topic)
  local low = parts and begins_of(admin, parts)
  local ends = low and admin:list_offsets(parts.last, { isolation = "read_committed" })
  local at = ends and committed_offsets(lab, admin, topic, opts)
  if not at then return nil end
  for i, row in ipairs(ends) do
    if not row.offset then return nil end
    sum = sum + left_of({ low = low[i], hw = row.offset }, at[row.partition]).lag
  end
  return sum
end

-- That count() comes to 0 is owed; who gives up says how many were left.
local function owe_zero(lab, what, count, at_most)
  local left
  local function says() return ("%s %s"):format(left or "nobody knows how many", what) end
  lab:owed("drained", says, function()
    left = count()
    return left == 0, left
  end, at_most)
end

local DRAIN_KEYS = { "topic", "group", "offsets", "outbox", "consumer", "at_most" }

-- drain{outbox = true, consumer = true, topic =, group =, offsets = "kafka", at_most =}: quiescent: no unsent
-- row in the outbox, and the group has committed up to the end of each partition. The services owe it, as the
-- debt "drained" (lab:owed).
function M.drain(lab, opts)
  opts = strict.check("lab:drain", opts, DRAIN_KEYS)
  if opts.outbox ~= false then
    owe_zero(lab, "unsent rows in the outbox", function() return lab:unsent() end, opts.at_most)
  end
  if opts.consumer ~= false then
    owe_zero(lab, "records that " .. (opts.group or lab:group()) .. " has not finished",
      function() return lab:lag(opts) end, opts.at_most)
  end
end

return M
