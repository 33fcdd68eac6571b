-- E-001: the standard pattern, whole: outbox, relay, dedup, invalidation; killed at its three worst moments
-- while people read.
local ACCOUNTS, COMMANDS, CLIENTS = 20, 400, 4
-- the account whose last command waits until all else is quiet
local LAST = 7
local BATCH, KILLED_BATCH, KILLED_EFFECT = 10, 3, 50
local READS = "50/s"

-- ---- readers ----

-- People look at the accounts beside it, at intended times whatever the service does.
local function readers(lab, query)
  local rng = lab.rng:split "readers"
  return lab:own(must(require("rlab.flow_load").open {
    history = lab.run.history, name = lab.label .. "/reader", url = query.url, rate = READS,
    duration = "60s", timeout = "2s",
    rows = 4000, body = "512B", seed = rng:int(1, 1 << 30),
    request = { path = ("/accounts/${range:1:%d}"):format(ACCOUNTS) },
  }))
end

local function read_all(lab, query)
  lab:each({ 1, 2, 3, 4 }, function(k)
    for id = k, ACCOUNTS, 4 do
      lab:await(("an answer for account %d"):format(id), function()
        local answer = query:get("/accounts/" .. id)
        return answer and answer.status == 200
      end)
    end
  end)
end

-- Each account exists in the read model before it is read: nobody's first command shall be a 404.
local function start_state(lab)
  lab:accounts(ACCOUNTS)
  must(lab:db():exec "INSERT INTO account_view (account_id) SELECT id FROM account")
end

-- ---- the story ----

local function services(lab, arm)
  local s = arm.settings
  local at = {}
  lab:each({
    function() at.command = lab:service("command", {}) end,
    function()
      at.relay = lab:service("relay", { batch = BATCH, in_flight = 1, figures = "100ms", lease = "3s" },
        { must_fire = { ["relay.after_ack"] = ("kill if batch=%d"):format(KILLED_BATCH) } })
    end,
    function()
      at.consumer = lab:service("consumer",
        { cache = s.cache, invalidate_seen = s.invalidate_seen, batch = 1 },
        { must_fire = { ["consumer.after_db_commit"] = ("#%d kill"):format(KILLED_EFFECT) } })
    end,
    function()
      at.query = lab:service("query",
        { fill = s.fill, single = "lease", ttl = "60s", jitter = 0, l1 = "0s", stale = "0s",
        redis_timeout = "2s",
        db_timeout = "5s" })
    end,
  }, function(launch) launch() end)
  at.first_relay = at.relay
  return at
end

-- A supervisor beside the story: what was killed by its failpoint is started again.
local function supervise(lab, at, name)
  lab:background("the supervisor of the " .. name, function()
    at[name]:wait_exit { signal = "KILL", at_most = "30s" }
    lab:event("the %s died; it is started again", name)
    at[name] = at[name]:restart()
    at[name .. "_again"] = true
  end)
end

local function cached_version(lab, account)
  for _, row in ipairs(lab:cache()) do
    if row.key == account and row.state ~= "tombstone" then return row.version end
  end
end

local function viewed_version(lab)
  return lab:rows("account_view.account_id",
    { with = { "version" }, where = "account_id = " .. LAST })[1].version
end

-- The last command of account 7: all is quiet, its entry is in the cache, and the consumer dies between the
-- commit and the invalidation.
local function last_command(lab, arm, at, command)
  local tells = arm.settings.cache ~= "none"
  must(at.query:get("/accounts/" .. LAST))
  local before = lab:await("account 7 in the cache", function() return cached_version(lab, LAST) end)
  local view = viewed_version(lab)
  if tells then
    at.consumer:failpoint("consumer.before_invalidate", ("kill if account=%d"):format(LAST),
      { must_fire = true })
    if before ~= view then
      lab:give_up("account 7 was cached at version %d before its last command, the view had %d", before, view)
    end
  end
  local seen = lab:commands { to = at.command, list = { command } }
  lab:issued("the last command", #seen.ok, 1)
  lab:await("the effect of the last command", function() return viewed_version(lab) == view + 1 end)
  if not tells then return end
  at.consumer:wait_exit { signal = "KILL" }
  lab:event("the consumer died before the invalidation: account 7 is cached at version %s, the view has %d",
    tostring(cached_version(lab, LAST)), view + 1)
  at.consumer = at.consumer:restart()
end

local function plan(lab)
  local list = lab:plan(COMMANDS, ACCOUNTS)
  for i, command in ipairs(list) do -- an entry that nobody changes could not be stale
    if i <= ACCOUNTS then command.account = i end
  end
  list[COMMANDS].account = LAST
  return list
end

local function start(lab, arm)
  local at
  start_state(lab)
  at = services(lab, arm)
  lab:watch_pipeline { "backlog", "lag", "stale", "duplicates" }
  lab:gauge(function(row) row["outbox.oldest_ms"] = math.floor(
    (at.relay:metric "rlab_relay_oldest_unsent_seconds" or 0) * 1000) end)
  read_all(lab, at.query)
  lab:issued("accounts in the cache", #lab:cache(), ACCOUNTS)
  supervise(lab, at, "relay")
  supervise(lab, at, "consumer")
  return at
end

local function story(lab, arm)
  lab:event_topic {}
  local at = start(lab, arm)
  local load, list = readers(lab, at.query), plan(lab)
  local last = table.remove(list)
  local seen = lab:commands { to = at.command, list = list, clients = CLIENTS }
  lab:await("both to be started again", function() return at.relay_again and at.consumer_again end, "20s")
  lab:drain { at_most = "40s" }
  last_command(lab, arm, at, last)
  table.insert(seen.ok, last.id)
  lab:drain { at_most = "40s" }
  must(load:stop())
  read_all(lab, at.query)
  return seen, at, load
end

-- ---- what it cost ----

local DELAYS = [[SELECT TIMESTAMPDIFF(MICROSECOND, l.created_at, e.at) AS us FROM ledger_entry l JOIN effect_log e USING (event_id) ORDER BY us]]

local function percentile(sorted, p)
  return sorted[math.max(1, math.ceil(#sorted * p))]
end

-- When each version of an account was applied, in ms since 1970.
local function applied_at(lab)
  local at = {}
  for _, row in ipairs(must(lab:db():query "SELECT account_id, version, CAST(UNIX_TIMESTAMP(at) * 1000000 \z
    AS SIGNED) AS us FROM effect_log")) do
    at[row.account_id] = at[row.account_id] or {}
    at[row.account_id][row.version] = row.us / 1000
  end
  return at
end

-- How old each answer was: how long the next version had been there when the request began. And how many
-- came from the cache.
local function judge_reads(lab, load)
  local applied, ages, hits, answers = applied_at(lab), {}, 0, 0
  local offset = clock.unix_ms() - clock.ns() / 1e6
  for _, row in ipairs(load:take(4000)) do
    if row.status == 200 then
      local answer = json.decode(row.body)
      local newer = (applied[answer.account_id] or {})[answer.version + 1]
      ages[#ages + 1] = newer and math.max(0, row.started / 1e6 + offset - newer) or 0
      answers, hits = answers + 1, hits + (answer.source == "cache" and 1 or 0)
    end
  end
  table.sort(ages)
  return ages, answers > 0 and hits / answers or 0
end

local function measure(lab, seen, load)
  local delays = {}
  for i, row in ipairs(must(lab:db():query(DELAYS))) do delays[i] = row.us / 1000 end
  local ages, ratio = judge_reads(lab, load)
  seen.hit_ratio, seen.reads = ratio, #ages
  lab:number("commit to view, p50", percentile(delays, 0.5), "ms")
  lab:number("commit to view, p99", percentile(delays, 0.99), "ms")
  lab:number("cache hits", math.floor(ratio * 100 + 0.5), "%")
  lab:number("staleness, p99", percentile(ages, 0.99) or 0, "ms")
end

-- The batch that the relay had in its hands, as its failpoint wrote it down before it acted; by the ids
-- that a person knows.
local function batch_of(lab, relay, request)
  local ids = {}
  for _, hit in ipairs(relay:hits "relay.after_ack") do
    for event in tostring(hit.ctx.ids):gmatch "[^,]+" do ids[#ids + 1] = request[event] or event end
  end
  if #ids == 0 then lab:give_up("the relay's failpoint wrote down no ids of the batch it had in hand") end
  return ids
end

local function written_accounts(stores)
  local have, list = {}, {}
  for _, row in ipairs(stores.ledger) do
    if not have[row.key] then list[#list + 1] = tostring(row.key) end
    have[row.key] = true
  end
  return list
end

local function committed(lab)
  local at = {}
  for _, row in ipairs(must(lab.run.admin:group_offsets(lab:group()))) do
    if row.topic == lab:event_topic() then at[tostring(row.partition)] = row.offset end
  end
  return at
end

local function says(seen)
  local stale = 0
  local view = {}
  for _, row in ipairs(seen.views) do view[row.key] = row.version end
  for _, row in ipairs(seen.cache) do
    if row.version < view[row.key] then stale = stale + 1 end
  end
  seen.stale = stale
  if stale > 0 then
    return ("%d of %d cached accounts are stale, and stay so for a TTL"):format(stale, #seen.cache)
  end
  return ("%d entries, %d events twice in the topic, 0 lost, 0 double, 0 stale"):format(#seen.ledger,
    #seen.batch)
end

local function run(lab, arm)
  local seen, at, load = story(lab, arm)
  local stores = lab:stores()
  local result = { ok = seen.ok, unknown = seen.unknown, ledger = stores.ledger, effects = stores.effects,
    views = stores.views, sums = stores.sums,
    records = lab:records(lab:event_topic()), committed = committed(lab), cache = lab:cache(),
    written = written_accounts(stores) }
  result.batch = batch_of(lab, at.first_relay, stores.request)
  measure(lab, result, load)
  lab:number("redelivered", at.consumer:metric "rlab_consumer_seen_total", "events")
  result.says = says(result)
  if result.stale > 0 then lab:anomaly(result.says) end
  return result
end

return experiment {
  id = "E-001",
  title = "Outbox, relay, dedup and invalidation under three kills",
  question = "If I follow the standard pattern, what do crashes at the worst moments cost me?",
  claim = "Events come twice and are harmless; nothing is lost, applied twice or left stale. Leave a step \z
    of the invalidation out and entries stay stale.",
  lesson = "Dedup makes duplicates harmless. Invalidate also for an event that was applied before, or a \z
    crash in between is not made good.",
  needs = { "kafka", "mysql", "redis" },
  side_by_side = true,

  arms = {
    wrong "no-invalidation" { says = "the cache is left to its TTL of 60 s", cache = "none", fill = "lease" },
    wrong "skip-what-was-seen" { says = "an event that had been applied before is skipped, its \z
      invalidation too", cache = "lease", fill = "lease",
      invalidate_seen = false },
    right "lease" { says = "a reader fills under a lease that an invalidation takes away", cache = "lease",
      fill = "lease" },
    right "versioned" { says = "an entry is written only if newer; an invalidation leaves a tombstone",
      cache = "versioned", fill = "versioned" },
  },

  run = run,

  checks = function(lab, seen, arm)
    local written = arm.name == "no-invalidation" and seen.written or nil
    lab.check.lost { of = seen.ok, in_ = seen.records }:expect "holds"
    lab.check.orphan_row { of = seen.ledger, in_ = seen.records }:expect "holds"
    lab.check.phantom { of = seen.records, in_ = seen.ledger }:expect "holds"
    lab.check.duplicate_publish { of = seen.records }:expect(seen.batch)
    lab.check.duplicate_effect { of = seen.effects }:expect "holds"
    lab.check.lost_effect { of = seen.records, committed = seen.committed,
      effects = seen.effects }:expect "holds"
    lab.check.reorder { of = seen.effects, what = "apply" }:expect "holds"
    lab.check.conservation { ledger = seen.sums.ledger, account = seen.sums.account, view = seen.sums.view,
      unit = "cents" }:expect "holds"
    lab.check.stale_cache { cache = seen.cache, views = seen.views, at_least = ACCOUNTS }:expect(
      written or arm.class == "wrong" and { tostring(LAST) } or "holds")
    if seen.hit_ratio <= 0.5 then
      lab:give_up("only %d %% of the reads were answered by the cache", seen.hit_ratio * 100)
    end
  end,

  verdict = function(arms)
    local words = {}
    local right, none, skip = arms.versioned or arms.lease, arms["no-invalidation"],
      arms["skip-what-was-seen"]
    if right then
      words[1] = ("Three kills cost the standard pattern %d copies and nothing else"):format(#right.batch)
    end
    if none then
      words[#words + 1] = ("without invalidation %d of %d cached accounts are stale"):format(none.stale,
        #none.cache)
    end
    if skip then
      words[#words + 1] = ("skipping an event that was seen leaves %d stale"):format(skip.stale)
    end
    return table.concat(words, "; ") .. "."
  end,
}
