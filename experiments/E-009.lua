-- E-009: one crash of a leader, seven settings of acks and min.insync.replicas. Which acknowledged records
-- are gone?
-- All live through one fault script: the follower F is frozen, the leader L is sent records and killed.
local acks = require "rlab.story.log.acks"

local N, L, F, X = 20, 1, 2, 3
-- below replica.lag.time.max.ms and the broker session, else F leaves the ISR and nothing is lost
local PAUSE_MAX = 1.5

local REPLICAS = { { X }, { L, F }, { L, F, X } } -- by replication factor

local function acks_are(want) return function(row) return row.acks == want end end

-- F is frozen, L dies with what it has acknowledged.
local function phase_a(lab, matrix, seen)
  matrix:warm_up()
  local frozen = matrix:freeze_follower()
  matrix:send("A", function(row) return row.acks ~= 0 end)
  matrix:wait("A", "1s", acks_are(1))
  frozen.untouched()
  must(must(lab.stack:server("kafka-" .. L)):freeze())
  matrix:send("A", acks_are(0))
  matrix:wait("A", "1s", acks_are(0))
  local killed = lab:kill("kafka-" .. L)
  seen.killed_at = lab:now()
  seen.pause = frozen.thaw(PAUSE_MAX)
  return killed
end

-- F leads; one broker is down.
local function phase_b(lab, matrix, seen)
  seen.failover = matrix:await_leader() - seen.killed_at
  lab:event("the follower leads %.1f s after the kill", seen.failover)
  lab:each(matrix:of "A", function(row)
    matrix:await_isr(row, table.move(row.replicas, 2, #row.replicas, 1, {}), "old leader down")
  end)
  for _, row in ipairs(matrix:of "A") do
    local now = lab:offsets(row.topic, 0)
    if #matrix:outcome(row, "A").acked > 0 and now and now.leo == 1 then
      lab:anomaly("the follower leads without the acknowledged records", { arm = row.name })
    end
  end
  matrix:wait("A", "5s", function(row) return not row.std end)
  matrix:send "B"
  matrix:wait("B", "12s")
  matrix:wait("A", "12s", function(row) return row.phases:find "B" end)
  lab:event "one broker down: every write was acknowledged or refused"
  seen.b_at = lab:now()
  lab:each(matrix:of "B", function(row) matrix:read_back(row) end)
end

-- The old leader comes back, and truncates.
local function phase_c(lab, matrix, killed, seen)
  killed.restart()
  lab:each(matrix.rows, function(row) matrix:await_isr(row, row.replicas, "old leader back", "40s") end)
  lab:event "the old leader is back in every ISR"
  seen.c_at = lab:now()
  lab:each(matrix.rows, function(row)
    lab:settled(row.topic, 0, "10s")
    row.in_topic, row.warm = matrix:read(row)
  end)
end

local function setup(lab)
  local matrix, seen = acks.new(lab, { replicas = REPLICAS, count = N }), { arms = {} }
  for _, row in ipairs(matrix.rows) do lab:watch(function() return row.topic end, 0, row.name) end
  local killed = phase_a(lab, matrix, seen)
  phase_b(lab, matrix, seen)
  phase_c(lab, matrix, killed, seen)
  for _, row in ipairs(matrix.rows) do
    seen.arms[row.name] = matrix:kept(row)
  end
  lab:fact("follower frozen %.0f ms, leader killed, follower leads after %.1f s", seen.pause * 1000,
    seen.failover)
  return seen
end

local function sentence(seen)
  local words, log = {}, bag.from(seen.in_topic)
  if seen.A then
    words[1] = ("crash: %d acked, %d lost"):format(#seen.A.acked, #(bag.from(seen.A.acked) - log))
  end
  if seen.B then
    words[#words + 1] = ("down: %d acked, %d seen"):format(#seen.B.acked,
      #(bag.from(seen.B.acked) & bag.from(seen.seen_b)))
  end
  return table.concat(words, "; ")
end

local function picture(lab, seen)
  local cells = { { offset = 0, kind = "committed", id = "warm" } }
  for i, id in ipairs(seen.A.sent) do
    cells[#cells + 1] = { offset = i, kind = "lost", id = id, label = "acked by L, gone" }
  end
  lab:moment { title = "acks=1: twenty records acknowledged by the leader alone, and gone with it",
    note = "Offsets as the old leader had given them. The follower never fetched them and was elected: \z
      the old leader truncated to its log.",
    partitions = { { topic = seen.topic, partition = 0, cells = cells,
      marks = { low = 0, hw = 1, leo = N + 1 } } } }
end

local function run(lab, arm)
  local seen, shared = lab.shared.arms[arm.name], lab.shared
  acks.numbers(lab, seen)
  lab:number("lost", #(bag.from(acks.acked(seen)) - bag.from(seen.in_topic)), "records")
  lab:number("failover", shared.failover, "s")
  if arm.name == "acks-1-min-isr-2" then
    lab:number("acknowledged and unseen", shared.c_at - shared.b_at, "s")
  end
  if arm.name == "all-min-isr-2" then lab:number("writes refused", shared.c_at - shared.killed_at, "s") end
  if arm.name == "acks-1" then picture(lab, seen) end
  seen.says = sentence(seen)
  return seen
end

local checks = { ["acks-0"] = function() end }

checks["acks-1"] = function(lab, seen)
  lab.check.unseen { name = "unseen-B", of = seen.B.sent, seen = seen.seen_b }:expect "holds"
end

checks["acks-1-min-isr-2"] = function(lab, seen)
  lab.check.unseen { name = "unseen-B", of = seen.B.acked, seen = seen.seen_b,
    control = { what = "the first record on this reader", seen = seen.warm_b } }:expect(seen.B.sent)
  lab.check.unseen { name = "unseen-after", of = seen.B.sent, seen = seen.in_topic }:expect "holds"
  lab.check.agree { { "hw-at-end-of-B", seen.hw_b, 1, "is the HW at the end of B" },
    { "leo-at-end-of-B", seen.leo_b, N + 1, "is the LEO at the end of B" } }
end

checks["all-rf-1"] = function(lab, seen)
  lab.check.agree { { "acked-B", #seen.B.acked, N, "records acknowledged" } }
end

checks["all-min-isr-2"] = function(lab, seen)
  lab.check.same { name = "refused-but-there", got = acks.refused_but_there(seen), want = {},
    what = "refused records in the topic", control = acks.sent(seen) }:expect "holds"
  lab.check.agree { { "acked", #acks.acked(seen), 0, "records acknowledged", control = acks.sent(seen) },
    { "refused-B", acks.codes(seen.B).NOT_ENOUGH_REPLICAS or 0, N,
      "records refused with NOT_ENOUGH_REPLICAS (19)" } }
end

checks["all-min-isr-1"] = function(lab, seen)
  lab.check.agree { { "acked-A", #seen.A.acked, 0, "records acknowledged while F is in the ISR",
    control = acks.sent(seen) },
    { "acked-B", #seen.B.acked, N, "records acknowledged by one replica" } }
end

checks["all-min-isr-2-rf-3"] = function(lab, seen)
  lab.check.agree { { "acked", #acks.acked(seen), 2 * N, "records acknowledged" } }
  lab.check.duplicate { of = seen.in_topic }:expect "holds"
end

return experiment {
  id = "E-009", title = "acks x min.insync.replicas x in-sync replicas",
  question = "Which settings can lose a record the producer saw acknowledged?",
  claim = "Only acks=all with min.insync.replicas >= 2 lost no acknowledged record; the price is refused \z
    writes.",
  lesson = "Only acks=all with min.insync.replicas >= 2 lost no acknowledged record; the price is refused \z
    writes.",
  needs = { "kafka" }, seconds = 15,
  disrupts = true, -- kills a broker, whose start takes the machine
  limit = "120s",
  telling = { { "lost", "acknowledged records lost" }, { "unseen-B", "acknowledged records not seen" } },
  arms = {
    wrong "acks-0" { says = "acks=0, min ISR 1", acks = 0, min_isr = 1, replication_factor = 2 },
    wrong "acks-1" { says = "acks=1, min ISR 1", acks = 1, min_isr = 1, replication_factor = 2 },
    wrong "acks-1-min-isr-2" { says = "acks=1, min ISR 2: the minimum is not asked for acks=1", acks = 1,
      min_isr = 2, replication_factor = 2 },
    right "all-min-isr-2" { says = "acks=all, min ISR 2, two replicas: refuses rather than loses",
      acks = "all", min_isr = 2, replication_factor = 2 },
    right "all-min-isr-2-rf-3" { says = "acks=all, min ISR 2, three replicas, retries: the standard",
      acks = "all", min_isr = 2, replication_factor = 3 },
    observe "all-min-isr-1" { says = "acks=all, min ISR 1: acknowledged by one replica alone",
      acks = "all", min_isr = 1, replication_factor = 2 },
    observe "all-rf-1" { says = "acks=all, min ISR 2 on one replica: the effective minimum is 1",
      acks = "all", min_isr = 2, replication_factor = 1 },
  },

  setup = setup,

  run = run,

  moment = require "rlab.story.moment.acks",
  checks = function(lab, seen, arm)
    checks[arm.name](lab, seen)
    acks.check_accounted(lab, seen, arm)
    lab.check.lost { of = acks.acked(seen), in_ = seen.in_topic, control = acks.sent(seen) }
      :expect { wrong = seen.A and seen.A.sent, right = "holds", observe = "holds" }
  end,

  verdict = function(arms)
    local wrong, right = arms["acks-1"], arms["all-min-isr-2-rf-3"]
    if not (wrong and right) then return nil end
    return ("acks=1 lost %d of %d acknowledged records in one leader crash; acks=all with \z
      min.insync.replicas 2 lost none of %d."):format(
      #(bag.from(wrong.A.acked) - bag.from(wrong.in_topic)), #wrong.A.acked,
      #right.A.acked + #right.B.acked)
  end,
}
