-- What is owed while a server is out, check by check: answers, what they say of themselves, what MySQL is
-- asked meanwhile, and what the stores hold at the end. `limits`: at_once (reads of MySQL), and in ms redis
-- (a round trip's timeout), read, soft (TTL), refused.
local outages = require "rlab.story.degradation.outages"
local outcomes = require "rlab.story.degradation.outcomes"
local replayed = require "rlab.story.degradation.replayed"

local M = {}

-- Without Redis MySQL is asked no more than before.
function M.amplification(lab, seen, arm)
  local asked = { name = "reads-of-mysql", value = seen.selects.killed / seen.selects.quiet, at_most = 2,
    unit = "times as many", what = "reads of MySQL without Redis:" }
  lab.check.bound(asked):expect { wrong = "violated", right = "holds" }
  if arm.class == "right" then return end
  asked.name, asked.at_most, asked.at_least = "falls-through", nil, 5
  lab.check.bound(asked):expect "holds"
end

-- Half of the reads are late only where half of the outage was lost.
local function of_half(check, window)
  return check:explained_by(window, window.to - window.from)
end

local function left_alone(lab, seen, limits, when)
  local f = seen.reads[when]
  local check = lab.check.bound { value = f.p50, at_most = limits.redis / 2, unit = "ms",
    name = when == "redis_frozen" and "left-alone" or "left-alone, Redis killed", why = "half of its timeout",
    what = ("half of the reads do not wait for a %s Redis: p50"):format(when == "redis_frozen" and "frozen"
      or "dead"), control = { what = "reads answered", seen = f.answered } }
  return of_half(check, seen.windows[when])
end

-- Answers without Redis are marked as what they are, and in time; a burst does not get through to MySQL.
function M.breaker(lab, seen, limits)
  for _, when in ipairs { "redis_frozen", "redis_killed" } do
    local f, word = seen.reads[when], outcomes.WORDS[when]
    lab.check.equals { name = "marked-stale, " .. word, got = f.cached, want = 0,
      what = "answers that say they are from Redis",
      control = { what = "reads answered", seen = f.answered } }:expect "holds"
    lab.check.bound { name = "in-time, " .. word, value = f.p99, at_most = limits.read, unit = "ms",
      what = "p99 of the reads", control = { what = "reads answered", seen = f.answered } }:expect "holds"
  end
  left_alone(lab, seen, limits, "redis_frozen"):expect "holds"
  local answers = seen.burst.answered + seen.burst.refused
  lab.check.equals { name = "refused-not-hung", got = answers, want = outages.BURST,
    what = "reads of the burst answered or refused" }:expect "holds"
  lab.check.bound { name = "reads-at-once", value = seen.selects.at_once, at_most = limits.at_once,
    unit = "reads of MySQL at once", control = { what = "answers to the burst", seen = answers } }
    :expect "holds"
end

-- What is written meanwhile is not in Redis when it is asked, now as before.
function M.asked_again(lab, seen)
  local f, before = seen.reads.back, seen.reads.quiet
  local share, quiet = f.cached / f.answered, before.cached / before.answered
  lab.check.bound { name = "asked-again", value = 100 * share / quiet, at_least = 90, unit = "%",
    what = "reads answered from Redis once it is back, of the share before:",
    control = { what = "reads answered from Redis before", seen = before.cached } }:expect "holds"
end

-- A breaker that counts connects only: a frozen Redis takes connections, and is asked on and on.
function M.connects_only(lab, seen, limits)
  lab.check.enough { name = "timeouts", seen = seen.breaker.redis_frozen.failed - seen.breaker.quiet.failed,
    at_least = 2 * limits.threshold, unit = "round trips that failed", what = "while Redis was frozen" }
  lab.check.enough { name = "opened-when-refused", unit = "openings of its breaker",
    seen = seen.breaker.redis_killed.opens - seen.breaker.redis_frozen.opens, at_least = 1,
    what = "while Redis was gone" }
  left_alone(lab, seen, limits, "redis_frozen"):expect "violated"
  left_alone(lab, seen, limits, "redis_killed"):expect "holds"
end

function M.ramp(lab, seen)
  local db = seen.selects
  lab.check.enough { name = "cache-came-back-empty", seen = db.recovery, at_least = outages.HOT,
    unit = "reads of MySQL", what = "after Redis is back" }
  lab.check.bound { name = "ramp", value = db.peak / db.quiet, at_most = 2, unit = "times as many",
    what = "reads of MySQL in the worst second after Redis is back:" }:expect "holds"
end

-- What a client has kept over the outage is not written over what is newer.
function M.replayed(lab, seen, arm)
  local r = seen.replayed
  if arm.class == "wrong" then
    lab.check.enough { name = "kept", seen = r.kept, at_least = #replayed.ACCOUNTS, unit = "writes",
      what = "kept while Redis was gone" }
  end
  lab.check.stale_cache { name = "old-write-replayed", cache = r.cache, views = r.views,
    at_least = #replayed.ACCOUNTS }:expect { wrong = replayed.ACCOUNTS, right = "holds" }
end

function M.frozen_mysql(lab, seen, limits)
  local f, w = seen.reads.mysql_frozen, seen.writes.mysql_frozen
  local window = seen.windows.mysql_frozen
  lab.check.enough { name = "frozen-for", seen = window and window.to - window.from, at_least = 1.5,
    unit = "s", what = "MySQL stood still for" }
  local old = lab.check.bound { name = "marked-stale", value = f.oldest_cached, at_most = 2 * limits.soft,
    unit = "ms", what = "the oldest answer that is not marked is", why = "twice the soft TTL",
    control = { what = "reads answered", seen = f.answered } }:expect "holds"
  old:explained_by(window)
  local all = lab.check.bound { name = "none-hangs", value = 100 * (f.answered + f.refused) / f.scheduled,
    at_least = 100, unit = "%", what = "reads answered or refused:" }:expect "holds"
  all.limit_s, all.over_s = limits.refused / 1000, outcomes.PATIENCE - limits.refused / 1000
  all:explained_by(window)
  lab.check.bound { name = "refused", value = 100 * w.refused / w.scheduled, at_least = 90, unit = "%",
    what = "writes refused:", control = { what = "writes of the schedule", seen = w.scheduled } }
    :expect "holds"
  lab.check.bound { name = "refused-in-time", value = w.refusal_p99, at_most = limits.refused, unit = "ms",
    what = "p99 of the refusals" }:expect "holds"
end

function M.outbox(lab, seen)
  local f = seen.writes.kafka_away
  lab.check.equals { name = "none-refused", got = f.refused, want = 0, what = "writes answered 503",
    control = { what = "writes answered", seen = f.answered } }:expect "holds"
  lab.check.enough { name = "backlog", seen = seen.backlog, at_least = outages.WRITES, unit = "rows",
    what = "unsent when Kafka comes back" }
end

function M.answered_200(lab, seen)
  lab.check.enough { name = "answered-200", seen = seen.writes.mysql_frozen.answered, at_least = 10,
    unit = "writes", what = "while MySQL is frozen" }
end

function M.lost(lab, seen)
  lab.check.lost { of = seen.acked, in_ = seen.ledger, at_least = outages.WRITES }
    :expect { wrong = "violated", right = "holds" }
end

function M.stores(lab, seen, s)
  lab.check.orphan_row { of = seen.ledger, in_ = seen.topic }:expect "holds"
  lab.check.conservation { ledger = seen.sums.ledger, account = seen.sums.account, view = seen.sums.view,
    unit = "cents" }:expect "holds"
  if not s.query then return end
  lab.check.stale_cache { cache = seen.cache, views = seen.views, at_least = outages.HOT }:expect "holds"
end

return M
