-- MySQL, Redis and the stack in one line.
local quoting = require "rlab.repl.quoting"
local show = require "rlab.repl.show"

-- "SET k 'two words'" -> { "SET", "k", "two words" }
local function split(text)
  local words, why = quoting.words(text)
  if not words then error("redis: " .. why, 3) end
  if #words == 0 then error('redis takes a command: redis "GET key"', 3) end
  return words
end

local function lost(failure)
  return failure.fatal or failure.name == "CLOSED" or failure.name == "CANCELLED"
end

-- A connection that died while nobody used it is made anew before anything is sent.
local function whole(clients, name)
  local handle, failure = clients:open(name)
  if not handle or not handle.broken or not handle:broken() then return handle, failure end
  clients:forget(name)
  return clients:open(name)
end

-- with(clients, name, f) -> f(handle)'s results. What was sent is not sent again: whether the server did it
--   is not known.
local function with(clients, name, f)
  local handle, failure = whole(clients, name)
  if not handle then return nil, failure end
  local result = table.pack(f(handle))
  if result[1] == nil and result[2] and lost(result[2]) then clients:forget(name) end
  return table.unpack(result, 1, result.n)
end

local function slots_of(clients)
  local ranges, failure = with(clients, "cluster", function(c) return c:slots() end)
  if ranges or not lost(failure) then return ranges, failure end
  return with(clients, "cluster", function(c) return c:slots() end) -- a question may be asked again
end

local function stack_status()
  local stack = require "rlab.stack"
  local rows, failure = stack.status()
  if not rows then return nil, failure end
  local columns = {}
  for i, name in ipairs(rows.columns) do columns[i] = { name = name, align = i > 2 and "right" or nil } end
  return show.listing(rows, columns)
end

return function(session, words)
  local clients = session.clients

  function words.sql(text, ...)
    if type(text) ~= "string" then error('sql takes a statement: sql "select 1"', 2) end
    local args = table.pack(...)
    local rows, failure = with(clients, "mysql",
      function(db) return db:query(text, table.unpack(args, 1, args.n)) end)
    if not rows then return nil, failure end
    if #rows.columns > 0 then return show.answer(rows) end
    return { affected = rows.affected, insert_id = rows.insert_id, warnings = rows.warnings }
  end

  words.redis = show.callable("rlab.redis", function(text, ...)
    if type(text) ~= "string" then error('redis takes a command: redis "GET key"', 3) end
    local command = select("#", ...) > 0 and { text, ... } or split(text)
    return with(clients, "redis", function(r) return r:call(table.unpack(command)) end)
  end)

  function words.slots()
    local ranges, failure = slots_of(clients)
    if not ranges then return nil, failure end
    for _, range in ipairs(ranges) do
      range.slots, range.count = ("%d-%d"):format(range.first, range.last), range.last - range.first + 1
    end
    return show.listing(ranges, { "slots", { name = "count", align = "right" }, "primary", "replicas" })
  end

  function words.slot(key)
    if type(key) ~= "string" then error('slot takes a key: slot "{acct:17}:bal"', 2) end
    local ranges, failure = slots_of(clients)
    if not ranges then return nil, failure end
    local slot = require("rlab.redis").slot(key)
    for _, range in ipairs(ranges) do
      if slot >= range.first and slot <= range.last then
        return { key = key, slot = slot, primary = range.primary, replicas = range.replicas }
      end
    end
    return { key = key, slot = slot }
  end

  words.stack = show.callable("rlab.stack", stack_status)
end
