-- E-023: Redis, MySQL and Kafka are frozen, dead or out of reach for a second and a half each, one after the
-- other, under a schedule of 150 reads and 30 writes a second. What still works?
local checks = require "rlab.story.degradation.checks"
local crowd = require "rlab.story.degradation.crowd"
local outages = require "rlab.story.degradation.outages"
local outcomes = require "rlab.story.degradation.outcomes"
local replayed = require "rlab.story.degradation.replayed"
local tables = require "rlab.tables"

-- Reads of MySQL at once, failures in a row, and milliseconds.
local LIMITS = { at_once = 8, threshold = 5, redis = 50, soft = 500, refused = 250, read = 150 }

local CAREFUL = { redis_timeout = LIMITS.redis .. "ms", breaker = LIMITS.threshold, breaker_pause = "300ms",
  stale = "5s", db_reads_max = LIMITS.at_once, db_wait = "50ms", db_timeout = "200ms", single = "process",
  jitter = 0 }
local CARELESS = { redis_timeout = "0s", breaker = 0, stale = "0s", jitter = 0, db_reads_max = 512,
  workers = 128, db_wait = "0s", single = "none" }

local function reads(when, at_least, at_most)
  return { of = "reads", when = when, at_least = at_least, at_most = at_most, rate = outages.READS }
end

local function writes(when, at_least, at_most)
  return { of = "writes", when = when, at_least = at_least, at_most = at_most, rate = outages.WRITES }
end

-- Arms of a name have their outages at the same time.
local REDIS, OTHERS = "Redis", "Kafka or MySQL"

local function careful(more) return tables.merged(CAREFUL, more) end

local WITHOUT_REDIS = { reads("redis_frozen", 95), reads("redis_killed", 95) }

local function gone(seen) return #(bag.from(seen.acked) - bag.from(seen.ledger)) end

local telling = {}

telling["answered-from-redis"] = function(seen)
  return ("%d of %d writes answered with success are gone"):format(gone(seen), #seen.acked)
end

telling["connects-only"] = function(seen)
  local p50 = seen.reads.redis_frozen.p50
  return p50 and ("Redis frozen: half of the reads wait for %.0f ms"):format(p50)
    or "Redis frozen: no read was answered"
end

telling["offline-queue"] = function(seen) return replayed.says(seen.replayed) end
telling["given-up"] = telling["offline-queue"]

telling["no-shedding"] = function(seen) return crowd.says(seen.crowd, outcomes.share(seen.reads.quiet)) end

local function run(lab, arm)
  local s = arm.settings
  local at = outages.start(lab, s)
  outages.storm(at)
  local seen = outages.ended(at)
  outages.settled(at, seen)
  outcomes.show(lab, seen)
  outcomes.numbers(lab, seen, s.judged)
  if seen.crowd then crowd.numbers(lab, seen.crowd) end
  seen.says = (telling[arm.name] or outcomes.says)(seen, s)
  if arm.class == "wrong" then lab:anomaly(seen.says, { at = outages.failed(at, s.fails) }) end
  return seen
end

local own = {
  breaker = checks.asked_again, ramp = checks.ramp, outbox = checks.outbox,
  ["connects-only"] = checks.connects_only, ["separate-pools"] = checks.frozen_mysql,
  ["answered-from-redis"] = checks.answered_200,
  ["no-shedding"] = function(lab, seen) crowd.check(lab, seen.crowd, outcomes.share(seen.reads.quiet)) end,
}

local function judge(lab, seen, arm)
  local s = arm.settings
  for _, judged in ipairs(s.judged) do outcomes.check_share(lab, seen, judged) end
  if s.counted and not s.crowd then checks.amplification(lab, seen, arm) end
  if arm.class == "right" or s.lies then checks.lost(lab, seen) end
  if s.writer then checks.replayed(lab, seen, arm) end
  if arm.class == "right" then
    checks.stores(lab, seen, s)
    if s.counted then checks.breaker(lab, seen, LIMITS) end
  end
  if own[arm.name] then own[arm.name](lab, seen, LIMITS) end
end

return experiment {
  id = "E-023",
  title = "Graceful degradation",
  question = "When Redis, Kafka or MySQL is down or frozen, what still works?",
  claim = "With timeouts, a breaker, stale copies and an outbox all goes on but what needs the server \z
    itself; without them a frozen server stops everything.",
  lesson = "Short timeouts, a breaker, a capped fallback, honest refusals; a frozen server is worse than a \z
    dead one.",
  needs = { "kafka", "mysql", "redis", "proxy" },
  disrupts = true, -- kills and freezes Redis and MySQL
  side_by_side = "without", -- the same outages for all of those arms
  telling = { { "reads answered in 100 ms + writes answered in 100 ms", "answers in 100 ms", nil, "none" },
    { "answered, Redis frozen + answered, Kafka out of reach + answered, MySQL frozen",
      "answered in the outage", "%" },
    { "left-alone", "half of the reads waited", "ms" }, { "lost", "answered writes gone" },
    { "old-write-replayed", "old entries written back" } },
  arms = {
    wrong "no-timeout" { says = "waits for Redis without end; what Redis cannot answer goes to MySQL",
      without = REDIS, query = CARELESS, counted = true, fails = "redis_frozen",
      judged = { reads("redis_frozen", 95, 20) } },
    wrong "connects-only" { says = "50 ms for Redis, and a breaker that counts refused connections only",
      without = REDIS, query = careful { breaker_counts = "connects" }, trips = true,
      fails = "redis_frozen", judged = {} },
    wrong "offline-queue" { says = "a writer's client keeps what Redis does not take, and sends it once \z
      Redis is back", without = REDIS, query = CAREFUL, command = {}, pipeline = true,
      writer = "queued", share = 1 / 3, fails = "redis_killed", judged = {} },
    right "given-up" { says = "the same writer gives up what Redis does not take",
      without = REDIS, query = CAREFUL, command = {}, pipeline = true, writer = "versioned",
      share = 1 / 3, judged = {} },
    right "breaker" { says = "50 ms for Redis, a breaker, the last that was seen marked stale, 8 reads of \z
      MySQL at once", without = REDIS, query = CAREFUL, command = {}, pipeline = true, counted = true,
      judged = WITHOUT_REDIS },
    right "ramp" { says = "as breaker; after the outage a tenth, half, then all of the reads of MySQL",
      without = REDIS, query = careful { ramp = outages.RAMP .. "s" }, command = {}, pipeline = true,
      counted = true, judged = WITHOUT_REDIS },
    observe "no-shedding" { says = "300 reads a second, each miss a load, two of them at once: with how \z
      much less load does it recover?", without = REDIS, query = crowd.QUERY, counted = true,
      crowd = true, judged = {} },
    wrong "direct-produce" { says = "the command sends to Kafka before it answers", without = OTHERS,
      kafka = true, command = { mode = "direct-before-commit" }, fails = "kafka_away",
      judged = { writes("kafka_away", 95, 10) } },
    right "outbox" { says = "the event is a row of the command's transaction", without = OTHERS,
      kafka = true, command = {}, pipeline = true, judged = { writes("kafka_away", 95) } },
    wrong "one-pool" { says = "reads and writes share the connections to MySQL, without a deadline",
      without = OTHERS, command = { deadline = "60s", pool_wait = "60s" }, one_service = true,
      fails = "mysql_frozen", judged = { reads("mysql_frozen", 80, 20) } },
    wrong "answered-from-redis" { says = "what MySQL does not take is kept in Redis and answered 200",
      without = OTHERS, command = { fallback = "redis", deadline = "200ms" }, lies = true,
      fails = "redis_killed", judged = {} },
    right "separate-pools" { says = "reads by another service, marked when they are old; writes refused \z
      after 200 ms", without = OTHERS, query = careful { soft_ttl = LIMITS.soft .. "ms" },
      command = { deadline = "200ms" }, pipeline = true, judged = { reads("mysql_frozen", 80) } },
  },

  run = run,

  checks = judge,

  verdict = function(arms)
    local hung, kept, lied = arms["no-timeout"], arms.breaker, arms["answered-from-redis"]
    if not (hung and kept and lied) then return nil end
    return ("While Redis was frozen %.0f %% of the reads were answered without a timeout, %.0f %% with one, \z
      a breaker and stale copies; %d writes that were answered from Redis are gone."):format(
      outcomes.share(hung.reads.redis_frozen), outcomes.share(kept.reads.redis_frozen), gone(lied))
  end,
}
