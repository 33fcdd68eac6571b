-- rlab.mysql: connections, transactions, prepared statements, streamed rows and pools. The calls to the
-- server are in C (rlab.core_mysql).
local core = require "rlab.core_mysql"
local defer = require "rlab.defer"
local err = require "rlab.err"
local null = require "rlab.null"
local strict = require "rlab.options"
local task = require "rlab.task"
local units = require "rlab.units"

local M = {}
local Db = core.methods -- of every connection: query, exec, kill, id, ping, reconnect, ... come from C

-- connect{host=, port=, socket=, user=, password=, database=, tls=, ca=, found_rows=, connect_timeout=,
--   read_timeout=, write_timeout=} -> db | nil, err
M.connect = core.connect

-- ---- rows ----

local function present(value) if value ~= null then return value end end

local function iterate(cursor, failure)
  if not cursor then error(failure, 0) end
  local function next_row()
    local row, broken = cursor:next()
    if row == nil and broken then error(broken, 0) end
    return row
  end
  return next_row, nil, nil, cursor
end

-- for row in db:rows(sql, ...) do ... end: the rows as the server sends them, never all in memory. Errors
-- are raised, as a loop cannot look at them. The connection serves nothing else meanwhile; leaving the loop
-- early frees it.
function Db:rows(sql, ...)
  return iterate(self:cursor(sql, ...))
end

-- db:row(sql, ...) -> the first row | nil when there is none | nil, err
function Db:row(sql, ...)
  local rows, failure = self:query(sql, ...)
  if not rows then return nil, failure end
  return rows[1]
end

-- db:value(sql, ...) -> the first column of the first row | nil when there is none | nil, err
function Db:value(sql, ...)
  local rows, failure = self:query(sql, ...)
  local first = rows and rows[1]
  if not first then return nil, failure end
  if first[1] ~= nil then return first[1] end -- a name is there twice: its last column has it
  return first[rows.columns[1]]
end

-- db:sessions() -> list of {thread, schema | nil, state | nil} of all connections to the server | nil, err.
--   information_schema.processlist is not asked: it refuses to answer (ER_3854) while any session runs a
--   statement whose text holds bytes that are no UTF-8, such as a binary key written out.
function Db:sessions()
  local rows, failure = self:query "SHOW PROCESSLIST"
  if not rows then return nil, failure end
  local list = {}
  for i, row in ipairs(rows) do
    list[i] = { thread = row.Id, schema = present(row.db), state = present(row.State) }
  end
  return list
end

-- ---- prepared statements ----

local Statement = {}
Statement.__index = Statement
Statement.__name = "mysql.statement"

-- db:prepare(sql) -> statement | nil, err. It is prepared on the server at once and stays so until
--   statement:close(); after a reconnect it is prepared again by itself.
function Db:prepare(sql)
  local done, failure = core.pin(self, sql)
  if not done then return nil, failure end
  return setmetatable({ db = self, sql = sql }, Statement)
end

local function open_statement(self)
  if not self.db then error("this mysql.statement is closed", 3) end
  return self.db
end

function Statement:query(...) return core.query_prepared(open_statement(self), self.sql, ...) end
function Statement:exec(...) return core.exec_prepared(open_statement(self), self.sql, ...) end
function Statement:rows(...) return iterate(core.cursor_prepared(open_statement(self), self.sql, ...)) end

function Statement:close()
  local db = self.db
  self.db = nil
  if db and db:is_open() then core.unpin(db, self.sql) end
end
Statement.__close = Statement.close

-- ---- transactions ----

local levels = {
  ["read uncommitted"] = true, ["read committed"] = true, ["repeatable read"] = true, ["serializable"] = true,
}
local tx_keys = { "isolation", "retries", "read_only", "snapshot" }
local inside = setmetatable({}, { __mode = "k" }) -- connections with a tx under way

local function check_tx(options)
  options = strict.check("mysql:tx", options, tx_keys, 4)
  local level = options.isolation and tostring(options.isolation):lower():gsub("[_-]", " ")
  if level and not levels[level] then
    error(("mysql:tx: no isolation level '%s'; there are read uncommitted, read committed, repeatable \z
      read, serializable")
      :format(tostring(options.isolation)), 3)
  end
  local retries = options.retries or 0
  if math.type(retries) ~= "integer" or retries < 0 then
    error("mysql:tx: retries is a number of times, 0 or more", 3)
  end
  return { level = level, retries = retries, read_only = options.read_only, snapshot = options.snapshot }
end

local function begin(db, options)
  if options.level then
    local done, failure = db:exec("SET TRANSACTION ISOLATION LEVEL " .. options.level:upper())
    if not done then return nil, failure end
  end
  local words = {}
  if options.snapshot then words[#words + 1] = "WITH CONSISTENT SNAPSHOT" end
  if options.read_only then words[#words + 1] = "READ ONLY" end
  return db:exec("START TRANSACTION " .. table.concat(words, ", "))
end

local again = { ER_LOCK_DEADLOCK = true, ER_LOCK_WAIT_TIMEOUT = true }

local function worth_another(failure)
  return err.is(failure) and again[failure.name] == true
end

-- What was not committed was not done, whatever became of one statement of it.
local function uncommitted(failure)
  if err.is(failure) and failure.domain == "mysql" then failure.happened = "no" end
  return failure
end

-- A commit whose answer is missing may have happened or not; the error says so in its field `unknown`.
local function commit(db)
  local done, failure = db:exec "COMMIT"
  if not done and failure.happened == "unknown" then failure.unknown = true end
  return done, failure
end

-- One attempt -> true, results | false, failure, raised
local function attempt(db, f, options)
  local done, failure = begin(db, options)
  if not done then return false, uncommitted(failure) end
  local results = table.pack(pcall(f, db))
  local raised = not results[1]
  local refused = not raised and results[2] == nil and results[3] ~= nil
  if not raised and not refused then
    done, failure = commit(db)
    if done then return true, results end
    db:exec "ROLLBACK"
    return false, failure
  end
  db:exec "ROLLBACK"
  return false, uncommitted(results[raised and 2 or 3]), raised, results
end

local function give_up(failure, raised, results)
  if raised then error(failure, 0) end
  if results then return table.unpack(results, 2, results.n) end
  return nil, failure
end

local function run_tx(db, f, options)
  for tries = 0, options.retries do
    local ok, outcome, raised, results = attempt(db, f, options)
    if ok and outcome.n == 1 then return true end
    if ok then return table.unpack(outcome, 2, outcome.n) end
    if tries == options.retries or not worth_another(outcome) then
      return give_up(outcome, raised, results)
    end
  end
end

-- db:tx(function(tx) ... end, {isolation=, retries=, read_only=, snapshot=}) -> the function's results
--   (true where it returns none) | nil, err.
-- Commits; rolls back when the function raises (the error goes on) or returns nil, err. A deadlock or lock
-- wait timeout runs the function again, up to `retries` times. A failed commit whose outcome nobody knows
-- has err.unknown.
function Db:tx(f, options)
  if type(f) ~= "function" then error("mysql:tx: a function expected, got " .. type(f), 2) end
  options = check_tx(options)
  if inside[self] then error("mysql:tx: this connection is inside a transaction already", 2) end
  inside[self] = true
  local _ <close> = defer(function() inside[self] = nil end)
  return run_tx(self, f, options)
end

-- ---- pools ----

local Pool = {}
Pool.__index = Pool
Pool.__name = "mysql.pool"

local function closed_error()
  return err.new { domain = "mysql", code = 0, name = "CLOSED", message = "the pool is closed",
    retriable = false, abortable = false, fatal = true }
end

-- pool{size=, wait=, and what connect takes} -> pool. Connections are opened when they are first needed;
--   `wait` is how long :with waits for a free one (5s).
function M.pool(options)
  if type(options) ~= "table" then error("mysql.pool: a table of options expected", 2) end
  local own, rest = { size = 4, wait = 5 }, {}
  for key, value in pairs(options) do
    if own[key] ~= nil then own[key] = value else rest[key] = value end
  end
  if math.type(own.size) ~= "integer" or own.size < 1 then
    error("mysql.pool: size is a number of connections, 1 or more", 2)
  end
  return setmetatable({
    options = rest, size = own.size, wait = units.duration(own.wait), idle = {}, count = 0,
    waiting = 0, timeouts = 0, freed = task.event(), closed = false,
  }, Pool)
end

local function wait_for_room(pool)
  pool.waiting = pool.waiting + 1
  local _ <close> = defer(function() pool.waiting = pool.waiting - 1 end)
  while not pool.closed and #pool.idle == 0 and pool.count >= pool.size do pool.freed:wait() end
  return true
end

local function open_one(pool)
  pool.count = pool.count + 1
  local opened = false
  local _ <close> = defer(function()
    if opened then return end
    pool.count = pool.count - 1
    pool.freed:set(true)
  end)
  local db, failure = core.connect(pool.options)
  opened = db ~= nil
  return db, failure
end

local function discard(pool, db)
  pool.count = pool.count - 1
  db:close()
  pool.freed:set(true)
end

-- Whoever is cancelled while it waits for a server that says nothing leaves no place behind that is taken.
local function mend(pool, db)
  if not db:broken() then return db end
  local mended, failure
  local _ <close> = defer(function()
    if not mended then discard(pool, db) end
  end)
  mended, failure = db:reconnect()
  return mended and db or nil, failure
end

local function take(pool)
  if #pool.idle == 0 and pool.count >= pool.size then
    local room, failure = task.timeout(pool.wait, wait_for_room, pool)
    if not room then
      pool.timeouts = pool.timeouts + 1
      failure.message = ("all %d connections of the pool were busy for %s"):format(pool.size,
        units.print_duration(pool.wait))
      return nil, failure
    end
  end
  if pool.closed then return nil, closed_error() end
  local db = table.remove(pool.idle)
  if db then return mend(pool, db) end
  if pool.count >= pool.size then return take(pool) end
  return open_one(pool)
end

-- A transaction that the user left open must not be found by the next one.
local function give_back(pool, db)
  if not db:is_open() then
    pool.count = pool.count - 1
  elseif pool.closed then
    discard(pool, db)
  else
    if db:in_transaction() then
      warn("rlab.mysql: a transaction was left open in a pool's connection and is rolled back")
      db:exec "ROLLBACK"
    end
    pool.idle[#pool.idle + 1] = db
  end
  pool.freed:set(true)
end

-- pool:with(function(db) ... end) -> the function's results | nil, err when no connection could be had
function Pool:with(f)
  local db, failure = take(self)
  if not db then return nil, failure end
  local pool = self
  local _ <close> = defer(function() give_back(pool, db) end)
  return f(db)
end

function Pool:query(...)
  local args = table.pack(...)
  return self:with(function(db) return db:query(table.unpack(args, 1, args.n)) end)
end

function Pool:exec(...)
  local args = table.pack(...)
  return self:with(function(db) return db:exec(table.unpack(args, 1, args.n)) end)
end

function Pool:tx(f, options)
  return self:with(function(db) return db:tx(f, options) end)
end

-- pool:close(): idle connections now, busy ones when they come back
function Pool:close()
  self.closed = true
  self.freed:set(true)
  local idle = self.idle
  self.idle = {}
  for _, db in ipairs(idle) do discard(self, db) end
end
Pool.__close = Pool.close

return M
