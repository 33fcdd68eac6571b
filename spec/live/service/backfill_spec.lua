-- Chunked backfill on the running MySQL: what a crash repeats, what a live write keeps, and what it waits
-- for.
local backfill = require "rlab.replay.backfill"
local fail = require "rlab.fail"
local fs = require "rlab.fs"
local json = require "rlab.json"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local process = require "rlab.process"
local stack = require "rlab.stack"
local task = require "rlab.task"

local ACCOUNTS = 1000

local function job_of(name, more)
  local job = { job = name, table = "account_view", key = "account_id", shards = 4, chunk = 50,
    read = "SELECT account_id AS id, CAST(SUM(amount) AS SIGNED) AS total, MAX(version) AS version FROM \z
      ledger_entry WHERE account_id > :from AND account_id <= :upto GROUP BY account_id",
    write = "UPDATE account_view SET balance = :total WHERE account_id = :id AND version <= :version" }
  for key, value in pairs(more or {}) do job[key] = value end
  return job
end

describe("backfill", function()
  local held, db, at, folder
  local schema = "rlab_spec_backfill_" .. process.self()

  local function wrong_rows()
    return must(db:value [[SELECT COUNT(*) FROM account_view v JOIN (SELECT account_id, SUM(amount) AS total
      FROM ledger_entry GROUP BY account_id) l ON l.account_id = v.account_id WHERE v.balance <> l.total]])
  end

  local function run(job)
    job.mysql = at
    local work = backfill.new(job)
    must(work:run())
    return work:counts()
  end

  setup(function()
    held = must(stack.open { needs = { "mysql" } })
    db = must(mysql.connect { host = held.mysql.host, port = held.mysql.port, user = held.mysql.user,
      password = held.mysql.password })
    must(require("rlab.stack.migrate").clone(db, must(require("rlab.stack.migrate").template(held)), schema))
    must(db:exec("USE " .. schema))
    at = { host = held.mysql.host, port = held.mysql.port, user = held.mysql.user,
      password = held.mysql.password, database = schema }
    must(db:exec "SET SESSION cte_max_recursion_depth = 100000")
    must(db:exec("INSERT INTO ledger_entry (event_id, request_id, account_id, amount, balance, version) \z
      WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT \z
      UUID_TO_BIN(UUID()), i, 1 + i MOD ?, i, 0, 1 + i DIV ? FROM n",
      ACCOUNTS * 2, ACCOUNTS, ACCOUNTS))
    folder = must(fs.tmpdir "rlab-backfill")
  end)

  teardown(function()
    db:exec("DROP DATABASE IF EXISTS " .. schema)
    db:close()
    held:close()
    fs.remove(folder)
  end)

  before_each(function()
    must(db:exec "DELETE FROM account_view")
    must(db:exec(
      "INSERT INTO account_view (account_id, version) SELECT DISTINCT account_id, 1 FROM ledger_entry"))
  end)

  it("comes to every row once, and has nothing to do the second time", function()
    local counts = run(job_of "all")
    assert.same({ 20, ACCOUNTS, ACCOUNTS, true }, { counts.chunks, counts.rows, counts.written, counts.done })
    assert.equal(0, wrong_rows())
    assert.equal(0, run(job_of "all").chunks)
  end)

  it("goes on after a kill where the last checkpoint was", function()
    local path = folder .. "/job.json"
    must(fs.write(path, json.encode(job_of("killed", { shards = 1 }))))
    local url = ("mysql://%s:%s@%s:%d/%s"):format(at.user, at.password, at.host, at.port, schema)
    local function go(points, ...)
      local child <close> = must(process.spawn {
        cmd = { fs.self_exe(), "replay", "backfill", path, "--mysql", url, ... }, stdout = "capture",
        stderr = "stdout", env = { RLAB_FAILPOINTS = points, NO_COLOR = "1" } })
      return must(child:wait "60s"), (child:output())
    end
    assert.equal("KILL", go("backfill.after_chunk=#8 kill").signal)
    local shards = must(backfill.status(at, "killed"))
    assert.same({ 400, 8 }, { shards[1].position, shards[1].chunks })
    assert.matches("0%s+400%s+1000%s+8%s", (select(2, go("", "--status"))))
    local status, output = go("backfill.before_write=#3 kill")
    assert.equal("KILL", status.signal, output)
    -- what was read was not written, and is read again
    assert.equal(500, must(backfill.status(at, "killed"))[1].position)
    status, output = go ""
    assert.equal(0, status.code, output)
    assert.equal("  10 chunks, 500 rows read, 500 written, 0 overtaken by live writes\n", output)
    assert.equal(0, wrong_rows())
  end)

  it("does not overwrite what a live write has overtaken", function()
    fail.arm("backfill.before_write", "#1 pause")
    local job = job_of("raced", { shards = 1 })
    job.mysql = at
    local work = backfill.new(job)
    local running = task.spawn(function() must(work:run()) end)
    must(task.wait_until(function() return (select(2, fail.hits "backfill.before_write")) == 1 end,
      { at_most = "60s" }))
    must(db:exec "UPDATE account_view SET balance = 77, version = 9 WHERE account_id = 5")
    fail.resume "backfill.before_write"
    running:join()
    fail.disarm "backfill.before_write"
    assert.equal(1, work:counts().guarded)
    assert.equal(77, must(db:value "SELECT balance FROM account_view WHERE account_id = 5"))
    assert.equal(1, wrong_rows())
  end)

  it("waits while live traffic lags, also when nobody knows", function()
    local lags = { 51, false, 80, 50 }
    local counts = run(job_of("slow",
      { shards = 1, chunk = ACCOUNTS, lag = function() return table.remove(lags, 1) or nil end }))
    assert.is_true(counts.throttled > 0.1 and counts.done)
  end)

  it("begins anew without checkpoints, and refuses two runs of one job", function()
    local job = job_of("without", { shards = 1, checkpoint = false })
    assert.same({ 20, 20 }, { run(job).chunks, run(job).chunks })
    fail.arm("backfill.before_write", "#1 pause")
    job = job_of("twice", { shards = 1 })
    job.mysql = at
    local first, failure = backfill.new(job), nil
    local running = task.spawn(function() local _, why = first:run() failure = why end)
    must(task.wait_until(function() return (select(2, fail.hits "backfill.before_write")) == 1 end,
      { at_most = "60s" }))
    assert.equal(20, run(job_of("twice", { shards = 1 })).chunks)
    fail.resume "backfill.before_write"
    running:join()
    fail.disarm "backfill.before_write"
    assert.equal("CONFLICT", failure.name)
  end)

  it("gives a chunk over before its checkpoint moves, and again after a failure", function()
    local given, refused = 0, false
    local counts = run(job_of("given", { shards = 1, chunk = 400, write = false, deliver = function(rows)
      given = given + #rows
      if given == 800 and not refused then
        refused = true
        return nil, { name = "REFUSED" }
      end
      return true
    end }))
    assert.same({ ACCOUNTS + 400, 3, 1, true }, { given, counts.chunks, counts.failures, counts.done })
  end)

  it("passes over a chunk that failed when it is told to, and says done", function()
    fail.arm("backfill.before_write", "#2 error(planned)")
    local counts = run(job_of("passed over", { shards = 1, chunk = 400, skip_failed = true }))
    fail.disarm "backfill.before_write"
    assert.same({ 2, ACCOUNTS - 400, true }, { counts.chunks, counts.written, counts.done })
    assert.equal(400, wrong_rows())
  end)

  it("reads named parameters, but not in quotes", function()
    assert.same({ "a = ? AND b = ':x' AND c = ?", { "one", "two" } },
      { backfill.named "a = :one AND b = ':x' AND c = :two" })
  end)
end)
