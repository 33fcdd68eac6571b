-- E-009: one crash of a leader, seven settings of acks and min.insync.replicas. Which acknowledged records
-- are gone?
-- The whole matrix lives through one fault script: the follower F is frozen, records are sent to the leader
-- L, L is killed, F goes on and leads.
local N, L, F, X = 20, 1, 2, 3
-- below replica.lag.time.max.ms and the broker session, else F leaves the ISR and nothing is lost
local PAUSE_MAX = 1.5

-- retries off where the broker's own error code is to be seen; R2 keeps the standard profile
local bare = { retries = 0, enable_idempotence = false, message_timeout_ms = 2500, linger_ms = 0 }
local rows = {
  { name = "acks-0", acks = 0, min_isr = 1, replicas = { L, F }, phases = "A" },
  { name = "acks-1", acks = 1, min_isr = 1, replicas = { L, F }, phases = "AB" },
  { name = "acks-1-min-isr-2", acks = 1, min_isr = 2, replicas = { L, F }, phases = "AB" },
  { name = "all-rf-1", acks = "all", min_isr = 2, replicas = { X }, phases = "B" },
  { name = "all-min-isr-2", acks = "all", min_isr = 2, replicas = { L, F }, phases = "AB" },
  { name = "all-min-isr-1", acks = "all", min_isr = 1, replicas = { L, F }, phases = "AB" },
  { name = "all-min-isr-2-rf-3", acks = "all", min_isr = 2, replicas = { L, F, X }, phases = "AB",
    std = true },
}

local function producer_for(lab, row)
  if row.std then return lab:producer { message_timeout_ms = 10000, linger_ms = 0 } end
  local settings = { acks = row.acks, socket_nagle_disable = true }
  for key, value in pairs(bare) do settings[key] = value end
  return lab:producer(settings)
end

-- How many records of a phase each arm must have sent for its verdict to mean something.
local function issued(lab, row, phase)
  lab:issued(("%s, phase %s"):format(row.name, phase), #row.sent[phase], N)
end

local function prepare(lab, row)
  row.topic = lab:topic(row.name, { assignment = { row.replicas }, min_isr = row.min_isr })
  row.producer = producer_for(lab, row)
  row.sent, row.deliveries = {}, {}
  must(row.producer:send { topic = row.topic, partition = 0, value = "warm" })
end

local function send(lab, row, phase)
  local list, ids = {}, {}
  for i = 1, N do
    ids[i] = ("%s%02d"):format(phase, i)
    list[i] = { topic = row.topic, partition = 0, key = "k", value = ids[i] }
  end
  row.sent[phase] = ids
  issued(lab, row, phase)
  lab:invoke(row.name, "send", ids)
  row.deliveries[phase] = must(row.producer:submit(list))
end

-- What became of the records of a phase: acknowledged ids, and the others with the client's error and
-- persistence status.
local function outcome(row, phase)
  local deliveries, result = row.deliveries[phase],
    { sent = row.sent[phase], acked = {}, refused = {}, codes = {}, last = 0 }
  for i, id in ipairs(row.sent[phase]) do
    local report = deliveries[i]
    if report and report.status == "PERSISTED" or (report and not report.name and row.acks == 0) then
      result.acked[#result.acked + 1] = id
    else
      local name = report and report.name or "PENDING"
      result.codes[name] = (result.codes[name] or 0) + 1
      local status = report and report.status or "POSSIBLY_PERSISTED"
      result.refused[#result.refused + 1] = { id = id, code = name, status = status }
      result[status] = result[status] or {}
      table.insert(result[status], id)
    end
  end
  return result
end

-- The history: what was acknowledged, what was refused, and what is unknown because it may have been written.
local function write_outcomes(lab, row, phase)
  local result = outcome(row, phase)
  for _, kind in ipairs { { "ok", "acked" }, { "fail", "NOT_PERSISTED" },
    { "info", "POSSIBLY_PERSISTED" } } do
    local ids = result[kind[2]]
    if ids and #ids > 0 then
      lab:outcome(kind[1], row.name, "send", ids, kind[1] ~= "ok" and kind[2] or nil)
    end
  end
  return result
end

local function of_phase(phase)
  local list = {}
  for _, row in ipairs(rows) do
    if row.phases:find(phase) then list[#list + 1] = row end
  end
  return list
end

local function values(census)
  local list = {}
  for _, record in ipairs(census.records) do
    if record.value ~= "warm" and record.value ~= "plug" then list[#list + 1] = record.value end
  end
  return list
end

-- Leader, epoch and ISR as the brokers tell them, after each step of the story.
local function note_position(lab, row, step)
  local now = must(lab:partition(row.topic, 0))
  row.positions = row.positions or {}
  row.positions[step] = { leader = now.leader, epoch = now.epoch, isr = now.isr }
end

local function at_follower(lab, topic)
  local now = lab:offsets(topic, 0)
  return now and now.leo_by and now.leo_by[F] == 1
end

-- The gate: both replicas hold the first record, and F follows every partition, the plug's too.
local function warm_up(lab)
  local plug = { name = "plug", acks = 1, min_isr = 1, replicas = { L, F } }
  local all = table.move(rows, 1, #rows, 2, { plug })
  lab:each(all, function(row) prepare(lab, row) end)
  lab:each(all, function(row)
    lab:await("ISR complete: " .. row.name, function() return lab:isr_is(row.topic, row.replicas) end)
    note_position(lab, row, "before")
    if row.positions.before.leader ~= row.replicas[1] then
      lab:give_up("%s is led by %d", row.name, row.positions.before.leader)
    end
    if #row.replicas == 2 then
      lab:await("first record on F: " .. row.name, function() return at_follower(lab, row.topic) end)
    end
  end)
  return plug
end

-- Freezing a follower leaks one batch: its open fetch is answered into its socket buffer. The plug record
-- takes that place, seen in the Recv-Q.
local function plug_the_fetch(lab, plug, frozen_pid, leader_port)
  must(plug.producer:send { topic = plug.topic, partition = 0, value = "plug" })
  return lab:await("the plug's answer in F's socket", function()
    local queued = process.recv_queue(frozen_pid, leader_port)
    return queued > 0 and queued
  end, "500ms")
end

local function phase_a(lab, seen)
  local plug = warm_up(lab)
  local f, l = must(lab.stack:server("kafka-" .. F)), must(lab.stack:server("kafka-" .. L))
  local port
  for _, node in ipairs(lab.stack.kafka.nodes) do
    if node.id == L then port = node.inter_port end
  end
  local frozen = lab:freeze("kafka-" .. F)
  local from = lab:now()
  local plugged = lab:fault "plug in the frozen follower's open fetch"
  local queued = plug_the_fetch(lab, plug, f.pid, port)
  for _, row in ipairs(of_phase "A") do
    if row.acks ~= 0 then send(lab, row, "A") end
  end
  for _, row in ipairs(rows) do
    if row.acks == 1 then row.deliveries.A:wait "1s" end
  end
  local after = process.recv_queue(f.pid, port)
  if after ~= queued then
    lab:give_up("the frozen follower's socket grew from %d to %d bytes: a batch leaked to it", queued, after)
  end
  plugged:fired("Recv-Q %d bytes, unchanged by the records behind it", queued):over()
  must(l:freeze())
  send(lab, rows[1], "A")
  rows[1].deliveries.A:wait "1s"
  local killed = lab:kill("kafka-" .. L)
  seen.killed_at = lab:now()
  frozen.thaw()
  seen.pause = lab:now() - from
  if seen.pause > PAUSE_MAX then
    lab:give_up("F was frozen %.1f s, longer than %.1f s: the machine is too busy (load %s); run it again \z
      when it is quieter", seen.pause, PAUSE_MAX,
      (fs.read "/proc/loadavg" or "unknown"):match "^%S+")
  end
  lab:event("the follower held %d bytes it never read; frozen for %.0f ms", queued, seen.pause * 1000)
  return killed
end

local function leads(lab, row)
  local part = lab:partition(row.topic, 0)
  return part and part.leader == F
end

local function phase_b(lab, seen)
  for _, row in ipairs(rows) do
    if #row.replicas > 1 then
      lab:await("leader = F: " .. row.name, function() return leads(lab, row) end, "15s")
    end
  end
  seen.failover = lab:now() - seen.killed_at
  lab:event("the follower leads %.1f s after the kill", seen.failover)
  lab:each(of_phase "A", function(row)
    lab:await("old leader out of the ISR: " .. row.name,
      function() return lab:isr_is(row.topic, table.move(row.replicas, 2, #row.replicas, 1, {})) end)
    note_position(lab, row, "old leader down")
  end)
  for _, row in ipairs(of_phase "A") do
    local now = lab:offsets(row.topic, 0)
    if #outcome(row, "A").acked > 0 and now and now.leo == 1 then
      lab:anomaly("the follower leads without the acknowledged records", { arm = row.name })
    end
  end
  for _, row in ipairs(of_phase "A") do
    if not row.std then row.deliveries.A:wait "5s" end
  end
  for _, row in ipairs(of_phase "B") do send(lab, row, "B") end
  for _, row in ipairs(of_phase "B") do
    row.deliveries.B:wait "12s"
    if row.deliveries.A then row.deliveries.A:wait "12s" end
  end
  lab:event "one broker down: every write was acknowledged or refused"
  seen.b_at = lab:now()
  lab:each(of_phase "B", function(row)
    local now = lab:within("2s", function()
      local marks = lab:offsets(row.topic, 0)
      return marks and marks.hw and marks.leo and marks
    end) or {}
    row.hw_b, row.leo_b = now.hw, now.leo
    row.seen_b = values(lab:read(row.topic, { isolation = "read_uncommitted" }))
  end)
end

local function phase_c(lab, killed, seen)
  killed.restart()
  lab:each(rows, function(row)
    lab:await("ISR complete again: " .. row.name, function() return lab:isr_is(row.topic, row.replicas) end,
      "40s")
    note_position(lab, row, "old leader back")
  end)
  lab:event "the old leader is back in every ISR"
  seen.c_at = lab:now()
  lab:each(rows, function(row)
    lab:settled(row.topic, 0, "10s")
    row.in_topic = values(lab:read(row.topic, { isolation = "read_uncommitted" }))
  end)
end

local function setup(lab)
  local seen = { arms = {} }
  for _, row in ipairs(rows) do
    lab:watch(function() return row.topic end, 0, row.name)
  end
  local killed = phase_a(lab, seen)
  phase_b(lab, seen)
  phase_c(lab, killed, seen)
  for _, row in ipairs(rows) do
    seen.arms[row.name] = { topic = row.topic, in_topic = row.in_topic, seen_b = row.seen_b,
      hw_b = row.hw_b, leo_b = row.leo_b,
      positions = row.positions,
      A = row.sent.A and write_outcomes(lab, row, "A"), B = row.sent.B and write_outcomes(lab, row, "B") }
  end
  lab:fact("follower frozen %.0f ms, leader killed, follower leads after %.1f s", seen.pause * 1000,
    seen.failover)
  return seen
end

local function codes_of(phase)
  local list = {}
  for name, count in pairs(phase.codes) do list[#list + 1] = ("%d x %s"):format(count, name) end
  table.sort(list)
  return table.concat(list, ", ")
end

local function sentence(seen)
  local words = {}
  if seen.A then
    words[1] = ("crash: %d acked, %d lost"):format(#seen.A.acked,
      #(bag.from(seen.A.acked) - bag.from(seen.in_topic)))
  end
  if seen.B then
    words[#words + 1] = ("down: %d acked, %d seen"):format(#seen.B.acked,
      #(bag.from(seen.B.acked) & bag.from(seen.seen_b)))
  end
  return table.concat(words, "; ")
end

local function all_acked(seen)
  local list = {}
  for _, phase in ipairs { seen.A or {}, seen.B or {} } do
    for _, id in ipairs(phase.acked or {}) do list[#list + 1] = id end
  end
  return list
end

local function picture(lab, seen)
  local cells = { { offset = 0, kind = "committed", id = "warm" } }
  for i, id in ipairs(seen.A.sent) do
    cells[#cells + 1] = { offset = i, kind = "lost", id = id, label = "acked by L, gone" }
  end
  lab:moment {
    title = "acks=1: twenty records acknowledged by the leader alone, and gone with it",
    note = "Offsets as the old leader had given them. The follower never fetched them and was elected: \z
      the old leader truncated to its log.",
    partitions = { { topic = seen.topic, partition = 0, cells = cells,
      marks = { low = 0, hw = 1, leo = N + 1 } } },
  }
end

-- Records the broker refused before they were written must not be in the topic; POSSIBLY_PERSISTED ones may
-- be.
local function refused_but_there(seen)
  local there, list = bag.from(seen.in_topic), {}
  for _, phase in ipairs { seen.A, seen.B } do
    for _, one in ipairs(phase.refused) do
      if one.status == "NOT_PERSISTED" and there:count(one.id) > 0 then list[#list + 1] = one.id end
    end
  end
  return list
end

local checks = {}

checks["acks-0"] = function(lab, seen)
  lab.check.lost { of = seen.A.acked, in_ = seen.in_topic }:expect(seen.A.sent)
end

checks["acks-1"] = function(lab, seen)
  lab.check.lost { of = all_acked(seen), in_ = seen.in_topic }:expect(seen.A.sent)
  lab.check.unseen { name = "unseen-B", of = seen.B.sent, seen = seen.seen_b }:expect "holds"
end

checks["acks-1-min-isr-2"] = function(lab, seen)
  lab.check.lost { of = all_acked(seen), in_ = seen.in_topic }:expect(seen.A.sent)
  lab.check.unseen { name = "unseen-B", of = seen.B.acked, seen = seen.seen_b }:expect(seen.B.sent)
  lab.check.unseen { name = "unseen-after", of = seen.B.sent, seen = seen.in_topic }:expect "holds"
  lab.check.equals { name = "hw-at-end-of-B", got = seen.hw_b, want = 1,
    what = "is the HW at the end of B" }:expect "holds"
  lab.check.equals { name = "leo-at-end-of-B", got = seen.leo_b, want = N + 1,
    what = "is the LEO at the end of B" }:expect "holds"
end

checks["all-rf-1"] = function(lab, seen)
  lab.check.equals { name = "acked-B", got = #seen.B.acked, want = N,
    what = "records acknowledged" }:expect "holds"
  lab.check.lost { of = all_acked(seen), in_ = seen.in_topic }:expect "holds"
end

checks["all-min-isr-2"] = function(lab, seen)
  lab.check.equals { name = "acked", got = #all_acked(seen), want = 0,
    what = "records acknowledged" }:expect "holds"
  lab.check.lost { of = all_acked(seen), in_ = seen.in_topic }:expect "holds"
  lab.check.phantom { name = "refused-but-there", of = refused_but_there(seen), in_ = {} }:expect "holds"
  lab.check.equals { name = "refused-B", got = seen.B.codes.NOT_ENOUGH_REPLICAS or 0, want = N,
    what = "records refused with NOT_ENOUGH_REPLICAS (19)" }
    :expect "holds"
end

checks["all-min-isr-1"] = function(lab, seen)
  lab.check.equals { name = "acked-A", got = #seen.A.acked, want = 0,
    what = "records acknowledged while F is in the ISR" }:expect "holds"
  lab.check.equals { name = "acked-B", got = #seen.B.acked, want = N,
    what = "records acknowledged by one replica" }:expect "holds"
  lab.check.lost { of = all_acked(seen), in_ = seen.in_topic }:expect "holds"
end

checks["all-min-isr-2-rf-3"] = function(lab, seen)
  lab.check.equals { name = "acked", got = #all_acked(seen), want = 2 * N,
    what = "records acknowledged" }:expect "holds"
  lab.check.lost { of = all_acked(seen), in_ = seen.in_topic }:expect "holds"
  lab.check.duplicate { of = seen.in_topic }:expect "holds"
end

return experiment {
  id = "E-009",
  title = "acks x min.insync.replicas x in-sync replicas",
  question = "Which settings can lose a record the producer saw acknowledged?",
  claim = "Only acks=all with min.insync.replicas >= 2 lost no acknowledged record; the price is refused \z
    writes.",
  lesson = "Only acks=all with min.insync.replicas >= 2 lost no acknowledged record; the price is refused \z
    writes.",
  needs = { "kafka" },
  disrupts = true, -- freezes or kills brokers: has the stack alone
  limit = "120s",

  arms = {
    wrong "acks-0" { says = "acks=0, min ISR 1", acks = 0, min_isr = 1, replication_factor = 2 },
    wrong "acks-1" { says = "acks=1, min ISR 1", acks = 1, min_isr = 1, replication_factor = 2 },
    wrong "acks-1-min-isr-2" { says = "acks=1, min ISR 2: the minimum is not asked for acks=1", acks = 1,
      min_isr = 2, replication_factor = 2 },
    right "all-min-isr-2" { says = "acks=all, min ISR 2, two replicas: refuses rather than loses",
      acks = "all", min_isr = 2, replication_factor = 2 },
    right "all-min-isr-2-rf-3" { says = "acks=all, min ISR 2, three replicas, retries: the standard",
      acks = "all", min_isr = 2, replication_factor = 3 },
    observe "all-min-isr-1" { says = "acks=all, min ISR 1: acknowledged by one replica (its loss: E-029)",
      acks = "all", min_isr = 1, replication_factor = 2 },
    observe "all-rf-1" { says = "acks=all, min ISR 2 on one replica: the effective minimum is 1",
      acks = "all", min_isr = 2, replication_factor = 1 },
  },

  setup = setup,

  run = function(lab, arm)
    local seen = lab.shared.arms[arm.name]
    for _, phase in ipairs { "A", "B" } do
      if seen[phase] then
        lab:number("sent " .. phase, #seen[phase].sent)
        lab:number("acked " .. phase, #seen[phase].acked)
        if next(seen[phase].codes) then lab:number("refused " .. phase, codes_of(seen[phase])) end
      end
    end
    lab:number("lost", #(bag.from(all_acked(seen)) - bag.from(seen.in_topic)), "records")
    lab:number("failover", lab.shared.failover, "s")
    if arm.name == "acks-1-min-isr-2" then
      lab:number("acknowledged and unseen", lab.shared.c_at - lab.shared.b_at, "s")
    end
    if arm.name == "all-min-isr-2" then
      lab:number("writes refused", lab.shared.c_at - lab.shared.killed_at, "s")
    end
    if arm.name == "acks-1" then picture(lab, seen) end
    seen.says = sentence(seen)
    return seen
  end,

  checks = function(lab, seen, arm)
    checks[arm.name](lab, seen)
  end,

  verdict = function(arms)
    local wrong, right = arms["acks-1"], arms["all-min-isr-2-rf-3"]
    if not (wrong and right) then return nil end
    local words = "acks=1 lost %d of %d acknowledged records in one leader crash; acks=all with \z
      min.insync.replicas 2 lost none of %d."
    return words:format(#(bag.from(wrong.A.acked) - bag.from(wrong.in_topic)), #wrong.A.acked,
      #right.A.acked + #right.B.acked)
  end,
}
