-- Chunked backfill: rows of a table in steps by primary key, in shards side by side, each with a checkpoint
-- that is written in the transaction of its chunk. A crash costs at most the chunk under way; a live write
-- wins when the statement is guarded by a version; it pauses while live traffic lags.
local clock = require "rlab.clock"
local defer = require "rlab.defer"
local err = require "rlab.err"
local fail = require "rlab.fail"
local mysql = require "rlab.mysql"
local null = require "rlab.null"
local script = require "rlab.experiment.script"
local sql_name = require "rlab.sql_name"
local tables = require "rlab.tables"
local task = require "rlab.task"
local units = require "rlab.units"

local M = {}

local Backfill = {}
Backfill.__index = Backfill

local PAUSE, THROTTLE, FRESH_NS = 0.2, 0.05, 100000000
local MOST_SHARDS, MOST_ROWS = 1024, 1000000

-- named("UPDATE t SET a = :a WHERE id = :id") -> "UPDATE t SET a = ? WHERE id = ?", { "a", "id" }; what
--   stands in quotes is left as it is
function M.named(sql)
  local names = {}
  local function take(text)
    return (text:gsub("%f[:%w]:([%a_][%w_]*)", function(name)
      names[#names + 1] = name
      return "?"
    end))
  end
  local out, at = {}, 1
  for before, quoted, after in sql:gmatch "()(%b'')()" do
    out[#out + 1], out[#out + 2] = take(sql:sub(at, before - 1)), quoted
    at = after
  end
  out[#out + 1] = take(sql:sub(at))
  return table.concat(out), names
end

local function mistake(fmt, ...)
  return nil, err.new { domain = "rlab", code = 0, name = "USAGE", message = "backfill: " .. fmt:format(...) }
end

local function values_of(names, from)
  local list = { n = #names }
  for i, name in ipairs(names) do
    local value = from[name]
    if value == nil then error(select(2, mistake("the rows read have no '%s'", name)), 0) end
    list[i] = value
  end
  return list
end

local function count_of(name, value, most)
  if math.type(value) == "integer" and value >= 1 and value <= most then return value end
  error(select(2, mistake("%s is a whole number from 1 to %d, not %s", name, most, value)), 0)
end

-- new{mysql =, job =, table =, key =, read =, write =, ...} -> backfill
--   mysql: what mysql.connect takes; job: its name in backfill_checkpoint; table, key: whose primary key is
--     walked;
--   read: gives the rows of keys above :from up to :upto; write: is run for each of them, with their
--     columns as :names (guard it by a version); or
--   deliver: f(rows) -> true | nil, err: takes the rows of a chunk elsewhere, before its checkpoint;
--   shards, chunk: keys side by side and at a time; checkpoint: false begins anew after a crash (wrong);
--     skip_failed: true passes over a chunk that failed, as if it were done (wrong);
--   lag: f() -> records that live traffic is behind, max_lag: from which on it pauses; notice: f(what,
--     fields)
function M.new(o)
  local read, read_names = M.named(o.read)
  local write, write_names = M.named(o.write or "")
  return setmetatable({
    o = o, read = read, read_names = read_names, write = write, write_names = write_names,
    shards = count_of("shards", o.shards or 4, MOST_SHARDS),
    chunk = count_of("chunk", o.chunk or 500, MOST_ROWS),
    notice = o.notice or function() end, rows = 0, written = 0, chunks = 0, throttled = 0, failures = 0,
  }, Backfill)
end

local function connect(self)
  -- with found_rows `affected` says how many rows the guard let through
  return mysql.connect(tables.merged({ found_rows = true }, self.o.mysql))
end

-- ---- shards and checkpoints ----

-- ranges(low, high, n) -> shards of equal widths of the key's range | nil, err; each begins behind
--   `position` and ends at `upper`
function M.ranges(low, high, n)
  if math.type(low) ~= "integer" or math.type(high) ~= "integer" then
    return mistake("keys from %s to %s: only signed integers of 64 bits can be walked", low, high)
  end
  local from = units.subtract(low, 1)
  if not from then return mistake("no position is behind the key %d", low) end
  local list = {}
  for shard = 0, n - 1 do
    local upper = units.share(low, high, shard + 1, n)
    list[#list + 1] = { shard = shard, position = from, upper = upper, chunks = 0 }
    from = upper
  end
  return list
end

local function stored(self, db)
  local rows, failure = db:query(
    "SELECT shard, position, upper, chunks FROM backfill_checkpoint WHERE job = ? ORDER BY shard", self.o.job)
  if not rows then return nil, failure end
  local list = {}
  for i, row in ipairs(rows) do list[i] = row end
  return list
end

local function divide(self, db)
  local bounds, failure = db:row(
    ("SELECT MIN(%s) AS low, MAX(%s) AS high FROM %s"):format(sql_name(self.o.key), sql_name(self.o.key),
    sql_name(self.o.table)))
  if not bounds then return nil, failure end
  if bounds.low == null then return {} end
  return M.ranges(bounds.low, bounds.high, self.shards)
end

local function store_all(db, job, list)
  return db:tx(function()
    for _, s in ipairs(list) do
      local ok, failure = db:exec(
        "INSERT INTO backfill_checkpoint (job, shard, position, upper) VALUES (?, ?, ?, ?)", job, s.shard,
        s.position, s.upper)
      if not ok then return nil, failure end
    end
    return true
  end)
end

-- plan(db) -> shards {shard, position, upper, chunks} | nil, err: where the job stands; made when it has
--   never run
local function plan(self, db)
  local list, failure = stored(self, db)
  if not list then return nil, failure end
  if #list > 0 and self.o.checkpoint ~= false then return list end
  list, failure = divide(self, db)
  if not list or #list == 0 or self.o.checkpoint == false then return list, failure end
  local ok
  ok, failure = store_all(db, self.o.job, list)
  if not ok then return nil, failure end
  return list
end

-- ---- one chunk ----

-- The key of the chunk's last row, or the shard's end when fewer are left.
local function end_of_chunk(self, db, s)
  local key = sql_name(self.o.key)
  local sql = ("SELECT %s FROM %s WHERE %s > ? AND %s <= ? ORDER BY %s LIMIT 1 OFFSET ?"):format(key,
    sql_name(self.o.table), key, key, key)
  local upto, failure = db:value(sql, s.position, s.upper, self.chunk - 1)
  if failure then return nil, failure end
  return upto or s.upper
end

-- The position must be what it was: another run of this job would have moved it.
local function advance(self, db, s, upto)
  if self.o.checkpoint == false then return true end
  local done, failure = db:exec("UPDATE backfill_checkpoint SET position = ?, chunks = chunks + 1 WHERE \z
    job = ? AND shard = ? AND position = ?",
    upto, self.o.job, s.shard, s.position)
  if not done then return nil, failure end
  if done.affected == 1 then return true end
  return nil, err.new { domain = "rlab", code = 0, name = "CONFLICT",
    message = ("job %s, shard %d: its checkpoint is not at %d any more; does another run of it work?"):format(
      self.o.job, s.shard, s.position) }
end

local function write_all(self, db, rows)
  local matched = 0
  if #rows == 0 or not self.o.write then return #rows end
  local statement, failure = db:prepare(self.write)
  if not statement then return nil, failure end
  local _ <close> = defer(function() statement:close() end)
  for _, row in ipairs(rows) do
    local values = values_of(self.write_names, row)
    local done
    done, failure = statement:exec(table.unpack(values, 1, values.n))
    if not done then return nil, failure end
    matched = matched + math.min(done.affected, 1)
  end
  return matched
end

-- A failpoint may only stop the chunk here: its error is one of the step.
local function point(self, name, s, upto)
  local _, injected = fail.point(name,
    { job = self.o.job, shard = s.shard, from = s.position, upto = upto, chunk = s.chunks + 1 })
  return injected == nil, injected
end

local function read_chunk(self, db, s, upto)
  local values = values_of(self.read_names, { from = s.position, upto = upto, shard = s.shard })
  return db:query(self.read, table.unpack(values, 1, values.n))
end

local function write_chunk(self, db, s, upto, rows)
  local ok, failure = true, nil
  if self.o.deliver then ok, failure = self.o.deliver(rows) end
  if not ok then return nil, failure end
  return db:tx(function()
    local matched
    matched, failure = write_all(self, db, rows)
    if not matched then return nil, failure end
    ok, failure = advance(self, db, s, upto)
    if not ok then return nil, failure end
    return matched
  end, { retries = 5 })
end

local function step(self, db, s)
  local upto, failure = end_of_chunk(self, db, s)
  if not upto then return nil, failure end
  local rows, matched, ok
  rows, failure = read_chunk(self, db, s, upto)
  if not rows then return nil, failure end
  ok, failure = point(self, "backfill.before_write", s, upto)
  if not ok then return nil, failure end
  matched, failure = write_chunk(self, db, s, upto, rows)
  if not matched then return nil, failure end
  self.rows, self.written, self.chunks = self.rows + #rows, self.written + matched, self.chunks + 1
  self.notice("chunk", { shard = s.shard, from = s.position, upto = upto, rows = #rows, written = matched })
  ok, failure = point(self, "backfill.after_chunk", s, upto)
  s.position, s.chunks = upto, s.chunks + 1
  return ok, failure
end

-- ---- a shard ----

-- One look for all shards, and not more than ten a second: to ask the brokers is load, too. Nobody knows
-- while the first one looks.
local function lag_of(self)
  if not self.looked_ns or clock.ns() - self.looked_ns > FRESH_NS then
    self.looked_ns = clock.ns()
    self.behind = self.o.lag()
  end
  return self.behind
end

-- Lag that nobody knows counts as too much.
local function yield_to_live(self)
  while self.o.lag and not self.stopping do
    local behind = lag_of(self)
    if behind and behind <= (self.o.max_lag or 50) then return end
    task.sleep(THROTTLE)
    self.throttled = self.throttled + THROTTLE
  end
end

-- Wrong on purpose: the checkpoint moves over a chunk that was not written.
local function pass_over(self, db, s)
  local upto = end_of_chunk(self, db, s)
  if upto and advance(self, db, s, upto) then s.position, s.chunks = upto, s.chunks + 1 end
end

-- After a failure nobody knows whether the chunk was committed: the checkpoint says.
local function recover(self, db, s)
  task.sleep(PAUSE)
  if db:broken() and not db:reconnect() then return end
  local list = self.o.checkpoint ~= false and stored(self, db) or {}
  for _, at in ipairs(list) do
    if at.shard == s.shard then s.position, s.chunks = at.position, at.chunks end
  end
end

local function lasting(failure)
  return failure.name == "CONFLICT" or failure.name == "USAGE" or failure.blame == "record"
    or failure.blame == "place" and not failure.retriable
    or (failure.domain == "mysql" and not failure.retriable and not failure.fatal
      and failure.blame ~= "server")
end

local function run_shard(self, s)
  local db <close>, why = connect(self)
  if not db then error(why, 0) end
  while not self.stopping and s.position < s.upper do
    yield_to_live(self)
    if self.stopping then return end
    local ok, failure = step(self, db, s)
    if not ok then
      if lasting(failure) and not db:broken() then error(failure, 0) end
      self.failures = self.failures + 1
      self.notice("failed", { shard = s.shard, error = tostring(failure) })
      if self.o.skip_failed then pass_over(self, db, s) else recover(self, db, s) end
    end
  end
end

-- backfill:run() -> true | nil, err: until every shard has come to its end, or stop(); the chunk under way
--   is finished then
function Backfill:run()
  local db <close>, failure = connect(self)
  if not db then return nil, failure end
  local list
  list, failure = plan(self, db)
  if not list then return nil, failure end
  self.list = list
  local ok
  ok, failure = xpcall(task.group, script.traced, function(group)
    for _, s in ipairs(list) do group:spawn(run_shard, self, s) end
  end)
  if ok then return true end
  if not err.is(failure) then error(failure, 0) end
  return nil, failure
end

function Backfill:stop() self.stopping = true end

-- backfill:counts() -> {rows, written, guarded, chunks, throttled, failures, done}: guarded are rows that a
--   live write had overtaken
function Backfill:counts()
  local done = self.list ~= nil
  for _, s in ipairs(self.list or {}) do done = done and s.position >= s.upper end
  return { rows = self.rows, written = self.written, guarded = self.rows - self.written,
    chunks = self.chunks, throttled = self.throttled,
    failures = self.failures, done = done }
end

-- status(mysql, job) -> shards {shard, position, upper, chunks} | nil, err
function M.status(at, job)
  local db <close>, failure = mysql.connect(at)
  if not db then return nil, failure end
  return stored({ o = { job = job } }, db)
end

-- forget(mysql, job) -> true | nil, err: the next run begins anew
function M.forget(at, job)
  local db <close>, failure = mysql.connect(at)
  if not db then return nil, failure end
  local ok
  ok, failure = db:exec("DELETE FROM backfill_checkpoint WHERE job = ?", job)
  return ok and true, failure
end

return M
