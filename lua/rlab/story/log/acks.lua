-- Topics and producers with different settings of acks and min.insync.replicas that live through one fault
-- script in two phases: A, while the follower is frozen, and B, when the leader is dead. A row of the matrix
-- is an arm: name, acks, min_isr, replicas (the leader first), phases in which it sends, and std where its
-- producer has the standard profile. A record's value is its id: A01 .. of phase A.
local batch = require "rlab.story.batch"
local fs = require "rlab.fs"
local must = require "rlab.must"
local process = require "rlab.process"
local proof = require "rlab.proof"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

-- Longer than what stands around it in an answer.
local PLUG = ("plug "):rep(100)

local Matrix = {}
Matrix.__index = Matrix

-- Without an acknowledgement only phase A says something; one replica that is not the leader's only B.
local function phases_of(s)
  return s.acks == 0 and "A" or s.replication_factor == 1 and "B" or "AB"
end

local function row_of(arm, replicas)
  local s = arm.settings
  return { name = arm.name, acks = s.acks, min_isr = s.min_isr, replicas = replicas[s.replication_factor],
    phases = phases_of(s),
    std = s.replication_factor == 3 }
end

-- new(lab, {replicas =, count =}) -> matrix of the experiment's arms that set acks: replicas by replication
--   factor, of two the leader L first, then the follower F; so many records of a phase
function M.new(lab, opts)
  local rows = {}
  for _, arm in ipairs(lab.run.experiment.arms) do
    rows[#rows + 1] = arm.settings.acks and row_of(arm, opts.replicas) or nil
  end
  local pair = opts.replicas[2]
  return setmetatable({ lab = lab, rows = rows, leader = pair[1], follower = pair[2], count = opts.count,
    flying = {} }, Matrix)
end

-- matrix:of(phase, [pred]) -> the rows that send in it
function Matrix:of(phase, pred)
  local list = {}
  for _, row in ipairs(self.rows) do
    if row.phases:find(phase) and (not pred or pred(row)) then list[#list + 1] = row end
  end
  return list
end

-- Retries are off where the broker's own error code is to be seen; nobody's delay is to be the client's.
local BARE = { retries = 0, enable_idempotence = false, message_timeout_ms = 2500, linger_ms = 0,
  socket_nagle_disable = true }

local function open(lab, row)
  row.topic = lab:topic(row.name, { assignment = { row.replicas }, min_isr = row.min_isr })
  row.producer = lab:producer(row.std and { message_timeout_ms = 10000, linger_ms = 0 }
    or tables.merged(BARE, { acks = row.acks }))
  row.sent, row.deliveries, row.positions = {}, {}, {}
  must(row.producer:send { topic = row.topic, partition = 0, value = "warm" })
end

-- matrix:note(row, step): leader, epoch and ISR as the brokers tell them
function Matrix:note(row, step)
  local now = must(self.lab:partition(row.topic, 0))
  row.positions[step] = { leader = now.leader, epoch = now.epoch, isr = now.isr }
end

-- matrix:await_isr(row, ids, step, at_most): the row's ISR is exactly that, and noted
function Matrix:await_isr(row, ids, step, at_most)
  self.lab:await(("ISR of %s, %s"):format(row.name, step),
    function() return self.lab:isr_is(row.topic, ids) end, at_most)
  self:note(row, step)
end

-- matrix:warm_up(): all topics, and one for the plug; all replicas are in sync, L leads, and F has the first
--   record of each that it follows
function Matrix:warm_up()
  local lab = self.lab
  self.plug = { name = "plug", acks = 1, min_isr = 1, replicas = { self.leader, self.follower } }
  local all = tables.append({ self.plug }, self.rows)
  lab:each(all, function(row) open(lab, row) end)
  lab:each(all, function(row)
    self:await_isr(row, row.replicas, "before")
    if row.positions.before.leader ~= row.replicas[1] then
      lab:give_up("%s is led by %d", row.name, row.positions.before.leader)
    end
    if #row.replicas ~= 2 then return end
    lab:await("first record on F: " .. row.name, function()
      local now = lab:offsets(row.topic, 0)
      return now and now.leo_by and now.leo_by[self.follower] == 1
    end)
  end)
end

-- What a report says: acknowledged, certainly not written, or perhaps.
local KINDS = { NOT_PERSISTED = "fail", POSSIBLY_PERSISTED = "info" }

local function status_of(row, report)
  if report.status == "PERSISTED" or not report.name and row.acks == 0 then return "PERSISTED" end
  return report.status or "POSSIBLY_PERSISTED"
end

-- Each record's operation is over as soon as its report is there.
local function note_reports(self)
  local flying = {}
  for _, sent in ipairs(self.flying) do
    local report = sent.deliveries[sent.i]
    local status = report and status_of(sent.row, report)
    if report then
      sent.operation:over(KINDS[status] or "ok", KINDS[status] and (report.name or status))
    else
      flying[#flying + 1] = sent
    end
  end
  self.flying = flying
end

local function watch_reports(self)
  if self.watching then return end
  self.watching = true
  self.lab:background("the watch over delivery reports", function()
    while true do
      note_reports(self)
      task.sleep "5ms"
    end
  end)
end

-- matrix:send(phase, [pred]): its records, each in the history; another number makes the arm inconclusive
function Matrix:send(phase, pred)
  watch_reports(self)
  for _, row in ipairs(self:of(phase, pred)) do
    local ids = batch.ids(phase, self.count)
    row.sent[phase] = ids
    local operations = {}
    for i, id in ipairs(ids) do operations[i] = self.lab:invoke(row.name, "send", id) end
    row.deliveries[phase] = must(row.producer:submit(batch.of(row.topic, 0, ids, { key = "k" })))
    self.lab:issued(("%s, phase %s"):format(row.name, phase), #row.deliveries[phase], self.count)
    for i, operation in ipairs(operations) do
      table.insert(self.flying, { row = row, deliveries = row.deliveries[phase], i = i,
        operation = operation })
    end
  end
end

-- matrix:wait(phase, at_most, [pred]): until every record is acknowledged or refused, or so long
function Matrix:wait(phase, at_most, pred)
  for _, row in ipairs(self:of(phase, pred)) do
    if row.deliveries[phase] then row.deliveries[phase]:wait(at_most) end
  end
  note_reports(self)
end

local function port_between_brokers(lab, id)
  for _, node in ipairs(lab.stack.kafka.nodes) do
    if node.id == id then return node.inter_port end
  end
end

-- An answer is written in pieces: what is before the records, the records, what is behind them.
local function whole_answer(lab, pid, port)
  local last
  return lab:await("the plug's answer in F's socket", function()
    local before = last
    last = process.recv_queue(pid, port)
    return last > #PLUG and last == before and last
  end, "500ms")
end

-- matrix:freeze_follower() -> frozen. Freezing a follower leaks one batch: its open fetch is answered into
--   its socket buffer. The plug record takes that place, seen in the Recv-Q. frozen.untouched() proves that
--   nothing came behind it; frozen.thaw(at_most) goes on, inconclusive after more than so many seconds.
function Matrix:freeze_follower()
  local lab, plug = self.lab, self.plug
  local pid = must(lab.stack:server("kafka-" .. self.follower)).pid
  local port = port_between_brokers(lab, self.leader)
  local frozen, from = lab:freeze("kafka-" .. self.follower), lab:now()
  local plugged = lab:fault "plug in the frozen follower's open fetch"
  must(plug.producer:send { topic = plug.topic, partition = 0, value = PLUG })
  local queued = whole_answer(lab, pid, port)
  local held = {}
  function held.untouched()
    local now = process.recv_queue(pid, port)
    if now ~= queued then
      lab:give_up("the frozen follower's socket grew from %d to %d bytes: a batch leaked to it", queued, now)
    end
    plugged:fired(proof.of("queue", { pid = pid, port = port, before = queued, after = now })):over()
  end
  function held.thaw(at_most)
    frozen.thaw()
    local pause = lab:now() - from
    if pause > at_most then
      lab:give_up("F was frozen %.1f s, longer than %.1f s: the machine is too busy (load %s); run it again \z
        when it is quieter", pause, at_most, (fs.read "/proc/loadavg" or "unknown"):match "^%S+")
    end
    lab:event("the follower held %d bytes it never read; frozen for %.0f ms", queued, pause * 1000)
    return pause
  end
  return held
end

-- matrix:await_leader() -> when F led every row with a follower, in seconds of the arm
function Matrix:await_leader()
  for _, row in ipairs(self.rows) do
    if #row.replicas > 1 then
      self.lab:await("leader = F: " .. row.name, function()
        local part = self.lab:partition(row.topic, 0)
        return part and part.leader == self.follower
      end, "15s")
    end
  end
  return self.lab:now()
end

-- matrix:read(row) -> ids of the records in its topic, in log order; how many of the first one it found
-- beside them, which each topic has whatever became of the others: that the reader reads
function Matrix:read(row)
  local census = self.lab:read(row.topic, { isolation = "read_uncommitted" })
  local ids = self.lab:ids(census, function(record) return record.value ~= "warm" end)
  return ids, #census.records - #ids
end

-- matrix:read_back(row): what its topic gives while one broker is down, and its marks where they are known
function Matrix:read_back(row)
  local now = self.lab:within("2s", function()
    local marks = self.lab:offsets(row.topic, 0)
    return marks and marks.hw and marks.leo and marks
  end) or {}
  row.hw_b, row.leo_b = now.hw, now.leo
  row.seen_b, row.warm_b = self:read(row)
end

-- matrix:outcome(row, phase) -> what became of its records: {sent, acked, refused = {{id, code, status}}} |
--   nil when it sent nothing
function Matrix:outcome(row, phase)
  if not row.sent[phase] then return nil end
  local result = { sent = row.sent[phase], acked = {}, refused = {} }
  for i, id in ipairs(row.sent[phase]) do
    local report = row.deliveries[phase][i]
    local status = report and status_of(row, report) or "POSSIBLY_PERSISTED"
    if status == "PERSISTED" then
      result.acked[#result.acked + 1] = id
    else
      table.insert(result.refused, { id = id, code = report and report.name or "PENDING", status = status })
    end
  end
  return result
end

local KEPT = { "topic", "in_topic", "seen_b", "warm", "warm_b", "hw_b", "leo_b", "positions" }

-- matrix:kept(row) -> what is stored of it, with what became of its records in both phases, A and B
function Matrix:kept(row)
  return tables.merged(tables.picked(row, KEPT), { A = self:outcome(row, "A"), B = self:outcome(row, "B") })
end

-- codes(outcome) -> {[code] = how many records were refused with it}
function M.codes(outcome)
  local codes = {}
  for _, one in ipairs(outcome.refused) do codes[one.code] = (codes[one.code] or 0) + 1 end
  return codes
end

-- "20 x NOT_ENOUGH_REPLICAS"
local function code_words(outcome)
  local list = {}
  for name, count in pairs(M.codes(outcome)) do list[#list + 1] = ("%d x %s"):format(count, name) end
  table.sort(list)
  return table.concat(list, ", ")
end

-- numbers(lab, seen): sent, acknowledged and refused of the outcomes A and B, as numbers of the arm
function M.numbers(lab, seen)
  for _, name in ipairs { "A", "B" } do
    local outcome = seen[name]
    if outcome then
      lab:number("sent " .. name, #outcome.sent)
      lab:number("acked " .. name, #outcome.acked)
      if outcome.refused[1] then lab:number("refused " .. name, code_words(outcome)) end
    end
  end
end

-- sent(seen) -> control: what was sent in the phases A and B, if the reader of the topic reads
function M.sent(seen)
  local sent = 0
  for _, phase in ipairs { seen.A or {}, seen.B or {} } do sent = sent + #(phase.sent or {}) end
  return { what = "records sent, of a topic whose first record was read", seen = seen.warm > 0 and sent or 0 }
end

-- check_accounted(lab, seen, arm): what was sent in each of the arm's phases was acknowledged or not, record
-- by record. For checks.
function M.check_accounted(lab, seen, arm)
  for phase in phases_of(arm.settings):gmatch "." do
    local ids = tables.append({}, seen[phase].acked)
    for _, one in ipairs(seen[phase].refused) do ids[#ids + 1] = one.id end
    lab.check.same { name = "accounted-" .. phase, got = ids, want = seen[phase].sent,
      what = "records of phase " .. phase }:expect "holds"
  end
end

-- acked(seen) -> the acknowledged ids of the outcomes A and B
function M.acked(seen)
  local list = {}
  for _, phase in ipairs { seen.A or {}, seen.B or {} } do tables.append(list, phase.acked or {}) end
  return list
end

-- refused_but_there(seen) -> ids that the brokers refused before they were written, and that are in the
--   topic; POSSIBLY_PERSISTED ones may be
function M.refused_but_there(seen)
  local there, list = require("rlab.bag").from(seen.in_topic), {}
  for _, phase in ipairs { seen.A, seen.B } do
    for _, one in ipairs(phase.refused) do
      if one.status == "NOT_PERSISTED" and there:count(one.id) > 0 then list[#list + 1] = one.id end
    end
  end
  return list
end

return M
