-- Jepsen's classes of Kafka anomalies, found in a history of sends and polls (rlab.check.operations reads
-- it). A key is one partition, and a record is an id on a key: the same id on two keys is two records.
-- What is info is never taken for lost or aborted; what was polled has happened, whatever became of its send.
-- The classes int-... are found inside one operation, their namesakes between two of one process: only
-- between operations may a reader be moved.
local operations = require "rlab.check.operations"
local options = require "rlab.options"
local tables = require "rlab.tables"

local M = {}

M.classes = { "lost-write", "unseen", "aborted-read", "precommitted-read", "duplicate",
  "inconsistent-offsets", "poll-skip", "int-poll-skip", "nonmonotonic-poll", "int-nonmonotonic-poll",
  "nonmonotonic-send", "int-nonmonotonic-send" }

local SOMEWHERE = operations.SOMEWHERE
local RANK = { fail = 1, info = 2, ok = 3 }

-- ---- what the history says ----

local function child(map, key)
  map[key] = map[key] or {}
  return map[key]
end

local function log_of(found, key)
  found.logs[key] = found.logs[key] or { values = {}, offsets = {}, polled = {}, highest = -1 }
  return found.logs[key]
end

local function note_place(found, record)
  if not record.offset then return end
  local log = log_of(found, record.key)
  child(log.values, record.offset)[record.id] = true
  child(log.offsets, record.id)[record.offset] = true
end

-- An acknowledged send's lowest offset is kept: it is the first that a reader goes past.
local function note_send(found, op, send)
  local by_key = child(found.sent, send.id)
  local sent = by_key[send.key] or { rank = 0 }
  sent.rank = math.max(sent.rank, RANK[op.type])
  by_key[send.key] = sent
  if op.type ~= "ok" or not send.offset then return end
  sent.offset = math.min(sent.offset or send.offset, send.offset)
  note_place(found, send)
end

local function note_poll(found, poll, in_this_op)
  local log = log_of(found, poll.key)
  log.polled[poll.id], found.polled[poll.id] = true, true
  note_place(found, poll)
  if poll.offset then
    log.highest = math.max(log.highest, poll.offset)
    return
  end
  local seen = child(in_this_op, poll.key)
  if seen[poll.id] then child(found.twice, poll.key)[poll.id] = true end
  seen[poll.id] = true
end

-- How the sends of an id ended that can be this record's: one whose key nobody knows can be any.
local function rank_of(found, key, id)
  local best = 0
  for other, sent in pairs(found.sent[id] or {}) do
    if other == key or other == SOMEWHERE or key == SOMEWHERE then best = math.max(best, sent.rank) end
  end
  return best
end

local function delivered(found, key, id)
  if key == SOMEWHERE then return found.polled[id] or false end
  return log_of(found, key).polled[id] or log_of(found, SOMEWHERE).polled[id] or false
end

-- The offsets of a log that hold something which certainly happened, in order; a reader may step over all
-- others. What has a place was acknowledged or polled: only what was aborted, and read all the same, is none.
local function positions(found, key, log)
  local list = {}
  for offset, ids in pairs(log.values) do
    for id in pairs(ids) do
      if rank_of(found, key, id) ~= RANK.fail then
        list[#list + 1] = offset
        break
      end
    end
  end
  table.sort(list)
  return list
end

-- read(ops) -> what the history says, for silent and cases
function M.read(ops)
  local found = { ops = operations.read(ops), logs = {}, sent = {}, polled = {}, twice = {} }
  for _, op in ipairs(found.ops) do
    for _, send in ipairs(op.sends) do note_send(found, op, send) end
    local in_this_op = {}
    for _, poll in ipairs(op.type ~= "fail" and op.polls or {}) do note_poll(found, poll, in_this_op) end
  end
  for key, log in pairs(found.logs) do log.positions = positions(found, key, log) end
  return found
end

-- ---- the classes ----

local finders = {}

local function case(list, id, key, offset, fmt, ...)
  local one = { id = id, key = key ~= SOMEWHERE and key or nil, offset = offset, note = fmt:format(...) }
  list[#list + 1] = one
  return one
end

local function each_sent(found, f)
  for id, by_key in pairs(found.sent) do
    for key, sent in pairs(by_key) do f(key, id, sent) end
  end
end

-- An acknowledged record that nobody polled: lost when somebody read its offset or past it (or, whatever its
-- offset, when all was read to the end); else unseen.
local function missing(found, complete, want_lost)
  local list = {}
  each_sent(found, function(key, id, sent)
    if sent.rank ~= RANK.ok or delivered(found, key, id) then return end
    local highest = log_of(found, key).highest
    local lost = complete or sent.offset ~= nil and sent.offset <= highest
    if lost ~= want_lost then return end
    local note = highest < 0 and "acknowledged; nobody read its partition"
      or lost and "acknowledged, read up to %d, never delivered"
      or "acknowledged, the readers are at %d"
    case(list, id, key, sent.offset, note, highest)
  end)
  return list
end

finders["lost-write"] = function(found, complete) return missing(found, complete, true) end
finders["unseen"] = function(found, complete) return missing(found, complete, false) end

finders["aborted-read"] = function(found)
  local list = {}
  each_sent(found, function(key, id)
    if rank_of(found, key, id) ~= RANK.fail or not delivered(found, key, id) then return end
    local offsets = tables.sorted_keys(log_of(found, key).offsets[id] or {})
    case(list, id, key, offsets[1], "its transaction was aborted, and it was delivered")
  end)
  return list
end

finders["precommitted-read"] = function(found)
  local list = {}
  for _, op in ipairs(found.ops) do
    local own = {}
    for _, send in ipairs(op.sends) do child(own, send.key)[send.id] = true end
    for _, poll in ipairs(op.polls) do
      if own[poll.key] and own[poll.key][poll.id] then
        case(list, poll.id, poll.key, poll.offset, "polled inside the transaction that sends it")
      end
    end
  end
  return list
end

finders["duplicate"] = function(found)
  local list = {}
  for key, log in pairs(found.logs) do
    for id, offsets in pairs(log.offsets) do
      local all = tables.sorted_keys(offsets)
      if #all > 1 then case(list, id, key, all[2], "at offsets %s", table.concat(all, ", ")) end
    end
  end
  for key, ids in pairs(found.twice) do
    for id in pairs(ids) do case(list, id, key, nil, "twice in one poll") end
  end
  return list
end

finders["inconsistent-offsets"] = function(found)
  local list = {}
  for key, log in pairs(found.logs) do
    for offset, ids in pairs(log.values) do
      local all = tables.sorted_keys(ids)
      if #all > 1 then
        case(list, all[1], key, offset, "offset %d holds %s", offset, table.concat(all, " and "))
      end
    end
  end
  return list
end

-- The index of the first position above an offset, by halving.
local function first_above(list, offset)
  local low, high = 1, #list + 1
  while low < high do
    local middle = (low + high) // 2
    if list[middle] > offset then high = middle else low = middle + 1 end
  end
  return low
end

-- How many positions lie strictly between two offsets, and the last of them.
local function between(list, from, to)
  local first, past = first_above(list, from), first_above(list, to - 1)
  return math.max(0, past - first), list[past - 1]
end

-- Each process's polls in their order: step(record, the offset before it, whether the same operation polled
-- that one)
local function each_poll_step(ops, step)
  local processes = {}
  for _, op in ipairs(ops) do
    local last, own = processes[op.process] or {}, {}
    if op.type ~= "fail" then
      if op.moved then last = tables.picked(last, tables.sorted_keys(op.kept)) end
      for _, poll in ipairs(op.polls) do
        if poll.offset then
          if last[poll.key] then step(poll, last[poll.key], own[poll.key] or false) end
          last[poll.key], own[poll.key] = poll.offset, true
        end
      end
    end
    processes[op.process] = last
  end
end

local function each_send_step(ops, step)
  local processes = {}
  for _, op in ipairs(ops) do
    local last, own = child(processes, op.process), {}
    for _, send in ipairs(op.type == "ok" and op.sends or {}) do
      if send.offset then
        if last[send.key] then step(send, last[send.key], own[send.key] or false) end
        last[send.key], own[send.key] = send.offset, true
      end
    end
  end
end

-- Two classes of one step: inside an operation, and between two.
local function both(class, find)
  finders[class] = function(found) return find(found, false) end
  finders["int-" .. class] = function(found) return find(found, true) end
end

both("poll-skip", function(found, inside)
  local list = {}
  each_poll_step(found.ops, function(poll, before, own)
    if own ~= inside then return end
    local skipped, last = between(found.logs[poll.key].positions, before, poll.offset)
    if skipped == 0 then return end
    case(list, poll.id, poll.key, poll.offset, "polled after offset %d, %d records between them skipped",
      before, skipped).skipped_to = last
  end)
  return list
end)

local function going_back(each, fmt)
  return function(found, inside)
    local list = {}
    each(found.ops, function(record, before, own)
      if own == inside and record.offset <= before then
        case(list, record.id, record.key, record.offset, fmt, before)
      end
    end)
    return list
  end
end

both("nonmonotonic-poll", going_back(each_poll_step, "polled after offset %d"))
both("nonmonotonic-send", going_back(each_send_step, "sent after a record that got offset %d"))

local function before_in_list(a, b)
  if a.id ~= b.id then return a.id < b.id end
  if a.key ~= b.key then return (a.key or "") < (b.key or "") end
  return (a.offset or -1) < (b.offset or -1)
end

-- cases(class, found, {complete = true when the readers have read to the end}) -> list of {id, key, offset,
--   note}, in the order of their ids; `found` is of read
function M.cases(class, found, opts)
  local list = finders[class](found, opts and opts.complete or false)
  table.sort(list, before_in_list)
  return list
end

-- find(ops, opts) -> { [class] = cases }, all of them
function M.find(ops, opts)
  local found, result = M.read(ops), {}
  for _, class in ipairs(M.classes) do result[class] = M.cases(class, found, opts) end
  return result
end

-- ---- what must have been seen ----

local function any(found, pred)
  for _, op in ipairs(found.ops) do
    if pred(op) then return true end
  end
  return false
end

local function acknowledged(op) return op.type == "ok" and #op.sends > 0 end
local function placed(op) return op.type == "ok" and op.sends[1] and op.sends[1].offset end
local function polled(op) return op.type ~= "fail" and #op.polls > 0 end

local needs = {}
for _, class in ipairs { "lost-write", "unseen" } do
  needs[class] = { "no send was acknowledged", acknowledged }
end
for _, class in ipairs { "nonmonotonic-send", "int-nonmonotonic-send" } do
  needs[class] = { "no send was acknowledged with an offset", placed }
end
local NO_POLL = { "nothing was polled", polled }

-- silent(class, found) -> why the history can say nothing of the class | nil
function M.silent(class, found)
  local need = needs[class] or NO_POLL
  return not any(found, need[2]) and need[1] or nil
end

-- ---- what is normal ----

local SETTINGS = { "acks", "compacted", "drained", "idempotence", "in_flight", "isolation", "low", "min_isr",
  "restarts", "retries", "subscribe" }

local REMOVED = "the log begins at %d: what was below it is removed (retention)"
local COMPACTED = "compaction removes what a later record of its key replaces"
local MOVED = "with subscribe a rebalance may move the position between two polls"

-- Where the case's log begins, when the case is about records below that.
local function below_low(s, one, offset)
  local low = one and offset and s.low and s.low[one.key]
  return low and offset < low and REMOVED:format(low)
end

local function weak_acks(s)
  if s.acks == 0 or s.acks == "0" then return "acks=0 acknowledges what no broker has" end
  if s.acks == 1 or s.acks == "1" then return "acks=1 loses what only the old leader had" end
  if s.min_isr == 1 then return "min.insync.replicas=1 lets one copy be enough" end
end

-- Under which settings a class is no fault of the brokers, and why; `one` is a case.
local normal = {
  ["lost-write"] = function(s, one)
    return weak_acks(s) or s.compacted and COMPACTED or below_low(s, one, one and one.offset)
  end,
  ["inconsistent-offsets"] = function(s)
    return weak_acks(s) and "a lost tail's offsets are given out again"
  end,
  ["unseen"] = function(s, one)
    if s.drained == false then return "the readers were not at the end" end
    return s.compacted and COMPACTED or below_low(s, one, one and one.offset)
  end,
  ["duplicate"] = function(s)
    if s.idempotence == false and s.retries ~= 0 then
      return "a retry without enable.idempotence may be written twice"
    end
    if s.restarts then return "a restarted producer sends again what it does not know to be sent" end
  end,
  ["aborted-read"] = function(s)
    return s.isolation == "read_uncommitted" and "read_uncommitted delivers what is aborted later"
  end,
  ["precommitted-read"] = function(s)
    return s.isolation == "read_uncommitted" and "read_uncommitted delivers what is not committed"
  end,
  ["int-poll-skip"] = function(s, one)
    return s.compacted and COMPACTED or below_low(s, one, one and one.skipped_to)
  end,
  ["nonmonotonic-poll"] = function(s) return s.subscribe and MOVED end,
  ["int-nonmonotonic-poll"] = function() end,
  ["nonmonotonic-send"] = function(s)
    if s.idempotence == false and (s.in_flight or 5) > 1 and s.retries ~= 0 then
      return "a retry overtakes with several requests in flight"
    end
  end,
}
normal["poll-skip"] = function(s, one) return s.subscribe and MOVED or normal["int-poll-skip"](s, one) end
normal["int-nonmonotonic-send"] = normal["nonmonotonic-send"]

-- settings(s) -> the same, checked: a misspelt one would excuse nothing, or everything
function M.settings(s)
  local checked = tables.merged(options.check("settings of a history", s, SETTINGS))
  if checked.low == nil then return checked end
  if type(checked.low) ~= "table" then error "settings of a history: low is {[key] = offset}" end
  local low = {}
  for key, offset in pairs(checked.low) do
    low[operations.text(key) or key] = math.type(offset) == "integer" and offset
      or error(("settings of a history: low of %s is an offset, not %s"):format(tostring(key),
        tostring(offset)))
  end
  checked.low = low
  return checked
end

-- normal(class, settings, [case]) -> the reason why it is to be expected | nil; settings are of M.settings
function M.normal(class, settings, one)
  return normal[class](settings, one) or nil
end

return M
