-- Outages of servers that arms live through side by side, in two groups: the same schedule of reads and
-- writes, each arm with services of its own, and what became of every request meanwhile.
local cache = require "rlab.cache"
local clock = require "rlab.clock"
local crowd = require "rlab.story.degradation.crowd"
local json = require "rlab.json"
local must = require "rlab.must"
local outcomes = require "rlab.story.degradation.outcomes"
local proof = require "rlab.proof"
local redis_client = require "rlab.redis"
local replayed = require "rlab.story.degradation.replayed"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

-- Accounts: those that everybody reads, those that are read once, those of the burst, those of most writes.
local HOT, COLD, BURST, WRITTEN = 50, 51, { 1901, 1940 }, { 1801, 1850 }
local READS, WRITES = 150, 30 -- a second
local LONGEST = 60 -- seconds of the schedule
local WARM, OUTAGE, GAP, SETTLE = 0.8, 1.5, outcomes.AFTER, 0.5
local QUIET = { counted = 1.5, other = 1.2 } -- a rate of ten reads a second needs more to be counted in
local WELL, LOOK = 0.95, 0.1 -- of what came due, less what came due since the last look; seconds
local AT_FULL = 0.4 -- seconds in which a ramp allows all again: each of the hot accounts is asked for once
local BURST_AFTER = 0.4 -- seconds of the outage: breakers have opened
local DB_READ = "25ms" -- what a read of MySQL takes where reads of it are counted
M.HOT, M.READS, M.WRITES, M.RAMP = HOT, READS, WRITES, 6.6
M.BURST = BURST[2] - BURST[1] + 1

-- ---- the schedule ----

-- Of ten reads nine are of the accounts that everybody reads, each of them as often, and one of an account
-- that nobody has read; so nothing of what MySQL is asked depends on luck.
local function reads(lab)
  local list, hot, turn = {}, {}, 0
  for i = 1, HOT do hot[i] = i end
  hot = lab.rng:split("reads"):shuffle(hot)
  for block = 0, LONGEST * READS // 10 - 1 do
    for _ = 1, 9 do
      turn = turn % HOT + 1
      list[#list + 1] = { path = "/accounts/" .. hot[turn] }
    end
    list[#list + 1] = { path = "/accounts/" .. COLD + block }
  end
  return list
end

local function write_to(range)
  return { method = "POST", path = ("/accounts/${range:%d:%d}/entries"):format(range[1], range[2]),
    id = "w-${n:5}", body = '{"request_id":"${id}","amount":${range:1:500}}',
    headers = { { "content-type", "application/json" } } }
end

-- One of three is to an account that everybody reads.
local function writes() return { write_to { 1, HOT }, write_to(WRITTEN), write_to(WRITTEN) } end

-- A caller waits for half a second.
local function load(at, to, name, rate, requests)
  return to and at.lab:load { to = to, name = name, rate = ("%d/s"):format(rate), duration = LONGEST,
    requests = requests, timeout = outcomes.PATIENCE, in_flight = 512, rows = 20000, body = "256" }
end

-- ---- the services of an arm ----

local function watch_reads(at)
  at.rule = at.lab:rule { name = "SELECTs", proto = "mysql", action = "delay", delay = DB_READ,
    contains = "FROM account_view" }
  at.log = at.lab:wire_log { proto = "mysql", contains = "FROM account_view" }
end

-- start(lab, {query =, command =, pipeline =, one_service =, counted =, writer =, crowd =, share = 1}) -> at:
--   the services that the settings name, with those settings. pipeline: relay and consumer, too; one_service:
--   the command service serves the reads, too; counted: reads of MySQL are slow and counted on the wire;
--   writer: a second writer of the cache, see replayed.lua; crowd: more reads, see crowd.lua; share: so much
--   of the schedule
function M.start(lab, s)
  local at = { lab = lab, settings = s, windows = {} }
  lab:accounts(BURST[2])
  lab:views(BURST[2])
  if s.command then lab:event_topic { partitions = 1 } end
  if s.command then at.command = lab:service("command", s.command, { via_proxy = { "brokers" } }) end
  if s.pipeline then
    at.relay = lab:service("relay", { poll = "50ms" }, { via_proxy = { "brokers" } })
    lab:service("consumer", { cache = "versioned", workers = 3 }, { via_proxy = { "brokers" } })
    lab:watch_metric(at.relay, "rlab_relay_backlog", "backlog")
  end
  if s.query then
    at.query = lab:service("query", s.query, { via_proxy = s.counted and { "mysql" } })
  end
  if s.writer then at.writer = replayed.start(lab, s.writer) end
  return at
end

local function series(at, name, handle)
  local before = 0
  at.lab:gauge(function(row)
    local now = handle:stats().ok
    local grown = math.max(now - before, 0) -- it counts from zero again where a load began anew
    row[name .. " answered in 100 ms"], before = grown, now
  end)
end

-- A second, of what the whole schedule has.
local function due(at, rate) return rate * (at.settings.share or 1) end

-- What was answered so far, with the time.
local function answered(loads)
  local now = { at = clock.ns() }
  for i, one in ipairs(loads) do now[i] = one.handle:stats().ok end
  return now
end

-- For a while nearly all of the schedule is answered: services have started, caches are warm.
local function all_is_well(at)
  local loads, looks = {}, {}
  local reads_due = at.settings.crowd and crowd.READS or due(at, READS)
  if at.reads then loads[1] = { handle = at.reads, rate = reads_due } end
  if at.writes then loads[#loads + 1] = { handle = at.writes, rate = due(at, WRITES) } end
  at.lab:await("all to be well for a while", function()
    task.sleep(LOOK)
    local now, first = answered(loads), looks[1]
    looks[#looks + 1] = now
    local seconds = first and (now.at - first.at) / 1e9 or 0
    if seconds < WARM then return false end
    table.remove(looks, 1)
    for i, one in ipairs(loads) do
      if now[i] - first[i] < WELL * one.rate * (seconds - LOOK) then return false end
    end
    return true
  end)
end

-- What everybody reads is in the cache, and all arms are ready.
local function begin(at)
  local lab, readers = at.lab, at.query or at.settings.one_service and at.command
  if at.settings.crowd then crowd.warm(at) end
  if at.settings.counted then watch_reads(at) end
  if at.settings.crowd then
    at.reads = crowd.begin(at, function(...) return load(at, readers, ...) end)
  else
    at.reads = load(at, readers, "reads", due(at, READS), reads(lab))
  end
  at.writes = load(at, at.command, "writes", due(at, WRITES), writes())
  for name, handle in pairs { reads = at.reads, writes = at.writes } do series(at, name, handle) end
  all_is_well(at)
  lab:together()
end

-- ---- one outage, the same for all arms ----

local function sleep_until(ns) task.sleep(math.max(0, (ns - clock.ns()) / 1e9)) end

-- The time between two acts that are done once for all arms; each proves for itself, when it begins and when
-- it ends, that the server was out. what: {name, begin, over, proof, meanwhile, seconds = 1.5}, functions
-- all but name and seconds
local function outage(at, word, what)
  local lab, window = at.lab, {}
  local fault = lab:fault(what.name)
  window.from = lab:together(function()
    if what.begin then what.begin() end
    return clock.ns()
  end)
  fault:started()
  local first = what.proof()
  if what.meanwhile then what.meanwhile(window) end
  sleep_until(window.from + math.floor((what.seconds or OUTAGE) * 1e9))
  local last = what.proof()
  local ended = lab:together(function()
    local now = clock.ns()
    return { at = now, result = what.over and what.over() }
  end)
  window.to = ended.at
  fault:fired(first, last):over()
  at.windows[word] = window
  return ended.result
end

local function frozen(lab, server)
  return {
    name = "SIGSTOP " .. server.name, begin = function() must(server:freeze()) end,
    proof = function() return lab.proof.state(server, "T") end, over = function() must(server:thaw()) end,
  }
end

-- Takes the run's keys away and lets no client write any more until the kill: what a cache without a disk
-- forgets, in a Redis that keeps what others have there.
local FORGET = [[
local gone, cursor = {}, '0'
repeat
  local found = redis.call('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', 1000)
  cursor = found[1]
  for _, key in ipairs(found[2]) do
    if redis.call('DEL', key) == 1 then gone[#gone + 1] = key end
  end
until cursor == '0'
return gone]]

local function connect(lab) return must(redis_client.connect(lab.stack:redis_opts { timeout = "5s" })) end

-- Redis has little to read when it is started again.
local function compact(lab)
  local redis <close> = connect(lab)
  must(redis:call "BGREWRITEAOF")
  lab:await("Redis to have written its file anew", function()
    local text = must(redis:call("INFO", "persistence"))
    return text:find("aof_rewrite_in_progress:0", 1, true) and text:find("aof_rewrite_scheduled:0", 1, true)
  end, "20s")
end

-- -> the set of keys that were there
local function forget(lab)
  local redis <close> = connect(lab)
  local replies = must(redis:pipeline { { "MULTI" }, { "EVAL", FORGET, 0, lab.run.namespace .. "-*" },
    { "CLIENT", "PAUSE", 10000, "ALL" }, { "EXEC" } })
  local gone = {}
  for _, key in ipairs(replies[4][1]) do gone[key] = true end
  return gone
end

-- Redis forgets the run's keys and is killed -> {server, pid, gone = the keys that were there}
local function kill_redis(lab)
  local server = must(lab.stack:server "redis")
  local killed = { server = server, pid = server.pid, gone = forget(lab) }
  must(server:kill())
  return killed
end

-- What the read path has said of Redis so far: round trips that failed, and how often its breaker opened.
local function note_breaker(at, when)
  if not at.settings.trips then return end
  at.breaker = at.breaker or {}
  at.breaker[when] = { failed = at.query:metric "rlab_query_redis_errors_total",
    opens = at.query:total("rlab_query_breaker_opens_total", 'need="redis"') }
end

-- Until `seconds` have passed Redis is gone; then it is started again, empty.
local function redis_gone(at, killed, seconds)
  local lab, hot = at.lab, cache.key(at.lab:prefix(), 1)
  if at.query and not at.settings.crowd then -- a crowd's keys may have run out by then
    lab:fault("Redis forgets the cache"):fired(proof.of("removed", { key = hot,
      before = killed.gone[hot] and 1 or 0, after = 0 })):over()
  end
  outage(at, "redis_killed", { name = "SIGKILL redis", seconds = seconds,
    meanwhile = at.writer and function() replayed.before(at) end,
    proof = function() return lab.proof.gone(killed.server, killed.pid, 9, true) end,
    over = function() must(killed.server:start()) end })
  at.back = lab:together(function()
    must(lab.stack:heal())
    return clock.ns()
  end)
end

-- Forty readers at once of accounts that nobody has read, when those who know of the outage have acted on it.
local function burst(at)
  if not at.log or at.settings.crowd then return nil end
  local list = {}
  for id = BURST[1], BURST[2] do list[#list + 1] = { path = "/accounts/" .. id } end
  return function(window)
    sleep_until(window.from + math.floor(BURST_AFTER * 1e9))
    at.burst = at.lab:load { to = at.query, name = "burst", requests = list, rate = "4000/s", count = M.BURST,
      timeout = "1s", in_flight = 512, rows = M.BURST }
  end
end

local storms = {}

-- Redis stands still; then it is killed and comes back empty.
function storms.Redis(at)
  note_breaker(at, "quiet")
  local what = frozen(at.lab, must(at.lab.stack:server "redis"))
  what.meanwhile = burst(at)
  outage(at, "redis_frozen", what)
  note_breaker(at, "redis_frozen")
  task.sleep(GAP)
  redis_gone(at, at.lab:together(function() return kill_redis(at.lab) end), OUTAGE)
  note_breaker(at, "redis_killed")
  local ends = at.back + math.floor((M.RAMP * 2 / 3 + AT_FULL) * 1e9)
  at.windows.recovery = { from = at.windows.redis_killed.to, to = ends }
  at.windows.back = { from = at.back + math.floor(2 * GAP * 1e9), to = ends }
  if at.writer then replayed.after(at) end
  if at.settings.crowd then at.reads:shed() end
  sleep_until(ends)
end

-- All that names the arm is swallowed on the way to the brokers and back, which nobody beside it notices.
local function kafka_storm(at)
  local lab = at.lab
  local rule = lab:rule { name = "no broker can be reached", action = "black-hole" }
  at.windows.kafka_away = { from = clock.ns() }
  task.sleep(OUTAGE)
  if at.relay then at.backlog = lab:unsent() end
  at.windows.kafka_away.to = clock.ns()
  rule:remove()
  task.sleep(GAP)
end

-- MySQL stands still, once the arms without Kafka have ended; before it goes on Redis is killed.
local function mysql_storm(at)
  local what = frozen(at.lab, must(at.lab.stack:server "mysql"))
  local thaw = what.over
  what.over = function()
    local killed = kill_redis(at.lab)
    thaw()
    return killed
  end
  redis_gone(at, outage(at, "mysql_frozen", what), SETTLE)
  task.sleep(SETTLE)
end

storms["Kafka or MySQL"] = function(at)
  if at.settings.kafka then kafka_storm(at) else mysql_storm(at) end
end

-- storm(at): all is well; then the outages that the arm's settings name
function M.storm(at)
  at.lab:together(function() compact(at.lab) end)
  begin(at)
  at.windows.quiet = { from = at.lab:together() }
  task.sleep(at.settings.without == "Redis" and QUIET.counted or QUIET.other)
  at.windows.quiet.to = clock.ns()
  storms[at.settings.without](at)
end

-- ---- what was seen ----

-- In seconds of the arm, until who came last in it has been answered or has gone.
local function in_seconds(lab, window)
  return { from = (window.from - lab.started_ns) / 1e9,
    to = (window.to - lab.started_ns) / 1e9 + outcomes.PATIENCE }
end

-- ended(at) -> seen {windows, reads, writes = figures by window, acked = ids of the writes that were answered
--   with success, burst, selects}: the schedule ends and nothing is under way any more
function M.ended(at)
  local seen = { windows = {} }
  for name, handle in pairs { reads = at.reads, writes = at.writes } do
    local rows = handle:stop()
    seen[name] = {}
    for word, window in pairs(at.windows) do seen[name][word] = outcomes.of(rows, window) end
    if name == "writes" then seen.acked = outcomes.acked(rows) end
  end
  if at.settings.crowd then seen.crowd = at.reads:seen() end
  if at.burst then seen.burst = outcomes.burst(at.burst:finish "5s".rows) end
  if at.log and not at.settings.crowd then seen.selects = outcomes.selects(at.lab, at.log, at.windows) end
  seen.backlog, seen.breaker = at.backlog, at.breaker
  for word, window in pairs(at.windows) do seen.windows[word] = in_seconds(at.lab, window) end
  return seen
end

-- failed(at, when) -> when that outage began, in seconds of the arm
function M.failed(at, when) return (at.windows[when].from - at.lab.started_ns) / 1e9 end

local function settle(at, seen)
  local lab = at.lab
  if at.settings.pipeline then lab:drain { at_most = "8s" } end
  if at.settings.lies then
    local list = cache.pending_key(lab:prefix())
    lab:within("2s", function() return lab:redis():call("LLEN", list) == 0 end)
  end
  for id = 1, at.query and at.settings.pipeline and HOT or 0 do at.query:get("/accounts/" .. id) end
  local stores = lab:stores()
  seen.ledger, seen.sums, seen.views = json.array(tables.ids_of(stores.ledger)), stores.sums, stores.views
  if not at.settings.pipeline then return end
  seen.topic, seen.cache = tables.ids_of(lab:records(lab:event_topic())), lab:cache()
  if at.writer then seen.replayed = replayed.seen(at, seen.cache, stores.views) end
  local read = {}
  for _, row in ipairs(seen.cache) do read[row.key] = true end
  seen.views = {}
  for _, row in ipairs(stores.views) do
    if read[row.key] then table.insert(seen.views, row) end
  end
end

-- settled(at, seen): quiescent, and what everybody reads is read once more; then what the stores hold is
--   added to what was seen, and who waits for the arm need wait no longer
function M.settled(at, seen)
  settle(at, seen)
  at.lab:leave()
end

return M
