-- MySQL as a service uses it: a pool with bounded waits, whose health a ping of its own keeps, so that a
-- server that is away or frozen is told at once; one that serves again is told by the first work that it
-- did.
local clock = require "rlab.clock"
local defer = require "rlab.defer"
local err = require "rlab.err"
local mysql = require "rlab.mysql"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local PING_EVERY, PING_AT_MOST = "500ms", "1500ms"

local function settings(ctx, more)
  local bounds = { connect_timeout = "2s", read_timeout = "3s", write_timeout = "3s" }
  return tables.merged(bounds, ctx.mysql, more)
end

-- The services' tables are asked for until they are there: a schema without them is the first thing that
-- goes wrong by hand.
local function has_tables(state, db, schema)
  if state.tables then return true end
  local rows, failure = db:query "SELECT 1 FROM account LIMIT 0"
  state.tables = rows ~= nil
  if rows or not M.unmade(failure) then return rows, failure end
  return false, M.no_tables(schema)
end

-- unmade(failure) -> whether the schema or its tables were not made yet
function M.unmade(failure)
  return err.is(failure) and (failure.name == "ER_NO_SUCH_TABLE" or failure.name == "ER_BAD_DB_ERROR")
end

-- no_tables(schema) -> what to do about ER_NO_SUCH_TABLE
function M.no_tables(schema)
  return ("the schema %s has no tables of the services; make them by: rlab migrate --schema %s"):format(
    schema, schema)
end

local function watch(state, options)
  local db
  local _ <close> = defer(function() if db then db:close() end end)
  while true do
    local began = clock.ns()
    local ok, failure
    if not db then
      db, failure = mysql.connect(options)
      ok = db ~= nil
      if M.unmade(failure) then failure = M.no_tables(options.database) end
    elseif db:broken() then
      ok, failure = db:reconnect()
    else
      ok, failure = db:ping()
    end
    if ok then ok, failure = has_tables(state, db, options.database) end
    if ok or state.served_ns < began then
      state.ok, state.why = ok and true or false, failure and tostring(failure)
    end
    task.sleep(PING_EVERY)
  end
end

-- Work that succeeds says more, and sooner, than the next ping; a ping that began before it says nothing
-- any more.
local function noted(state, result, ...)
  if result ~= nil and state.tables then state.ok, state.why, state.served_ns = true, nil, clock.ns() end
  return result, ...
end

local function told(pool, state)
  local with = pool.with
  function pool.with(self, f) return noted(state, with(self, f)) end
  return pool
end

-- Session settings go with a connection; a reconnect makes a new one of it.
local function prepared(pool, statements)
  local seen = setmetatable({}, { __mode = "k" })
  local with = pool.with
  function pool.with(self, f)
    return with(self, function(db)
      if seen[db] ~= db:id() then
        for _, sql in ipairs(statements) do
          local ok, failure = db:exec(sql)
          if not ok then return nil, failure end
        end
        seen[db] = db:id()
      end
      return f(db)
    end)
  end
  return pool
end

-- pool(ctx, {size = 8, wait = "2s", session = {"SET SESSION ..."}, and what mysql.connect takes}) -> pool;
--   /actuator/health says how MySQL is
function M.pool(ctx, options)
  local all, session = settings(ctx, options), options and options.session
  all.session = nil
  local pinged = settings(ctx, { read_timeout = PING_AT_MOST, connect_timeout = PING_AT_MOST })
  local state = { why = "not asked yet", served_ns = 0 }
  ctx:health("mysql", function() return state.ok, state.why end)
  ctx:spawn(watch, state, pinged)
  local pool = told(mysql.pool(all), state)
  ctx:on_drain(function() pool:close() end)
  return session and prepared(pool, session) or pool
end

-- away(failure) -> whether another time may do: the server is not there, does not answer, or has no
--   connection or lock for us
function M.away(failure)
  if not err.is(failure) then return false end
  return failure.retriable or failure.fatal or failure.blame == "server" or failure.name == "CANCELLED"
    or failure.name == "CLOSED"
end

return M
