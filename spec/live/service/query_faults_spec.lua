-- The query service while Redis or MySQL is frozen, gone, restarted or not there yet, with its protections
-- on and off.
local cache = require "rlab.cache"
local must = require "rlab.must"
local query_bed = require "spec.support.query_bed"
local task = require "rlab.task"

local function eventually(f)
  must(task.wait_until(f, { at_most = "60s", every = "2ms" }))
end

describe("query, when Redis", function()
  local bed

  before_each(function()
    bed = query_bed.open { own_redis = true }
    bed:account(7, 1200, 3)
    bed:account(8, 800, 1)
  end)
  after_each(function() bed:close() end)

  it("is frozen: answers within its timeout, opens the breaker, and closes it again", function()
    local q = bed:query { stale = 0, redis_timeout = "500ms", breaker = 3, breaker_pause = "10m" }
    q:read(7)
    bed.server:stop()
    eventually(function()
      local a = q:read(7)
      assert.same({ 200, "db" }, { a.status, a.source })
      return q:metric("breaker_state", '{need="redis"}') == 2
    end)
    local tried = q:total "redis_batches"
    for _ = 1, 5 do assert.same({ 200, "db" }, { q:read(7).status, "db" }) end
    assert.equal(tried, q:total "redis_batches")
    assert.equal(503, q:call("GET", "/actuator/health/readiness").status)
    assert.equal(200, q:call("GET", "/actuator/health/liveness").status)
    bed.server:cont()
  end)

  it("was frozen: one reader tries after the pause, and the breaker closes", function()
    local q = bed:query { stale = 0, redis_timeout = "200ms", breaker = 1, breaker_pause = "100ms" }
    q:read(7)
    bed.server:stop()
    eventually(function() return q:read(7).ms and q:metric("breaker_opens_total", '{need="redis"}') >= 2 end)
    bed.server:cont()
    eventually(function() return q:read(7).source == "cache"
      and q:metric("breaker_state", '{need="redis"}') == 0 end)
    eventually(function() return q:call("GET", "/actuator/health/readiness").status == 200 end)
  end)

  it("is frozen: hangs without a timeout", function()
    local q = bed:query { stale = 0, redis_timeout = 0, breaker = 0 }
    q:read(7)
    bed.server:stop()
    local reader = task.spawn(function() return q:read(7) end)
    assert.is_nil((task.timeout("500ms", function() return reader:join() end)))
    bed.server:cont()
    assert.equal("cache", reader:join().source)
  end)

  it("is frozen: waits for every timeout without a breaker", function()
    local q = bed:query { stale = 0, redis_timeout = "50ms", breaker = 0 }
    q:read(7)
    bed.server:stop()
    for _ = 1, 6 do assert.is_true(q:read(7).ms >= 50) end
    bed.server:cont()
  end)

  it("is frozen: a breaker that counts connects only stays closed, and opens when nobody listens", function()
    local q = bed:query { stale = 0, redis_timeout = "50ms", breaker = 2, breaker_pause = "10m",
      breaker_counts = "connects" }
    q:read(7)
    bed.server:stop()
    for _ = 1, 6 do assert.is_true(q:read(7).ms >= 50) end
    assert.equal(0, q:metric("breaker_state", '{need="redis"}'))
    bed.server:kill "KILL"
    bed.server:wait "60s"
    for _ = 1, 3 do assert.equal(200, q:read(7).status) end
    assert.equal(2, q:metric("breaker_state", '{need="redis"}'))
  end)

  it("came back: reads of the database grow to their cap step by step", function()
    local q = bed:query { stale = 0, redis_timeout = "500ms", breaker = 1, breaker_pause = "50ms",
      db_reads_max = 20, ramp = "30m", single = "none" }
    assert.equal(20, q:metric "db_allowed")
    q:read(7)
    bed.server:stop()
    eventually(function() return q:read(7).status == 200 and q:metric("breaker_state", '{need="redis"}') > 0
      end)
    bed.server:cont()
    eventually(function() return q:read(7).source == "cache" end)
    assert.equal(2, q:metric "db_allowed")
    q:arm("query.db_load", "pause")
    bed:expire(7)
    q:readers(6, 7, function()
      q:await_hits("query.db_load", 2)
      assert.equal(2, q:metric "db_busy")
      q:disarm "query.db_load"
    end)
    assert.equal(2, q:metric "db_peak")
  end)

  it("is gone: serves what it saw a moment ago, loads the rest under its cap", function()
    local q = bed:query { stale = "60s" }
    assert.equal("db", q:read(7).source)
    bed.server:kill "KILL"
    bed.server:wait "60s"
    local a = q:read(7)
    assert.same({ 200, "stale", 3 }, { a.status, a.source, a.version })
    assert.same({ 200, "db" }, { q:read(8).status, "db" })
    local before = q:total "db_reads"
    q:read(7)
    assert.equal(before, q:total "db_reads")
    bed:start_redis()
    eventually(function() return q:call("GET", "/actuator/health").status == 200 end)
    eventually(function() return q:read(7).source == "db" or q:read(7).source == "cache" end)
    eventually(function() return q:read(7).source == "cache" end)
  end)

  it("was restarted: the first reader does not notice", function()
    local q = bed:query { stale = 0 }
    q:read(7)
    bed.server:kill "KILL"
    bed.server:wait "60s"
    bed:start_redis()
    assert.equal("db", q:read(7).source)
    assert.equal("cache", q:read(7).source)
  end)

  it("was not there at the start: becomes healthy when it comes", function()
    bed.server:kill "KILL"
    bed.server:wait "60s"
    local q = bed:query({ stale = 0 }, { ill = true })
    local a = q:read(7)
    assert.same({ 200, "db" }, { a.status, a.source })
    assert.matches("redis", q:call("GET", "/actuator/health").body)
    bed:start_redis()
    eventually(function() return q:call("GET", "/actuator/health").status == 200 end)
    eventually(function() return q:read(7).source == "cache" end)
  end)

  for what, set in pairs {
    OOM = { { "CONFIG", "SET", "maxmemory", "1" }, { "CONFIG", "SET", "maxmemory", "0" } },
    READONLY = { { "REPLICAOF", "127.0.0.1", "1" }, { "REPLICAOF", "NO", "ONE" } },
  } do
    it("answers writes with " .. what .. ": nobody waits for a lease, and writes are left alone", function()
      local q = bed:query { stale = 0, single = "lease", lease = "60s", breaker = 3, breaker_pause = "10m" }
      must(bed.r:call(table.unpack(set[1])))
      for _ = 1, 3 do
        local a = q:read(7)
        assert.same({ 200, "db" }, { a.status, a.source })
      end
      assert.is_true(q:total "redis_errors" >= 3)
      assert.equal(0, q:total "lease_waits")
      assert.equal(2, q:metric("breaker_state", '{need="redis-writes"}'))
      assert.equal(0, q:metric("breaker_state", '{need="redis"}'))
      local refused = q:total "redis_errors"
      assert.same({ 200, "db" }, { q:read(7).status, "db" })
      assert.equal(refused, q:total "redis_errors")
      assert.equal(200, q:call("GET", "/actuator/health/readiness").status)
      must(bed.r:call(table.unpack(set[2])))
    end)
  end

  it("takes writes again: one load tries after the pause, and the cache is filled", function()
    local q = bed:query { stale = 0, single = "lease", lease = "60s", breaker = 1, breaker_pause = "50ms" }
    must(bed.r:call("CONFIG", "SET", "maxmemory", "1"))
    assert.equal("db", q:read(7).source)
    must(bed.r:call("CONFIG", "SET", "maxmemory", "0"))
    eventually(function() return q:read(7).source == "cache" end)
    assert.equal(0, q:metric("breaker_state", '{need="redis-writes"}'))
  end)

  it("holds something else under the key: says so in its metrics and serves from the database", function()
    local q = bed:query {}
    must(bed.r:call("RPUSH", cache.key(bed.prefix, 7), "x"))
    for _ = 1, 2 do assert.same({ 200, "db" }, { q:read(7).status, "db" }) end
    assert.is_true(q:total "bad_entries" >= 2)
    assert.equal(2, q:total "fill_errors")
    assert.equal("list", bed.r:call("TYPE", cache.key(bed.prefix, 7)))
  end)
end)

describe("query, when MySQL", function()
  local mysqld = require "spec.support.mysqld"
  local server, bed

  setup(function()
    server = mysqld.beside(math.tointeger(tonumber(os.getenv "RLAB_TEST_MYSQL":match ":(%d+)")))
  end)
  teardown(function() server:stop() end)

  before_each(function()
    bed = query_bed.open { mysql = { host = "127.0.0.1", port = server.port, user = "app",
      password = "secret" } }
    bed:account(7, 1200, 3)
  end)
  after_each(function() bed:close() end)

  it("is frozen: 504 within the statement's timeout, then 503 at once from the breaker", function()
    local q = bed:query { stale = 0, db_timeout = "500ms", breaker = 2, breaker_pause = "10s" }
    assert.equal(200, q:read(7).status)
    bed:expire(7)
    server.child:stop()
    local first, second = q:read(7), q:read(7)
    assert.same({ 504, 504 }, { first.status, second.status })
    assert.is_true(first.ms >= 500, first.ms)
    local third = q:read(7)
    assert.equal(503, third.status)
    assert.matches("BREAKER_OPEN", third.detail) -- nothing was asked, so nothing was waited for
    assert.equal(503, q:call("GET", "/actuator/health/readiness").status)
    server.child:cont()
    eventually(function() return q:read(7).status == 200 end)
    eventually(function() return q:call("GET", "/actuator/health/readiness").status == 200 end)
  end)

  it("is frozen: serves what it saw a moment ago, marked stale", function()
    local q = bed:query { stale = "60s", db_timeout = "500ms" }
    assert.equal(200, q:read(7).status)
    bed:expire(7)
    server.child:stop()
    local a = q:read(7)
    assert.same({ 200, "stale", 1200 }, { a.status, a.source, a.balance })
    server.child:cont()
  end)

  it("is frozen: serves nothing that it saw too long ago", function()
    local q = bed:query { stale = "100ms", db_timeout = "500ms" } -- a copy ages while MySQL is waited for
    assert.equal(200, q:read(7).status)
    bed:expire(7)
    server.child:stop()
    assert.equal(504, q:read(7).status)
    server.child:cont()
  end)

  it("is frozen: hangs without a timeout", function()
    local q = bed:query { stale = 0, db_timeout = 0, db_wait = 0, breaker = 0 }
    q:read(7)
    bed:expire(7)
    server.child:stop()
    local reader = task.spawn(function() return q:read(7) end)
    assert.is_nil((task.timeout("600ms", function() return reader:join() end)))
    server.child:cont()
    assert.equal(200, reader:join().status)
  end)

  it("was restarted: the first reader does not notice", function()
    local q = bed:query { stale = 0 }
    q:read(7)
    bed:expire(7)
    server:kill()
    server:start()
    assert.equal("db", q:read(7).source)
    must(bed.db:reconnect())
  end)
end)
