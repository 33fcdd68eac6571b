-- E-013: a cache that is written by atomic scripts. Atomic means "not interleaved": no rollback, no MySQL,
-- no exactly-once.
local cache = require "rlab.cache"

local ACCOUNTS, COMMANDS = 10, 100
local RESERVED, LISTED, LOST_KEY = 5, 6, 3 -- of the killed event, with a broken second key, without entry
local EDGE = (1 << 53) - 2 -- where accounts 9 and 10 start: doubles end at 2^53
local REFUSED = { from = 30, to = 34, count = 5 } -- commands whose transaction fails at its commit
local KILL = 40 -- the event after whose cache update the consumer dies, its offset not committed

-- Accounts 9 and 10 get just enough commands to end at 2^53 + 1 and 2^53; the last three belong to the
-- accounts whose keys are tampered with.
local function plan(lab)
  local list = lab:plan(COMMANDS, 8)
  local fixed = { [10] = 9, [50] = 9, [90] = 9, [20] = 10, [60] = 10,
    [KILL + REFUSED.count] = RESERVED,
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
  for id = 1, ACCOUNTS do
    must(cache.fill(lab:redis(), lab:prefix(), id, { balance = 0, version = id >= 9 and EDGE or 0 },
      { mode = "plain", ttl = "10m" }))
  end
end

local function row_of(list, account)
  for _, row in ipairs(list) do
    if row.key == account then return row end
  end
end

local function sum_of(list, account, from, to)
  local sum = 0
  for i = from, to do
    if list[i].account == account then sum = sum + list[i].amount end
  end
  return sum
end

local function start_services(lab, arm)
  local command = lab:service("command", { reserve = arm.settings.reserve or "none" }, {
    must_fire = { ["cmd.before_commit"] = ("%d*off->%d*error(the commit fails)->off"):format(
      REFUSED.from - 1, REFUSED.count) } })
  lab:service("relay", { batch = 10, in_flight = 1 })
  local kill = { ["consumer.after_cache"] = ("#%d kill"):format(KILL) }
  return command, lab:service("consumer",
    { cache = arm.settings.cache, batch = 1, workers = 1, commit = "sync-after-work" },
    { must_fire = arm.settings.cache ~= "none" and kill or nil })
end

-- Between the phases all is quiet: one entry is lost, and a key beside another one gets a type that no
-- script expects.
local function tamper(lab)
  local redis, listed = lab:redis(), cache.latest_key(lab:prefix(), LISTED)
  local fault = lab:fault(("DEL the entry of account %d, make the second key of account %d a list"):format(
    LOST_KEY, LISTED)):started()
  local lost = cache.key(lab:prefix(), LOST_KEY)
  must(redis:call("DEL", listed))
  must(redis:call("RPUSH", listed, "no hash"))
  fault:fired(lab.proof.removed(lost, function() must(redis:call("DEL", lost)) end),
    lab.proof.redis("type of the second key", { command = { "TYPE", listed }, want = "list" })):over()
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
  lab:event_topic { partitions = 1 }
  local dlq = lab:topic("events.dlq", { partitions = 1 })
  start_state(lab)
  local list, command, consumer = plan(lab), start_services(lab, arm)
  lab:watch_pipeline { "backlog", "lag", "stale" }
  lab:commands { to = command, list = table.move(list, 1, COMMANDS - 3, 1, {}),
    accepted = COMMANDS - 3 - REFUSED.count }
  local again = arm.settings.cache ~= "none" and lab:comes_again(consumer, "consumer.after_cache") or nil
  lab:drain {}
  tamper(lab)
  lab:commands { to = command, list = table.move(list, COMMANDS - 2, COMMANDS, 1, {}) }
  lab:drain {}
  local stores = lab:stores()
  local seen = { cache = lab:cache(), views = stores.views, effects = stores.effects, sums = stores.sums,
    effects_topic = lab:records(lab:event_topic()) }
  seen.drift, seen.off = lab:drift(seen.cache, seen.views)
  seen.refused = { sum_of(list, 1, REFUSED.from, REFUSED.to), sum_of(list, 2, REFUSED.from, REFUSED.to) }
  seen.last_two = sum_of(list, LOST_KEY, COMMANDS - 2, COMMANDS)
  seen.killed = list[KILL + REFUSED.count].amount
  seen.second_key = must(lab:redis():call("TYPE", cache.latest_key(lab:prefix(), LISTED)))
  seen.dlq, seen.redelivered = #lab:read(dlq).records, again
  lab:number("cache minus database", seen.off, "cents")
  lab:number("keys wrong", #seen.drift)
  local one = seen.drift[1]
  if one then lab:anomaly(("account %s: the cache is off by %+d"):format(one.id, one.off)) end
  seen.says = says(arm, seen)
  return seen
end

local function off_of(seen, account)
  local entry, view = row_of(seen.cache, account), row_of(seen.views, account)
  return entry and entry.balance - view.balance
end

local function wrong_keys(lab, seen)
  return lab.check.same { name = "cache-is-view", got = seen.drift, want = {},
    what = "accounts whose entry differs", control = #seen.cache }
end

local checks = {}
checks["reserve-first"] = function(lab, seen)
  wrong_keys(lab, seen):expect { "1", "2" }
  local what = "cents that the database never saw"
  lab.check.agree { { "reserved-1", off_of(seen, 1), seen.refused[1], what },
    { "reserved-2", off_of(seen, 2), seen.refused[2], what } }
end

checks["increments"] = function(lab, seen)
  wrong_keys(lab, seen):expect { tostring(LOST_KEY), tostring(RESERVED) }
  lab.check.agree { { "twice", off_of(seen, RESERVED), seen.killed, "cents added twice" },
    { "from-zero", row_of(seen.cache, LOST_KEY).balance, seen.last_two, "cents: only the last two" } }
end

checks["two-writes"] = function(lab, seen)
  lab.check.agree { { "first-write", row_of(seen.cache, LISTED).version, row_of(seen.views, LISTED).version,
    "is the version that the first write left" }, { "parked", seen.dlq, 1, "event in the DLQ" } }
  lab.check.equals { name = "second-write", got = seen.second_key, want = "hash",
    what = "is what the second write met" }:expect "violated"
end

checks["versions-as-numbers"] = function(lab, seen)
  lab.check.stale_cache { cache = seen.cache, views = seen.views, at_least = ACCOUNTS - 1 }:expect { "9" }
  lab.check.agree { { "edge", row_of(seen.cache, 9).version, 1 << 53, "is the version of its entry" } }
end

checks["set-if-newer"] = function(lab, seen)
  wrong_keys(lab, seen):expect "holds"
  lab.check.stale_cache { cache = seen.cache, views = seen.views, at_least = ACCOUNTS - 1 }:expect "holds"
  lab.check.agree { { "missing", row_of(seen.cache, LOST_KEY) == nil, true,
    "that the deleted entry stays missing" } }
end

return experiment {
  id = "E-013", title = "Redis Lua as if it were a transaction",
  question = "My Redis update is an atomic script; why do cache and database differ?",
  claim = "A script is not interleaved with others, and that is all: it is not rolled back, it knows \z
    nothing of MySQL, and it may run twice.",
  lesson = "Write the cache after the commit, from the event, as an absolute value with its version: set \z
    if newer.",
  needs = { "kafka", "mysql", "redis" }, seconds = 11,
  telling = { { "cache-is-view + second-write + stale-cache", "keys left wrong" } },
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

  moment = require "rlab.story.moment.drift",
  checks = function(lab, seen, arm)
    checks[arm.name](lab, seen)
    lab.check.duplicate_effect { of = seen.effects, at_least = COMMANDS - REFUSED.count - 1 }:expect "holds"
    lab.check.conservation { ledger = seen.sums.ledger, account = seen.sums.account, view = seen.sums.view,
      unit = "cents" }:expect "holds"
    if arm.settings.cache == "none" then return end
    lab.check.bound { name = "redelivered", value = seen.redelivered, at_least = 1, unit = "events",
      what = "came again, by the group's offset:", control = #seen.effects }:expect "holds"
  end,

  verdict = function(arms)
    local first, added, right = arms["reserve-first"], arms["increments"], arms["set-if-newer"]
    if not (first and added and right) then return nil end
    return ("MySQL is right in every arm; reserve-first left the cache %+d cents off, increments left the \z
      cache %+d cents off, set-if-newer differs on %d keys."):format(first.off, added.off, #right.drift)
  end,
}
