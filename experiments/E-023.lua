-- E-023: Redis, MySQL and Kafka are frozen, dead or out of reach for a second and a half each, one after the
-- other, under a schedule of 150 reads and 30 writes a second. What still works?
local outages = require "rlab.story.outages"
local outcomes = require "rlab.story.outcomes"
local tables = require "rlab.tables"

local AT_ONCE, REDIS_TIMEOUT, SOFT, REFUSED_IN, READ_IN = 8, 50, 500, 250, 150 -- but the first in ms

local CAREFUL = { redis_timeout = REDIS_TIMEOUT .. "ms", breaker = 5, breaker_pause = "300ms", stale = "5s",
  db_reads_max = AT_ONCE, db_wait = "50ms", db_timeout = "200ms", single = "process", jitter = 0 }
local CARELESS = { redis_timeout = "0s", breaker = 0, stale = "0s", jitter = 0, db_reads_max = 512,
  workers = 128, db_wait = "0s", single = "none" }

local function reads(when, at_least, at_most)
  return { of = "reads", when = when, at_least = at_least, at_most = at_most, rate = outages.READS }
end

local function writes(when, at_least, at_most)
  return { of = "writes", when = when, at_least = at_least, at_most = at_most, rate = outages.WRITES }
end

local WITHOUT_REDIS = { reads("redis_frozen", 95), reads("redis_killed", 95) }

local function gone(seen) return #(bag.from(seen.acked) - bag.from(seen.ledger)) end

local function says(seen, s)
  if s.lies then return ("%d of %d writes answered with success are gone"):format(gone(seen), #seen.acked) end
  local words = {}
  for i, judged in ipairs(s.judged) do
    words[i] = ("%s: %.0f %% of the %s answered"):format(outcomes.WORDS[judged.when],
      outcomes.share(seen[judged.of][judged.when]), judged.of)
  end
  local db = seen.selects
  if db then
    words[#words + 1] = ("MySQL: %.0f reads/s, %.0f without Redis, %d when it is back"):format(db.quiet,
      db.killed, db.peak)
  end
  return table.concat(words, "; ")
end

local function run(lab, arm)
  local s = arm.settings
  local at = outages.start(lab, s)
  outages.storm(at)
  local seen = outages.ended(at)
  outages.settled(at, seen)
  outcomes.show(lab, seen)
  outcomes.numbers(lab, seen, s.judged)
  seen.says = says(seen, s)
  if arm.class == "wrong" then
    lab:anomaly(seen.says, { at = outages.failed(at, s.lies and "redis_killed" or s.judged[1].when) })
  end
  return seen
end

-- Without Redis MySQL is asked no more than before.
local function check_amplification(lab, seen, arm)
  local asked = { name = "reads-of-mysql", value = seen.selects.killed / seen.selects.quiet, at_most = 2,
    unit = "times as many", what = "reads of MySQL without Redis:" }
  lab.check.bound(asked):expect { wrong = "violated", right = "holds" }
  if arm.class == "right" then return end
  asked.name, asked.at_most, asked.at_least = "falls-through", nil, 5
  lab.check.bound(asked):expect "holds"
end

-- Answers without Redis are marked as what they are, and in time; a burst does not get through to MySQL.
local function check_breaker(lab, seen)
  for _, judged in ipairs(WITHOUT_REDIS) do
    local f, when = seen.reads[judged.when], outcomes.WORDS[judged.when]
    lab.check.equals { name = "marked-stale, " .. when, got = f.cached, want = 0,
      what = "answers that say they are from Redis",
      control = { what = "reads answered", seen = f.answered } }:expect "holds"
    lab.check.bound { name = "in-time, " .. when, value = f.p99, at_most = READ_IN, unit = "ms",
      what = "p99 of the reads", control = { what = "reads answered", seen = f.answered } }:expect "holds"
  end
  lab.check.bound { name = "left-alone", value = seen.reads.redis_frozen.p50, at_most = REDIS_TIMEOUT / 2,
    unit = "ms", what = "half of the reads do not wait for a frozen Redis: p50", why = "half of its timeout" }
    :expect "holds"
  local answers = seen.burst.answered + seen.burst.refused
  lab.check.equals { name = "refused-not-hung", got = answers, want = outages.BURST,
    what = "reads of the burst answered or refused" }:expect "holds"
  lab.check.bound { name = "reads-at-once", value = seen.selects.at_once, at_most = AT_ONCE,
    unit = "reads of MySQL at once", control = { what = "answers to the burst", seen = answers } }
    :expect "holds"
end

local function check_asked_again(lab, seen)
  local f = seen.reads.back
  lab.check.bound { name = "asked-again", value = 100 * f.cached / f.answered, at_least = 80, unit = "%",
    what = "reads answered from Redis once it is back:",
    control = { what = "reads answered", seen = f.answered } }:expect "holds"
end

local function check_ramp(lab, seen)
  local db = seen.selects
  lab.check.enough { name = "cache-came-back-empty", seen = db.recovery, at_least = outages.HOT,
    unit = "reads of MySQL", what = "after Redis is back" }
  lab.check.bound { name = "ramp", value = db.peak / db.quiet, at_most = 2, unit = "times as many",
    what = "reads of MySQL in the worst second after Redis is back:" }:expect "holds"
end

local function check_frozen_mysql(lab, seen)
  local f, w = seen.reads.mysql_frozen, seen.writes.mysql_frozen
  lab.check.bound { name = "marked-stale", value = f.oldest_cached, at_most = 2 * SOFT, unit = "ms",
    what = "the oldest answer that is not marked is", why = "twice the soft TTL",
    control = { what = "reads answered", seen = f.answered } }:expect "holds"
  local all = lab.check.bound { name = "none-hangs", value = 100 * (f.answered + f.refused) / f.scheduled,
    at_least = 100, unit = "%", what = "reads answered or refused:" }:expect "holds"
  all.limit_s, all.over_s = REFUSED_IN / 1000, outcomes.PATIENCE - REFUSED_IN / 1000
  lab.check.bound { name = "refused", value = 100 * w.refused / w.scheduled, at_least = 90, unit = "%",
    what = "writes refused:", control = { what = "writes of the schedule", seen = w.scheduled } }
    :expect "holds"
  lab.check.bound { name = "refused-in-time", value = w.refusal_p99, at_most = REFUSED_IN, unit = "ms",
    what = "p99 of the refusals" }:expect "holds"
end

local function check_outbox(lab, seen)
  local f = seen.writes.kafka_away
  lab.check.equals { name = "none-refused", got = f.refused, want = 0, what = "writes answered 503",
    control = { what = "writes answered", seen = f.answered } }:expect "holds"
  lab.check.enough { name = "backlog", seen = seen.backlog, at_least = outages.WRITES, unit = "rows",
    what = "unsent when Kafka comes back" }
end

local function check_stores(lab, seen, s)
  lab.check.orphan_row { of = seen.ledger, in_ = seen.topic }:expect "holds"
  lab.check.conservation { ledger = seen.sums.ledger, account = seen.sums.account, view = seen.sums.view,
    unit = "cents" }:expect "holds"
  if not s.query then return end
  lab.check.stale_cache { cache = seen.cache, views = seen.views, at_least = outages.HOT }:expect "holds"
end

local function checks(lab, seen, arm)
  local s = arm.settings
  for _, judged in ipairs(s.judged) do outcomes.check_share(lab, seen, judged) end
  if s.counted then check_amplification(lab, seen, arm) end
  if s.lies then
    lab.check.enough { name = "answered-200", seen = seen.writes.mysql_frozen.answered, at_least = 10,
      unit = "writes", what = "while MySQL is frozen" }
  end
  if arm.class == "right" or s.lies then
    lab.check.lost { of = seen.acked, in_ = seen.ledger, at_least = outages.WRITES }
      :expect { wrong = "violated", right = "holds" }
  end
  if arm.class == "wrong" then return end
  check_stores(lab, seen, s)
  if s.counted then check_breaker(lab, seen) end
  if arm.name == "breaker" then check_asked_again(lab, seen) end
  if arm.name == "ramp" then check_ramp(lab, seen) end
  if arm.name == "separate-pools" then check_frozen_mysql(lab, seen) end
  if arm.name == "outbox" then check_outbox(lab, seen) end
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

  arms = {
    wrong "no-timeout" { says = "waits for Redis without end; what Redis cannot answer goes to MySQL",
      without = "Redis", query = CARELESS, counted = true, judged = { reads("redis_frozen", 95, 20) } },
    right "breaker" { says = "50 ms for Redis, a breaker, the last that was seen marked stale, 8 reads of \z
      MySQL at once", without = "Redis", query = CAREFUL, command = {}, pipeline = true, counted = true,
      judged = WITHOUT_REDIS },
    right "ramp" { says = "as breaker; after the outage a tenth, half, then all of the reads of MySQL",
      without = "Redis", query = tables.merged(CAREFUL, { ramp = outages.RAMP .. "s" }), command = {},
      pipeline = true, counted = true, judged = WITHOUT_REDIS },
    wrong "direct-produce" { says = "the command sends to Kafka before it answers", without = "Kafka",
      command = { mode = "direct-before-commit" }, judged = { writes("kafka_away", 95, 10) } },
    right "outbox" { says = "the event is a row of the command's transaction", without = "Kafka",
      command = {}, pipeline = true, judged = { writes("kafka_away", 95) } },
    wrong "one-pool" { says = "reads and writes share the connections to MySQL, without a deadline",
      without = "MySQL", command = { deadline = "60s", pool_wait = "60s" }, one_service = true,
      judged = { reads("mysql_frozen", 80, 20) } },
    wrong "answered-from-redis" { says = "what MySQL does not take is kept in Redis and answered 200",
      without = "MySQL", command = { fallback = "redis", deadline = "200ms" }, lies = true, judged = {} },
    right "separate-pools" { says = "reads by another service, marked when they are old; writes refused \z
      after 200 ms", without = "MySQL", query = tables.merged(CAREFUL, { soft_ttl = SOFT .. "ms" }),
      command = { deadline = "200ms" }, pipeline = true, judged = { reads("mysql_frozen", 80) } },
  },

  run = run,

  checks = checks,

  verdict = function(arms)
    local hung, kept, lied = arms["no-timeout"], arms.breaker, arms["answered-from-redis"]
    if not (hung and kept and lied) then return nil end
    return ("While Redis was frozen %.0f %% of the reads were answered without a timeout, %.0f %% with one, \z
      a breaker and stale copies; %d writes that were answered from Redis are gone."):format(
      outcomes.share(hung.reads.redis_frozen), outcomes.share(kept.reads.redis_frozen), gone(lied))
  end,
}
