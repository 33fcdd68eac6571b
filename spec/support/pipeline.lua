-- The pipeline command -> outbox -> relay -> topic -> consumer -> read model and cache, under load and
-- under faults, for the scenarios of services_kill_spec: its services in the right settings, a client that
-- asks again until it is answered, and what must hold in the stores when all is quiet.
local cache = require "rlab.cache"
local must = require "rlab.must"
local task = require "rlab.task"

local M = { ACCOUNTS = 5 }

-- Small batches, so that a fault falls between many of them.
local standard = {
  command = { mode = "outbox", deadline = "1500ms" },
  relay = { batch = 5, in_flight = 2, lease = "1s", poll_max = "10ms", mysql_timeout = "1s" },
  consumer = { batch = 5, workers = 2, cache = "update", dlq = "-", mysql_timeout = "1s", lock_wait = "1s",
    tries = 100 },
}

-- prepare(lab): the topic, the accounts, and their entries in the cache: a writer's update leaves a missing
-- entry missing
function M.prepare(lab)
  lab:event_topic { partitions = 3 }
  lab:accounts(M.ACCOUNTS)
  for id = 1, M.ACCOUNTS do
    must(cache.fill(lab:redis(), lab:prefix(), id, { balance = 0, version = 0 },
      { mode = "plain", ttl = "10m" }))
  end
end

-- start(lab, who, more, opts) -> service in the standard settings and `more`
function M.start(lab, who, more, opts)
  local settings = {}
  for _, list in ipairs { standard[who] or {}, more or {} } do
    for key, value in pairs(list) do settings[key] = value end
  end
  return lab:service(who, settings, opts)
end

-- send(lab, sent, service, opts) -> the service that answered last. What was refused, or never answered, is
--   asked again under its id, as a client does. `sent` collects: ok, ids; unknown and refused, counts at
--   first; issued.
function M.send(lab, sent, service, opts)
  local by_id, list = {}, lab:plan(opts.count, M.ACCOUNTS, opts.word)
  for _, command in ipairs(list) do by_id[command.id] = command end
  sent.ok, sent.unknown, sent.refused, sent.issued = sent.ok or {}, sent.unknown or 0, sent.refused or 0,
    (sent.issued or 0) + #list
  local at_most, clients = "10s", opts.clients
  lab:await("each command to be answered", function()
    local done = lab:commands { to = service, list = list, clients = clients, restart = true,
      at_most = at_most, accepted = 0 }
    service, list = done.service, {}
    table.move(done.ok, 1, #done.ok, #sent.ok + 1, sent.ok)
    sent.unknown, sent.refused = sent.unknown + #done.unknown, sent.refused + #done.fail
    for _, ids in ipairs { done.fail, done.unknown } do
      for _, id in ipairs(ids) do list[#list + 1] = by_id[id] end
    end
    return #list == 0
  end, "100s")
  return service
end

-- send_during(lab, services, fault, {count =, clients =, waiting =}) -> sent: commands before, while
--   fault() runs, and after it; none are added to more than `waiting` rows that the relay has not sent
function M.send_during(lab, services, fault, opts)
  local sent, chunk, over = {}, 0, false
  local function send()
    chunk = chunk + 1
    services.command = M.send(lab, sent, services.command,
      { count = opts.count, clients = opts.clients, word = ("c%02d"):format(chunk) })
  end
  local function room()
    return over or not opts.waiting or lab:unsent() < opts.waiting
  end
  task.group(function(group)
    group:spawn(function()
      repeat
        send()
        lab:await("room in the outbox, or the end of the fault", room, "120s")
      until over
      send()
    end)
    group:spawn(function()
      lab:await("the first commands", function() return chunk > 1 end, "60s")
      fault()
      over = true
    end)
  end)
  return sent
end

-- heal(lab): the stack is whole, and the observer's own connections to what was away are made anew
function M.heal(lab)
  must(lab.stack:heal { at_most = "100s" })
  lab:await("MySQL to take logins", function() return lab:db():reconnect() end, "60s")
  must(lab:db():exec("USE " .. lab:schema()))
  lab:await("Redis to take logins", function() return lab:redis():reconnect() end, "60s")
end

-- read(lab, sent) -> what the stores hold, by readers that no service knows
function M.read(lab, sent)
  local stores = lab:stores()
  local seen = { ok = sent.ok, issued = sent.issued, ledger = stores.ledger, effects = stores.effects,
    records = lab:records(lab:event_topic()),
    sums = stores.sums, views = stores.views, cache = lab:cache() }
  seen.says = ("%d commands, %d refused and %d unknown at first; %d records"):format(sent.issued,
    sent.refused, sent.unknown, #seen.records)
  return seen
end

local function ids_of(rows)
  local ids = {}
  for i, row in ipairs(rows) do ids[i] = row.id end
  return ids
end

local function set_of(names)
  local set = {}
  for _, name in ipairs(names or {}) do set[name] = true end
  return set
end

-- judge(lab, seen, red): nothing lost, doubled, reordered or stale; the checks named in `red` must be
-- violated, and no other
function M.judge(lab, seen, red)
  local fails = set_of(red)
  local function expect(check) check:expect(fails[check.name] and "violated" or "holds") end
  local entries, published, applied = ids_of(seen.ledger), ids_of(seen.records), ids_of(seen.effects)
  expect(lab.check.lost { of = seen.ok, in_ = entries })
  expect(lab.check.equals { name = "entries", got = #entries, want = seen.issued, what = "ledger rows" })
  expect(lab.check.orphan_row { of = entries, in_ = published })
  expect(lab.check.phantom { of = published, in_ = entries })
  expect(lab.check.lost { name = "unapplied", of = published, in_ = applied })
  expect(lab.check.duplicate_effect { of = seen.effects })
  expect(lab.check.reorder { name = "publish-order", of = seen.records, what = "publish" })
  expect(lab.check.reorder { name = "apply-order", of = seen.effects, what = "apply" })
  expect(lab.check.conservation { ledger = seen.sums.ledger, account = seen.sums.account,
    view = seen.sums.view })
  expect(lab.check.stale_cache { cache = seen.cache, views = seen.views, at_least = M.ACCOUNTS })
end

-- frozen(server, span) -> a fault for the scenarios: the server is stopped that long, the time itself being
--   the fault
function M.frozen(server, span)
  return function(lab)
    local fault = lab:freeze(server)
    task.sleep(span)
    fault.thaw()
  end
end

return M
