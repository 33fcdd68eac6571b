-- E-008: one hot key runs out. How many reads of the database does that cost, and what brings it down to one?
local cache = require "rlab.cache"
local flow_load = require "rlab.flow_load"

local PROCESSES, READERS, HOT, MISSING, KEYS = 2, 32, 7, 404, 50 -- readers of each process
local ALL, TTL, SOFT = PROCESSES * READERS, 1.0, 5.0
local OPEN_SECONDS, RATE, SLOT = 2.5, 1000, 0.1 -- SLOT: the window in which a peak is counted
local XFETCH = { ttl = 0.5, cost = "40ms", rate = 2500, seconds = 2.2, expiries = 200 }

-- What all processes have in common: nothing but the protection in question. A pool smaller than the
-- readers would cap the stampede.
local function settings(arm, more)
  local s = arm.settings
  local all = {
    workers = READERS, db_pool = 2 * READERS, db_wait = "0s", db_timeout = "10s", redis_timeout = "2s",
    breaker = 0, stale = "0s", jitter = s.jitter or 0,
    ttl = "30s", single = s.single, fill = s.fill or "plain", soft_ttl = s.soft_ttl or "0s",
    negative_ttl = s.negative_ttl or "0s", beta = s.beta or 0,
    retries = s.retries or 1, lease = "5s", seed = 50, -- with it the 50 keys of `jitter` end evenly
  }
  for key, value in pairs(more or {}) do all[key] = value end
  return all
end

-- ---- the bench ----

local function sum(services, f)
  local total = 0
  for _, service in ipairs(services) do total = total + f(service) end
  return total
end

local function metric(service, name)
  return service:metric("rlab_query_" .. name) or 0
end

local function accounts(lab, n)
  local rows = {}
  for id = 1, n do rows[id] = ("(%d, %d, 1)"):format(id, id * 100) end
  must(lab:db():exec("INSERT INTO account_view (account_id, balance, version) VALUES "
    .. table.concat(rows, ", ")))
end

-- SELECTs are counted on the wire: the server's own counter would count the observer too.
local function count_selects(lab, account)
  local which = account and (" WHERE account_id = " .. account) or ""
  local rule = lab:rule { name = account and "SELECTs of account " .. account or "SELECTs", proto = "mysql",
    action = "count",
    contains = "FROM account_view" .. which, may_fire = true }
  lab:gauge(function(row) row.reads = rule:state().matched end)
  return rule
end

local function start(lab, arm, opts)
  local services = {}
  for i = 1, PROCESSES do
    services[i] = lab:service("query", settings(arm, opts.settings),
      { via_proxy = true, must_fire = opts.must_fire, failpoints = opts.failpoints })
  end
  return services
end

-- Readers at each process, released together; they stay open until the arm ends.
local function release(lab, services, account, count)
  local loads = {}
  for i, service in ipairs(services) do
    loads[i] = lab:own(must(flow_load.open { history = lab.run.history, url = service.url,
      readers = READERS, count = count or 1,
      rows = READERS * (count or 1), body = "1KiB", timeout = "15s",
      request = { path = "/accounts/" .. account }, name = lab.label .. "/readers-" .. i }))
  end
  return loads
end

local function answers_of(lab, loads, wanted)
  local list, latency = {}, hdr.new()
  for _, load in ipairs(loads) do
    must(load:wait "20s")
    latency:merge(load:stats().latency)
    for _, row in ipairs(load:take(100000)) do
      local body = row.body and json.decode(row.body)
      list[#list + 1] = { status = row.status, source = body and body.source,
        balance = body and body.balance, version = body and body.version,
        age_ms = body and body.age_ms }
    end
  end
  lab:issued("answers", #list, wanted)
  lab:number("reader p50", latency:percentile(50) / 1e6, "ms")
  lab:number("reader p99", latency:percentile(99) / 1e6, "ms")
  return list, latency:percentile(100) / 1e9
end

-- ---- 64 readers of one key ----

-- The key's end, confirmed: PEXPIRE 1 ms, then EXISTS = 0.
local function expire(lab, r, account)
  local fault, key = lab:fault(("account %d runs out"):format(account)), cache.key(lab:prefix(), account)
  local set = must(r:call("PEXPIRE", key, 1))
  lab:await("EXISTS = 0", function() return must(r:call("EXISTS", key)) == 0 end)
  fault:fired("PEXPIRE 1 ms: %d, EXISTS: 0", set)
  return fault
end

local function pass_soft_deadline(lab, r, account)
  local fault = lab:fault(("account %d passes its soft deadline"):format(account))
  must(r:call("HSET", cache.key(lab:prefix(), account), "soft", clock.unix_ms() - 1))
  must(lab:db():exec("UPDATE account_view SET balance = balance + 1, version = 2 WHERE account_id = ?",
    account))
  fault:fired("soft deadline 1 ms ago, version 2 in the view")
  return fault
end

-- What must be so before the first load goes on: all 64 have entered, and each is where the protection puts
-- it.
local function gathered(services, arm)
  local loads, joins, waits = arm.settings.loading, arm.settings.joined, arm.settings.waiting or 0
  if sum(services, function(s) return #s:hits "query.enter" end) < ALL then return false end
  if sum(services, function(s) return #s:hits "query.db_load" end) ~= loads then return false end
  for _, service in ipairs(services) do
    local now = service:metrics()
    joins, waits = joins - now.rlab_query_joins_total, waits - now.rlab_query_lease_waits_total
  end
  return joins == 0 and waits == 0
end

local function let_go(lab, services, arm)
  lab:await(("%d readers inside, %d of them loading"):format(ALL, arm.settings.loading),
    function() return gathered(services, arm) end)
  lab:hold("50 ms of a slow query", function() return gathered(services, arm) end, "50ms")
  for _, service in ipairs(services) do service:failpoint("query.db_load", "off") end
  if arm.class == "wrong" then lab:anomaly(("%d readers load one row"):format(arm.settings.loading)) end
end

-- The loads go on and end; what MySQL has under way meanwhile is watched.
local function finish(lab, services, arm)
  local most = lab:peak_status("Threads_running", function() -- others' and the observer's too
    let_go(lab, services, arm)
    lab:await("the loads to end", function()
      return sum(services, function(s) return metric(s, "db_busy") + metric(s, "queued") end) == 0
        and sum(services, function(s) return metric(s, "db_reads_total") end) >= arm.settings.loading
    end)
  end)
  lab:number("peak Threads_running", most)
  lab:number("reads at once", sum(services, function(s) return metric(s, "db_peak") end))
end

local function proofs(services, seen)
  seen.entered, seen.loading = {}, {}
  for i, service in ipairs(services) do
    seen.entered[i], seen.loading[i] = #service:hits "query.enter", #service:hits "query.db_load"
  end
end

-- The hit log knows who pauses: each process has a hit of query.enter for every reader.
local function armed(arm)
  local points = { ["query.enter"] = "sleep(0s)" }
  if arm.settings.load_in_every_process ~= false then
    return { must_fire = { ["query.db_load"] = "pause" }, failpoints = points }
  end
  points["query.db_load"] = "pause"
  return { failpoints = points }
end

-- Warmed by processes that are not under fire, so that the counts below begin at nothing.
local function fill(lab, r, arm)
  must(cache.fill(r, lab:prefix(), HOT, { balance = HOT * 100, version = 1 },
    { mode = "plain", ttl = "30s" }))
  if arm.settings.soft_ttl then
    must(r:call("HSET", cache.key(lab:prefix(), HOT), "soft", clock.unix_ms() + math.floor(SOFT * 1000)))
  end
end

local function one_key(lab, arm)
  local r = lab:redis()
  accounts(lab, HOT)
  local rule, services = count_selects(lab, HOT), start(lab, arm, armed(arm))
  fill(lab, r, arm)
  local soft = arm.settings.soft_ttl ~= nil
  local fault = soft and pass_soft_deadline(lab, r, HOT) or expire(lab, r, HOT)
  local loads = release(lab, services, HOT)
  local seen = {}
  if soft then
    seen.answers = answers_of(lab, loads, ALL) -- while the only load stands still
    seen.before_load = #seen.answers
  end
  finish(lab, services, arm)
  seen.answers = seen.answers or answers_of(lab, loads, ALL)
  fault:over()
  proofs(services, seen)
  seen.selects = rule:state().matched
  return seen, services
end

-- ---- reads of an account that does not exist ----

local function missing(lab, arm)
  accounts(lab, HOT)
  local rule, services = count_selects(lab, MISSING), start(lab, arm, armed(arm))
  local fault = lab:fault "an account that does not exist"
  local loads = release(lab, services, MISSING, 5)
  finish(lab, services, arm)
  local seen = { answers = answers_of(lab, loads, 5 * ALL) }
  seen.selects = rule:state().matched
  fault:fired("no row in account_view, %d answers 404", #seen.answers)
  proofs(services, seen)
  return seen, services
end

-- ---- 50 keys with one deadline ----

local function open_load(lab, services, rate, seconds)
  local loads = {}
  for i, service in ipairs(services) do
    local list = {}
    for n = 1, KEYS do -- each process begins elsewhere, so that no two ask for one key at once
      list[n] = { path = "/accounts/" .. (n + (i - 1) * KEYS // PROCESSES - 1) % KEYS + 1 }
    end
    loads[i] = lab:own(must(flow_load.open { history = lab.run.history, url = service.url,
      requests = list, rate = ("%d/s"):format(rate // PROCESSES), duration = seconds, timeout = "10s",
      in_flight = 256,
      rows = math.floor(rate * seconds), body = "256", name = lab.label .. "/load-" .. i }))
  end
  return loads
end

-- The most SELECTs in any window of 100 ms, and when it began.
local function peak_of(times)
  local most, from, at = 0, 1, nil
  for i, t in ipairs(times) do
    while times[from] <= t - SLOT do from = from + 1 end
    if i - from + 1 > most then most, at = i - from + 1, times[from] end
  end
  return most, at
end

local function for_all_keys(lab, r, ...)
  local commands = {}
  for id = 1, KEYS do commands[id] = { (...), cache.key(lab:prefix(), id), select(2, ...) } end
  return must(r:pipeline(commands))
end

-- When each of the keys runs out, ms since 1970.
local function deadlines(lab, r)
  local list = for_all_keys(lab, r, "PEXPIRETIME")
  for id, at in ipairs(list) do
    if type(at) ~= "number" or at < 0 then
      lab:give_up("account %d is not in the cache: %s", id, tostring(at))
    end
  end
  return list
end

-- Half of the keys by each process, all within a moment.
local function fill_keys(lab, r, arm, services)
  local loads = {}
  for i, service in ipairs(services) do
    local list = {}
    for n = 1, KEYS // PROCESSES do list[n] = { path = "/accounts/" .. (i - 1) * KEYS // PROCESSES + n } end
    loads[i] = lab:own(must(flow_load.open { history = lab.run.history, url = service.url,
      requests = list, rate = "1000/s", count = #list, timeout = "10s",
      name = ("%s/load-%d"):format(lab.label, i) }))
  end
  for _, load in ipairs(loads) do must(load:wait "15s") end
  if arm.class ~= "wrong" then return end
  for_all_keys(lab, r, "PEXPIREAT", clock.unix_ms() + math.floor(TTL * 1000))
end

local function many_keys(lab, arm)
  local r = lab:redis()
  accounts(lab, KEYS)
  local rule = count_selects(lab)
  local services = start(lab, arm, { settings = { ttl = ("%dms"):format(TTL * 1000) } })
  local log = lab:wire_log { proto = "mysql", contains = "FROM account_view" }
  local fault = lab:fault(arm.class == "wrong" and "50 keys run out at once"
    or "50 keys run out, each at its own time")
  fill_keys(lab, r, arm, services)
  local ends = deadlines(lab, r)
  local spread = math.max(table.unpack(ends)) - math.min(table.unpack(ends))
  fault:fired("PEXPIRETIME of %d keys: they end within %d ms", KEYS, spread)
  local warm_selects = rule:state().matched
  local loads = open_load(lab, services, RATE, OPEN_SECONDS)
  local seen, times = { spread = spread }, {}
  seen.answers, seen.stall = answers_of(lab, loads, math.floor(RATE * OPEN_SECONDS))
  for _, row in ipairs(log:rows { direction = "request" }) do times[#times + 1] = row.time end
  seen.selects = #times - warm_selects
  table.sort(times)
  local peak, at = peak_of(table.move(times, warm_selects + 1, #times, 1, {}))
  seen.peak = peak
  if arm.class == "wrong" then lab:anomaly(("%d SELECTs within 100 ms"):format(peak), { at = at }) end
  lab:number("peak SELECTs in 100 ms", seen.peak)
  return seen, services
end

-- ---- XFetch: measured, not judged ----

local function xfetch(lab, arm)
  accounts(lab, KEYS)
  local rule = count_selects(lab)
  local services = start(lab, arm, { settings = { ttl = ("%dms"):format(XFETCH.ttl * 1000) },
    must_fire = { ["query.db_load"] = ("sleep(%s)"):format(XFETCH.cost) } })
  local loads = open_load(lab, services, XFETCH.rate, XFETCH.seconds)
  local seen = { answers = answers_of(lab, loads, math.floor(XFETCH.rate * XFETCH.seconds)),
    selects = rule:state().matched }
  seen.early = sum(services, function(s) return metric(s, "early_total") end)
  seen.late = seen.selects - seen.early
  for name, q in pairs { p50 = "0.5", p99 = "0.99" } do
    local ms = sum(services, function(s) return metric(s, ('ahead_seconds{quantile="%s"}'):format(q))
      end) / PROCESSES * 1000
    lab:number("refreshed ahead of the end, " .. name, ms, "ms")
  end
  lab:number("refreshed early", seen.early)
  lab:number("read too late", seen.late)
  return seen, services
end

-- ---- a leader that fails ----

-- 32 readers of one process wait behind the only turn at the database, which another account has; then the
-- first load of theirs fails.
local function failing_leader(lab, arm)
  accounts(lab, HOT)
  local rule = count_selects(lab, HOT)
  local service = lab:service("query", settings(arm, { db_pool = 1 }),
    { via_proxy = true, failpoints = { ["query.db_load"] = "pause" } })
  local other = lab:background("a reader of account 1", function() return service:get "/accounts/1" end)
  service:await_hit "query.db_load"
  local loads = release(lab, { service }, HOT)
  lab:await("31 readers who wait with the first",
    function() return metric(service, "joins_total") == READERS - 1 end)
  -- the new expression lets the paused one go
  service:failpoint("query.db_load", "1*error(LOAD_FAILED)", { must_fire = true })
  local seen = { answers = answers_of(lab, loads, READERS), selects = rule:state().matched }
  other:join()
  seen.failed = 0
  for _, a in ipairs(seen.answers) do seen.failed = seen.failed + (a.status == 200 and 0 or 1) end
  lab:number("readers who failed", seen.failed)
  if arm.class == "wrong" then lab:anomaly(("one load failed, %d readers with it"):format(seen.failed)) end
  return seen, { service }
end

-- ---- checks ----

local function answers_as_stored(seen, right)
  local wrong = {}
  for i, a in ipairs(seen.answers) do
    if a.status == 200 and not right(a) then
      wrong[#wrong + 1] = { id = "answer " .. i,
        note = ("balance %s at version %s"):format(a.balance, a.version) }
    end
  end
  if #wrong > 0 then
    return false, ("%d answers differ from the view at their version"):format(#wrong), wrong
  end
  return true, ("all %d answers are the view's at their version"):format(#seen.answers), {}
end

local function of_hot(a)
  return (a.version == 1 and a.balance == HOT * 100) or (a.version == 2 and a.balance == HOT * 100 + 1)
end

local function check_answers(lab, seen, wanted, right)
  lab.check.custom("answers", function() return answers_as_stored(seen, right) end):expect "holds"
  lab.check.equals { name = "answered", got = #seen.answers, want = wanted, what = "answers" }:expect "holds"
end

local function check_one_key(lab, seen, arm)
  local s = arm.settings
  lab.check.amplification { operations = seen.selects, logical = 1,
    at_most = s.per_process and PROCESSES or 1, what = "SELECTs for one expiry" }
    :expect { wrong = ALL, right = "holds" }
  lab.check.equals { name = "selects", got = seen.selects, want = s.loading,
    what = "SELECTs on the wire" }:expect "holds"
  lab.check.equals { name = "entered", got = ("%d + %d"):format(table.unpack(seen.entered)),
    want = ("%d + %d"):format(READERS, READERS),
    what = "readers entered before the first load returned" }:expect "holds"
  check_answers(lab, seen, ALL, of_hot)
  if not s.soft_ttl then return end
  local oldest = 0
  for _, a in ipairs(seen.answers) do oldest = math.max(oldest, a.age_ms or math.huge) end
  lab.check.equals { name = "waited", got = ALL - seen.before_load, want = 0,
    what = "readers waited for the load" }:expect "holds"
  lab.check.bound { name = "staleness", value = oldest, at_most = SOFT * 1000, unit = "ms",
    what = "the oldest answer is" }:expect "holds"
end

local function check_missing(lab, seen)
  lab.check.amplification { operations = seen.selects, logical = 1, at_most = PROCESSES,
    what = "SELECTs of a row that is not there" }
    :expect { wrong = 5 * ALL, right = "holds" }
  local found = 0
  for _, a in ipairs(seen.answers) do found = found + (a.status == 404 and 0 or 1) end
  lab.check.equals { name = "answers", got = found, want = 0,
    what = "answers that are not 404" }:expect "holds"
end

-- Keys that run out one after another while this machine stands still are all missed at once when it goes
-- on: that many too many prove nothing.
local function peak_within_a_third(seen)
  local limit, excused = KEYS // 3, seen.spread > SLOT * 1000
    and math.ceil(KEYS / seen.spread * 1000 * seen.stall) or 0
  local text = ("in the worst 100 ms %d SELECTs, limit at most %d"):format(seen.peak, limit)
  if seen.peak <= limit then return true, text, {} end
  if seen.peak <= limit + excused then
    return nil, ("%s; but the slowest answer took %.0f ms: this machine is too busy"):format(text,
      seen.stall * 1000)
  end
  return false, text, { { id = "peak", note = text } }
end

local function check_many_keys(lab, seen)
  check_answers(lab, seen, math.floor(RATE * OPEN_SECONDS),
    function(a) return a.version == 1 and a.balance % 100 == 0 end)
  lab.check.custom("peak", function() return peak_within_a_third(seen) end):expect { wrong = "violated",
    right = "holds" }
  lab.check.bound { name = "expired", value = seen.selects, at_least = KEYS, unit = "SELECTs",
    what = "every key was loaded again:" }:expect "holds"
end

local function check_leader(lab, seen, arm)
  lab.check.equals { name = "failed", got = seen.failed, want = arm.settings.fails,
    what = "readers failed" }:expect "holds"
  lab.check.bound { name = "poisoned", value = seen.failed, at_most = 0, unit = "readers",
    what = "failed with their leader:" }
    :expect { wrong = "violated", right = "holds" }
  lab.check.equals { name = "selects", got = seen.selects, want = arm.settings.retries,
    what = "SELECTs after the one that failed" }:expect "holds"
end

-- ---- the arms ----

local stories = { ["one key"] = one_key, missing = missing, ["many keys"] = many_keys, xfetch = xfetch,
  leader = failing_leader }

local function sentence(seen, arm)
  local story = arm.settings.story
  if story == "many keys" then
    local when = seen.spread == 0 and "at one instant" or ("within %d ms"):format(seen.spread)
    return ("%d keys end %s: at worst %d SELECTs in 100 ms"):format(KEYS, when, seen.peak)
  end
  if story == "missing" then
    return ("%d reads of nothing: %d SELECTs"):format(#seen.answers, seen.selects)
  end
  if story == "leader" then return ("one load fails: %d of %d readers fail"):format(seen.failed, READERS) end
  if story == "xfetch" then
    return ("%d loads came before an entry's end, %d after it"):format(seen.early, seen.late)
  end
  if arm.settings.soft_ttl then
    return ("%d answered from the old value, %d SELECT behind them"):format(seen.before_load, seen.selects)
  end
  return ("%d readers, one expiry: %d SELECT%s"):format(ALL, seen.selects, seen.selects == 1 and "" or "s")
end

return experiment {
  id = "E-008",
  title = "Cache stampede",
  question = "How many database reads does one expiring hot key cost, and what brings it to one?",
  claim = "Without protection as many as there are readers while it loads; singleflight makes it one a \z
    process, a lease in Redis one.",
  lesson = "Without protection it is request rate x load time; singleflight gives one per process, a \z
    lease gives one.",
  needs = { "mysql", "redis", "proxy" },

  arms = {
    wrong "plain" { says = "cache-aside: each reader who misses loads", story = "one key", single = "none",
      loading = ALL, joined = 0 },
    wrong "one-deadline" { says = "one load a key, but 50 keys run out at once", story = "many keys",
      single = "lease" },
    wrong "nothing-for-nothing" { says = "what does not exist is not cached", story = "missing",
      single = "none", loading = ALL, joined = 0 },
    wrong "leader-fails-all" { says = "a load that fails is the error of all who wait", story = "leader",
      single = "process", retries = 0, fails = READERS },
    right "singleflight" { says = "one load in each process, the others wait for it", story = "one key",
      single = "process", per_process = true,
      loading = PROCESSES, joined = ALL - PROCESSES },
    right "lease" { says = "one load of all processes: SET lease NX PX in Redis", story = "one key",
      single = "lease", loading = 1, joined = ALL - PROCESSES,
      waiting = 1, load_in_every_process = false },
    right "soft-ttl" { says = "past its soft TTL the old value is served while one refreshes it",
      story = "one key", single = "lease",
      soft_ttl = ("%ds"):format(SOFT), loading = 1, joined = 0, load_in_every_process = false },
    right "jitter" { says = "deadlines spread over 0.7 to 1.3 s, seeded", story = "many keys",
      single = "lease", jitter = 0.3 },
    right "negative-entry" { says = "that it does not exist is kept for a second", story = "missing",
      single = "process", negative_ttl = "1s",
      loading = PROCESSES, joined = ALL - PROCESSES },
    right "leader-retried" { says = "a load that fails is tried once more for those who wait",
      story = "leader", single = "process", retries = 1, fails = 0 },
    observe "xfetch" { says = "each reader may refresh early, at random: beta 1, loads of 40 ms",
      story = "xfetch", single = "process", beta = 1 },
  },

  run = function(lab, arm)
    local seen, services = stories[arm.settings.story](lab, arm)
    lab:number("SELECTs", seen.selects)
    seen.pool_wait_ms = sum(services, function(s) return metric(s, 'pool_wait_seconds{quantile="0.99"}')
      end) / #services * 1000
    lab:number("pool wait p99", seen.pool_wait_ms, "ms")
    seen.says = sentence(seen, arm)
    return seen
  end,

  checks = function(lab, seen, arm)
    local story = arm.settings.story
    if story == "one key" then return check_one_key(lab, seen, arm) end
    if story == "missing" then return check_missing(lab, seen) end
    if story == "many keys" then return check_many_keys(lab, seen) end
    if story == "leader" then return check_leader(lab, seen, arm) end
    check_answers(lab, seen, math.floor(XFETCH.rate * XFETCH.seconds),
      function(a) return a.version == 1 and a.balance % 100 == 0 end)
  end,

  verdict = function(arms)
    local plain, flight, lease, soft = arms.plain, arms.singleflight, arms.lease, arms["soft-ttl"]
    if not (plain and flight and lease and soft) then return nil end
    return ("One expiry cost %d SELECTs without protection, %d with singleflight, %d with a lease; with a \z
      soft TTL nobody waited for it."):format(
      plain.selects, flight.selects, lease.selects)
  end,
}
