-- The whole pipeline under load while its services are killed and frozen, one after the other, for as long as
-- is asked; make soak runs it in its turn. Not among the experiments: it shows nothing, it is to find what
-- they do not.
local ACCOUNTS, CHUNK, CLIENTS = 20, 200, 4
local VICTIMS = { "relay", "consumer", "other", "command" }

local function start(lab)
  local at = {}
  lab:event_topic {}
  lab:accounts(ACCOUNTS)
  lab:views(ACCOUNTS)
  at.command, at.relay = lab:service "command", lab:service("relay", { lease = "2s" })
  at.consumer = lab:service("consumer", { cache = "lease" })
  at.other = lab:service("consumer", { cache = "lease" })
  at.query = lab:service("query", { fill = "lease", single = "lease", ttl = "10m", jitter = 0, l1 = "0s",
    stale = "0s" })
  lab:watch_pipeline { "backlog", "lag", "duplicates" }
  return at
end

-- A command service stands still for nobody: its clients would only wait for it.
local function hurt(lab, at)
  local name = VICTIMS[lab.rng:int(1, #VICTIMS)]
  if name ~= "command" and lab.rng:chance(1 / 3) then return name, at[name]:freeze() end
  at[name]:kill()
  return name, nil
end

local function mend(at, name, frozen)
  if frozen then return frozen.thaw() end
  if name ~= "command" then at[name] = at[name]:restart() end -- its clients have started that one again
end

-- What was filled stale and never invalidated again is still there, and answers these reads.
local function read_all(lab, query)
  for id = 1, ACCOUNTS do
    lab:owed("answered", ("an answer for account %d"):format(id), function()
      local answer = query:get("/accounts/" .. id)
      return answer and answer.status == 200
    end)
  end
end

local function append(to, list)
  table.move(list, 1, #list, #to + 1, to)
end

local function story(lab, at)
  local seen, stop = { ok = {}, unknown = {}, kills = 0, freezes = 0, rounds = 0 }, lab.options.minutes * 60
  while lab:now() < stop do
    seen.rounds = seen.rounds + 1
    local name, frozen = hurt(lab, at)
    local done = lab:commands { to = at.command, list = lab:plan(CHUNK, ACCOUNTS, "c" .. seen.rounds),
      clients = CLIENTS, restart = true, accepted = CHUNK // 2 }
    at.command = done.service
    mend(at, name, frozen)
    seen[frozen and "freezes" or "kills"] = seen[frozen and "freezes" or "kills"] + 1
    append(seen.ok, done.ok)
    append(seen.unknown, done.unknown)
    read_all(lab, at.query)
  end
  return seen
end

return experiment {
  id = "E-999",
  title = "Soak: the pipeline under kills and freezes",
  claim = "However often its services die or stand still, what was acknowledged is applied once, and the \z
    view and the cache agree with the ledger.",
  needs = { "kafka", "mysql", "redis" },
  limit = "26h",
  options = { minutes = { default = 8, help = "how long services are killed and frozen" } },
  arms = { right "pipeline" { says = "at-least-once relay, dedup, fill under a lease" } },

  run = function(lab)
    local at = start(lab)
    local seen = story(lab, at)
    lab:drain {}
    read_all(lab, at.query)
    local stores = lab:stores()
    for _, name in ipairs { "ledger", "outbox", "effects", "views", "sums" } do seen[name] = stores[name] end
    seen.records, seen.committed, seen.cache = lab:records(lab:event_topic()), lab:committed(), lab:cache()
    seen.says = ("%d acknowledged, %d kills, %d freezes, %d records, %d effects"):format(#seen.ok, seen.kills,
      seen.freezes, #seen.records, #seen.effects)
    return seen
  end,

  checks = function(lab, seen)
    lab.check.lost { of = seen.ok, in_ = seen.records, at_least = CHUNK }:expect "holds"
    lab.check.orphan_row { of = seen.ledger, in_ = seen.records, at_least = CHUNK }:expect "holds"
    lab.check.phantom { of = seen.records, in_ = seen.ledger }:expect "holds"
    lab.check.stranger { of = seen.records, outbox = seen.outbox }:expect "holds"
    lab.check.duplicate_effect { of = seen.effects, at_least = CHUNK }:expect "holds"
    lab.check.lost_effect { of = seen.records, committed = seen.committed,
      effects = seen.effects }:expect "holds"
    lab.check.reorder { of = seen.effects, what = "apply" }:expect "holds"
    lab.check.conservation { ledger = seen.sums.ledger, account = seen.sums.account, view = seen.sums.view,
      unit = "cents" }:expect "holds"
    lab.check.stale_cache { cache = seen.cache, views = seen.views, at_least = ACCOUNTS }:expect "holds"
    lab.check.enough { name = "faults", seen = seen.kills + seen.freezes, at_least = 1,
      what = "kills and freezes" }
  end,
}
