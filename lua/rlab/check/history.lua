-- Jepsen's classes of Kafka anomalies, found in a history of sends and polls. An operation is {type =,
-- process =, f =, value =}:
--   f = "send", "poll" or "txn"   value is a list of {"send", key, {offset, id}} and {"poll", {[key] =
--     {{offset, id}, ...}}}, as Jepsen writes them; offset is
--                                 null where nobody was told one. A key is one partition.
--   f = "assign", "subscribe"     value is the list of keys that the process keeps reading; "seek" and
--     "rebalance": it may go on anywhere
-- type is ok, fail (it did certainly not happen), info (nobody knows), or invoke, which is passed over.
-- What is info is never taken for lost or aborted.
local null = require "rlab.null"
local tables = require "rlab.tables"

local M = {}

M.classes = { "lost-write", "unseen", "aborted-read", "precommitted-read", "duplicate",
  "inconsistent-offsets", "poll-skip", "nonmonotonic-poll",
  "nonmonotonic-send" }

local RANK = { fail = 1, info = 2, ok = 3 }

local function each_send(op, f)
  if op.f ~= "send" and op.f ~= "txn" then return end
  for _, step in ipairs(op.value) do
    if step[1] == "send" then
      local offset = step[3][1]
      f(step[2], offset ~= null and offset or nil, step[3][2])
    end
  end
end

local function each_poll(op, f)
  if op.f ~= "poll" and op.f ~= "txn" then return end
  for _, step in ipairs(op.value) do
    for key, records in pairs(step[1] == "poll" and step[2] or {}) do
      for _, record in ipairs(records) do f(key, record[1], record[2]) end
    end
  end
end

-- ---- what the history says ----

local function log_of(found, key)
  found.logs[key] = found.logs[key] or { values = {}, offsets = {}, polled = {}, highest = -1 }
  return found.logs[key]
end

local function note_value(log, offset, id)
  log.values[offset] = log.values[offset] or {}
  log.values[offset][id] = true
  log.offsets[id] = log.offsets[id] or {}
  log.offsets[id][offset] = true
end

local function note_send(found, op, key, offset, id)
  local sent = found.sent[id] or { key = key, id = id, rank = 0 }
  sent.rank = math.max(sent.rank, RANK[op.type])
  if op.type == "ok" then sent.offset = sent.offset or offset end
  found.sent[id] = sent
  if op.type == "ok" and offset then note_value(log_of(found, key), offset, id) end
end

local function note_poll(found, key, offset, id)
  local log = log_of(found, key)
  note_value(log, offset, id)
  log.polled[id] = true
  log.highest = math.max(log.highest, offset)
end

-- The offsets of a key that hold something which certainly happened, in order: a reader may step over all
-- others.
local function positions(found, log)
  local list = {}
  for offset, ids in pairs(log.values) do
    for id in pairs(ids) do
      local sent = found.sent[id]
      if not sent or sent.rank == RANK.ok then
        list[#list + 1] = offset
        break
      end
    end
  end
  table.sort(list)
  return list
end

local function read_history(ops)
  local found = { logs = {}, sent = {} }
  for _, op in ipairs(ops) do
    if op.type ~= "invoke" then
      each_send(op, function(key, offset, id) note_send(found, op, key, offset, id) end)
      if op.type ~= "fail" then
        each_poll(op, function(key, offset, id) note_poll(found, key, offset, id) end)
      end
    end
  end
  for _, log in pairs(found.logs) do log.positions = positions(found, log) end
  return found
end

-- ---- the classes ----

local finders = {}

local function case(list, id, key, offset, fmt, ...)
  list[#list + 1] = { id = tostring(id), key = key, offset = offset, note = fmt:format(...) }
end

-- An acknowledged send that nobody polled: lost when somebody read past its offset (or, of unknown offset,
-- when all was read to the end); else unseen.
local function missing(found, complete, want_lost)
  local list = {}
  for id, sent in pairs(found.sent) do
    local log = log_of(found, sent.key)
    if sent.rank == RANK.ok and not log.polled[id] then
      local lost = complete or sent.offset ~= nil and sent.offset < log.highest
      if lost == want_lost then
        local note = lost and "acknowledged, read past up to %d, never delivered"
          or "acknowledged, the readers are at %d"
        case(list, id, sent.key, sent.offset, note, log.highest)
      end
    end
  end
  return list
end

finders["lost-write"] = function(found, _, opts) return missing(found, opts.complete or false, true) end
finders["unseen"] = function(found, _, opts) return missing(found, opts.complete or false, false) end

finders["aborted-read"] = function(found)
  local list = {}
  for id, sent in pairs(found.sent) do
    if sent.rank == RANK.fail and log_of(found, sent.key).polled[id] then
      case(list, id, sent.key, next(log_of(found, sent.key).offsets[id]),
        "its transaction was aborted, and it was delivered")
    end
  end
  return list
end

finders["precommitted-read"] = function(_, ops)
  local list = {}
  for _, op in ipairs(ops) do
    local own = {}
    if op.type ~= "invoke" then each_send(op, function(_, _, id) own[id] = true end) end
    if next(own) then
      each_poll(op, function(key, offset, id)
        if own[id] then case(list, id, key, offset, "polled inside the transaction that sends it") end
      end)
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
  return list
end

finders["inconsistent-offsets"] = function(found)
  local list = {}
  for key, log in pairs(found.logs) do
    for offset, ids in pairs(log.values) do
      local all = {}
      for id in pairs(ids) do all[#all + 1] = tostring(id) end
      table.sort(all)
      if #all > 1 then
        case(list, all[1], key, offset, "offset %d holds %s", offset, table.concat(all, " and "))
      end
    end
  end
  return list
end

-- How many positions lie strictly between two offsets, by halving.
local function first_above(list, offset)
  local low, high = 1, #list + 1
  while low < high do
    local middle = (low + high) // 2
    if list[middle] > offset then high = middle else low = middle + 1 end
  end
  return low
end

local function between(list, from, to)
  local count = 0
  for i = first_above(list, from), #list do
    if list[i] >= to then break end
    count = count + 1
  end
  return count
end

local keeps = { assign = true, subscribe = true }
local forgets = { seek = true, rebalance = true }

local function forget(last, op)
  local kept = {}
  if keeps[op.f] then
    for _, key in ipairs(op.value) do kept[key] = last[key] end
  end
  return kept
end

-- Each process's polls in their order: step(key, offset, id, the offset before it)
local function each_step(ops, step)
  local processes = {}
  for _, op in ipairs(ops) do
    local last = processes[op.process] or {}
    if op.type == "ok" or op.type == "info" then
      if keeps[op.f] or forgets[op.f] then last = forget(last, op) end
      each_poll(op, function(key, offset, id)
        if last[key] then step(key, offset, id, last[key]) end
        last[key] = offset
      end)
    end
    processes[op.process] = last
  end
end

finders["poll-skip"] = function(found, ops)
  local list = {}
  each_step(ops, function(key, offset, id, before)
    local skipped = between(found.logs[key].positions, before, offset)
    if skipped > 0 then
      case(list, id, key, offset, "polled after offset %d, %d records between them skipped", before, skipped)
    end
  end)
  return list
end

finders["nonmonotonic-poll"] = function(_, ops)
  local list = {}
  each_step(ops, function(key, offset, id, before)
    if offset <= before then case(list, id, key, offset, "polled after offset %d", before) end
  end)
  return list
end

finders["nonmonotonic-send"] = function(_, ops)
  local list, processes = {}, {}
  for _, op in ipairs(ops) do
    local last = processes[op.process] or {}
    if op.type == "ok" then
      each_send(op, function(key, offset, id)
        if offset and last[key] and offset <= last[key] then
          case(list, id, key, offset, "sent after a record that got offset %d", last[key])
        end
        last[key] = offset or last[key]
      end)
    end
    processes[op.process] = last
  end
  return list
end

-- classes(ops, {complete = true when the readers have read to the end}) -> { [class] = list of {id, key,
--   offset, note} }, all nine of them
function M.find(ops, opts)
  local found, result = read_history(ops), {}
  for _, class in ipairs(M.classes) do
    local list = finders[class](found, ops, opts or {})
    table.sort(list, function(a, b) return a.id < b.id end)
    result[class] = list
  end
  return result
end

-- ---- what is normal ----

-- Under which settings a class is no fault of the brokers, and why. Settings: acks, idempotence, retries,
-- min_isr, isolation, subscribe, drained, in_flight.
local normal = {
  ["lost-write"] = function(s)
    if s.acks == 0 or s.acks == "0" then return "acks=0 acknowledges what no broker has" end
    if s.acks == 1 or s.acks == "1" then return "acks=1 loses what only the old leader had" end
    if s.min_isr == 1 then return "min.insync.replicas=1 lets one copy be enough" end
  end,
  ["inconsistent-offsets"] = function(s)
    return M.normal("lost-write", s) and "a lost tail's offsets are given out again"
  end,
  ["unseen"] = function(s)
    if s.drained == false then return "the readers were not at the end" end
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
  ["poll-skip"] = function(s)
    return s.subscribe and "with subscribe a rebalance may move the position between two polls"
  end,
  ["nonmonotonic-poll"] = function(s)
    return s.subscribe and "with subscribe a rebalance may move the position between two polls"
  end,
  ["nonmonotonic-send"] = function(s)
    if s.idempotence == false and (s.in_flight or 5) > 1 and s.retries ~= 0 then
      return "a retry overtakes with several requests in flight"
    end
  end,
}

-- normal(class, settings) -> the reason why it is to be expected | nil
function M.normal(class, settings)
  return normal[class](settings or {}) or nil
end

return M
