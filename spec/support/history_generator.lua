-- Histories for the differential test of the Kafka checks, each from a seed: a good one of some keys, writers
-- and readers (transactions, unknown and aborted sends, markers, rebalances, the same id on two keys, the
-- lab's own form), and ways to break one.
local null = require "rlab.null"
local rng = require "rlab.rng"

local M = {}

local KEYS = { "t/0", "t/1", "t/2" }

-- ---- a good history ----

local World = {}
World.__index = World

local function new_id(self)
  self.n = self.n + 1
  return ("r%02d"):format(self.n)
end

local function add(self, op)
  self.ops[#self.ops + 1] = op
  return op
end

-- A record in the log, which readers see unless it was aborted.
local function write(self, key, id, seen)
  local log = self.logs[key]
  log.next = log.next + 1
  if seen then log.records[#log.records + 1] = { log.next - 1, id } end
  return log.next - 1
end

local function outcome(self)
  local dice = self.rng:int(1, 10)
  return dice == 1 and "fail" or dice == 2 and "info" or "ok"
end

local function marker(self, key) self.logs[key].next = self.logs[key].next + 1 end

-- How one send of an operation ends: what the log has, and what the producer was told.
local function send_step(self, kind, key, id)
  local there = kind ~= "fail" and (kind == "ok" or self.rng:chance(0.5))
  local offset = (there or self.rng:chance(0.5)) and write(self, key, id, there)
  return { "send", key, { kind == "ok" and self.rng:chance(0.9) and offset or null, id } }
end

local function key_of(self) return KEYS[self.rng:int(1, self.keys)] end

local function retired(self, list, i, kind)
  if kind == "info" then
    self.processes = self.processes + 1
    list[i] = self.processes
  end
end

local function send(self, i)
  local kind, key, id = outcome(self), key_of(self), new_id(self)
  add(self, { type = kind, process = self.writers[i], f = "send",
    value = { send_step(self, kind, key, id) } })
  if self.rng:chance(0.1) and self.keys > 1 then
    local other = key == KEYS[1] and KEYS[2] or KEYS[1]
    add(self, { type = "ok", process = self.writers[i], f = "send",
      value = { send_step(self, "ok", other, id) } })
  end
  retired(self, self.writers, i, kind)
end

-- lab:op: ids alone, with the operation's key or without
local function send_plainly(self, i)
  local kind, key, ids = outcome(self), key_of(self), {}
  local named = self.rng:chance(0.5)
  for n = 1, self.rng:int(1, 3) do
    local id = new_id(self)
    if kind == "ok" then write(self, key, id, true) end
    ids[n] = self.rng:chance(0.3) and { id = id } or id
  end
  add(self, { type = kind, process = self.writers[i], f = "send", key = named and key or nil,
    value = #ids == 1 and ids[1] or ids })
  retired(self, self.writers, i, kind)
end

local function next_records(self, reader, key)
  local list, log = {}, self.logs[key]
  for _, record in ipairs(log.records) do
    if record[1] > reader.at[key] and #list < self.most then list[#list + 1] = { record[1], record[2] } end
  end
  if #list > 0 then reader.at[key] = list[#list][1] end
  return list
end

local function poll_steps(self, reader)
  local all = {}
  for _, key in ipairs(reader.keys) do
    if self.rng:chance(0.6) then all[key] = next_records(self, reader, key) end
  end
  return { "poll", all }
end

local function transaction(self, i)
  local kind, value, keys = outcome(self), {}, {}
  if kind ~= "fail" and self.rng:chance(0.5) then value[1] = poll_steps(self, self.txn_reader) end
  for _ = 1, self.rng:int(1, 3) do
    local key = key_of(self)
    value[#value + 1], keys[key] = send_step(self, kind, key, new_id(self)), true
  end
  for _, key in ipairs(KEYS) do
    if keys[key] then marker(self, key) end
  end
  local moves = kind == "info" and value[1][1] == "poll"
  add(self, { type = kind, process = value[1][1] == "poll" and self.txn_reader.process or self.writers[i],
    f = "txn", value = value })
  if value[1][1] ~= "poll" then retired(self, self.writers, i, kind) end
  if moves then
    self.processes = self.processes + 1
    self.txn_reader.process = self.processes
  end
end

local function poll(self)
  local reader = self.readers[self.rng:int(1, #self.readers)]
  local value = { poll_steps(self, reader) }
  if self.rng:chance(0.3) then value[2] = poll_steps(self, reader) end
  add(self, { type = "ok", process = reader.process, f = "poll", value = value })
end

-- lab:op: what one came upon, ids alone
local function poll_plainly(self)
  local key, ids = key_of(self), {}
  for i, record in ipairs(self.logs[key].records) do ids[i] = record[2] end
  add(self, { type = "ok", process = 90, f = "poll", key = self.rng:chance(0.5) and key or nil, value = ids })
end

-- A reader goes back, or keeps some keys and begins again on the others.
local function move(self)
  local reader = self.readers[self.rng:int(1, #self.readers)]
  local f = self.rng:pick { "seek", "rebalance", "assign", "subscribe" }
  local kept, value = f == "assign" or f == "subscribe", {}
  for _, key in ipairs(KEYS) do
    if kept and self.rng:chance(0.5) then
      value[#value + 1] = key
    else
      reader.at[key] = math.min(reader.at[key], self.rng:int(-1, 5))
    end
  end
  add(self, { type = self.rng:pick { "ok", "info" }, process = reader.process, f = f,
    value = kept and value or null })
end

local function reader_of(self)
  self.processes = self.processes + 1
  return { process = self.processes, keys = KEYS, at = { ["t/0"] = -1, ["t/1"] = -1, ["t/2"] = -1 } }
end

-- Two that read all there is, once nothing more is written.
local function drain(self)
  for _ = 1, 2 do
    local reader = reader_of(self)
    for _, key in ipairs(KEYS) do
      local records
      repeat
        records = next_records(self, reader, key)
        if #records > 0 then
          add(self, { type = "ok", process = reader.process, f = "poll",
            value = { { "poll", { [key] = records } } } })
        end
      until #records == 0
    end
  end
end

local actions = { send, send, send, transaction, transaction, poll, poll, poll, move, send_plainly,
  poll_plainly }

-- good(seed) -> list of operations without any case
function M.good(seed)
  local self = setmetatable({ rng = rng.new(seed), ops = {}, n = 0, processes = 2, writers = { 1, 2 },
    logs = {}, readers = {} }, World)
  self.keys, self.most = self.rng:int(1, 3), self.rng:int(2, 4)
  for _, key in ipairs(KEYS) do self.logs[key] = { next = self.rng:int(0, 2), records = {} } end
  for i = 1, 2 do self.readers[i] = reader_of(self) end
  self.txn_reader = reader_of(self)
  for _ = 1, self.rng:int(6, 16) do
    local act = actions[self.rng:int(1, #actions)]
    if self.rng:chance(0.3) then add(self, { type = "invoke", process = 1, f = "send", value = null }) end
    act(self, self.rng:int(1, 2))
  end
  drain(self)
  return self.ops
end

-- ---- ways to break it ----

local function sends_of(ops, kind)
  local list = {}
  for _, op in ipairs(ops) do
    local value = (op.f == "send" or op.f == "txn") and op.value
    for _, step in ipairs(type(value) == "table" and value or {}) do
      if type(step) == "table" and step[1] == "send" and op.type == kind then
        list[#list + 1] = { op = op, step = step, place = step[3] }
      end
    end
  end
  return list
end

-- Every list of records that a poll gave.
local function batches_of(ops, at_least)
  local list = {}
  for _, op in ipairs(ops) do
    for _, step in ipairs(op.f ~= "send" and type(op.value) == "table" and op.value or {}) do
      for _, key in ipairs(type(step) == "table" and step[1] == "poll" and KEYS or {}) do
        local records = step[2][key]
        if records and #records >= at_least then
          list[#list + 1] = { op = op, step = step, key = key, records = records }
        end
      end
    end
  end
  return list
end

local function one_of(r, list)
  return list[1] and list[r:int(1, #list)] or { records = {}, place = {}, op = {}, none = true }
end

local ways = {}

function ways.forget(ops, r) -- nobody ever reads it
  local gone = one_of(r, sends_of(ops, "ok")).place[2]
  for _, batch in ipairs(batches_of(ops, 1)) do
    for i = #batch.records, 1, -1 do
      if batch.records[i][2] == gone then table.remove(batch.records, i) end
    end
  end
end

function ways.skip(ops, r)
  local records = one_of(r, batches_of(ops, 2)).records
  if #records > 0 then table.remove(records, r:int(1, #records)) end
end

function ways.abort(ops, r) one_of(r, sends_of(ops, "ok")).op.type = "fail" end

function ways.doubt(ops, r) one_of(r, sends_of(ops, "ok")).op.type = "info" end

function ways.copy(ops, r)
  local batch = one_of(r, batches_of(ops, 1))
  if batch.none then return end
  local last = batch.records[#batch.records]
  table.insert(batch.records, { last[1] + 1, batch.records[1][2] })
end

function ways.rename(ops, r)
  local records = one_of(r, batches_of(ops, 1)).records
  if #records > 0 then records[r:int(1, #records)][2] = "other" end
end

function ways.swap(ops, r)
  local records = one_of(r, batches_of(ops, 2)).records
  if #records > 0 then records[1], records[#records] = records[#records], records[1] end
end

function ways.again(ops, r) -- a poll that gives once more what it gave
  local batch = one_of(r, batches_of(ops, 1))
  if batch.none then return end
  local copy = { type = "ok", process = batch.op.process, f = "poll",
    value = { { "poll", { [batch.key] = { batch.records[1] } } } } }
  for i, op in ipairs(ops) do
    if op == batch.op then return table.insert(ops, i + 1, copy) end
  end
end

function ways.overwrite(ops, r) -- another id got its offset
  local sent = one_of(r, sends_of(ops, "ok"))
  if sent.none or sent.place[1] == null then return end
  for _, batch in ipairs(batches_of(ops, 1)) do
    for _, record in ipairs(batch.records) do
      if batch.key == sent.step[2] and record[1] == sent.place[1] then record[2] = "winner" end
    end
  end
end

function ways.own(ops, r)
  local sent = one_of(r, sends_of(ops, "ok"))
  if sent.none or sent.place[1] == null then return end
  sent.op.f = "txn"
  table.insert(sent.op.value, { "poll", { [sent.step[2]] = { { sent.place[1], sent.place[2] } } } })
end

function ways.late(ops, r) -- a writer is told offsets that go down
  local list = sends_of(ops, "ok")
  local a, b = one_of(r, list), one_of(r, list)
  if a.none then return end
  a.op.process, b.op.process = 1, 1
  a.place[1], b.place[1] = b.place[1], a.place[1]
end

function ways.late_inside(ops, r)
  local sent = one_of(r, sends_of(ops, "ok"))
  if sent.none or sent.place[1] == null then return end
  table.insert(sent.op.value, { "send", sent.step[2], { sent.place[1] // 2, "x" .. sent.place[2] } })
end

function ways.elsewhere(ops, r) -- the copy on another key is what was read
  local sent = one_of(r, sends_of(ops, "ok"))
  if not sent.none then sent.step[2] = KEYS[r:int(1, 3)] end
end

function ways.unmoved(ops, r)
  for i = #ops, 1, -1 do
    if (ops[i].f == "seek" or ops[i].f == "rebalance" or ops[i].f == "assign") and r:chance(0.7) then
      table.remove(ops, i)
    end
  end
end

function ways.repeated(ops) -- ids alone, one of them twice
  for _, op in ipairs(ops) do
    if op.f == "poll" and type(op.value) == "table" and type(op.value[1]) == "string" then
      table.insert(op.value, op.value[1])
      return
    end
  end
end

local names = {}
for name in pairs(ways) do names[#names + 1] = name end
table.sort(names)
M.ways = names

-- broken(seed) -> a history, broken in one or two of the ways; the names of these
function M.broken(seed)
  local ops, r, used = M.good(seed), rng.new(seed):split "breaks", {}
  for i = 1, r:int(1, 2) do
    used[i] = names[r:int(1, #names)]
    ways[used[i]](ops, r)
  end
  return ops, used
end

return M
