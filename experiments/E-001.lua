-- E-001: the standard pattern: outbox, relay, dedup, invalidation; killed at its three worst moments.
local stale_fill = require "rlab.story.race.stale_fill"

local ACCOUNTS, COMMANDS, CLIENTS = 20, 400, 4
local LAST, RACED = 7, 13 -- accounts whose last commands wait until all else is quiet
local BATCH, KILLED_BATCH, KILLED_EFFECT = 10, 3, 50

local function read_all(lab, query)
  lab:each({ 1, 2, 3, 4 }, function(k)
    for id = k, ACCOUNTS, 4 do
      lab:owed("answered", ("an answer for account %d"):format(id), function()
        local answer = query:get("/accounts/" .. id)
        return answer and answer.status == 200
      end)
    end
  end)
end

local function services(lab, arm)
  local s, at = arm.settings, {}
  local wanted = {
    command = { {} },
    relay = { { batch = BATCH, in_flight = 1, figures = "100ms", lease = "2s" },
      { ["relay.after_ack"] = ("kill if batch=%d"):format(KILLED_BATCH) } },
    consumer = { { cache = s.cache, invalidate_seen = s.invalidate_seen, batch = 1 },
      { ["consumer.after_db_commit"] = ("#%d kill"):format(KILLED_EFFECT) } },
    query = { { fill = s.fill, single = "lease", ttl = "10m", jitter = 0, l1 = "0s", stale = "0s",
      lease = "10s", redis_timeout = "2s", db_timeout = "5s" } },
  }
  lab:each({ "command", "relay", "consumer", "query" }, function(name)
    at[name] = lab:service(name, wanted[name][1], { must_fire = wanted[name][2] })
  end)
  at.first_relay = at.relay
  return at
end

local function supervise(lab, at, name)
  lab:background("the supervisor of the " .. name, function()
    at[name] = at[name]:revive()
    at[name .. "_again"] = true
  end)
end

local function one_more(lab, at, seen, command)
  lab:commands { to = at.command, list = { command } }
  table.insert(seen.ok, command.id)
end

-- The last command of account 7: all is quiet, its entry is in the cache, and the consumer dies between the
-- commit and the invalidation.
local function last_command(lab, arm, at, seen, command)
  local tells = arm.settings.cache ~= "none"
  local view = lab:viewed(LAST).version
  if tells then
    lab:owed("invalidated", "account 7 is read and cached at the view's version", function()
      must(at.query:get("/accounts/" .. LAST))
      return (lab:cached(LAST) or {}).version == view
    end)
    at.consumer:failpoint("consumer.before_invalidate", "kill if account=" .. LAST, { must_fire = true })
  end
  one_more(lab, at, seen, command)
  lab:owed("applied", "the effect of the last command",
    function() return lab:viewed(LAST).version == view + 1 end)
  if not tells then return end
  at.consumer:wait_exit { signal = "KILL" }
  lab:event("the consumer died before the invalidation: account 7 is cached at version %s, the view has %d",
    tostring((lab:cached(LAST) or {}).version), view + 1)
  at.consumer = at.consumer:restart()
end

local function plan(lab)
  local list = lab:plan(COMMANDS, ACCOUNTS)
  for id = 1, ACCOUNTS do list[id].account = id end -- an entry that nobody changes could not be stale
  list[COMMANDS - 1].account, list[COMMANDS].account = RACED, LAST
  return list
end

local function start(lab, arm)
  lab:event_topic {}
  lab:accounts(ACCOUNTS)
  lab:views(ACCOUNTS) -- nobody's first command shall be a 404
  local at = services(lab, arm)
  lab:watch_pipeline { "backlog", "lag", "stale", "duplicates" }
  lab:gauge(function(row)
    row["outbox.oldest_ms"] = (at.relay:metric "rlab_relay_oldest_unsent_seconds" or 0) * 1000 // 1 | 0
  end)
  read_all(lab, at.query)
  lab:issued("accounts in the cache", #lab:cache(), ACCOUNTS)
  supervise(lab, at, "relay")
  supervise(lab, at, "consumer")
  return at
end

local function story(lab, arm)
  local at, list = start(lab, arm), plan(lab)
  -- people look at the accounts beside it, at intended times whatever the service does
  local readers = lab:load { to = at.query, name = "reader", rate = "50/s", duration = "60s", timeout = "2s",
    rows = 4000, body = "512B", accepted = 0.9,
    request = { path = ("/accounts/${range:1:%d}"):format(ACCOUNTS) } }
  local last, raced = table.remove(list), table.remove(list)
  -- fewer than half prove nothing; the check wants all
  local seen = lab:commands { to = at.command, list = list, clients = CLIENTS, accepted = COMMANDS // 2 }
  lab:await("both to be started again", function() return at.relay_again and at.consumer_again end, "20s")
  lab:drain {}
  stale_fill.across(lab, at.query, RACED, function()
    one_more(lab, at, seen, raced)
    lab:drain {}
  end)
  last_command(lab, arm, at, seen, last)
  lab:drain {}
  local answers = readers:stop()
  read_all(lab, at.query)
  return seen, at, answers
end

local function says(seen)
  local view = {}
  for _, row in ipairs(seen.views) do view[row.key] = row.version end
  seen.stale = 0
  for _, row in ipairs(seen.cache) do
    if row.version < view[row.key] then seen.stale = seen.stale + 1 end
  end
  if seen.stale == 0 then
    return ("%d entries, %d events twice in the topic, 0 lost, 0 double, 0 stale"):format(#seen.ledger,
      #seen.batch)
  end
  return ("%d of %d cached accounts are stale, and stay so for a TTL"):format(seen.stale, #seen.cache)
end

local function run(lab, arm)
  local done, at, answers = story(lab, arm)
  local stores = lab:stores()
  local seen = { ok = done.ok, unknown = done.unknown, ledger = stores.ledger, effects = stores.effects,
    views = stores.views, sums = stores.sums, records = lab:records(lab:event_topic()),
    committed = lab:committed(), cache = lab:cache(), outbox = stores.outbox,
    batch = at.first_relay:batch("relay.after_ack", stores.request) }
  local ages, ratio = lab:staleness(answers)
  seen.hit_ratio, seen.reads = ratio, #ages
  lab:percentiles("commit to view", lab:delays(), { 50, 99 }, "ms")
  lab:number("cache hits", math.floor(seen.hit_ratio * 100 + 0.5), "%")
  lab:percentiles("staleness", ages, { 99 }, "ms")
  lab:number("redelivered", at.consumer:metric "rlab_consumer_seen_total", "events")
  seen.says = says(seen)
  if seen.stale > 0 then lab:anomaly(seen.says) end
  return seen
end

return experiment {
  id = "E-001",
  title = "Outbox, relay, dedup and invalidation under three kills",
  question = "If I follow the standard pattern, what do crashes at the worst moments cost me?",
  claim = "Events come twice and are harmless; nothing is lost, applied twice or left stale. Leave a step \z
    of the invalidation out and entries stay stale.",
  lesson = "Dedup makes duplicates harmless. Invalidate also for an event that was applied before, or a \z
    crash in between is not made good.",
  needs = { "kafka", "mysql", "redis" }, seconds = 15, side_by_side = true,
  telling = { { "stale", "stale cache entries" } },
  arms = {
    wrong "no-invalidation" { says = "the cache is left to a TTL of 10 min", cache = "none", fill = "lease" },
    wrong "skip-what-was-seen" { says = "an event that had been applied before is skipped, its \z
      invalidation too", cache = "lease", fill = "lease", invalidate_seen = false },
    right "lease" { says = "a reader fills under a lease that an invalidation takes away", cache = "lease",
      fill = "lease" },
    right "versioned" { says = "an entry is written only if newer; an invalidation leaves a tombstone",
      cache = "versioned", fill = "versioned" },
  },

  run = run,

  checks = function(lab, seen, arm)
    local written = bag.new {} -- where nobody invalidates, each account that was written is stale
    for _, row in ipairs(seen.ledger) do written:add(tostring(row.key)) end
    local stale = arm.name == "no-invalidation" and written:ids() or { tostring(LAST) }
    lab.check.lost { of = seen.ok, in_ = seen.records, at_least = COMMANDS }:expect "holds"
    lab.check.orphan_row { of = seen.ledger, in_ = seen.records, at_least = COMMANDS }:expect "holds"
    lab.check.phantom { of = seen.records, in_ = seen.ledger }:expect "holds"
    lab.check.stranger { of = seen.records, outbox = seen.outbox }:expect "holds"
    lab.check.duplicate_publish { of = seen.records }:expect(seen.batch)
    lab.check.duplicate_effect { of = seen.effects, at_least = COMMANDS }:expect "holds"
    lab.check.lost_effect { of = seen.records, committed = seen.committed,
      effects = seen.effects }:expect "holds"
    lab.check.reorder { of = seen.effects, what = "apply" }:expect "holds"
    lab.check.conservation { ledger = seen.sums.ledger, account = seen.sums.account, view = seen.sums.view,
      unit = "cents" }:expect "holds"
    lab.check.stale_cache { cache = seen.cache, views = seen.views, at_least = ACCOUNTS }:expect(
      arm.class == "wrong" and stale or "holds")
    lab.check.enough { name = "cache-hits", seen = seen.hit_ratio * 100, at_least = 50,
      unit = "%", what = "reads that the cache answered" }
    lab.check.agree { { "accepted", #seen.ok, COMMANDS, "commands accepted" } }
  end,

  verdict = function(arms)
    local right, none, skip = arms.versioned, arms["no-invalidation"], arms["skip-what-was-seen"]
    if not (right and none and skip) then return nil end
    return ("Three kills cost the standard pattern %d copies and nothing else; without invalidation %d of \z
      %d cached accounts are stale; skipping an event that was seen leaves %d stale."):format(#right.batch,
      none.stale, #none.cache, skip.stale)
  end,
}
