-- E-031: a value that was true when it was read gets to the cache after the account has changed: four races
-- and a clock, the same in every arm, each on an account of its own.
local replicas = require "rlab.story.own.replica"
local stale_fill = require "rlab.story.race.stale_fill"

local ACCOUNTS = 6
local RACED, EARLY, LATE, CLOCK, LAGGED = 1, 2, 3, 4, 5 -- account 6 changes and nobody races
local COMMANDS = 2 * ACCOUNTS + 1 -- account 3 changes once more
local AHEAD = 60000 -- ms, of the clock that gives account 4 its first version

local function plan(lab)
  local list = lab:plan(COMMANDS, ACCOUNTS)
  for i, command in ipairs(list) do command.account = (i - 1) % ACCOUNTS + 1 end
  list[COMMANDS].account = LATE
  return list
end

local function start(lab, arm, at)
  local s, clock = arm.settings, { ["cmd.clock"] = ("1*return(%d) if key=%d"):format(AHEAD, CLOCK) }
  local wanted = {
    command = { { cache = s.put, versions = s.versions }, { must_fire = s.versions and clock or nil } },
    relay = { {} },
    consumer = { { cache = s.cache, cache_again = "200ms" } },
    query = { { fill = s.fill, single = s.fill == "lease" and "lease" or "process", lease = "10s",
      ttl = "10m", jitter = 0, stale = "0s", redis_timeout = "2s", db_timeout = "5s" },
      { mysql = at.replica and at.replica.address } },
  }
  lab:each({ "command", "relay", "consumer", "query" }, function(name)
    at[name] = lab:service(name, table.unpack(wanted[name]))
  end)
end

-- What no race has left in the cache is loaded: each account has an entry then.
local function read_all(lab, at)
  if at.replica then at.replica:catch_up() end
  for id = 1, ACCOUNTS do
    lab:owed("cached", ("account %d is read and cached"):format(id), function()
      local answer = at.query:get("/accounts/" .. id)
      return answer and answer.status == 200 and lab:cached(id) ~= nil
    end)
  end
end

local function races(lab, at, list)
  local held = {}
  local function send(i) lab:commands { to = at.command, list = { list[i] } } end
  local function second(account)
    return function() send(ACCOUNTS + account) end
  end
  local function last()
    send(ACCOUNTS + LAGGED)
    lab:drain {}
  end
  held.early = stale_fill.before_commit(lab, at, EARLY, second(EARLY))
  lab:drain {}
  held.raced = stale_fill.across(lab, at.query, RACED, function()
    stale_fill.late_put(lab, at.command, LATE, second(LATE), function()
      for _, i in ipairs { ACCOUNTS + RACED, ACCOUNTS + CLOCK, 2 * ACCOUNTS, COMMANDS } do send(i) end
      lab:drain {}
    end)
  end)
  if at.replica then held.lagged = stale_fill.behind(lab, at, LAGGED, last) else last() end
  return held
end

local function says(seen)
  if #seen.drift == 0 then
    return ("%d old fill%s refused, nothing is stale"):format(seen.refused, seen.refused == 1 and "" or "s")
  end
  local ids = {}
  for i, row in ipairs(seen.drift) do ids[i] = row.id end
  return ("account%s %s stale for the rest of 10 min"):format(#ids == 1 and "" or "s",
    table.concat(ids, " and "))
end

local function run(lab, arm)
  lab:event_topic {}
  local at, list = { replica = arm.settings.replica and replicas.open(lab) }, plan(lab)
  lab:accounts(ACCOUNTS)
  lab:views(ACCOUNTS)
  start(lab, arm, at)
  lab:watch_pipeline { "lag", "applied", "stale" }
  lab:commands { to = at.command, list = table.move(list, 1, ACCOUNTS, 1, {}) }
  lab:drain {}
  read_all(lab, at)
  local first, held = lab:stores().views, races(lab, at, list)
  read_all(lab, at)
  local stores = lab:stores()
  local seen = { cache = lab:cache(), views = stores.views, first = first, ledger = stores.ledger,
    held = held, effects = stores.effects, sums = stores.sums,
    refused = at.query:metric "rlab_query_fills_refused_total",
    deletes = at.consumer:metric "rlab_consumer_invalidated_total" }
  seen.drift = lab:drift(seen.cache, seen.views)
  lab:number("stale entries", #seen.drift)
  lab:number("old fills refused", seen.refused)
  seen.says = says(seen)
  if #seen.drift > 0 then lab:anomaly(seen.says) end
  return seen
end

return experiment {
  id = "E-031", title = "Stale fill after invalidation",
  question = "I delete the entry after each change; how can the cache be stale for a whole TTL?",
  claim = "A reader who loaded before the change fills after the invalidation. No DEL sees that, however \z
    late it comes: the cache must refuse the fill, by a lease or by a version.",
  lesson = "Let the cache refuse an old fill: by a lease that the invalidation takes away; where loads come \z
    from a replica by a version only, one that the database counts, with a tombstone.",
  needs = { "kafka", "mysql", "redis" }, seconds = 8,
  side_by_side = { { "plain-fill", "delete-twice", "delete-before", "late-put" },
    { "clock-as-version", "lease", "version", "version-put" },
    { "lease-over-replica", "version-over-replica" } },
  own_servers = { "lease-over-replica", "version-over-replica" },
  telling = { { "stale-cache", "stale entries" }, { "old fills refused", "old fills refused" } },
  -- the accounts that are stale when all is quiet, and how many fills the cache refuses
  arms = {
    wrong "plain-fill" { says = "DEL after the commit; a reader writes what it has loaded",
      cache = "del-after", fill = "plain", stale = { RACED }, refused = 0 },
    wrong "delete-twice" { says = "DEL before the transaction, and again 200 ms after it",
      cache = "del-twice", fill = "plain", stale = { RACED }, refused = 0 },
    wrong "delete-before" { says = "DEL before the transaction", cache = "del-before", fill = "plain",
      stale = { RACED, EARLY }, refused = 0 },
    wrong "late-put" { says = "readers fill under a lease; the writer puts its value after its commit",
      cache = "lease", fill = "lease", put = "plain", stale = { LATE }, refused = 1 },
    wrong "clock-as-version" { says = "set if newer, with tombstones; the version is the writer's clock",
      cache = "versioned", fill = "versioned", versions = "clock", stale = { CLOCK }, refused = 1 },
    wrong "lease-over-replica" { says = "a lease, and loads come from a replica", cache = "lease",
      fill = "lease", replica = true, stale = { LAGGED }, refused = 1 },
    right "lease" { says = "a reader fills under a lease that an invalidation takes away",
      cache = "lease", fill = "lease", refused = 1 },
    right "version" { says = "a fill is written only if newer; an invalidation leaves a tombstone",
      cache = "versioned", fill = "versioned", refused = 1 },
    right "version-put" { says = "the same, and the writer puts its value, if newer, after its commit",
      cache = "versioned", fill = "versioned", put = "versioned", refused = 1 },
    right "version-over-replica" { says = "as version, and loads come from a replica",
      cache = "versioned", fill = "versioned", replica = true, refused = 2 },
  },

  run = run,

  moment = require "rlab.story.moment.stale_fill",
  checks = function(lab, seen, arm)
    local s, first, stale = arm.settings, {}, {}
    for _, row in ipairs(seen.first) do first[row.key] = row.version end
    for i, id in ipairs(s.stale or {}) do stale[i] = tostring(id) end
    lab.check.stale_cache { cache = seen.cache, views = seen.views, at_least = ACCOUNTS }:expect(
      arm.class == "wrong" and stale or "holds")
    lab.check.agree { { "refused", seen.refused, s.refused, "fills refused", control = #seen.cache },
      { "held", seen.held.raced, first[RACED], "is the version that a reader held across the invalidation" },
      { "early", seen.held.early, first[EARLY], "is the version that a reader filled before the commit" } }
    if s.replica then
      lab.check.agree { { "lagged", seen.held.lagged, first[LAGGED], "is what the replica gave" } }
    end
    lab.check.bound { name = "invalidated", value = seen.deletes, unit = "entries",
      what = "were invalidated:", at_least = (s.cache == "del-twice" and 2 or 1) * COMMANDS }:expect "holds"
    lab.check.duplicate_effect { of = seen.effects, at_least = COMMANDS }:expect "holds"
    lab.check.conservation { ledger = seen.sums.ledger, account = seen.sums.account, view = seen.sums.view,
      unit = "cents", control = #seen.ledger }:expect "holds"
  end,

  verdict = function(arms)
    local plain, twice, lease, behind, version = arms["plain-fill"], arms["delete-twice"], arms.lease,
      arms["lease-over-replica"], arms["version-over-replica"]
    if not (plain and twice and lease and behind and version) then return nil end
    return ("An old value filled after the invalidation left %d stale entry with a DEL, %d with two, %d \z
      with a lease; loaded from a replica %d with a lease, %d with a version."):format(#plain.drift,
      #twice.drift, #lease.drift, #behind.drift, #version.drift)
  end,
}
