-- E-013: a cache that is written by atomic scripts. Atomic means "not interleaved": no rollback, no MySQL,
-- no exactly-once.
local cache = require "rlab.cache"

local ACCOUNTS, COMMANDS = 10, 100
-- accounts: of the killed event, with a broken second key, whose entry is deleted
local RESERVED, LISTED, LOST_KEY = 5, 6, 3
local EDGE = (1 << 53) - 2                           -- where accounts 9 and 10 start: doubles end at 2^53
local REFUSED = { from = 30, to = 34 }               -- commands whose transaction fails at its commit
local KILL = 40                                      -- the event after whose cache update the consumer dies

-- Accounts 9 and 10 get just enough commands to end at 2^53 + 1 and 2^53; the last three belong to the
-- accounts whose keys are tampered with.
local function plan(lab)
  local list = lab:plan(COMMANDS, 8)
  local fixed = { [10] = 9, [50] = 9, [90] = 9, [20] = 10, [60] = 10,
    [KILL + REFUSED.to - REFUSED.from + 1] = RESERVED,
    [COMMANDS - 2] = LOST_KEY, [COMMANDS - 1] = LOST_KEY, [COMMANDS] = LISTED }
  for i, account in pairs(fixed) do list[i].account = account end
  for i = REFUSED.from, REFUSED.to do list[i].account = 1 + (i - REFUSED.from) % 2 end
  for i, command in ipairs(list) do -- sums that shall be missing must not be 0 by chance
    if command.account == LOST_KEY or (i >= REFUSED.from and i <= REFUSED.to) then
      command.amount = math.abs(command.amount)
    end
  end
  return list
end

local function start_state(lab)
  lab:accounts(ACCOUNTS)
  must(lab:db():exec("UPDATE account SET version = ? WHERE id >= 9", EDGE))
  local redis = lab:redis()
  for id = 1, ACCOUNTS do
    must(cache.fill(redis, lab:prefix(), id, { balance = 0, version = id >= 9 and EDGE or 0 },
      { mode = "plain", ttl = "10m" }))
  end
  return redis
end

local function phase(lab, command, list, from, to)
  local part = table.move(list, from, to, 1, {})
  local seen = lab:commands { to = command, list = part }
  return seen
end

-- What cache and view say of each account, and how far they are apart.
local function compare(lab)
  local views, drift = {}, {}
  for _, row in ipairs(lab:stores().views) do views[row.key] = row end
  local rows = lab:cache()
  for _, row in ipairs(rows) do
    local view = views[row.key]
    if row.balance ~= view.balance then
      drift[#drift + 1] = { id = tostring(row.key), off = row.balance - view.balance }
    end
  end
  return rows, drift
end

local function sum_of(list, account, from, to)
  local sum = 0
  for i = from, to do
    if not account or list[i].account == account then sum = sum + list[i].amount end
  end
  return sum
end

local function start_services(lab, arm)
  local command = lab:service("command", { reserve = arm.settings.reserve or "none" }, {
    must_fire = { ["cmd.before_commit"] = ("%d*off->%d*error(the commit fails)->off"):format(
      REFUSED.from - 1, REFUSED.to - REFUSED.from + 1) } })
  lab:service("relay", { batch = 10, in_flight = 1 })
  local consumer = lab:service("consumer",
    { cache = arm.settings.cache, batch = 1, workers = 1, commit = "sync-after-work" },
    { must_fire = arm.settings.cache ~= "none" and { ["consumer.after_cache"] = ("#%d kill"):format(KILL) }
      or nil })
  return command, consumer
end

-- Between the phases all is quiet: one entry is lost, and a key beside another one gets a type that no
-- script expects.
local function tamper(lab, redis)
  local fault = lab:fault(("DEL the entry of account %d, make the second key of account %d a list"):format(
    LOST_KEY, LISTED)):started()
  local gone = must(redis:call("DEL", cache.key(lab:prefix(), LOST_KEY)))
  must(redis:call("DEL", cache.latest_key(lab:prefix(), LISTED)))
  local items = must(redis:call("RPUSH", cache.latest_key(lab:prefix(), LISTED), "no hash"))
  if gone == 1 and items == 1 then fault:fired "Redis answered 1 key deleted, 1 list made" end
  fault:over()
end

local function story(lab, arm)
  lab:event_topic { partitions = 1 }
  lab:topic("events.dlq", { partitions = 1 })
  local redis, list = start_state(lab), plan(lab)
  local command, consumer = start_services(lab, arm)
  lab:watch_pipeline { "backlog", "lag", "stale" }
  local first = phase(lab, command, list, 1, COMMANDS - 3)
  if arm.settings.cache ~= "none" then
    consumer:wait_exit { signal = "KILL" }
    lab:event("the consumer died after the cache update of event %d, before its offset was committed", KILL)
    consumer = consumer:restart()
  end
  lab:drain {}
  tamper(lab, redis)
  local last = phase(lab, command, list, COMMANDS - 2, COMMANDS)
  lab:drain {}
  lab:issued("commands answered", #first.ok + #last.ok, COMMANDS - (REFUSED.to - REFUSED.from + 1))
  return list, redis, consumer
end

local function says(arm, seen)
  if arm.name == "two-writes" then
    return ("the first write stayed, the second met a %s: %d event parked"):format(seen.second_key, seen.dlq)
  end
  if arm.name == "versions-as-numbers" then
    return ("version 2^53 + 1 was refused as not newer than 2^53: %+d cents"):format(seen.off)
  end
  if #seen.drift == 0 then return ("all %d keys agree with the database"):format(#seen.cache) end
  return ("%d of %d keys differ from the database, by %+d cents in all"):format(#seen.drift, #seen.cache,
    seen.off)
end

local function run(lab, arm)
  local list, redis, consumer = story(lab, arm)
  local stores, rows, drift = lab:stores(), compare(lab)
  local seen = { cache = rows, drift = drift, views = stores.views, effects = stores.effects,
    sums = stores.sums, off = 0 }
  seen.effects_topic = lab:records(lab:event_topic())
  for _, d in ipairs(drift) do seen.off = seen.off + d.off end
  seen.refused = { [1] = sum_of(list, 1, REFUSED.from, REFUSED.to),
    [2] = sum_of(list, 2, REFUSED.from, REFUSED.to) }
  seen.last_two = sum_of(list, LOST_KEY, COMMANDS - 2, COMMANDS)
  seen.killed = list[KILL + REFUSED.to - REFUSED.from + 1].amount
  seen.second_key = must(redis:call("TYPE", cache.latest_key(lab:prefix(), LISTED)))
  seen.dlq = #lab:read(lab:name "events.dlq").records
  seen.redelivered = consumer:metrics()["rlab_consumer_seen_total"]
  lab:number("cache minus database", seen.off, "cents")
  lab:number("keys wrong", #drift)
  if drift[1] then lab:anomaly(("account %s: the cache is off by %+d"):format(drift[1].id, drift[1].off)) end
  seen.says = says(arm, seen)
  return seen
end

-- ---- the checks ----

local function row_of(list, account)
  for _, row in ipairs(list) do
    if row.key == account then return row end
  end
end

local function off_of(seen, account)
  local entry, view = row_of(seen.cache, account), row_of(seen.views, account)
  return entry and entry.balance - view.balance
end

-- The accounts whose entries hold another balance than the database, as ids.
local function wrong_keys(lab, seen)
  return lab.check.same { name = "cache-is-view", got = seen.drift, want = {},
    what = "accounts whose entry differs" }
end

local checks = {}

checks["reserve-first"] = function(lab, seen)
  wrong_keys(lab, seen):expect { "1", "2" }
  for account, amount in ipairs(seen.refused) do
    lab.check.equals { name = "reserved-" .. account, got = off_of(seen, account), want = amount,
      what = "cents that the database never saw" }:expect "holds"
  end
end

checks["increments"] = function(lab, seen)
  wrong_keys(lab, seen):expect { tostring(LOST_KEY), tostring(RESERVED) }
  lab.check.equals { name = "twice", got = off_of(seen, RESERVED), want = seen.killed,
    what = "cents added twice" }:expect "holds"
  lab.check.equals { name = "from-zero", got = row_of(seen.cache, LOST_KEY).balance, want = seen.last_two,
    what = "cents: only the last two" }:expect "holds"
end

checks["two-writes"] = function(lab, seen)
  lab.check.equals { name = "first-write", got = row_of(seen.cache, LISTED).version,
    want = row_of(seen.views, LISTED).version,
    what = "is the version that the first write left" }:expect "holds"
  lab.check.equals { name = "second-write", got = seen.second_key, want = "hash",
    what = "is what the second write met" }:expect "violated"
  lab.check.equals { name = "parked", got = seen.dlq, want = 1, what = "event in the DLQ" }:expect "holds"
end

checks["versions-as-numbers"] = function(lab, seen)
  lab.check.stale_cache { cache = seen.cache, views = seen.views, at_least = ACCOUNTS - 1 }:expect { "9" }
  lab.check.equals { name = "edge", got = row_of(seen.cache, 9).version, want = 1 << 53,
    what = "is the version of its entry" }:expect "holds"
end

checks["set-if-newer"] = function(lab, seen)
  wrong_keys(lab, seen):expect "holds"
  lab.check.stale_cache { cache = seen.cache, views = seen.views, at_least = ACCOUNTS - 1 }:expect "holds"
  lab.check.equals { name = "missing", got = row_of(seen.cache, LOST_KEY) == nil, want = true,
    what = "that the deleted entry stays missing" }:expect "holds"
end

return experiment {
  id = "E-013",
  title = "Redis Lua as if it were a transaction",
  question = "My Redis update is an atomic script; why do cache and database differ?",
  claim = "A script is not interleaved with others, and that is all: it is not rolled back, it knows \z
    nothing of MySQL, and it may run twice.",
  lesson = "Write the cache after the commit, from the event, as an absolute value with its version: set \z
    if newer.",
  needs = { "kafka", "mysql", "redis" },

  arms = {
    wrong "reserve-first" { says = "a script takes the money in Redis, then the database transaction runs",
      reserve = "redis", cache = "none" },
    wrong "increments" { says = "the consumer adds each amount to the entry", cache = "delta" },
    wrong "two-writes" { says = "a script of two writes that does not look first", cache = "two-step" },
    wrong "versions-as-numbers" { says = "set if newer, versions compared with tonumber",
      cache = "tonumber" },
    right "set-if-newer" { says = "after the commit, by the event: absolute value, 20-digit version, \z
      types tested first", cache = "update" },
  },

  run = run,

  checks = function(lab, seen, arm)
    checks[arm.name](lab, seen)
    lab.check.duplicate_effect { of = seen.effects }:expect "holds"
    lab.check.conservation { ledger = seen.sums.ledger, account = seen.sums.account, view = seen.sums.view,
      unit = "cents" }:expect "holds"
    if arm.settings.cache == "none" then return end
    lab.check.bound { name = "redelivered", value = seen.redelivered, at_least = 1, unit = "events",
      what = "came again:" }:expect "holds"
  end,

  verdict = function(arms)
    local list = {}
    for _, name in ipairs { "reserve-first", "increments" } do
      if arms[name] then
        list[#list + 1] = ("%s left the cache %+d cents off"):format(name, arms[name].off)
      end
    end
    if arms["set-if-newer"] then
      list[#list + 1] = ("set-if-newer differs on %d keys"):format(#arms["set-if-newer"].drift)
    end
    return list[1] and "MySQL is right in every arm; " .. table.concat(list, ", ") .. "."
  end,
}
