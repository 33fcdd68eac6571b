-- What SQL says to who claims or marks rows of the outbox while a transaction with a row of it is open.
local must = require "rlab.must"
local tables = require "rlab.tables"

local M = {}

local LOCK_WAIT = 1205
local LEVELS = { { "repeatable", "REPEATABLE READ" }, { "committed", "READ COMMITTED" } }
local HINTS = { { "", "FORCE INDEX (unsent)" }, { "_unindexed", "IGNORE INDEX (unsent)" } }
local MARK = "UPDATE outbox_event %s SET published_at = NOW(6) WHERE "

local function attempt(db, sql)
  must(db:exec "START TRANSACTION")
  local done, failure = db:query(sql)
  must(db:exec "ROLLBACK")
  return done, failure
end

local function by_condition(db, seen)
  for _, level in ipairs(LEVELS) do
    must(db:exec("SET SESSION TRANSACTION ISOLATION LEVEL " .. level[2]))
    for _, hint in ipairs(HINTS) do
      local _, failure = attempt(db, MARK:format(hint[2]) .. "published_at IS NULL")
      seen[level[1] .. hint[1]] = failure and failure.code or 0
    end
  end
end

-- ask(lab) -> {committed =, committed_unindexed =, repeatable =, repeatable_unindexed = codes of an UPDATE by
--   published_at IS NULL, 0 where it went through; skip_locked, by_key = rows, read committed}: a lock is
--   waited for for 1 s
function M.ask(lab)
  local db = lab:own(must(require("rlab.mysql").connect(lab.stack:mysql_opts { database = lab:schema() })))
  local seen = {}
  must(db:exec "SET SESSION innodb_lock_wait_timeout = 1")
  by_condition(db, seen)
  local ids = tables.ids_of(must(attempt(db,
    "SELECT id FROM outbox_event WHERE published_at IS NULL FOR UPDATE SKIP LOCKED")))
  local by_key = ("%sid IN (%s)"):format(MARK:format "", table.concat(ids, ","))
  seen.skip_locked, seen.by_key = #ids, must(attempt(db, by_key)).affected
  return seen
end

-- check(lab, got, n): n rows are committed, one is not
function M.check(lab, got, n)
  lab.check.agree {
    { "by-condition", got.committed, LOCK_WAIT, "is what UPDATE .. WHERE published_at IS NULL got" },
    { "without-index", got.committed_unindexed, 0, "(no error) without an index", control = got.skip_locked },
    { "repeatable-read", got.repeatable, LOCK_WAIT, "at REPEATABLE READ" },
    { "repeatable-read-without-index", got.repeatable_unindexed, LOCK_WAIT, "without an index" },
    { "skip-locked", got.skip_locked, n, "rows claimed with SKIP LOCKED" },
    { "by-key", got.by_key, n, "rows marked by their ids" } }
end

return M
