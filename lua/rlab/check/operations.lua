-- The operations of a history as the Kafka checks need them: what each sent, what each polled, and where its
-- process may read on. What cannot be read is raised, with the number of the operation; nothing is passed
-- over, so that a misspelt word cannot make a history look good.
-- Two forms are read. Jepsen's: a list of steps {"send", key, {offset, id}} and {"poll", {[key] = {{offset,
-- id}, ...}}}. The lab's own (lab:invoke, lab:op): an id, a list of ids, or of rows with an id; the key is
-- the operation's `key`, if it has one, and offsets are unknown.
local null = require "rlab.null"
local options = require "rlab.options"
local tables = require "rlab.tables"

local M = {}

-- The key of a record of which nobody said where it went: it may be any.
M.SOMEWHERE = false

local TYPES = { "invoke", "ok", "fail", "info" }
local WORDS = { "send", "poll", "txn", "assign", "subscribe", "seek", "rebalance" }
local STEPS = { send = { send = true }, poll = { poll = true }, txn = { send = true, poll = true } }
local KEPT = { assign = true, subscribe = true }

local function raise(at, fmt, ...)
  error(("history: operation %d: %s"):format(at, fmt:format(...)))
end

local function known(at, what, word, words)
  if tables.contains(words, word) then return end
  raise(at, "no %s '%s'; %s", what, tostring(word), options.advice(word, words))
end

-- ---- ids, keys, offsets ----

-- text(value) -> a key or an id as text: JSON makes text of a key, a broker of an id; nil for what is neither
-- text nor a number
function M.text(value)
  if type(value) == "string" then return value end
  if type(value) ~= "number" then return nil end
  return tostring(math.tointeger(value) or value)
end

local function id_of(at, value)
  return M.text(value) or raise(at, "an id is text or a number, not %s",
    value == null and "null" or type(value))
end

local function key_of(at, value)
  return M.text(value) or raise(at, "a key is text or a number, not %s",
    value == null and "null" or type(value))
end

local function offset_of(at, value)
  local offset = type(value) == "number" and math.tointeger(value)
  if offset and offset >= 0 then return offset end
  raise(at, "an offset is a whole number from 0, not %s", value == null and "null" or tostring(value))
end

-- A list without holes: behind one ipairs would see nothing.
local function list_of(at, what, value)
  if type(value) ~= "table" then raise(at, "%s: a list expected, got %s", what, type(value)) end
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  if count ~= #value then raise(at, "%s: a list without holes expected", what) end
  return value
end

-- ---- Jepsen's steps ----

local function pair_of(at, what, value)
  if type(value) ~= "table" or value[2] == nil then raise(at, "%s: {offset, id} expected", what) end
  return value[1], id_of(at, value[2])
end

local function read_send(at, step, into)
  local offset, id = pair_of(at, "send", step[3])
  if offset == null then offset = nil end
  into.sends[#into.sends + 1] = { key = key_of(at, step[2]), id = id,
    offset = offset ~= nil and offset_of(at, offset) or nil }
end

local function read_poll(at, step, into)
  if type(step[2]) ~= "table" then raise(at, "poll: {[key] = records} expected") end
  for key, records in pairs(step[2]) do
    for _, record in ipairs(list_of(at, "poll", records)) do
      local offset, id = pair_of(at, "poll", record)
      into.polls[#into.polls + 1] = { key = key_of(at, key), id = id, offset = offset_of(at, offset) }
    end
  end
end

local readers = { send = read_send, poll = read_poll }

local function read_step(at, op, step, into)
  known(at, "step", step[1], { "send", "poll" })
  if not STEPS[op.f][step[1]] then raise(at, "a %s has no %s steps", op.f, step[1]) end
  readers[step[1]](at, step, into)
end

-- ---- the lab's own form ----

local function read_id(at, op, value, into)
  if type(value) == "table" then value = value.id end
  if op.f == "txn" then raise(at, "a txn has steps: {\"send\", ...} or {\"poll\", ...}") end
  local list = op.f == "send" and into.sends or into.polls
  local key = M.SOMEWHERE
  if op.key ~= nil and op.key ~= null then key = key_of(at, op.key) end
  list[#list + 1] = { key = key, id = id_of(at, value) }
end

local function is_row(value)
  return type(value) == "table" and value.id ~= nil
end

local function read_value(at, op, into)
  local value = op.value
  if type(value) ~= "table" or is_row(value) then return read_id(at, op, value, into) end
  for _, item in ipairs(list_of(at, op.f, value)) do
    if type(item) == "table" and not is_row(item) then
      read_step(at, op, item, into)
    else
      read_id(at, op, item, into)
    end
  end
end

-- ---- operations ----

local function keys_of(at, op)
  local kept = {}
  for _, key in ipairs(list_of(at, op.f, op.value)) do kept[key_of(at, key)] = true end
  return kept
end

local function read_one(at, op)
  local one = { type = op.type, process = op.process, sends = {}, polls = {} }
  if type(op.process) ~= "string" and math.type(op.process) ~= "integer" then
    raise(at, "a process is an integer or a name, not %s", type(op.process))
  end
  if STEPS[op.f] then
    read_value(at, op, one)
  else
    one.moved, one.kept = true, KEPT[op.f] and keys_of(at, op) or {}
  end
  return one
end

-- read(ops) -> list of { type, process, sends, polls, moved, kept } of all that is no invoke: sends and polls
--   are lists of { key, id, offset } in their order; `moved`: the process reads on anywhere but on the keys
--   of the set `kept`
function M.read(ops)
  local list = {}
  if type(ops) ~= "table" then error("history: a list of operations expected, got " .. type(ops)) end
  for at, op in ipairs(list_of(#ops + 1, "history", ops)) do
    if type(op) ~= "table" then raise(at, "{type =, process =, f =, value =} expected, got %s", type(op)) end
    known(at, "type", op.type, TYPES)
    known(at, "f", op.f, WORDS)
    if op.type ~= "invoke" then list[#list + 1] = read_one(at, op) end
  end
  return list
end

return M
