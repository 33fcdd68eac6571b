local err = require "rlab.err"
local mysqld = require "spec.support.mysqld"
local rng = require "rlab.rng"
local seconds = require "spec.support.timed"
local server = require "spec.support.mysql_server"
local task = require "rlab.task"

local ok = server.ok

describe("mysql under faults", function()
  local db

  describe("on a healthy server:", function()
    before_each(function() db = server.connect { database = "" } end)
    after_each(function() db:close() end)

    it("a cancel ends a query at once, and no late result is taken for the next one's", function()
      local took, _, failure = seconds(function()
        return task.timeout("100ms", function() return db:query "SELECT SLEEP(30), 'late'" end)
      end)
      assert.are.equal("TIMEOUT", failure.name)
      assert.is_true(took < 15)
      local none, broken = db:query "SELECT 1"
      assert.is_nil(none)
      assert.are.equal("BROKEN", broken.name)
      assert.is_true(broken.retriable and broken.fatal)
      assert.matches("cancelled", db:broken())
      ok(db:reconnect())
      assert.is_nil((db:broken()))
      assert.are.equal(1, ok(db:value "SELECT 1"))
    end)

    it("the list of sessions is there whatever bytes another's statement holds", function()
      local other <close> = server.connect { database = "mysql" }
      local id = ok(other:value "SELECT CONNECTION_ID()")
      local asks = task.spawn(function()
        return other:query "SELECT SLEEP(30) /* \xc4\x01\x02- */"
      end)
      local function found()
        for _, session in ipairs(ok(db:sessions())) do
          if session.thread == id and session.state == "User sleep" then return session end
        end
      end
      local session
      repeat task.sleep(0.01); session = found() until session or asks:done()
      assert.are.equal("mysql", session.schema)
      local _, failure = db:query "SELECT COUNT(id) FROM information_schema.processlist"
      assert.are.equal(3854, failure and failure.code)
      ok(db:exec("KILL QUERY " .. id))
      asks:join()
    end)

    it("a cancelled prepared statement and stream end at once too", function()
      for _, call in ipairs {
        function() return db:query("SELECT SLEEP(?)", 30) end,
        function() for _ in db:rows "SELECT 1 UNION ALL SELECT SLEEP(30)" do ok(true) end end,
        function() for _ in db:rows("SELECT 1 UNION ALL SELECT SLEEP(?)", 30) do ok(true) end end,
      } do
        local took, _, failure = seconds(function() return task.timeout("50ms", call) end)
        assert.are.equal("TIMEOUT", failure.name)
        assert.is_true(took < 15)
        ok(db:reconnect())
      end
    end)

    it("a read timeout breaks the connection, to the millisecond rather than the second", function()
      local hasty <close> = server.connect { database = "", read_timeout = "150ms" }
      local quickest = math.huge -- a busy machine adds time, but not to each
      for _ = 1, 20 do
        local took, none, failure = seconds(function() return hasty:query "SELECT SLEEP(30)" end)
        assert.is_nil(none)
        assert.are.equal("TIMEOUT", failure.name)
        assert.are.equal(2013, failure.code)
        assert.is_true(failure.retriable and failure.fatal)
        assert.is_true(took > 0.1)
        assert.are.equal("BROKEN", select(2, hasty:query "SELECT 1").name)
        ok(hasty:reconnect())
        quickest = math.min(quickest, took)
        if quickest < 0.8 then break end
      end
      assert.is_true(quickest < 0.8, ("%.1f s"):format(quickest))
      assert.are.equal(1, ok(hasty:value "SELECT 1"))
    end)

    it("whenever a cancel comes, no result is taken for another statement's", function()
      local random = rng.new(7)
      for i = 1, 300 do
        local call = random:pick {
          function() return db:value("SELECT " .. i) end,
          function() return db:value("SELECT ?", i) end,
          function()
            local last
            for row in db:rows("SELECT 0 AS n UNION ALL SELECT ?", i) do last = row.n end
            return last
          end,
        }
        local value, failure = task.timeout(random:float() * 0.003, call)
        if value then
          assert.are.equal(i, value)
        else
          assert.are.equal("TIMEOUT", failure.name)
        end
        if db:broken() then ok(db:reconnect()) end
      end
      assert.are.equal(1, ok(db:value "SELECT 1"))
    end)

    it("kill ends another connection's statement, which lives on", function()
      local other <close> = server.connect { database = "" }
      local long = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %s) SELECT \z
        COUNT(*) FROM s a JOIN s b JOIN s c"
      ok(db:exec "SET SESSION cte_max_recursion_depth = 100000")
      for _, call in ipairs {
        function() return db:query((long:format(9000))) end,
        function() return db:query(long:format "?", 9000) end,
      } do
        local victim = task.spawn(call)
        ok(task.wait_until(function() -- the server ignores a kill that comes before the statement runs
          ok(other:kill(db:id()))
          return victim:done()
        end, { at_most = "60s" }))
        local none, failure = victim:join()
        assert.is_nil(none)
        assert.are.equal("ER_QUERY_INTERRUPTED", failure.name)
        assert.is_false(failure.fatal)
        assert.are.equal(1, ok(db:value "SELECT 1"))
      end
      assert.is_true(other:kill(db:id(), { connection = true }))
      local _, failure = db:query "SELECT 1"
      assert.is_true(failure.fatal and failure.retriable)
    end)

    it("a closed handle ends the query that runs on it", function()
      local running = task.spawn(function() return db:query "SELECT SLEEP(30)" end)
      task.sleep(0)
      local took = seconds(function() db:close() end)
      local _, failure = running:join()
      assert.is_true(err.is(failure))
      assert.is_true(took < 15)
      db = server.connect { database = "" }
    end)
  end)

  describe("on a server of its own:", function()
    local own

    setup(function() own = mysqld.beside(server.port) end)
    teardown(function() own:stop() end)

    it("a frozen server runs into the read timeout", function()
      db = assert(own:connect { read_timeout = "200ms" })
      own.child:stop()
      local took, none, failure = seconds(function() return db:query "SELECT 1" end)
      assert.is_nil(none)
      assert.are.equal("TIMEOUT", failure.name)
      assert.is_true(took > 0.1)
      none, failure = db:query "SELECT 1"
      assert.is_nil(none)
      assert.are.equal("BROKEN", failure.name)
      own.child:cont()
      ok(db:reconnect())
      assert.are.equal(1, ok(db:value "SELECT 1"))
      db:close()
    end)

    it("a frozen server runs into the connect timeout, and a cancel does not wait for it", function()
      own.child:stop()
      local took, none, failure = seconds(function() return own:connect { connect_timeout = "200ms" } end)
      assert.is_nil(none)
      assert.are.equal("TIMEOUT", failure.name)
      assert.is_true(failure.retriable)
      assert.is_true(took < 15)
      took, none, failure = seconds(function()
        return task.timeout("100ms", function() return own:connect { connect_timeout = "1m" } end)
      end)
      assert.is_nil(none)
      assert.are.equal("TIMEOUT", failure.name)
      assert.is_true(took < 15)
      own.child:cont()
      local again <close> = assert(own:connect {})
      assert.are.equal(1, ok(again:value "SELECT 1"))
    end)

    it("a killed server is a lost connection; what it acknowledged is there afterwards", function()
      db = assert(own:connect {})
      ok(db:exec "CREATE DATABASE IF NOT EXISTS kept")
      ok(db:exec "CREATE TABLE IF NOT EXISTS kept.t (id INT PRIMARY KEY)")
      local statement = assert(db:prepare "INSERT INTO kept.t VALUES (?)")
      for i = 1, 20 do ok(statement:exec(i)) end
      local running = task.spawn(function() return db:query "SELECT SLEEP(30)" end)
      local watcher = assert(own:connect {})
      ok(task.wait_until(function()
        return ok(watcher:value("SELECT COUNT(*) FROM information_schema.processlist WHERE id = ? AND \z
          command IN ('Query', 'Execute')", db:id())) == 1
      end, { at_most = "60s" }))
      own:kill()
      local none, failure = running:join()
      assert.is_nil(none)
      assert.are.equal("CR_SERVER_LOST", failure.name)
      assert.is_true(failure.retriable and failure.fatal)
      none, failure = watcher:query "SELECT 1"
      assert.is_nil(none)
      assert.is_true(failure.name == "CR_SERVER_GONE_ERROR" or failure.name == "CR_SERVER_LOST")
      none, failure = db:reconnect()
      assert.is_nil(none)
      assert.is_true(failure.name == "CR_CONNECTION_ERROR" or failure.name == "CR_CONN_HOST_ERROR")
      own:start()
      ok(db:reconnect())
      assert.are.equal(20, ok(db:value "SELECT COUNT(*) FROM kept.t"))
      ok(statement:exec(21))
      ok(watcher:reconnect())
      assert.are.equal(21, ok(watcher:value "SELECT COUNT(*) FROM kept.t"))
      watcher:close()
      db:close()
    end)
  end)
end)
