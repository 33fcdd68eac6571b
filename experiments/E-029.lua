-- E-029: the only replica in the ISR dies with what it has acknowledged. Somebody elects the other one. What
-- is gone, who has acted on it, and who hears of it?
local acks = require "rlab.story.log.acks"
local batch = require "rlab.story.batch"
local hanging = require "rlab.story.log.hanging"
local unclean = require "rlab.story.log.unclean"

local N, L, F = 20, 1, 2
local REPLICAS = { nil, { L, F } }
local IN_TRANSACTION = batch.ids("tx-", 5)
local POLICIES = { "latest", "earliest", "error" }

local function row_named(matrix, name)
  for _, row in ipairs(matrix.rows) do
    if row.name == name then return row end
  end
end

local function all_read(readers, n)
  for _, reset in ipairs(POLICIES) do
    if #readers:effects(reset) < n then return false end
  end
  return true
end

-- F is out of every ISR; what L acknowledges then it has alone. The readers get it, too.
local function alone(lab, matrix, readers, transaction, seen)
  local frozen, from = lab:freeze("kafka-" .. F), lab:now()
  lab:each(matrix.rows, function(row) matrix:await_isr(row, { L }, "F is frozen", "20s") end)
  seen.shrunk = lab:now() - from
  lab:event("the ISR is {%d} after %.1f s", L, seen.shrunk)
  matrix:send "A"
  matrix:wait("A", "10s")
  transaction:commit(L)
  lab:await("the readers have what L acknowledged", function() return all_read(readers, N + 1) end)
  local killed = lab:kill("kafka-" .. L)
  frozen.thaw()
  return killed
end

-- One topic is taken back by force, one waits, and one needs nobody: F stayed eligible (KIP-966).
local function without_leader(lab, matrix, readers, transaction, seen)
  local from, taken, waits = lab:now(), row_named(matrix, "elects-unclean"), row_named(matrix, "waits")
  for _, row in ipairs { taken, waits } do unclean.await_offline(lab, row.topic) end
  lab:event("two partitions have no leader, %.1f s after the kill", lab:now() - from)
  unclean.elect(lab, taken.topic, F)
  seen.elected = lab:now() - from
  unclean.elect(lab, transaction.topic, F)
  local eligible = row_named(matrix, "min-isr-2")
  lab:await("the eligible replica leads", function() return unclean.leader(lab, eligible.topic) == F end,
    "20s")
  matrix:send "B"
  matrix:wait("B", "10s")
  lab:within("10s", function()
    return readers:told "error" > 0 and #readers:effects "latest" > 2 * N
      and #readers:effects "earliest" > 2 * N
  end)
  seen.transaction = transaction:look()
  for _, row in ipairs(matrix.rows) do row.leader_then = unclean.leader(lab, row.topic) end
  lab:anomaly("F leads without the acknowledged records", { arm = taken.name })
end

local function keep(lab, matrix, readers, seen)
  for _, row in ipairs(matrix.rows) do
    lab:settled(row.topic, 0, "20s")
    row.in_topic, row.warm = matrix:read(row)
    local kept = matrix:kept(row)
    kept.leader_then, seen.arms[row.name] = row.leader_then, kept
  end
  local taken = seen.arms["elects-unclean"]
  for _, reset in ipairs(POLICIES) do
    seen.readers[reset] = { effects = readers:effects(reset), told = readers:told(reset),
      in_topic = taken.in_topic, warm = taken.warm, A = taken.A, B = taken.B }
  end
end

local function setup(lab)
  local matrix, seen = acks.new(lab, { replicas = REPLICAS, count = N }), { arms = {}, readers = {} }
  for _, row in ipairs(matrix.rows) do lab:watch(function() return row.topic end, 0, row.name) end
  matrix:warm_up()
  local readers = unclean.readers(lab, row_named(matrix, "elects-unclean").topic, POLICIES)
  local transaction = hanging.begin(lab, REPLICAS[2], IN_TRANSACTION)
  local killed, from = alone(lab, matrix, readers, transaction, seen), lab:now()
  without_leader(lab, matrix, readers, transaction, seen)
  killed.restart()
  lab:each(matrix.rows, function(row) matrix:await_isr(row, row.replicas, "L is back", "80s") end)
  seen.back = lab:now() - from
  keep(lab, matrix, readers, seen)
  lab:fact("leader L alone in the ISR %.1f s after follower F froze; L killed; F elected unclean after \z
    %.1f s; L back after %.1f s", seen.shrunk, seen.elected, seen.back)
  return seen
end

local function lost(seen) return bag.from(acks.acked(seen)) - bag.from(seen.in_topic) end

local function foreign(seen) return bag.from(seen.effects) - bag.from(seen.in_topic) - bag.from { "warm" } end

local function says_of_reader(seen)
  return ("%d effects of records that are gone; %s"):format(#foreign(seen),
    seen.told > 0 and "told so (-140), it stands still" or "goes on without a word")
end

local function says(seen)
  if seen.leader_then == 0 then
    return ("no leader until L was back: %d acked, %d refused, %d lost"):format(#acks.acked(seen),
      #seen.B.refused, #lost(seen))
  end
  return ("%d acked before the crash, %d of them lost"):format(#seen.A.acked, #lost(seen))
end

local function run(lab, arm)
  local shared, reset, aborted = lab.shared, arm.settings.reset, arm.settings.aborted
  if aborted ~= nil then
    local seen = hanging.of_arm(shared.transaction, aborted)
    lab:number("without a word", seen.hidden, "records")
    return seen
  end
  local seen = reset and shared.readers[reset] or shared.arms[arm.name]
  if reset then
    lab:number("effects without a record", #foreign(seen))
    lab:number("told", seen.told, "times")
    lab:number("without a word", seen.told > 0 and 0 or #foreign(seen), "records")
    seen.says = says_of_reader(seen)
    return seen
  end
  acks.numbers(lab, seen)
  lab:number("lost", #lost(seen), "records")
  lab:number("without a word", #lost(seen), "records")
  if arm.name == "waits" then lab:number("without a leader", shared.back, "s") end
  seen.says = says(seen)
  return seen
end

local function check_reader(lab, seen, arm)
  lab.check.phantom { name = "effects-of-nothing", of = bag.from(seen.effects) - bag.from { "warm" },
    in_ = seen.in_topic }:expect(seen.A.sent)
  lab.check.unseen { of = seen.B.acked, seen = seen.effects, log = seen.in_topic }
    :expect { wrong = "holds", right = seen.B.acked } -- who is told stands still
  lab.check.equals { name = "told", got = seen.told > 0, want = arm.class == "right",
    what = "is whether the reader was told", control = #seen.effects }:expect "holds"
end

return experiment {
  id = "E-029", title = "An unclean election truncates",
  question = "The only in-sync replica is dead. What does it cost to elect the other one?",
  claim = "All that was acknowledged by the dead one alone, and what was done with it stays done. A reader \z
    hears of it only with auto.offset.reset=error.",
  lesson = "min.insync.replicas=2: what one replica has alone is never acknowledged, and the other may be \z
    elected. With 1, wait for the broker, or know what you throw away.",
  needs = { "kafka", "mysql" }, seconds = 18,
  disrupts = true, faults = { kafka = { "freeze", "kill" } }, -- two of three brokers are out for some seconds
  limit = "180s",
  telling = { { "without a word", "records gone or hidden, and nobody was told" },
    { "effects-of-nothing", "effects of lost records" }, { "unseen", "records not read" } },
  arms = {
    wrong "elects-unclean" { says = "min ISR 1; the replica that was behind is elected", acks = "all",
      min_isr = 1, replication_factor = 2 },
    wrong "reader-latest" { says = "a reader of it, auto.offset.reset=latest", reset = "latest" },
    wrong "reader-earliest" { says = "a reader of it, auto.offset.reset=earliest", reset = "earliest" },
    wrong "transaction-hangs" { says = "a commit whose marker is lost hides what is written behind it",
      aborted = false },
    right "waits" { says = "min ISR 1; nobody is elected until the leader is back", acks = "all",
      min_isr = 1, replication_factor = 2 },
    right "min-isr-2" { says = "nothing is acknowledged by one replica alone; the other is elected cleanly",
      acks = "all", min_isr = 2, replication_factor = 2 },
    right "reader-error" { says = "a reader of it, auto.offset.reset=error", reset = "error" },
    right "transaction-aborted" { says = "the same, found and aborted", aborted = true },
  },

  setup = setup,
  run = run,

  moment = require "rlab.story.moment.unclean",
  checks = function(lab, seen, arm)
    if arm.settings.aborted ~= nil then return hanging.check(lab, seen) end
    if arm.settings.reset then return check_reader(lab, seen, arm) end
    local min_isr_1 = arm.settings.min_isr == 1
    lab.check.lost { of = acks.acked(seen), in_ = seen.in_topic, control = acks.sent(seen) }
      :expect { wrong = seen.A.sent, right = "holds" }
    acks.check_accounted(lab, seen, arm)
    lab.check.same { name = "refused-but-there", got = acks.refused_but_there(seen), want = {},
      what = "refused records in the topic", control = acks.sent(seen) }:expect "holds"
    lab.check.agree { { "acked-A", #seen.A.acked, min_isr_1 and N or 0,
      "records acknowledged while L is alone in the ISR", control = acks.sent(seen) },
      { "acked-B", #seen.B.acked, arm.class == "wrong" and N or 0,
        "records acknowledged while L is dead", control = acks.sent(seen) },
      { "leader", seen.leader_then, arm.name == "waits" and 0 or F, "is the leader while L is dead",
        control = acks.sent(seen) } }
  end,

  verdict = function(arms)
    local taken, waits, two, reader = arms["elects-unclean"], arms.waits, arms["min-isr-2"],
      arms["reader-latest"]
    if not (taken and waits and two and reader) then return nil end
    return ("An unclean election lost %d of %d acknowledged records, and %d effects of them stayed; who \z
      waited lost %d, and min.insync.replicas 2 had acknowledged %d."):format(#lost(taken), #taken.A.acked,
      #foreign(reader), #lost(waits), #two.A.acked)
  end,
}
