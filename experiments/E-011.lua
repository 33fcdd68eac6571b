-- E-011: nine of ten reads of a Redis Cluster ask for one key, and the master that has it stands still for a
-- moment. Who else suffers, and what spreads the load?
local hot_key = require "rlab.story.hot_key"
local hot_partition = require "rlab.story.hot_partition"
local valkey = require "rlab.story.own.valkey"

local RATE, COLD, FREEZE = 1000, 300, 0.8 -- reads a second; keys with a tenth of them; seconds, after a third
local FEW = 0.2 -- reads of Redis for one that was asked for

-- Of all reads that came while the master stood still: how many of its own keys' failed.
local function blast(seen)
  local asked = seen.there.asked + seen.elsewhere.asked
  return asked > 0 and seen.there.failed / asked or nil
end

local function percent(share) return share and ("%.0f %%"):format(100 * share) or "nobody knows how many" end

local function says(seen)
  return ("busiest node: %s of the GETs; frozen: %s of all reads fail with it, %d of %d elsewhere"):format(
    percent(seen.most / seen.calls), percent(blast(seen)), seen.elsewhere.failed, seen.elsewhere.asked)
end

local function numbers(lab, seen)
  lab:number("busiest node", 100 * seen.most / seen.calls, "%")
  lab:number("by its slots", seen.slots and 100 * seen.slots.most, "%")
  lab:number("GETs for one read", seen.calls / seen.asked)
  lab:number("failed with the frozen node", 100 * (blast(seen) or 0 / 0), "%")
  lab:number("failed elsewhere", seen.elsewhere.failed)
  lab:number("failed in all", seen.failed)
  lab:number("oldest answer", seen.staleness.oldest, "ms")
end

local function schedule(lab)
  return { reads = lab.options.reads, rate = RATE, cold = COLD, freeze = FREEZE }
end

local stories = {}

function stories.redis(lab, arm)
  local seen = hot_key.run(lab, arm.settings, schedule(lab))
  numbers(lab, seen)
  seen.says = says(seen)
  if arm.class == "wrong" then lab:anomaly(seen.says) end
  return seen
end

function stories.kafka(lab)
  local plan = hot_key.plan(lab, hot_key.place(lab, 1, COLD), lab.options.reads)
  local seen = hot_partition.run(lab, plan, RATE)
  seen.says = ("one partition has %s of the records; it lags by %d, the others by %d"):format(
    percent(seen.most / seen.records), seen.lag, seen.others)
  return seen
end

-- A server that counts by slot, too; nobody stands still.
function stories.slots(lab)
  valkey.open(lab)
  local seen = hot_key.shares(lab, schedule(lab))
  local slots = seen.slots or {}
  lab:number("busiest node", 100 * seen.most / seen.calls, "%")
  lab:number("by its slots", slots.most and 100 * slots.most, "%")
  seen.says = ("busiest node: %s of the GETs, %s of the bytes by slot; the busiest slot is %s"):format(
    percent(seen.most / seen.calls), percent(slots.most), slots.busiest == slots.hot and "the hot key's"
    or "another one's")
  return seen
end

local checks = {}

-- What must have been seen before anything is judged.
local function check_floors(lab, seen, arm)
  local floors = { { "calls", seen.calls, seen.before * (arm.settings.kept and 0.05 or 0.8), "GETs by INFO" },
    { "there", seen.there.asked, RATE * FREEZE / 10, "reads of the frozen node's keys" },
    { "elsewhere", seen.elsewhere.asked, 15, "reads of other nodes' keys" },
    { "timeouts", seen.timeouts, 5, "timeouts at the frozen node" },
    { "writes", seen.writes, 20, "versions written" } }
  for _, row in ipairs(floors) do
    lab.check.enough { name = "enough-" .. row[1], seen = row[2], at_least = row[3], unit = row[4] }
  end
end

-- Two counters of the server, by command and by slot, say the same.
local function check_slots(lab, seen)
  local slots, share = seen.slots or {}, seen.most / seen.calls
  lab.check.bound { name = "slots-agree", value = slots.most and math.abs(share - slots.most), at_most = 0.05,
    what = "the busiest node's share of the GETs and of its slots' bytes differ by", control = seen.calls }
    :expect "holds"
  lab.check.agree { { "hot-slot", slots.busiest, slots.hot, "is the busiest slot" } }
end

local function check_one_node(lab, share)
  lab.check.bound { name = "one-node", value = share, at_least = 0.85,
    what = "the busiest node's share of the GETs is" }:expect "holds"
end

local function check_share(lab, seen, arm)
  if arm.settings.kept then
    return lab.check.amplification { operations = seen.calls, logical = seen.asked, at_most = FEW,
      what = "GETs for one read", unit = "GETs" }:expect "holds"
  end
  local share = hot_key.busiest_of(seen.nodes) / seen.calls
  local busiest = lab.check.bound { name = "busiest-node", value = share, at_most = 0.5,
    what = "its share of the GETs is", unit = "of 1" }:expect { wrong = "violated", right = "holds" }
  -- Who did not answer once is passed over for a while.
  if arm.settings.replicas and seen.missed then busiest:explained_by(seen.missed, hot_key.PATIENCE) end
  if arm.class == "wrong" then check_one_node(lab, share) end
  if arm.class == "wrong" and seen.slots then check_slots(lab, seen) end
end

local function check_blast(lab, seen, arm)
  local wrong, failed = arm.class == "wrong", blast(seen)
  local say, at = "of all reads failed with the frozen node:", seen.there.asked
  if wrong or arm.settings.survives then
    lab.check.bound { name = "blast", value = failed, at_most = 0.5, control = at, what = say, unit = "of 1" }
      :expect { wrong = "violated", right = "holds" }:explained_by(seen.frozen, FREEZE / 2)
  end
  if not wrong then return end
  lab.check.bound { name = "nearly-all", value = failed, at_least = 0.85, what = say }:expect "holds"
end

-- That none fails is a matter of time, too; that most of them do is one of pools.
local function check_elsewhere(lab, seen)
  local row = seen.elsewhere
  local want = { ["shared-pool"] = "violated", wrong = "holds", right = "holds" }
  lab.check.equals { name = "none-elsewhere", got = row.failed, want = 0, control = row.asked,
    what = "reads of other nodes' keys failed", unit = "reads" }
    :expect(want):explained_by(seen.frozen, hot_key.PATIENCE)
  lab.check.bound { name = "most-elsewhere", value = row.failed / row.asked, at_most = 0.5,
    control = row.asked, unit = "of 1", what = "of the reads of other nodes' keys failed:" }:expect(want)
    :explained_by(seen.frozen, FREEZE / 2)
end

function checks.redis(lab, seen, arm)
  check_floors(lab, seen, arm)
  check_share(lab, seen, arm)
  check_blast(lab, seen, arm)
  check_elsewhere(lab, seen)
  if arm.settings.replicas then return end -- they follow without a promise
  local age = lab.check.bound { name = "staleness", value = seen.staleness.oldest, at_most = 100,
    unit = "ms", what = "the oldest answer was", control = seen.staleness.answers }
  age:expect "holds"
  age.limit_s = nil -- a slow machine makes no answer older: its age ends where it was asked for
end

function checks.slots(lab, seen)
  lab.check.enough { name = "enough-calls", seen = seen.calls, at_least = seen.before * 0.8,
    unit = "GETs by INFO" }
  check_one_node(lab, seen.most / seen.calls)
  check_slots(lab, seen)
end

function checks.kafka(lab, seen)
  lab.check.enough { name = "records", seen = seen.records, at_least = seen.due, unit = "records" }
  lab.check.bound { name = "one-partition", value = seen.most / seen.records, at_least = 0.85,
    what = "the busiest partition's share of the records is" }:expect "holds"
  lab.check.bound { name = "its-lag", value = seen.lag / math.max(1, seen.lag + seen.others), at_least = 0.85,
    what = "its share of the lag is" }:expect "holds"
end

return experiment {
  id = "E-011", title = "Hot key, hot shard",
  question = "What does one very popular key do to the other keys, and which fix spreads it?",
  claim = "A cluster does not share one key's load; copies of the key or of its value do, and a pool for \z
    each node saves the cold keys.",
  lesson = "Split a hot key over the masters, or answer it from the process for 100 ms; give each node a \z
    pool of its own, and judge by the share of each node, not by the sum.",
  needs = { "kafka", "redis-cluster" }, disrupts = true,
  side_by_side = { { "by-slot", "kafka-key" } }, -- nobody stands still there
  telling = { { "busiest node + busiest partition", "share of the busiest", "%" },
    { "failed with the frozen node", "of reads failed", "%" }, { "failed elsewhere", "failed elsewhere" } },
  arms = {
    wrong "pool-per-node" { says = "one key takes nine of ten reads; each node has a pool of workers" },
    wrong "shared-pool" { says = "the same with one pool for all nodes", pool = "shared" },
    right "split-key" { says = "eight copies over the masters: one is read at random, all are written",
      copies = 8, survives = true },
    right "local-copy" { says = "a value is answered from the process for 100 ms", kept = true },
    right "replica-reads" { says = "READONLY: the master and its replica in turns", replicas = true,
      survives = true },
    observe "by-slot" { says = "the first one on three Valkey nodes, which count by slot, too",
      story = "slots" },
    observe "kafka-key" { says = "the same keys in a topic of three partitions", story = "kafka" },
  },

  options = { reads = { default = 3000, from = 3000, to = 6000, help = "reads of each schedule" } },
  run = function(lab, arm) return stories[arm.settings.story or "redis"](lab, arm) end,

  checks = function(lab, seen, arm) checks[arm.settings.story or "redis"](lab, seen, arm) end,
  moment = require "rlab.story.moment.hot_key",

  verdict = function(arms)
    local one, shared, split, kept = arms["pool-per-node"], arms["shared-pool"], arms["split-key"],
      arms["local-copy"]
    if not (one and shared and split and kept) then return nil end
    return ("One key put %s of the reads on one node, and %s of them failed while it stood still; with one \z
      pool for all nodes so did %d of %d of cold keys elsewhere. Split in eight: %s and %s."):format(
      percent(one.most / one.calls), percent(blast(one)), shared.elsewhere.failed,
      shared.elsewhere.asked, percent(split.most / split.calls), percent(blast(split)))
  end,
}
