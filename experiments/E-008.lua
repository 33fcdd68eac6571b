-- E-008: one hot key runs out. How many reads of the database does that cost, and what brings it down to one?
local stampede = require "rlab.story.stampede"

local PROCESSES, READERS, HOT, MISSING, KEYS = 2, 32, 7, 404, 50 -- readers of each process
local ALL, TTL, JITTER, SOFT, SLOT = PROCESSES * READERS, 1.0, 0.3, 5.0, 0.1 -- SLOT: where a peak is counted
local VISITS = { keys = KEYS, rate = 1000, seconds = 2.5 }
local XFETCH = { keys = KEYS, rate = 2500, seconds = 2.2 }

local stories, checks = {}, {}

-- 64 readers of one key that has run out, or is past its soft deadline.
stories["one key"] = function(lab, arm, crowd)
  local s, rule = arm.settings, stampede.count_selects(lab, HOT)
  crowd:start_armed(PROCESSES, not s.shared)
  stampede.fill(lab, HOT, HOT * 100, s.soft_ttl and SOFT)
  local fault = (s.soft_ttl and stampede.pass_soft_deadline or stampede.expire)(lab, HOT)
  local loads, seen = crowd:release(HOT), {}
  if s.soft_ttl then
    seen.answers = crowd:served(loads, ALL)
    seen.before_load = #seen.answers
  end
  crowd:let_go(s)
  seen.answers = seen.answers or crowd:answers(loads, ALL)
  fault:over()
  seen.entered, seen.selects = crowd:hits "query.enter", rule:state().matched
  seen.says = s.soft_ttl
    and ("%d answered from the old value, %d SELECT behind them"):format(ALL, seen.selects)
    or ("%d readers, one expiry: %d SELECT%s"):format(ALL, seen.selects, seen.selects == 1 and "" or "s")
  return seen
end

-- Reads of an account that does not exist.
stories["missing"] = function(lab, arm, crowd)
  local rule = stampede.count_selects(lab, MISSING)
  crowd:start_armed(PROCESSES, true)
  local fault = stampede.not_there(lab, MISSING)
  local loads = crowd:release(MISSING, 5)
  crowd:let_go(arm.settings)
  local seen = { answers = crowd:answers(loads, 5 * ALL), selects = rule:state().matched }
  fault:over()
  seen.says = ("%d reads of nothing: %d SELECTs"):format(#seen.answers, seen.selects)
  return seen
end

-- 50 keys that were filled together.
stories["many keys"] = function(lab, arm, crowd)
  local wrong, before = arm.class == "wrong", nil
  local rule = stampede.count_selects(lab, nil, nil, function() return before end)
  crowd:start(PROCESSES, { settings = { ttl = ("%dms"):format(TTL * 1000) } })
  local log = lab:wire_log { proto = "mysql", contains = "FROM account_view" }
  local fault = lab:fault(wrong and "50 keys run out at once" or "50 keys run out, each at its own time")
  crowd:warm(KEYS)
  if wrong then stampede.end_together(lab, KEYS, TTL) end
  local seen = stampede.lives(lab, KEYS)
  fault:fired(stampede.ends(lab, KEYS, wrong and 0 or nil))
  before = rule:state().matched
  seen.answers, seen.stall = crowd:answers(crowd:visit(VISITS), math.floor(VISITS.rate * VISITS.seconds))
  lab:disturbed("stall", "the slowest answer", seen.stall)
  seen.peak, seen.peak_at, seen.selects = stampede.peak(log, before, SLOT)
  if wrong then lab:anomaly(("%d SELECTs within 100 ms"):format(seen.peak), { at = seen.peak_at }) end
  local when = seen.spread == 0 and "at one instant" or ("within %d ms"):format(seen.spread)
  seen.says = ("%d keys end %s: at worst %d SELECTs in 100 ms"):format(KEYS, when, seen.peak)
  return seen
end

-- Early refreshes, measured and not judged; each SELECT takes 40 ms.
stories["xfetch"] = function(lab, _, crowd)
  local rule = stampede.count_selects(lab, nil, "40ms")
  crowd:start(PROCESSES, { settings = { ttl = "500ms" } })
  local seen = { answers = crowd:answers(crowd:visit(XFETCH), math.floor(XFETCH.rate * XFETCH.seconds)) }
  seen.selects = rule:state().matched
  seen.early, seen.late = crowd:early(seen.selects)
  seen.says = ("%d loads came before an entry's end, %d after it"):format(seen.early, seen.late)
  return seen
end

-- 32 readers of one process wait behind the only turn at the database, which another account has; then the
-- first load of theirs fails.
stories["leader"] = function(lab, arm, crowd)
  local rule = stampede.count_selects(lab, HOT)
  local pause = { ["query.db_load"] = "pause" }
  local service = crowd:start(1, { settings = { db_reads_max = 1 }, failpoints = pause })[1]
  local other = lab:background("a reader of account 1", function() return service:get "/accounts/1" end)
  service:await_hit "query.db_load"
  local loads = crowd:release(HOT)
  lab:owed("singleflight", "31 readers wait with the first",
    function() return crowd:metric "joins_total" == READERS - 1 end, stampede.AT_MOST)
  -- the new expression lets the paused one go
  service:failpoint("query.db_load", "1*error(LOAD_FAILED)", { must_fire = true })
  local seen = { answers = crowd:answers(loads, READERS, READERS), selects = rule:state().matched }
  other:join()
  seen.counted, seen.failed = crowd:counted(rule, HOT), stampede.other(seen.answers, 200)
  lab:number("readers who failed", seen.failed)
  if arm.class == "wrong" then lab:anomaly(("one load failed, %d readers with it"):format(seen.failed)) end
  seen.says = ("one load fails: %d of %d readers fail"):format(seen.failed, READERS)
  return seen
end

local function of_hot(a)
  return (a.version == 1 and a.balance == HOT * 100) or (a.version == 2 and a.balance == HOT * 100 + 1)
end
local function as_filled(a) return a.version == 1 and a.balance % 100 == 0 end
checks["one key"] = function(lab, seen, arm)
  local s = arm.settings
  lab.check.amplification { operations = seen.selects, logical = 1,
    at_most = s.per_process and PROCESSES or 1, what = "SELECTs for one expiry", unit = "SELECTs" }
    :expect { wrong = ALL, right = "holds" }
  lab.check.agree { { "selects", seen.selects, s.loading, "SELECTs on the wire" },
    { "entered", ("%d + %d"):format(table.unpack(seen.entered)), ("%d + %d"):format(READERS, READERS),
      "readers entered before the first load returned" } }
  stampede.check_answers(lab, seen.answers, ALL, of_hot)
  if not s.soft_ttl then return end
  lab.check.agree { { "waited", ALL - seen.before_load, 0, "readers waited", control = seen.before_load } }
  lab.check.bound { name = "staleness", value = stampede.oldest(seen.answers), at_most = SOFT * 1000,
    unit = "ms", what = "the oldest answer is", control = #seen.answers }:expect "holds"
end

checks["missing"] = function(lab, seen)
  lab.check.amplification { operations = seen.selects, logical = 1, at_most = PROCESSES,
    what = "SELECTs of a missing row", unit = "SELECTs" }:expect { wrong = 5 * ALL, right = "holds" }
  local bad, all = stampede.other(seen.answers, 404), #seen.answers
  lab.check.agree { { "answered", all, 5 * ALL, "answers" }, { "answers", bad, 0, "not 404", control = all } }
end

checks["many keys"] = function(lab, seen)
  stampede.check_answers(lab, seen.answers, math.floor(VISITS.rate * VISITS.seconds), as_filled)
  stampede.check_lifetimes(lab, seen, JITTER * TTL * 1000):expect { wrong = "violated", right = "holds" }
  stampede.check_peak(lab, seen, KEYS, SLOT):expect { wrong = "violated", right = "holds" }
  lab.check.bound { name = "expired", value = seen.selects, at_least = KEYS, unit = "SELECTs",
    what = "every key was loaded again:" }:expect "holds"
end

checks["xfetch"] = function(lab, seen)
  stampede.check_answers(lab, seen.answers, math.floor(XFETCH.rate * XFETCH.seconds), as_filled)
end

checks["leader"] = function(lab, seen, arm)
  local all, counted = #seen.answers, { what = "SELECTs counted in all", seen = seen.counted }
  lab.check.agree { { "failed", seen.failed, arm.settings.fails, "readers failed", control = all },
    { "selects", seen.selects, arm.settings.retries, "SELECTs after the failed one", control = counted } }
  lab.check.bound { name = "poisoned", value = seen.failed, at_most = 0, unit = "readers",
    what = "failed with their leader:", control = all }:expect { wrong = "violated", right = "holds" }
end

return experiment {
  id = "E-008", title = "Cache stampede",
  question = "How many database reads does one expiring hot key cost, and what brings it to one?",
  claim = "Without protection as many as there are readers while it loads; singleflight makes it one a \z
    process, a lease in Redis one.",
  lesson = "Without protection it is request rate x load time; singleflight gives one per process, a \z
    lease gives one.",
  needs = { "mysql", "redis", "proxy" }, seconds = 13, moment = require "rlab.story.moment.stampede",
  side_by_side = { { "plain", "leader-fails-all" }, { "nothing-for-nothing", "leader-retried" },
    { "singleflight", "lease", "soft-ttl" } }, -- no two with 64 loads; the others watch the clock
  telling = { { "reads per 100 ms", "SELECTs in 100 ms", nil, "most" }, { "poisoned", "failed with it" } },
  -- so many readers load, join a load of their process, and wait for a lease of another one
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
      single = "process", per_process = true, loading = PROCESSES, joined = ALL - PROCESSES },
    right "lease" { says = "one load of all processes: SET lease NX PX in Redis", story = "one key",
      single = "lease", loading = 1, joined = ALL - PROCESSES, waiting = 1, shared = true },
    right "soft-ttl" { says = "past its soft TTL the old value is served while one refreshes it",
      story = "one key", single = "lease", soft_ttl = ("%ds"):format(SOFT), loading = 1, joined = 0,
      shared = true },
    right "jitter" { says = "deadlines spread over 0.7 to 1.3 s, seeded", story = "many keys",
      single = "lease", jitter = JITTER },
    right "negative-entry" { says = "that it does not exist is kept for a second", story = "missing",
      single = "process", negative_ttl = "1s", loading = PROCESSES, joined = ALL - PROCESSES },
    right "leader-retried" { says = "a load that fails is tried once more for those who wait",
      story = "leader", single = "process", retries = 1, fails = 0 },
    observe "xfetch" { says = "each reader may refresh early, at random: beta 1, loads of 40 ms",
      story = "xfetch", single = "process", beta = 1 },
  },

  run = function(lab, arm)
    lab:views(KEYS, 100)
    local crowd = stampede.new(lab, { readers = READERS, settings = arm.settings })
    local seen = stories[arm.settings.story](lab, arm, crowd)
    crowd:measure(seen.selects, seen.peak)
    return seen
  end,

  checks = function(lab, seen, arm) checks[arm.settings.story](lab, seen, arm) end,

  verdict = function(arms)
    local plain, flight, lease, soft = arms.plain, arms.singleflight, arms.lease, arms["soft-ttl"]
    if not (plain and flight and lease and soft) then return nil end
    return ("One expiry cost %d SELECTs without protection, %d with singleflight, %d with a lease; with a \z
      soft TTL nobody waited for it."):format(plain.selects, flight.selects, lease.selects)
  end,
}
