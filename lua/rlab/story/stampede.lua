-- A crowd of readers before a cache: query services that differ in nothing but their protection, readers who
-- are released together, entries that run out, and what reaches MySQL meanwhile.
local cache = require "rlab.cache"
local clock = require "rlab.clock"
local hdr = require "rlab.hdr"
local json = require "rlab.json"
local must = require "rlab.must"
local tables = require "rlab.tables"

local M = {}

local Crowd = {}
Crowd.__index = Crowd

-- Fewer reads at once than readers would cap the stampede. With this seed the keys of `jitter` end evenly.
local function settings(crowd, more)
  local all = {
    workers = crowd.readers, db_reads_max = 2 * crowd.readers, db_wait = "0s", db_timeout = "10s",
    redis_timeout = "2s", breaker = 0, stale = "0s", jitter = 0, ttl = "30s", fill = "plain",
    soft_ttl = "0s", negative_ttl = "0s", beta = 0, retries = 1, lease = "5s", seed = 50,
  }
  return tables.merged(all, crowd.settings, more)
end

-- A protection does its part at once, in a tenth of this, or in a quarter on a busy machine; a broken one is
-- not to take longer than the arm.
local AT_MOST = "2s"
M.AT_MOST = AT_MOST

local PROTECTION = { "single", "fill", "jitter", "soft_ttl", "negative_ttl", "beta", "retries" }

-- new(lab, {readers =, settings =}) -> crowd: so many readers at each process; of an arm's settings those of
--   the query service that protect are taken
function M.new(lab, opts)
  return setmetatable({ lab = lab, readers = opts.readers, services = {},
    settings = tables.picked(opts.settings, PROTECTION) }, Crowd)
end

-- count_selects(lab, account | nil, delay | nil, begun | nil) -> rule: SELECTs of the read model, counted on
--   the wire, as the server's own counter would count the observer too; a series of the report, from when
--   begun() is true. With a delay each is slow. There must be one, or nobody knows whether the proxy sees
--   them.
function M.count_selects(lab, account, delay, begun)
  local which = account and (" WHERE account_id = " .. account) or ""
  local rule = lab:rule { name = account and "SELECTs of account " .. account or "SELECTs", proto = "mysql",
    action = delay and "delay" or "count", delay = delay, contains = "FROM account_view" .. which }
  lab:gauge(function(row)
    if not begun or begun() then row.reads = rule:state().matched end
  end)
  return rule
end

-- crowd:start(n, {settings =, must_fire =, failpoints =}) -> services, started side by side
function Crowd:start(n, opts)
  opts = opts or {}
  local places = {}
  for i = 1, n do places[i] = #self.services + i end
  self.lab:each(places, function(i)
    self.services[i] = self.lab:service("query", settings(self, opts.settings),
      { via_proxy = true, must_fire = opts.must_fire, failpoints = opts.failpoints })
  end)
  return self.services
end

-- crowd:start_armed(n, everywhere): every reader leaves a hit at query.enter, and a load stands still at
--   query.db_load until let_go; everywhere: every process must have one
function Crowd:start_armed(n, everywhere)
  local pause, enter = { ["query.db_load"] = "pause" }, { ["query.enter"] = "print" }
  if everywhere then return self:start(n, { must_fire = pause, failpoints = enter }) end
  return self:start(n, { failpoints = tables.merged(pause, enter) })
end

-- crowd:metric(name) -> the metric rlab_query_<name>, summed
function Crowd:metric(name)
  local total = 0
  for _, service in ipairs(self.services) do
    total = total + (service:metric("rlab_query_" .. name) or 0)
  end
  return total
end

-- crowd:hits(point) -> how often each process hit that failpoint, a list
function Crowd:hits(point)
  local list = {}
  for i, service in ipairs(self.services) do list[i] = #service:hits(point) end
  return list
end

-- crowd:release(account, [count]): the readers of every process at once, each asks so often; they stay open
--   until the arm ends
function Crowd:release(account, count)
  local loads = {}
  for i, service in ipairs(self.services) do
    loads[i] = self.lab:load { to = service, readers = self.readers, count = count or 1, body = "1KiB",
      timeout = "15s", request = { path = "/accounts/" .. account }, name = "readers-" .. i }
  end
  return loads
end

-- crowd:visit{keys =, rate =, seconds =}: all keys in turn at every process, which begin apart, so that no
--   two ask for one key at once
function Crowd:visit(opts)
  local loads, n, keys = {}, #self.services, opts.keys
  for i, service in ipairs(self.services) do
    local list = {}
    for k = 1, keys do list[k] = { path = "/accounts/" .. (k + (i - 1) * keys // n - 1) % keys + 1 } end
    loads[i] = self.lab:load { to = service, requests = list, rate = ("%d/s"):format(opts.rate // n),
      duration = opts.seconds, timeout = "10s", in_flight = 256, rows = math.floor(opts.rate * opts.seconds),
      body = "256", name = "load-" .. i }
  end
  return loads
end

-- crowd:counted(rule, account) -> SELECTs that the rule has counted, after one more reader, who must load
-- what no load of the crowd has left in the cache
function Crowd:counted(rule, account)
  must(self.services[1]:get("/accounts/" .. account))
  return rule:state().matched
end

-- oldest(answers) -> ms, the age of the oldest; one that does not tell its age is older than all
function M.oldest(answers)
  local oldest = 0
  for _, answer in ipairs(answers) do oldest = math.max(oldest, answer.age_ms or math.huge) end
  return oldest
end

-- crowd:measure(selects, [peak]): what it cost, as numbers of the arm
function Crowd:measure(selects, peak)
  self.lab:number("SELECTs", selects)
  if peak then self.lab:number("peak SELECTs in 100 ms", peak) end
  self.lab:number("MySQL wait p99", self:metric 'turn_wait_seconds{quantile="0.99"}' / #self.services * 1000,
    "ms")
end

-- crowd:early(selects) -> how many loads came before an entry's end, and how many after it; with how far
--   ahead they came
function Crowd:early(selects)
  for name, q in pairs { p50 = "0.5", p99 = "0.99" } do
    local ms = self:metric(('ahead_seconds{quantile="%s"}'):format(q)) / #self.services * 1000
    self.lab:number("refreshed ahead of the end, " .. name, ms, "ms")
  end
  local early = self:metric "early_total"
  self.lab:number("refreshed early", early)
  self.lab:number("read too late", selects - early)
  return early, selects - early
end

-- crowd:answers(loads, wanted, [may_fail]) -> rows {status, source, balance, version, age_ms}, the slowest in
--   seconds; another number of answers makes the arm inconclusive, and so do more failures (5xx) than that
function Crowd:answers(loads, wanted, may_fail)
  local list, latency, given = {}, hdr.new(), 0
  for _, load in ipairs(loads) do
    local stats = load:finish "20s"
    latency:merge(stats.latency)
    for _, row in ipairs(stats.rows) do
      local body = row.body and json.decode(row.body) or {}
      list[#list + 1] = { status = row.status, source = body.source, balance = body.balance,
        version = body.version, age_ms = body.age_ms }
    end
  end
  for _, row in ipairs(list) do given = given + ((row.status or 599) < 500 and 1 or 0) end
  self.lab:issued("requests", #list, wanted)
  self.lab:accepted("answers", given, wanted - (may_fail or 0))
  self.lab:number("reader p50", latency:percentile(50) / 1e6, "ms")
  self.lab:number("reader p99", latency:percentile(99) / 1e6, "ms")
  return list, latency:percentile(100) / 1e9
end

-- crowd:served(loads, wanted) -> answers: the debt that all are answered while the only load stands still
function Crowd:served(loads, wanted)
  local given = 0
  local function says()
    return ("%d of %d readers answered while the load stands still"):format(given, wanted)
  end
  self.lab:owed("served-stale", says, function()
    given = 0
    for _, load in ipairs(loads) do given = given + load:stats().ok end
    return given >= wanted, wanted - given
  end, AT_MOST)
  return (self:answers(loads, wanted))
end

-- ---- the entries ----

-- fill(lab, account, balance, [soft_in]): an entry at version 1, filled by nobody under test, so that all
--   counts begin at nothing; its soft deadline in so many seconds
function M.fill(lab, account, balance, soft_in)
  local redis = lab:redis()
  must(cache.fill(redis, lab:prefix(), account, { balance = balance, version = 1 },
    { mode = "plain", ttl = "30s" }))
  if not soft_in then return end
  must(redis:call("HSET", cache.key(lab:prefix(), account), "soft",
    clock.unix_ms() + math.floor(soft_in * 1000)))
end

-- expire(lab, account) -> fault: the entry's end, confirmed
function M.expire(lab, account)
  local redis, key = lab:redis(), cache.key(lab:prefix(), account)
  local fault = lab:fault(("account %d runs out"):format(account))
  return fault:fired(lab.proof.removed(key, function()
    must(redis:call("PEXPIRE", key, 1))
    lab:await("EXISTS = 0", function() return must(redis:call("EXISTS", key)) == 0 end)
  end))
end

-- pass_soft_deadline(lab, account) -> fault: the entry is past its soft deadline, and the view has version 2
function M.pass_soft_deadline(lab, account)
  local fault = lab:fault(("account %d passes its soft deadline"):format(account))
  local key, past = cache.key(lab:prefix(), account), clock.unix_ms() - 1
  must(lab:redis():call("HSET", key, "soft", past))
  must(lab:db():exec("UPDATE account_view SET balance = balance + 1, version = 2 WHERE account_id = ?",
    account))
  return fault:fired(
    lab.proof.redis("soft deadline, 1 ms ago", { command = { "HGET", key, "soft" }, want = past }),
    lab.proof.rows("version in the view", { want = 2, args = { account },
      sql = "SELECT version FROM account_view WHERE account_id = ?" }))
end

-- not_there(lab, account) -> fault: an account without a row, where others have one
function M.not_there(lab, account)
  local function count(what, where, want, control)
    return lab.proof.rows(what, { sql = "SELECT COUNT(*) FROM account_view " .. where, want = want,
      control = control })
  end
  local all = count("rows of account_view", "", { at_least = 1 })
  return lab:fault "an account that does not exist":fired(all,
    count(("rows of account %d"):format(account), "WHERE account_id = " .. account, 0, all))
end

-- The answers to a command for the entries of the accounts 1..n.
local function for_all_keys(lab, n, command, ...)
  local commands = {}
  for id = 1, n do commands[id] = { command, cache.key(lab:prefix(), id), ... } end
  return must(lab:redis():pipeline(commands))
end

-- end_together(lab, n, seconds): all these entries run out at the same instant
function M.end_together(lab, n, seconds)
  for_all_keys(lab, n, "PEXPIREAT", clock.unix_ms() + math.floor(seconds * 1000))
end

-- ends(lab, n, [within]) -> proof: these entries end, all within so many ms
function M.ends(lab, n, within)
  local keys = {}
  for id = 1, n do keys[id] = cache.key(lab:prefix(), id) end
  return lab.proof.expiry(keys, { within = within })
end

-- lives(lab, n) -> {spread = ms between the first and the last end of these entries, lifetimes = ms that each
--   was given}. That each has an end is a debt; one that is there no more has come to its own.
function M.lives(lab, n)
  local ends, lifetimes = nil, {}
  lab:owed("expiry", "every entry has an end", function()
    ends = for_all_keys(lab, n, "PEXPIRETIME")
    local endless = 0
    for id, at in ipairs(ends) do
      if at ~= -1 and (type(at) ~= "number" or at < 0) then
        lab:give_up("account %d is not in the cache: %s", id, tostring(at))
      end
      endless = endless + (at == -1 and 1 or 0)
    end
    return endless == 0, nil, endless > 0 and ("%d have none"):format(endless) or nil
  end, AT_MOST)
  for id, row in ipairs(for_all_keys(lab, n, "HMGET", "stored", "expires")) do
    local stored, expires = tonumber(row[1]), tonumber(row[2])
    lifetimes[id] = stored and expires and expires - stored
      or lab:give_up("account %d is in the cache no more", id)
  end
  return { spread = math.max(table.unpack(ends)) - math.min(table.unpack(ends)), lifetimes = lifetimes }
end

-- crowd:warm(keys): each process reads its share of the keys, all within a moment
function Crowd:warm(keys)
  local loads, share = {}, keys // #self.services
  for i, service in ipairs(self.services) do
    local list = {}
    for k = 1, share do list[k] = { path = "/accounts/" .. (i - 1) * share + k } end
    loads[i] = self.lab:load { to = service, requests = list, rate = "1000/s", count = #list,
      timeout = "10s", name = "load-" .. i }
  end
  for _, load in ipairs(loads) do load:finish "15s" end
  self.lab:owed("filled", "each key that was read is written to the cache",
    function() return self:metric "fills_total" >= keys end, AT_MOST)
end

-- ---- the load of one entry, held ----

local function total(list)
  local sum = 0
  for _, n in ipairs(list) do sum = sum + n end
  return sum
end

-- All have entered, and the protection put each where it is to be.
local function gathered(crowd, wanted)
  return total(crowd:hits "query.enter") >= crowd.readers * #crowd.services
    and total(crowd:hits "query.db_load") == wanted.loading
    and crowd:metric "joins_total" == wanted.joined
    and crowd:metric "lease_waits_total" == (wanted.waiting or 0)
end

local SLOW_QUERY = 0.05

-- Whether all are gathered and were so for a slow query's time; how many have not come; that more load than
-- are to, which they go on doing until they are let go.
local function gathering(crowd, wanted)
  local since
  return function()
    since = gathered(crowd, wanted) and (since or clock.ns()) or nil
    local loading = total(crowd:hits "query.db_load")
    return since and clock.ns() - since >= SLOW_QUERY * 1e9,
      crowd.readers * #crowd.services - total(crowd:hits "query.enter"),
      loading > wanted.loading and ("%d load already"):format(loading) or nil
  end
end

local function debt_of(wanted)
  return (wanted.waiting or 0) > 0 and "lease" or wanted.joined > 0 and "singleflight" or "loads"
end

-- crowd:let_go{loading =, joined =, waiting = 0}: when all have entered and each is where the protection puts
--   it, and stays there for a slow query's time, the loads that stand at query.db_load go on and end; what
--   MySQL has under way meanwhile is watched. The protection owes that, under its own name, and that somebody
--   loads at all; that loads stand is the failpoint's part.
function Crowd:let_go(wanted)
  local lab, loading = self.lab, wanted.loading
  lab:owed("loads", "a reader finds nothing, or an entry past its soft deadline, and begins a load",
    function() return self:metric "misses_total" + self:metric "refreshes_total" > 0 end, AT_MOST)
  lab:await("a load to stand at query.db_load", function() return total(self:hits "query.db_load") > 0 end,
    "10s")
  local most = lab:peak_status("Threads_running", function() -- others' and the observer's too
    lab:owed(debt_of(wanted), ("%d readers inside, %d of them loading"):format(self.readers * #self.services,
      loading), gathering(self, wanted), AT_MOST)
    for _, service in ipairs(self.services) do service:failpoint("query.db_load", "off") end
    if lab.arm.class == "wrong" then lab:anomaly(("%d readers load one row"):format(loading)) end
    lab:owed("loaded", "the loads end", function()
      return self:metric "db_busy" + self:metric "queued" == 0 and self:metric "db_reads_total" >= loading
    end, AT_MOST)
  end)
  lab:number("peak Threads_running", most)
  lab:number("reads at once", self:metric "db_peak")
end

-- peak(log, skip, window) -> the most requests of a wire log in any window of so many seconds, without the
--   first so many; when it began; how many there were
function M.peak(log, skip, window)
  local times, most, from, at = {}, 0, 1, nil
  for i, row in ipairs(log:rows { direction = "request" }) do times[i] = row.time end
  table.sort(times)
  times = table.move(times, skip + 1, #times, 1, {})
  for i, t in ipairs(times) do
    while times[from] <= t - window do from = from + 1 end
    if i - from + 1 > most then most, at = i - from + 1, times[from] end
  end
  return most, at, #times
end

-- other(answers, status) -> how many have another status
function M.other(answers, status)
  local n = 0
  for _, answer in ipairs(answers) do n = n + (answer.status == status and 0 or 1) end
  return n
end

-- check_answers(lab, answers, wanted, right): right(answer) of each that found something, and their number.
--   For checks.
function M.check_answers(lab, answers, wanted, right)
  local wrong = {}
  for i, a in ipairs(answers) do
    if a.status == 200 and not right(a) then
      wrong[#wrong + 1] = { id = "answer " .. i,
        note = ("balance %s at version %s"):format(a.balance, a.version) }
    end
  end
  local text = #wrong > 0 and ("%d answers differ from the view at their version"):format(#wrong)
    or ("all %d answers are the view's at their version"):format(#answers)
  lab.check.custom { name = "answers", control = #answers,
    judge = function() return #wrong == 0, text, wrong end }:expect "holds"
  lab.check.agree { { "answered", #answers, wanted, "answers" } }
end

-- check_lifetimes(lab, seen, least) -> check: the entries' lifetimes differ by so many ms. For checks.
function M.check_lifetimes(lab, seen, least)
  local list = seen.lifetimes
  local control = { what = "entries", seen = #list }
  return lab.check.bound { name = "lifetimes", at_least = least, unit = "ms", control = control,
    value = #list > 0 and math.max(table.unpack(list)) - math.min(table.unpack(list)) or nil,
    what = "lifetimes differ by", why = "half of the spread that the jitter allows" }
end

-- check_peak(lab, seen, keys, window) -> check: at most a third of the keys was read in the worst window.
--   Keys that run out one after another while somebody stands still are all missed at once when he goes on:
--   for that many too many it is a limit on time, that in which they run out (rlab.run.disturbance), and the
--   slowest answer is a disturbance. seen: {peak, spread (ms), stall (s)}. For checks.
function M.check_peak(lab, seen, keys, window)
  local limit, excused = keys // 3, seen.spread > window * 1000
    and math.ceil(keys / seen.spread * 1000 * seen.stall) or 0
  local text = ("in the worst %d ms %d SELECTs, limit at most %d"):format(window * 1000, seen.peak, limit)
  local control = { what = "SELECTs in all windows", seen = seen.selects }
  local check = lab.check.custom { name = "peak", control = control, judge = function()
    return seen.peak <= limit, text, seen.peak > limit and { { id = "peak", note = text } } or {}
  end }
  check.limit_s = seen.peak <= limit + excused and seen.spread / 1000 or nil
  return check
end

return M
