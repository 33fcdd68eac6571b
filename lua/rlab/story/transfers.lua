-- Opposite transfers between the same two accounts, in two partitions with a worker each, and deposits on the
-- same accounts by a consumer of their own. The two of a pair meet when each has its first lock, or one of
-- them is held there while the other waits for it. What the accounts got is read from a table that a trigger
-- fills in the transaction of each change.
local clock = require "rlab.clock"
local json = require "rlab.json"
local must = require "rlab.must"

local M = {}

local Bank = {}
Bank.__index = Bank

local ACCOUNTS = 4
local DEADLOCK, LOCK_WAIT = 1213, 1205
local COUNTED = "SELECT `count` FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks'"

-- the arms run side by side: nobody is to lose its partition on a busy machine, for then both may come to the
-- same worker, and nobody meets
local PATIENT = { ["session.timeout.ms"] = "30000", ["max.poll.interval.ms"] = "60000" }

-- SYSDATE is the time at which the row is changed, NOW that at which its statement began to wait for it.
local MEASURE = { [[CREATE TABLE leg_log (seq BIGINT AUTO_INCREMENT PRIMARY KEY, account_id BIGINT NOT NULL,
    amount BIGINT NOT NULL, at TIMESTAMP(6) NOT NULL)]],
  [[CREATE TRIGGER leg_log AFTER UPDATE ON account_view FOR EACH ROW INSERT INTO leg_log
    (account_id, amount, at) VALUES (NEW.account_id, NEW.balance - OLD.balance, SYSDATE(6))]] }

-- ---- the plan: each amount is another one, so that it names its leg ----

local function amount_of(bank)
  bank.made = bank.made + 1
  return bank.rng:int(1, 9) * 1000 + bank.made
end

local function add_leg(bank, event, word, account, amount)
  local leg = ("%s %s"):format(event.id, word)
  bank.leg_of[account .. ":" .. amount] = leg
  bank.planned[#bank.planned + 1], bank.event_of[leg] = leg, event.id
  bank.amounts[event.id] = event.amount
end

-- The id and version that the event would have had.
local function name(bank, event)
  local named = bank.lab:name_events { { account = event.from, amount = 0 } }[1]
  event.event, event.version = named.event, named.version
end

local function transfer(bank, k, word, from, to)
  local event = { id = ("transfer-%02d%s"):format(k, word), amount = amount_of(bank), from = from, to = to,
    partition = word == "a" and 0 or 1 }
  name(bank, event)
  add_leg(bank, event, "debit", from, -event.amount)
  add_leg(bank, event, "credit", to, event.amount)
  return event
end

-- The first account of a pair, and of the two that it leaves to the deposits.
local function accounts_of(k)
  local one = k % 2 * 2 + 1
  return one, ACCOUNTS - one
end

local function plan(bank, n)
  for k = 1, n do
    local one = accounts_of(k)
    bank.pairs[k] = { transfer(bank, k, "a", one, one + 1), transfer(bank, k, "b", one + 1, one) }
  end
end

-- open(lab, {pairs = 20, waits = 2}) -> bank, its topics and tables made: so many pairs meet, then so many
--   wait
function M.open(lab, opts)
  local bank = setmetatable({ lab = lab, rng = lab.rng:split "transfers", made = 0, pairs = {},
    planned = {}, amounts = {}, leg_of = {}, event_of = {}, names = {}, sent_ms = {}, deposited = 0,
    transferred = 0, blocked = {}, held = {}, meeting = opts.pairs }, Bank)
  plan(bank, opts.pairs + opts.waits)
  bank.main = lab:event_topic { partitions = 2 }
  bank.side_group = lab:name "depositor"
  bank.side, bank.dlq = lab:topic("deposits", { partitions = 1 }), lab:topic("dlq", { partitions = 1 })
  lab:views(ACCOUNTS)
  for _, sql in ipairs(MEASURE) do must(lab:db():exec(sql)) end
  bank.counted = must(lab:db():value(COUNTED))
  return bank
end

-- check_server(lab): with other settings the two errors mean something else
function M.check_server(lab)
  local set = must(lab:database():row [[SELECT @@innodb_deadlock_detect AS detects,
    @@innodb_rollback_on_timeout AS all_back]])
  if set.detects ~= 1 or set.all_back ~= 0 then
    lab:give_up("innodb_deadlock_detect is %s and innodb_rollback_on_timeout is %s, not 1 and 0", set.detects,
      set.all_back)
  end
  lab:fact "innodb_deadlock_detect = ON, innodb_rollback_on_timeout = OFF"
end

-- The first lock is taken at consumer.in_tx: the pairs that meet wait for one another there, of those that
-- wait the second transfer is held.
local function points(bank)
  local terms = {}
  for k = 1, #bank.pairs do
    terms[k] = k <= bank.meeting and ("2*barrier(pair-%d,2) if offset=%d"):format(k, k - 1)
      or ("1*pause if offset=%d and partition=1"):format(k - 1)
  end
  return { ["consumer.in_tx"] = table.concat(terms, " -> "), ["consumer.conflict"] = "print" }
end

-- bank:start(settings): the consumer under test, and the one of the deposits, which does it right and waits
--   for a lock longer than the first
function Bank:start(settings)
  local lab = self.lab
  lab:each({
    function()
      self.consumer = lab:service("consumer", { workers = 2, batch = 1, fetch = 1, lock_wait = "1s",
        lock_order = settings.lock_order, on_deadlock = settings.on_deadlock,
        on_lock_wait = settings.on_lock_wait, dlq = self.dlq, consumer = PATIENT, seed = lab.seed },
        { must_fire = points(self) })
    end,
    function()
      self.other = lab:service("consumer", { topic = self.side, group = self.side_group,
        consumer_name = "deposits", workers = 1, batch = 1, fetch = 1, lock_wait = "2s", dlq = "-",
        consumer = PATIENT, seed = lab.seed },
        { failpoints = { ["consumer.conflict"] = "print" } })
    end,
  }, function(start) start() end)
end

-- ---- sending ----

local function message_of(topic, event)
  return { topic = topic, partition = event.partition, key = tostring(event.from),
    headers = { { "event-id", event.event }, { "request-id", event.id } },
    value = json.encode { event_id = event.event, request_id = event.id, type = "transfer",
      from = event.from, to = event.to, amount = event.amount, version = event.version } }
end

local function note_sent(bank, events)
  for _, event in ipairs(events) do
    bank.names[event.event], bank.sent_ms[event.id] = event.id, clock.unix_ms()
  end
end

local function send(bank, ...)
  local list, messages = { ... }, {}
  for i, event in ipairs(list) do messages[i] = message_of(bank.main, event) end
  note_sent(bank, list)
  bank.lab:send_all(bank.lab.run:publisher(), messages, list)
  bank.transferred = bank.transferred + #list
end

local function deposit(bank, n, first_account)
  local list = {}
  for i = 1, n do
    local event = { account = first_account + (i - 1) % 2, amount = amount_of(bank),
      id = ("deposit-%02d"):format(bank.deposited + i) }
    add_leg(bank, event, "credit", event.account, event.amount)
    list[i] = event
  end
  bank.deposited = bank.deposited + n
  bank.lab:publish { topic = bank.side, partition = 0, list = list }
  note_sent(bank, list)
  return list
end

-- The debt that all that was sent is applied, or in the DLQ: both groups have passed it. What a consumer
-- counts would not do: an event that comes again is counted again.
local function settle(bank)
  bank.lab:owed("handled", "each transfer and deposit is applied or parked", function()
    return bank.lab:lag { topic = bank.main } == 0
      and bank.lab:lag { topic = bank.side, group = bank.side_group } == 0
  end, "8s")
end

-- ---- meeting and waiting ----

local function arrived(bank, offset)
  local n = 0
  for _, hit in ipairs(bank.consumer:hits "consumer.in_tx") do
    if hit.ctx.offset == offset then n = n + 1 end
  end
  return n
end

-- bank:meet(k, deposits): so many deposits on the other accounts, and both of the pair at their first lock;
--   or, where that cannot be, one of them is and the other waits for a lock that it holds: it is let go
function Bank:meet(k, deposits)
  local lab, waiter = self.lab, nil
  deposit(self, deposits, select(2, accounts_of(k)))
  send(self, table.unpack(self.pairs[k]))
  lab:await(("the transfers of pair %d at their first lock"):format(k), function()
    local n = arrived(self, k - 1)
    local waits = n == 1 and not waiter and lab:lock_waiter()
    if waits and arrived(self, k - 1) == 1 then -- still: it is not the deadlock that follows the meeting
      waiter = waits
      self.consumer:resume "consumer.in_tx"
    end
    return n == 2
  end)
  if waiter then
    table.insert(self.blocked, waiter)
    self.consumer:resume "consumer.in_tx"
  end
  settle(self)
end

local function answered(service, event, code)
  for _, hit in ipairs(service:hits "consumer.conflict") do
    if hit.ctx.id == event.event and hit.ctx.code == code then return true end
  end
  return false
end

local function goes_on(bank, event)
  return bank.lab:effects(event.event) == 1
end

-- bank:hold(k, deposits, until_): the second transfer of the pair has its first lock and is held, the first
--   waits for that lock with its own, and a deposit for the first one's; until the first was answered 1205
--   and until_: "deposit-goes-on", which is owed; "deposit-waits": it was answered 1205, too; nil: at once
function Bank:hold(k, deposits, until_)
  local lab, first, second = self.lab, table.unpack(self.pairs[k])
  send(self, second)
  lab:await("the second transfer at its first lock", function() return arrived(self, k - 1) == 1 end)
  local window, from = lab:span("window", ("account %d is held"):format(second.from)), lab:now()
  send(self, first)
  local waiter = lab:await("the first transfer to wait for it", function() return lab:lock_waiter() end)
  local other = deposit(self, 1, first.from)[1]
  lab:await("1205 for the first transfer", function() return answered(self.consumer, first, LOCK_WAIT) end)
  if until_ == "deposit-goes-on" then
    lab:owed(until_, "a deposit on an account that nobody holds any more is committed",
      function() return goes_on(self, other) end)
  elseif until_ == "deposit-waits" then
    lab:await("1205 for the deposit", function() return answered(self.other, other, LOCK_WAIT) end)
  end
  table.insert(self.held, { id = other.id, waiter = waiter, seconds = lab:now() - from,
    went_on = goes_on(self, other) })
  window.over()
  deposit(self, deposits - 1, select(2, accounts_of(k)))
  self.consumer:resume "consumer.in_tx"
  settle(self)
end

-- ---- what the stores say ----

-- bank:legs() -> rows {id = "transfer-07a debit", event =, at_ms =} of what the accounts got, in its order
function Bank:legs()
  local rows = must(self.lab:db():query [[SELECT account_id AS account, amount,
    CAST(FLOOR(UNIX_TIMESTAMP(at) * 1000) AS SIGNED) AS at_ms FROM leg_log ORDER BY seq]])
  local list = {}
  for i, row in ipairs(rows) do
    local place = ("%d:%d"):format(row.account, row.amount)
    local leg = self.leg_of[place] or "unknown " .. place
    list[i] = { id = leg, event = self.event_of[leg], at_ms = row.at_ms }
  end
  return list
end

-- bank:conflicts() -> {id, code} of each statement of the consumer under test that ended by 1213 or 1205
function Bank:conflicts()
  local list = {}
  for i, hit in ipairs(self.consumer:hits "consumer.conflict") do
    list[i] = { id = self.names[hit.ctx.id] or hit.ctx.id, code = hit.ctx.code }
  end
  return list
end

-- The ids of the events that got it, each once, sorted, and the sum of their amounts.
local function with_code(bank, conflicts, code)
  local ids, seen, sum = {}, {}, 0
  for _, one in ipairs(conflicts) do
    if one.code == code and not seen[one.id] then
      seen[one.id], ids[#ids + 1] = true, one.id
      sum = sum + (bank.amounts[one.id] or 0)
    end
  end
  table.sort(ids)
  return ids, sum
end

-- What must have happened besides the failpoints.
local function prove(bank, deadlocked)
  local lab, waits = bank.lab, {}
  for i, held in ipairs(bank.held) do
    lab:fault(("a transfer waits for a lock that is held, %d"):format(i)):fired(
      lab.proof.lock_wait(held.waiter))
  end
  for i, thread in ipairs(bank.blocked) do waits[i] = lab.proof.lock_wait(thread) end
  if waits[1] then
    lab:fault("of a pair one waits for the other's first lock"):fired(table.unpack(waits))
  end
  if deadlocked > 0 then
    lab:fault("deadlocks"):fired(lab.proof.rows("lock_deadlocks of INNODB_METRICS",
      { sql = COUNTED, want = { at_least = bank.counted + deadlocked } }))
  end
end

-- -> ms from each event's sending to its last leg
local function took(self, legs)
  local last, list = {}, {}
  for _, leg in ipairs(legs) do last[leg.event or leg.id] = leg.at_ms end
  for id, at in pairs(last) do
    if self.sent_ms[id] then list[#list + 1] = at - self.sent_ms[id] end
  end
  return list
end

-- bank:look() -> {planned, legs, conflicts, deadlocked, timed_out (ids), their sums in cents, parked, sums,
--   blocked = pairs that could not meet, repeats, went_on = deposits committed while a lock was held,
--   held_s = how long at least}; with proofs and numbers
function Bank:look()
  local lab, legs, conflicts = self.lab, self:legs(), self:conflicts()
  local seen = { planned = self.planned, legs = lab:ids { records = legs }, conflicts = conflicts,
    parked = lab:ids { records = lab:records(self.dlq) }, sums = lab:stores().sums, blocked = #self.blocked,
    repeats = self.consumer:metric "rlab_consumer_repeats_total", went_on = 0, held_s = math.huge }
  seen.deadlocked, seen.deadlocked_cents = with_code(self, conflicts, DEADLOCK)
  seen.timed_out, seen.timed_out_cents = with_code(self, conflicts, LOCK_WAIT)
  seen.off = seen.sums.view - seen.sums.ledger
  for _, held in ipairs(self.held) do
    seen.went_on, seen.held_s = seen.went_on + (held.went_on and 1 or 0), math.min(seen.held_s, held.seconds)
  end
  prove(self, #seen.deadlocked)
  lab:number("1213", #seen.deadlocked)
  lab:number("1205", #seen.timed_out)
  lab:number("transactions repeated", seen.repeats)
  lab:percentiles("sent to applied", took(self, legs), { 50, 99 }, "ms")
  lab:number("DLQ", #seen.parked, "events")
  lab:number("money off", seen.off, "cents")
  return seen
end

-- bank:replay() -> legs after it: all that is in the DLQ is applied when it comes again; owed
function Bank:replay()
  self.lab:service("replay", { topic = self.main, dlq = self.dlq, rate = "500/s", batch = 50,
    consumer = PATIENT })
  self.lab:owed("replayed", "what is in the DLQ is applied when it comes again",
    function() return #self:legs() >= #self.planned end)
  return self.lab:ids { records = self:legs() }
end

return M
