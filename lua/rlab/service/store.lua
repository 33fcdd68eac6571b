-- MySQL as a service uses it: a pool with bounded waits, whose health a ping of its own keeps, so that a server that is away or frozen is told at once.
local err = require "rlab.err"
local mysql = require "rlab.mysql"
local task = require "rlab.task"

local M = {}

local PING_EVERY, PING_AT_MOST = "500ms", "1500ms"

local function settings(ctx, more)
  local all = { connect_timeout = "2s", read_timeout = "3s", write_timeout = "3s" }
  for _, source in ipairs { ctx.mysql, more or {} } do
    for key, value in pairs(source) do all[key] = value end
  end
  return all
end

local function watch(state, options)
  local db
  local closed <close> = setmetatable({}, { __close = function() if db then db:close() end end }) -- luacheck: ignore 211
  while true do
    local ok, failure
    if not db then
      db, failure = mysql.connect(options)
      ok = db ~= nil
    elseif db:broken() then
      ok, failure = db:reconnect()
    else
      ok, failure = db:ping()
    end
    state.ok, state.why = ok and true or false, failure and tostring(failure)
    task.sleep(PING_EVERY)
  end
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

-- pool(ctx, {size = 8, wait = "2s", session = {"SET SESSION ..."}, and what mysql.connect takes}) -> pool; /actuator/health says how MySQL is
function M.pool(ctx, options)
  local all, session = settings(ctx, options), options and options.session
  all.session = nil
  local pinged = settings(ctx, { read_timeout = PING_AT_MOST, connect_timeout = PING_AT_MOST })
  local state = { why = "not asked yet" }
  ctx:health("mysql", function() return state.ok, state.why end)
  ctx:spawn(watch, state, pinged)
  local pool = mysql.pool(all)
  ctx:on_drain(function() pool:close() end)
  return session and prepared(pool, session) or pool
end

-- away(failure) -> whether another time may do: the server is not there, does not answer, or has no connection or lock for us
function M.away(failure)
  if not err.is(failure) then return false end
  return failure.retriable or failure.fatal or failure.name == "TIMEOUT" or failure.name == "CANCELLED" or failure.name == "CLOSED"
end

return M
