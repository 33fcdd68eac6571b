-- The classes of docs/checks.md once more, from their definitions alone: each is a sentence of "for all" and
-- "there is" over all sends and polls, with no table that remembers anything. Slow and obvious, so that the
-- checkers have something to differ from.
local M = {}

-- ---- all sends and all polls ----

local function text(value)
  return type(value) == "number" and ("%d"):format(value) or value
end

local function collect(list, at, op, n, key, offset, id)
  list[#list + 1] = { at = at, n = n, op = op, type = op.type, process = op.process,
    key = key ~= nil and text(key) or nil, id = text(id), offset = math.type(offset) and offset or nil }
end

local function of_step(all, at, op, n, step)
  if step[1] == "send" then
    collect(all.sends, at, op, n, step[2], step[3][1], step[3][2])
    return
  end
  for key, records in pairs(step[2]) do
    for i, record in ipairs(records) do
      collect(all.polls, at, op, n + i / 1000, key, record[1], record[2])
    end
  end
end

local function of_value(all, at, op)
  local value = op.value
  if type(value) ~= "table" or value.id then value = { value } end
  for n, item in ipairs(value) do
    if type(item) == "table" and not item.id then
      of_step(all, at, op, n, item)
    else
      collect(op.f == "send" and all.sends or all.polls, at, op, n, op.key, nil,
        type(item) == "table" and item.id or item)
    end
  end
end

-- `polls` of operations that failed did not happen; `tried` are all of them.
local function all_of(ops)
  local all = { sends = {}, polls = {}, moves = {} }
  for at, op in ipairs(ops) do
    local moves = op.f == "assign" or op.f == "subscribe" or op.f == "seek" or op.f == "rebalance"
    if op.type ~= "invoke" and moves then all.moves[#all.moves + 1] = { at = at, op = op } end
    if op.type ~= "invoke" and not moves then of_value(all, at, op) end
  end
  all.tried, all.polls = all.polls, {}
  for _, poll in ipairs(all.tried) do
    if poll.type ~= "fail" then all.polls[#all.polls + 1] = poll end
  end
  return all
end

-- ---- words ----

local function there_is(list, pred)
  for _, item in ipairs(list) do
    if pred(item) then return item end
  end
end

local function for_all(list, pred)
  return not there_is(list, function(item) return not pred(item) end)
end

-- Two records that can be the same one: a key that nobody knows can be any.
local function may_be(a, b)
  return a.id == b.id and (a.key == b.key or a.key == nil or b.key == nil)
end

local function same(a, b) return a.id == b.id and a.key == b.key end

local function acknowledged(send) return send.type == "ok" end

local function delivered(all, record)
  return there_is(all.polls, function(poll) return may_be(poll, record) end) ~= nil
end

local function aborted(all, record)
  return there_is(all.sends, function(send) return may_be(send, record) end) ~= nil
    and for_all(all.sends, function(send) return not may_be(send, record) or send.type == "fail" end)
end

-- Where records are known to stand: acknowledged there, or polled there.
local function placed(all)
  local list = {}
  for _, send in ipairs(all.sends) do
    if acknowledged(send) and send.offset then list[#list + 1] = send end
  end
  for _, poll in ipairs(all.polls) do
    if poll.offset then list[#list + 1] = poll end
  end
  return list
end

local function lowest(list, pred)
  local low
  for _, item in ipairs(list) do
    if item.offset and pred(item) and (not low or item.offset < low) then low = item.offset end
  end
  return low
end

-- The first of each that is the same.
local function each_record(list, f)
  for i, item in ipairs(list) do
    local first = there_is(list, function(other) return same(other, item) end)
    if first == list[i] then f(item) end
  end
end

-- ---- the classes ----

local classes = {}

local function missing(all, out, complete, want_lost)
  local acked = {}
  for _, send in ipairs(all.sends) do
    if acknowledged(send) then acked[#acked + 1] = send end
  end
  each_record(acked, function(send)
    if delivered(all, send) then return end
    local lost = complete or there_is(acked, function(one)
      return same(one, send) and one.offset and there_is(all.polls, function(poll)
        return poll.key == one.key and poll.offset and poll.offset >= one.offset
      end) ~= nil
    end) ~= nil
    if lost == want_lost then
      out(send.id, send.key, lowest(acked, function(one) return same(one, send) end))
    end
  end)
end

classes["lost-write"] = function(all, out, complete) missing(all, out, complete, true) end
classes["unseen"] = function(all, out, complete) missing(all, out, complete, false) end

classes["aborted-read"] = function(all, out)
  each_record(all.sends, function(send)
    if aborted(all, send) and delivered(all, send) then
      out(send.id, send.key, lowest(all.polls, function(poll) return same(poll, send) end))
    end
  end)
end

classes["precommitted-read"] = function(all, out)
  for _, poll in ipairs(all.tried) do
    if there_is(all.sends, function(send) return send.at == poll.at and same(send, poll) end) then
      out(poll.id, poll.key, poll.offset)
    end
  end
end

classes["duplicate"] = function(all, out)
  local places = placed(all)
  each_record(places, function(record)
    local first = lowest(places, function(one) return same(one, record) end)
    local second = lowest(places, function(one) return same(one, record) and one.offset > first end)
    if second then out(record.id, record.key, second) end
  end)
  each_record(all.polls, function(poll)
    local twice = there_is(all.polls, function(a)
      return same(a, poll) and not a.offset and there_is(all.polls, function(b)
        return b ~= a and b.at == a.at and same(b, a) and not b.offset
      end) ~= nil
    end)
    if twice then out(poll.id, poll.key, nil) end
  end)
end

classes["inconsistent-offsets"] = function(all, out)
  local places = placed(all)
  for i, record in ipairs(places) do
    local function here(one) return one.key == record.key and one.offset == record.offset end
    local first = there_is(places, here) == places[i]
    local other = there_is(places, function(one) return here(one) and one.id ~= record.id end)
    local smallest = record.id
    for _, one in ipairs(places) do
      if here(one) and one.id < smallest then smallest = one.id end
    end
    if first and other then out(smallest, record.key, record.offset) end
  end
end

local function after(a, b) return a.at > b.at or a.at == b.at and a.n > b.n end

local function keeps(move, key)
  if move.op.f ~= "assign" and move.op.f ~= "subscribe" then return false end
  return there_is(move.op.value, function(kept) return text(kept) == key end) ~= nil
end

-- The record of the key that the process had before this one, unless it was moved between the two.
local function before(list, record, moves)
  local last
  for _, one in ipairs(list) do
    if one.process == record.process and one.key == record.key and one.offset and after(record, one)
      and (not last or after(one, last)) then
      last = one
    end
  end
  local moved = last and there_is(moves, function(move)
    return move.op.process == record.process and move.op.type ~= "fail" and move.at > last.at
      and move.at < record.at and not keeps(move, record.key)
  end)
  return not moved and last or nil
end

local function each_pair(list, moves, inside, f)
  for _, record in ipairs(list) do
    local last = record.offset and record.key and before(list, record, moves)
    if last and (last.at == record.at) == inside then f(record, last) end
  end
end

local function skips(inside)
  return function(all, out)
    local places = placed(all)
    each_pair(all.polls, all.moves, inside, function(poll, last)
      local passed = there_is(places, function(one)
        return one.key == poll.key and one.offset > last.offset and one.offset < poll.offset
          and not aborted(all, one)
      end)
      if passed then out(poll.id, poll.key, poll.offset) end
    end)
  end
end

local function goes_back(which, inside)
  return function(all, out)
    local list, moves = all.polls, all.moves
    if which == "send" then
      list, moves = {}, {}
      for _, send in ipairs(all.sends) do
        if acknowledged(send) then list[#list + 1] = send end
      end
    end
    each_pair(list, moves, inside, function(record, last)
      if record.offset <= last.offset then out(record.id, record.key, record.offset) end
    end)
  end
end

classes["poll-skip"], classes["int-poll-skip"] = skips(false), skips(true)
for _, which in ipairs { "poll", "send" } do
  classes["nonmonotonic-" .. which] = goes_back(which, false)
  classes["int-nonmonotonic-" .. which] = goes_back(which, true)
end

-- find(ops, {complete =}) -> { [class] = list of { id =, key =, offset = } }
function M.find(ops, opts)
  local all, result = all_of(ops), {}
  for class, find in pairs(classes) do
    local list = {}
    find(all, function(id, key, offset) list[#list + 1] = { id = id, key = key, offset = offset } end,
      opts and opts.complete or false)
    result[class] = list
  end
  return result
end

return M
