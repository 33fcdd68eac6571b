-- MySQL, Redis and the stack in one line.
local quoting = require "rlab.repl.quoting"
local show = require "rlab.repl.show"

local READS = { select = true, show = true, describe = true, desc = true, explain = true, with = true,
  table = true, values = true }

local function split(text)
  local words, why = quoting.words(text)
  if not words then error("redis: " .. why, 3) end
  if #words == 0 then error('redis takes a command: redis "GET key"', 3) end
  return words
end

local function lost(failure)
  return failure.code == 2006 or failure.code == 2013 or failure.name == "CLOSED"
    or failure.name == "CANCELLED"
end

-- calls f(handle); a connection that was lost while idle is made again, once, when `again` allows it
local function with(clients, name, f, again)
  local handle, failure = clients:open(name)
  if not handle then return nil, failure end
  local result = table.pack(f(handle))
  if result[1] ~= nil or not result[2] or not lost(result[2]) then
    return table.unpack(result, 1, result.n)
  end
  clients:forget(name)
  if again then return with(clients, name, f, false) end
  return table.unpack(result, 1, result.n)
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
    local verb = text:match "^[%s%(]*(%a*)":lower()
    if not READS[verb] then
      return with(clients, "mysql", function(db) return db:exec(text, table.unpack(args, 1, args.n)) end)
    end
    local rows, failure = with(clients, "mysql",
      function(db) return db:query(text, table.unpack(args, 1, args.n)) end, true)
    if not rows then return nil, failure end
    return getmetatable(rows) and rows or show.listing(rows, rows.columns)
  end

  words.redis = show.callable("rlab.redis", function(text, ...)
    if type(text) ~= "string" then error('redis takes a command: redis "GET key"', 3) end
    local command = select("#", ...) > 0 and { text, ... } or split(text)
    return with(clients, "redis", function(r) return r:call(table.unpack(command)) end, #command == 2)
  end)

  function words.slots()
    local ranges, failure = with(clients, "cluster", function(c) return c:slots() end, true)
    if not ranges then return nil, failure end
    for _, range in ipairs(ranges) do
      range.slots, range.count = ("%d-%d"):format(range.first, range.last), range.last - range.first + 1
    end
    return show.listing(ranges, { "slots", { name = "count", align = "right" }, "primary", "replicas" })
  end

  function words.slot(key)
    if type(key) ~= "string" then error('slot takes a key: slot "{acct:17}:bal"', 2) end
    local ranges, failure = with(clients, "cluster", function(c) return c:slots() end, true)
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
