-- E-022: a new column of the read model is filled for all old rows while live events go on: what does it
-- cost them, and what is right at the end?
local job_of = require "rlab.story.rebuild_job"
local rebuild = require "rlab.story.rebuild"
local tables = require "rlab.tables"
local traffic = require "rlab.story.traffic"

local MOST, SHARDS, CHUNK = 5000, 4, 500 -- accounts
local LIVE, BEFORE, RACED = 200, 100, 37 -- accounts of live traffic; events before the backfill; an account
local MAX_LAG, BURST, SLOWER, AGAIN = 50, 56, 5, 1.4

local function job_settings(lab, s)
  local to = s.to == "main" and lab:event_topic()
    or s.to and lab:topic("rebuild", { partitions = 3, configs = { ["retention.ms"] = "60000" } })
  return { schema = lab:schema(), read = s.read or "newest", write = not to and (s.write or "guarded") or nil,
    to = to, old_timestamps = s.old_timestamps, checkpoint = s.checkpoint, skip_failed = s.skip_failed,
    shards = s.shards or SHARDS, chunk = s.chunk or CHUNK, max_lag = MAX_LAG,
    live = s.watch ~= false and { topic = lab:event_topic(), group = lab:group() } or nil }
end

-- The job waits for live traffic, is overtaken by a live event while it has the first chunk in its hands,
-- dies, and one of its chunks fails when it goes on. Returns both of its lives.
local function troubled(lab, at, seen, job)
  local first
  first, seen.while_behind = rebuild.behind(lab, { consumer = at.consumer, to = job.to,
    deposits = function() at.traffic:deposits("burst", BURST) end, start = function()
      local raced = { account = RACED, version = 2, chunks = (SHARDS - 1) * seen.chunks }
      return lab:start("job", tables.merged(job, { raced = raced }), { must_fire = {
        ["backfill.before_write"] = "#1 pause if shard=0",
        ["backfill.after_chunk"] = "kill if shard=0 and chunk=1" } })
    end })
  seen.from = traffic.mark(lab)
  first:await_hit "backfill.before_write"
  at.traffic:deposits("raced", 1, RACED)
  first:wait_exit { signal = "KILL" }
  local died = lab:now()
  local second = lab:start("job", job, { must_fire = {
    ["backfill.before_write"] = "#1 error(planned) if shard=0 and chunk=2" } })
  lab:owed("back", "the job is back at the chunk that it died before",
    function() return second:said("failed")[1] end, "15s")
  seen.lost_s = lab:now() - died
  return { first, second }
end

local function fill(lab, s, at, seen)
  local job, began = at.job, lab:now()
  seen.from = traffic.mark(lab)
  local lives = s.alone and { lab:start("job", job) } or troubled(lab, at, seen, job)
  local done = job_of.finished(lab, lives[#lives])
  seen.done, seen.seconds, seen.sent = done.done, lab:now() - began, job_of.delivered(lives)
  seen.written = s.to == "main" and #seen.sent or job_of.written(lab, job.to)
  seen.read = job_of.read(lives)
  seen.position = rebuild.read_all(lab, s, seen.sent, job.to, at.own)
  seen.to = traffic.mark(lab)
end

local function says(seen)
  local missing, wrong = #seen.unbuilt, #seen.wrong
  if missing + wrong > 0 then
    return ("%d of %d rows empty, %d wrong, the job says done"):format(missing, seen.compared, wrong)
  end
  return ("all %d rows right, live p99 %.0f ms (%.0f ms before), %d rows written"):format(seen.compared,
    seen.during, seen.before, seen.written)
end

local function numbers(lab, seen, lags)
  lab:percentiles("live lag", lags, { 50, 99 }, "records")
  lab:number("live lag, most", math.max(0, table.unpack(lags)), "records")
  lab:number("commit to view before, p99", seen.before, "ms")
  lab:number("commit to view during, p99", seen.during, "ms")
  lab:number("rows read", seen.read)
  lab:number("rows written or sent", seen.written)
  lab:number("the job took", seen.seconds, "s")
  lab:number("rows a second", seen.written / seen.seconds)
  lab:number("lost by the crash", seen.lost_s, "s")
  lab:number("rows without a value", #seen.unbuilt)
  lab:number("rows with a wrong one", #seen.wrong)
  seen.says = says(seen)
  if #seen.unbuilt + #seen.wrong > 0 then lab:anomaly(seen.says) end
end

-- Nobody's preparation is to stand in the others' latency.
local function prepared(lab, s)
  local at = { job = job_settings(lab, s) }
  local live = { batch = 20, workers = 3, consumer = { ["session.timeout.ms"] = "6000" } }
  rebuild.prepare(lab, { function() at.consumer = lab:service("consumer", live) end, function()
    if s.to == "own" and not s.old_timestamps then at.own = rebuild.reader(lab, at.job.to) end
  end })
  lab:together()
  return at
end

local function run(lab, arm)
  local seen, lags, s = rebuild.plan(lab.options.accounts, SHARDS, CHUNK), {}, arm.settings
  local at, apart = prepared(lab, s), seen.accounts // LIVE
  traffic.watch(lab, lags)
  at.traffic = traffic.start(lab, { accounts = LIVE, apart = apart, each = 20, every = "200ms" })
  at.traffic:applied(1)
  local began = traffic.mark(lab)
  at.traffic:applied(BEFORE)
  local calm = traffic.mark(lab)
  fill(lab, s, at, seen)
  seen.ok = at.traffic:stop()
  lab:drain { outbox = false }
  seen.before, seen.during = traffic.delay(lab, began, calm, 99),
    traffic.delay(lab, seen.from, seen.to, 99)
  seen.live, seen.repairs = rebuild.effects(lab)
  seen.raced = not (s.alone or s.to) and rebuild.history(lab, RACED) or nil
  seen = tables.merged(seen, rebuild.compare(lab))
  lab:issued("accounts compared", seen.compared, seen.accounts)
  numbers(lab, seen, lags)
  return seen
end

-- The accounts that an arm leaves without a value, where no live event came to them.
local function not_built(seen, arm)
  local all = { ["original-ids"] = true, ["old-timestamps"] = true, ["older-version"] = true }
  if all[arm.name] then return seen.untouched end
  return arm.name == "failed-is-done" and rebuild.between(seen.untouched, seen.second) or "holds"
end

local function check_job(lab, seen, arm)
  lab.check.equals { name = "says-done", got = seen.done, want = true }:expect "holds"
  if not arm.settings.to then
    lab.check.reorder { of = seen.raced, what = "apply" }
      :expect { ["no-guard"] = "violated", wrong = "holds", right = "holds" }
  end
  lab.check.bound { name = "rebuilt", value = seen.written, what = "written or sent", unit = "rows",
    at_least = seen.accounts - (seen.second[2] - seen.second[1]) - 2 * LIVE, control = seen.compared }
    :expect { ["older-version"] = "violated", wrong = "holds", right = "holds" }
  if arm.settings.read == "oldest" then return end
  lab.check.equals { name = "waits-for-live", got = seen.while_behind, want = 0,
    what = "rows while live traffic lagged", control = seen.written }:expect "holds"
  lab.check.amplification { operations = seen.written, logical = seen.accounts, at_most = AGAIN,
    what = "rows written for one", unit = "rows for one" }
    :expect { ["no-checkpoint"] = "violated", wrong = "holds", right = "holds" }
end

return experiment {
  id = "E-022", title = "Backfill under control",
  question = "How do I replay or rebuild a large read model while live traffic goes on?",
  claim = "Chunks with a checkpoint, a version guard and an eye on the live lag fill every row once.",
  lesson = "Chunks with a checkpoint, versions so that live writes win, a throttle on live lag; and compare \z
    everything at the end: a job that says done has not said what it did.",
  needs = { "kafka", "mysql" }, side_by_side = true, roles = { job = job_of.role }, undisturbed = true,
  telling = { { "not-built + as-the-ledger", "rows empty or wrong" },
    { "commit to view, ms.longest", "slowest live event", "ms", "most", "live-p99" },
    { "lag", "lag", "records", "most" }, { "rows written or sent", "written", "rows", "", "amplification" } },
  arms = {
    wrong "all-at-once" { says = "every account at once into the topic of live events", to = "main",
      shards = 1, chunk = MOST, watch = false, alone = true },
    wrong "no-guard" { says = "writes what it has read, whatever the row's version is by now",
      write = "blind" },
    wrong "original-ids" { says = "sends the old events again, with their ids", to = "main", read = "events",
      alone = true },
    wrong "no-checkpoint" { says = "begins anew after a crash", checkpoint = false },
    wrong "old-timestamps" { says = "a topic of its own, with the time of yesterday's entries", to = "own",
      old_timestamps = true, alone = true },
    wrong "older-version" { says = "guards by the version of the account's oldest entry", read = "oldest" },
    wrong "failed-is-done" { says = "the checkpoint moves over a chunk that failed", skip_failed = true },
    right "chunks" { says = "chunks with a checkpoint, guarded by version, waiting for live traffic" },
    right "own-topic" { says = "the same, sent to a topic and a group of its own", to = "own" },
  },

  options = { accounts = { default = 2500, from = 2500, to = MOST, help = "old rows of the read model" } },
  setup = function(lab) return rebuild.load(lab, lab.options.accounts) end,
  run = run,

  moment = require "rlab.story.moment.rebuild",
  checks = function(lab, seen, arm)
    local s, all = arm.settings, { what = "accounts compared with the ledger", seen = seen.compared }
    lab.check.lost { of = seen.ok, in_ = seen.live, at_least = BEFORE }:expect "holds"
    lab.check.duplicate_effect { of = seen.live, at_least = BEFORE }:expect "holds"
    lab.check.same { name = "not-built", got = seen.unbuilt, want = {}, control = all,
      what = "account without a value" }:expect(not_built(seen, arm))
    lab.check.same { name = "as-the-ledger", got = seen.wrong, want = {}, control = all,
      what = "account with another value" }
      :expect { ["no-guard"] = { tostring(RACED) }, wrong = "holds", right = "holds" }
    if s.to then
      local ids = tables.ids_of(seen.sent)
      lab.check.enough { name = "sent", seen = #ids, at_least = seen.accounts, what = "records of the job" }
      lab.check.gap { of = seen.sent, position = seen.position, delivered = seen.repairs,
        control = { what = "live events applied", seen = #seen.live } }:expect {
        ["original-ids"] = ids, ["old-timestamps"] = ids, wrong = "holds", right = "holds" }
    end
    if not s.alone then check_job(lab, seen, arm) end
    if arm.name ~= "all-at-once" then return end
    lab.check.bound { name = "live-p99", value = seen.during, at_most = SLOWER * seen.before, unit = "ms",
      what = "commit to view during the backfill", why = "5 times what it was before" }:expect "violated"
  end,

  verdict = function(arms)
    local right, flood, again = arms.chunks, arms["all-at-once"], arms["no-checkpoint"]
    if not (right and flood and again) then return nil end
    return ("Everything at once made live events wait %.0f ms (p99), chunks %.0f ms; after a crash %d rows \z
      were written without a checkpoint, %d with one."):format(flood.during, right.during, again.written,
      right.written)
  end,
}
