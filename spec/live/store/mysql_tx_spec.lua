local err = require "rlab.err"
local mysql = require "rlab.mysql"
local server = require "spec.support.mysql_server"
local task = require "rlab.task"

local ok = server.ok

describe("mysql transactions", function()
  local db, other

  local function balance(id)
    return ok(other:value("SELECT n FROM account WHERE id = ?", id))
  end

  setup(server.create)
  teardown(server.drop)

  before_each(function()
    db, other = server.connect(), server.connect()
    ok(db:exec "DROP TABLE IF EXISTS account")
    ok(db:exec "CREATE TABLE account (id INT PRIMARY KEY, n INT NOT NULL)")
    ok(db:exec "INSERT INTO account VALUES (1, 100), (2, 200)")
  end)

  after_each(function()
    db:close()
    other:close()
  end)

  local function add(tx, id, n)
    return tx:exec("UPDATE account SET n = n + ? WHERE id = ?", n, id)
  end

  it("commits and gives the function's results", function()
    assert.are.same({ "a", "b" }, { db:tx(function(tx) ok(add(tx, 1, 5)) return "a", "b" end) })
    assert.are.equal(105, balance(1))
    assert.is_true(db:tx(function(tx) ok(add(tx, 1, 5)) end))
    assert.are.equal(110, balance(1))
    assert.is_false(db:in_transaction())
  end)

  it("rolls back on nil, err and on errors", function()
    local none, failure = db:tx(function(tx)
      ok(add(tx, 1, 5))
      assert.is_true(tx:in_transaction())
      return tx:query "SELECT nothing"
    end)
    assert.is_nil(none)
    assert.are.equal("ER_BAD_FIELD_ERROR", failure.name)
    assert.are.equal(100, balance(1))
    assert.has_error(function() db:tx(function(tx) ok(add(tx, 1, 5)) error("mine", 0) end) end, "mine")
    assert.are.equal(100, balance(1))
    assert.is_false(db:in_transaction())
  end)

  it("checks its options and does not nest", function()
    assert.has_error(function() db:tx(function() end, { isolations = "x" }) end,
      "mysql:tx: unknown option 'isolations', did you mean 'isolation'?")
    assert.has_error(function() db:tx(function() end, { isolation = "none" }) end)
    assert.has_error(function() db:tx(function(tx) tx:tx(function() end) end) end,
      "mysql:tx: this connection is inside a transaction already")
    assert.is_true(db:tx(function() end, { isolation = "READ-COMMITTED" }))
  end)

  it("runs at the isolation asked for", function()
    local function reads(options)
      return db:tx(function(tx)
        local first = ok(tx:value "SELECT n FROM account WHERE id = 1")
        ok(add(other, 1, 1))
        return ok(tx:value "SELECT n FROM account WHERE id = 1") - first
      end, options)
    end
    assert.are.equal(0, reads { isolation = "repeatable read" })
    assert.are.equal(1, reads { isolation = "read committed" })
    assert.are.equal(0, reads { snapshot = true, read_only = true })
    local _, failure = db:tx(function(tx) return add(tx, 1, 1) end, { read_only = true })
    assert.are.equal("ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION", failure.name)
  end)

  -- Both lock one row, then want the other's.
  local function collide(options)
    local attempts, met, here = 0, task.event(), 0
    local function cross(handle, mine, theirs)
      return handle:tx(function(tx)
        attempts = attempts + 1
        local changed, failure = add(tx, mine, 1)
        if not changed then return nil, failure end
        here = here + 1
        if here == 2 then met:set(true) elseif here == 1 then met:wait() end
        return add(tx, theirs, 1)
      end, options)
    end
    local one, two = task.spawn(cross, db, 1, 2), task.spawn(cross, other, 2, 1)
    local a, b = table.pack(one:join()), table.pack(two:join())
    return a, b, attempts
  end

  it("names a deadlock", function()
    local a, b = collide {}
    local failure = a[2] or b[2]
    assert.is_true((a[1] == nil) ~= (b[1] == nil))
    assert.are.equal("ER_LOCK_DEADLOCK", failure.name)
    assert.is_true(failure.retriable and failure.abortable)
    assert.are.equal(101, balance(1))
    assert.are.equal(201, balance(2))
  end)

  it("runs a deadlock's victim again when told to", function()
    local a, b, attempts = collide { retries = 3 }
    assert.is_truthy(a[1])
    assert.is_truthy(b[1])
    assert.is_true(attempts >= 3)
    assert.are.equal(102, balance(1))
    assert.are.equal(202, balance(2))
  end)

  it("keeps a transaction after a lock wait timeout until it is rolled back", function()
    ok(db:exec "SET SESSION innodb_lock_wait_timeout = 1")
    ok(other:exec "START TRANSACTION")
    ok(add(other, 2, 1))
    local _, failure = db:tx(function(tx)
      ok(add(tx, 1, 7))
      local changed, late = add(tx, 2, 7)
      assert.is_nil(changed)
      assert.are.equal("ER_LOCK_WAIT_TIMEOUT", late.name)
      assert.is_true(late.retriable and not late.abortable)
      assert.are.equal(107, tx:value "SELECT n FROM account WHERE id = 1")
      return nil, late
    end)
    assert.are.equal("ER_LOCK_WAIT_TIMEOUT", failure.name)
    ok(other:exec "ROLLBACK")
    assert.are.equal(100, balance(1))
  end)

  it("rolls back when its task is cancelled", function()
    local inside = task.event()
    local worker = task.spawn(function()
      return db:tx(function(tx)
        ok(add(tx, 1, 5))
        inside:set()
        task.sleep "1h"
      end)
    end)
    inside:wait()
    worker:cancel()
    local _, failure = worker:join()
    assert.are.equal("CANCELLED", failure.name)
    assert.are.equal(100, balance(1))
    assert.are.equal(1, ok(db:value "SELECT 1"))
  end)

  it("says that a commit's outcome is unknown", function()
    local _, failure = db:tx(function(tx)
      ok(add(tx, 1, 5))
      ok(other:kill(tx:id(), { connection = true }))
      ok(task.wait_until(function()
        return ok(other:value("SELECT COUNT(*) FROM information_schema.processlist WHERE id = ?",
          tx:id())) == 0
      end, { at_most = "60s" }))
    end)
    assert.is_true(err.is(failure))
    assert.is_true(failure.unknown)
    assert.is_true(failure.fatal)
    ok(db:reconnect())
    assert.are.equal(100, balance(1))
  end)

  describe("pool", function()
    local pool

    before_each(function() pool = mysql.pool(server.options { size = 2, wait = "200ms" }) end)
    after_each(function() pool:close() end)

    it("serves more tasks than it has connections", function()
      local pool_wait <close> = mysql.pool(server.options { size = 3, wait = "20s" })
      local ids, n = {}, 0
      task.group(function(g)
        for _ = 1, 20 do
          g:spawn(function()
            ok(pool_wait:with(function(one)
              ids[one:id()] = true
              return ok(add(one, 1, 1))
            end))
            n = n + 1
          end)
        end
      end)
      assert.are.equal(20, n)
      assert.are.equal(120, balance(1))
      local count = 0
      for _ in pairs(ids) do count = count + 1 end
      assert.is_true(count <= 3)
    end)

    it("says when all are busy", function()
      local release, held = task.event(), 0
      local holders = {}
      for i = 1, 2 do
        holders[i] = task.spawn(function()
          return pool:with(function()
            held = held + 1
            release:wait()
            return "held"
          end)
        end)
      end
      ok(task.wait_until(function() return held == 2 end, { at_most = "60s" }))
      local _, failure = pool:query "SELECT 1"
      assert.are.equal("TIMEOUT", failure.name)
      release:set(true)
      for i = 1, 2 do assert.are.equal("held", (holders[i]:join())) end
      assert.are.equal(1, #ok(pool:query "SELECT 1"))
    end)

    it("mends a broken connection, and clears a transaction left open", function()
      local id = pool:with(function(one) return one:id() end)
      ok(other:kill(id, { connection = true }))
      pool:with(function(one) one:query "SELECT 1" end)
      assert.are_not.equal(id, pool:with(function(one) assert.is_true(one:ping()) return one:id() end))
      pool:with(function(one)
        ok(one:exec "START TRANSACTION")
        ok(add(one, 1, 50))
      end)
      assert.are.equal(100, balance(1))
      assert.is_false(pool:with(function(one) return one:in_transaction() end))
      assert.are.equal("x", pool:tx(function(tx) ok(add(tx, 1, 1)) return "x" end))
      assert.are.equal(101, balance(1))
    end)

    it("keeps its places when who mends a connection is cancelled, as by a deadline", function()
      local methods = require("rlab.core_mysql").methods
      local reconnect, waited = methods.reconnect, 0
      local restored <close> = setmetatable({}, { __close = function() methods.reconnect = reconnect end })
      methods.reconnect = function()
        waited = waited + 1
        task.sleep "10s"
      end
      for i = 1, 3 do
        local id = pool:with(function(one) return one:id() end)
        ok(other:kill(id, { connection = true }))
        local late -- of the one who finds it broken, at once or when the server has hung up
        assert(task.wait_until(function()
          late = select(2, task.timeout("500ms", function() return pool:query "SELECT 1" end))
          return waited == i
        end, { at_most = "10s" }))
        assert.are.equal("TIMEOUT", late.name)
      end
      assert.are.equal(0, pool.count)
      assert.is_truthy(restored)
    end)

    it("gives errors through and ends with close", function()
      assert.has_error(function() pool:with(function() error("mine", 0) end) end, "mine")
      pool:close()
      local _, failure = pool:query "SELECT 1"
      assert.are.equal("CLOSED", failure.name)
      local none
      none, failure = mysql.pool(server.options { port = 1, host = "127.0.0.1" }):query "SELECT 1"
      assert.is_nil(none)
      assert.is_true(failure.retriable)
    end)
  end)
end)
