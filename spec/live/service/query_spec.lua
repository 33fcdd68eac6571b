-- The query service: each protection does its work, and without it the fault that it is for is there.
local cache = require "rlab.cache"
local clock = require "rlab.clock"
local must = require "rlab.must"
local query_bed = require "spec.support.query_bed"
local task = require "rlab.task"

local function sources(answers)
  local counts = {}
  for _, a in ipairs(answers) do
    local key = a.status == 200 and a.source or tostring(a.status)
    counts[key] = (counts[key] or 0) + 1
  end
  return counts
end

local function eventually(f)
  must(task.wait_until(f, { at_most = "60s", every = "2ms" }))
end

describe("query", function()
  local bed

  before_each(function()
    bed = query_bed.open()
    bed:account(7, 1200, 3)
  end)
  after_each(function() bed:close() end)

  -- stampede(settings, n, loads, waits): 64 readers of one account at n processes; no load goes on before
  -- all have entered, as many as `loads` are loading and `waits` wait for a lease. Returns the SELECTs that
  -- it took, and the services.
  local function stampede(settings, n, loads, waits)
    local all, services, answers = { workers = 64, db_reads_max = 64, db_wait = 0 }, {}, {}
    for key, value in pairs(settings) do all[key] = value end
    for i = 1, n do
      services[i] = bed:query(all)
      services[i]:arm("query.enter", "off")
      services[i]:arm("query.db_load", "pause")
    end
    local function sum(f)
      local total = 0
      for _, q in ipairs(services) do total = total + f(q) end
      return total
    end
    local function hits(point) return sum(function(q) return q:hits(point) end) end
    local function release()
      eventually(function()
        return hits "query.enter" == 64 and hits "query.db_load" >= loads
          and sum(function(q) return q:total "lease_waits" end) >= (waits or 0)
      end)
      for _, q in ipairs(services) do q:disarm "query.db_load" end
    end
    task.group(function(g)
      for i, q in ipairs(services) do
        g:spawn(function() table.move(q:readers(64 // n, 7, i == n and release or nil), 1, 64 // n,
          #answers + 1, answers) end)
      end
    end)
    assert.equal(64, #answers)
    for _, a in ipairs(answers) do assert.same({ 200, 1200, 3 }, { a.status, a.balance, a.version }) end
    return sum(function(q) return q:total "db_reads" end), services
  end

  it("says where an answer came from and how old it is", function()
    local q = bed:query {}
    local a = q:read(7)
    assert.same({ 200, "db", 1200, 3, 7, 0 },
      { a.status, a.source, a.balance, a.version, a.account_id, a.age_ms })
    assert.same({ "db", "0", "application/json" },
      { a.headers["x-cache"], a.headers.age, a.headers["content-type"] })
    local stored = clock.unix_ms() - 2500
    must(bed.r:call("HSET", cache.key(bed.prefix, 7), "stored", stored))
    a = q:read(7)
    assert.same({ "cache", "cache", tostring(a.age_ms // 1000) },
      { a.source, a.headers["x-cache"], a.headers.age })
    assert.is_true(a.age_ms >= 2500 and a.age_ms <= clock.unix_ms() - stored)
    assert.equal("00000000000000000003", bed.r:call("HGET", cache.key(bed.prefix, 7), "version"))
    assert.equal(1, q:total "db_reads")
    assert.equal(1, q:metric('seconds_count', '{source="cache"}'))
  end)

  it("refuses what is no account, and no other path", function()
    local q = bed:query {}
    local a = q:read(999)
    assert.same({ 404, "there is no account 999", "db" }, { a.status, a.detail, a.source })
    for _, id in ipairs { "x", "1x", "99999999999999999999", "1.5", "+4", "1e1", "0x4", "%204",
      "9223372036854775808" } do
      assert.equal(400, q:read(id).status, id)
    end
    assert.equal(404, q:read(-5).status)
    assert.equal(404, q:call("GET", "/nothing").status)
    assert.equal(405, q:call("POST", "/accounts/7").status)
  end)

  it("keeps integers beyond what a double can hold", function()
    bed:account(8, math.mininteger, (1 << 53) + 1)
    local q = bed:query {}
    for _, source in ipairs { "db", "cache" } do
      local a = q:read(8)
      assert.same({ source, math.mininteger, (1 << 53) + 1 }, { a.source, a.balance, a.version })
    end
  end)

  it("loads once for all processes by a lease", function()
    local reads, services = stampede({ single = "lease", lease = "60s" }, 2, 1, 1)
    assert.equal(1, reads)
    assert.equal(1, services[1]:total "lease_waits" + services[2]:total "lease_waits")
    assert.equal(62, services[1]:total "joins" + services[2]:total "joins")
  end)

  it("loads once in each process by singleflight", function()
    local reads, services = stampede({ single = "process" }, 2, 2)
    assert.equal(2, reads)
    assert.equal(62, services[1]:total "joins" + services[2]:total "joins")
  end)

  it("loads 64 times without either, all at once", function()
    local reads, services = stampede({ single = "none", fill = "plain" }, 1, 64)
    assert.equal(64, reads)
    assert.equal(64, services[1]:metric "db_peak")
  end)

  -- 32 readers wait for the only turn at the database, then the first load fails
  local function failing_leader(retries)
    local q = bed:query { single = "process", retries = retries, stale = 0, db_reads_max = 1, db_wait = 0,
      breaker = 0 }
    bed:account(8, 1, 1)
    q:arm("query.db_load", "pause")
    local answers
    task.group(function(g)
      g:spawn(function() assert.equal("db", q:read(8).source) end)
      q:await_hits("query.db_load", 1)
      answers = q:readers(32, 7, function()
        eventually(function() return q:total "joins" == 31 end)
        q:arm("query.db_load", "1*error(BROKEN_DISK)")
      end)
    end)
    return sources(answers), q:total "retries", answers
  end

  it("a leader that fails costs one retry, not all who wait with it", function()
    local seen, retries = failing_leader(1)
    assert.same({ db = 32 }, seen)
    assert.equal(1, retries)
  end)

  it("a leader that fails fails all who wait with it, without a retry", function()
    local seen, retries, answers = failing_leader(0)
    assert.same({ ["500"] = 32 }, seen)
    assert.equal(0, retries)
    assert.matches("BROKEN_DISK", answers[1].detail)
  end)

  -- E-031: a reader has loaded version 3 and is held; version 4 commits and invalidates; the reader fills
  local function stale_fill(fill, invalidation)
    local q = bed:query { single = "none", fill = fill }
    q:arm("query.before_fill", "pause")
    local held = task.spawn(function() return q:read(7) end)
    q:await_hits("query.before_fill", 1)
    bed:account(7, 1300, 4)
    must(cache.apply(bed.r, bed.prefix, invalidation,
      { account = 7, version = 4, balance = 1300, amount = 100 }))
    q:disarm "query.before_fill"
    assert.equal(3, held:join().version)
    return q:read(7).version, q:total "fills_refused"
  end

  it("a plain fill after an invalidation leaves the old value", function()
    assert.same({ 3, 0 }, { stale_fill("plain", "del") })
  end)

  it("a fill by lease is refused when the lease was taken away", function()
    assert.same({ 4, 1 }, { stale_fill("lease", "lease") })
  end)

  it("a versioned fill is refused by the tombstone of a newer version", function()
    assert.same({ 4, 1 }, { stale_fill("versioned", "versioned") })
  end)

  it("remembers that an account does not exist, and forgets it", function()
    local q = bed:query { negative_ttl = "60s" }
    assert.equal("db", q:read(404).source)
    local a = q:read(404)
    assert.same({ 404, "negative" }, { a.status, a.source })
    assert.same({ "negative", 1 }, { bed:entry(404).state, q:total "db_reads" })
    bed:account(404, 5, 1)
    must(cache.apply(bed.r, bed.prefix, "versioned", { account = 404, version = 1 }))
    assert.same({ 200, "db" }, { q:read(404).status, "db" })
    local off = bed:query { negative_ttl = 0 }
    for _ = 1, 3 do assert.equal("db", off:read(405).source) end
    assert.equal(3, off:total "db_reads")
    assert.is_nil(bed:entry(405))
  end)

  it("does not load an account 64 times that does not exist", function()
    local q = bed:query { negative_ttl = "60s", single = "process" }
    q:arm("query.db_load", "pause")
    q:readers(64, 404, function()
      eventually(function() return q:total "joins" == 63 end)
      q:disarm "query.db_load"
    end)
    assert.equal("negative", q:read(404).source)
    assert.equal(1, q:total "db_reads")
  end)

  it("serves stale after the soft TTL while one refreshes", function()
    local q = bed:query { soft_ttl = "20s" }
    q:read(7)
    bed:account(7, 1300, 4)
    must(bed.r:call("HSET", cache.key(bed.prefix, 7), "soft", clock.unix_ms() - 1))
    q:arm("query.db_load", "pause")
    local answers = q:readers(16, 7)
    assert.same({ stale = 16 }, sources(answers))
    for _, a in ipairs(answers) do assert.equal(3, a.version) end
    assert.equal(1, q:total "refreshes")
    q:disarm "query.db_load"
    eventually(function() return q:total "fills" == 2 end)
    local a = q:read(7)
    assert.same({ "cache", 4 }, { a.source, a.version })
    assert.is_true(bed:entry(7).soft > clock.unix_ms())
    assert.equal(2, q:total "db_reads")
  end)

  it("does not look at a soft deadline when it is off", function()
    local q = bed:query {}
    q:read(7)
    assert.is_nil(bed:entry(7).soft)
    must(bed.r:call("HSET", cache.key(bed.prefix, 7), "soft", 1))
    assert.equal("cache", q:read(7).source)
    assert.equal(0, q:total "refreshes")
  end)

  it("leaves a refresh to the process that has the lease", function()
    local q = bed:query { soft_ttl = "20s", single = "lease" }
    q:read(7)
    must(bed.r:call("HSET", cache.key(bed.prefix, 7), "soft", 1))
    must(bed.r:call("SET", cache.lease_key(bed.prefix, 7), "somebody", "PX", 60000))
    assert.equal("stale", q:read(7).source)
    eventually(function() return q:total "refreshes" == 1 and q:metric "queued" == 0 end)
    assert.equal(1, q:total "db_reads")
    assert.equal("somebody", bed.r:call("GET", cache.lease_key(bed.prefix, 7)))
  end)

  it("waits for the owner of a lease and takes what it writes", function()
    local q = bed:query { single = "lease", lease = "60s" }
    must(bed.r:call("SET", cache.lease_key(bed.prefix, 7), "somebody", "PX", 60000))
    local waiting = task.spawn(function() return q:read(7) end)
    eventually(function() return q:total "lease_waits" == 1 end)
    must(cache.fill(bed.r, bed.prefix, 7, { balance = 9, version = 9 },
      { mode = "lease", token = "somebody", ttl = "30s" }))
    local a = waiting:join()
    assert.same({ "cache", 9, 0 }, { a.source, a.version, q:total "db_reads" })
  end)

  it("takes a lease that ends by itself, and gives back what it has no use for", function()
    local q, lease = bed:query { single = "lease", lease = "20s", fill = "plain" },
      cache.lease_key(bed.prefix, 7)
    q:arm("query.db_load", "1*pause")
    local reader = task.spawn(function() return q:read(7) end)
    q:await_hits("query.db_load", 1)
    local left = must(bed.r:call("PTTL", lease))
    assert.is_true(left > 0 and left <= 20000, left)
    q:resume "query.db_load"
    assert.equal("db", reader:join().source)
    assert.equal(0, must(bed.r:call("EXISTS", lease))) -- before the answer
  end)

  it("does without the owner of a lease that takes too long", function()
    local q = bed:query { single = "lease", lease = "300ms" }
    must(bed.r:call("SET", cache.lease_key(bed.prefix, 7), "somebody", "PX", 60000))
    local a = q:read(7)
    assert.same({ "db", 3, "somebody" },
      { a.source, a.version, bed.r:call("GET", cache.lease_key(bed.prefix, 7)) })
    assert.is_true(a.ms >= 300, a.ms)
  end)

  it("refreshes early by XFetch, the likelier the longer a load takes", function()
    local q = bed:query { beta = 1, single = "process" }
    q:read(7)
    must(bed.r:call("HSET", cache.key(bed.prefix, 7), "cost", 3600 * 1000000))
    assert.equal("db", q:read(7).source)
    assert.equal(1, q:total "early")
    for _ = 1, 20 do assert.equal("cache", q:read(7).source) end
    local off = bed:query { beta = 0 }
    must(bed.r:call("HSET", cache.key(bed.prefix, 7), "cost", 3600 * 1000000))
    assert.equal("cache", off:read(7).source)
  end)

  it("spreads lifetimes by its seed, and does not without jitter", function()
    local function lifetimes(settings)
      local q, list, seen = bed:query(settings), {}, {}
      for id = 1, 30 do
        bed:account(id, id, 1)
        bed:expire(id)
        q:read(id)
        local entry = bed:entry(id)
        list[id] = entry.expires - entry.stored
        seen[list[id]] = true
        local left = bed.r:call("PTTL", cache.key(bed.prefix, id))
        assert.is_true(left <= list[id] and left >= entry.expires - clock.unix_ms() - 2, left)
      end
      local n = 0
      for _ in pairs(seen) do n = n + 1 end
      return list, n
    end
    local list, n = lifetimes { jitter = 0.3, ttl = "10s", seed = 7 }
    for _, ms in ipairs(list) do assert.is_true(ms >= 7000 and ms <= 13000, ms) end
    assert.is_true(n >= 28, n)
    assert.same(list, (lifetimes { jitter = 0.3, ttl = "10s", seed = 7 }))
    assert.is_not.same(list, (lifetimes { jitter = 0.3, ttl = "10s", seed = 8 }))
    assert.equal(1, select(2, lifetimes { jitter = 0, ttl = "10s" }))
  end)

  it("keeps within its cap and refuses what waits too long", function()
    local q = bed:query { db_reads_max = 2, workers = 4, db_wait = "100ms", single = "none", stale = 0 }
    for id = 1, 8 do bed:account(id, id, 1) end
    q:arm("query.db_load", "pause")
    local answers = {}
    task.group(function(g)
      for id = 1, 8 do g:spawn(function() answers[id] = q:read(id) end) end
      eventually(function() return q:total "refused" == 6 end)
      q:disarm "query.db_load"
    end)
    assert.same({ db = 2, ["503"] = 6 }, sources(answers))
    assert.same({ 2, 2 }, { q:metric "db_peak", q:total "db_reads" })
    for _, a in ipairs(answers) do
      if a.status == 503 then
        assert.equal("1", a.headers["retry-after"])
        assert.matches("BUSY", a.detail)
        assert.is_true(a.ms >= 100, a.ms)
      end
    end
    assert.equal(0, q:metric("breaker_opens_total", '{need="mysql"}'))
  end)

  it("answers from the process while its copy is fresh, if it may", function()
    local q = bed:query { l1 = "60s" }
    q:read(7)
    bed:account(7, 1300, 4)
    must(cache.apply(bed.r, bed.prefix, "versioned", { account = 7, version = 4 }))
    local a = q:read(7)
    assert.same({ "l1", 3, 0 }, { a.source, a.version, q:total "redis_lookups" - 1 })
    local off = bed:query { l1 = 0 }
    assert.equal("db", off:read(7).source)
  end)

  it("shares round trips among readers", function()
    local own <close> = query_bed.open { own_redis = true }
    own:account(7, 1200, 3)
    local q = own:query { redis_timeout = "60s" }
    q:arm("query.enter", "off")
    q:read(7)
    q:readers(200, 7, function() -- all come while the first round trip is on its way
      own.server:stop()
      eventually(function() return q:hits "query.enter" == 201 end)
      own.server:cont()
    end)
    local lookups, batches = q:total "redis_lookups", q:total "redis_batches"
    assert.equal(201, lookups)
    assert.is_true(batches < lookups / 2, batches .. " batches")
  end)

  it("answers each of many readers with its own account", function()
    local own <close> = query_bed.open { own_redis = true }
    local q, right = own:query { redis_timeout = "60s" }, 0
    for id = 1, 20 do
      own:account(id, id * 100, id)
      q:read(id)
    end
    q:arm("query.enter", "off")
    own.server:stop()
    task.group(function(g)
      for id = 1, 20 do
        g:spawn(function()
          local a = q:read(id)
          if a.source == "cache" and a.balance == id * 100 and a.version == id then right = right + 1 end
        end)
      end
      eventually(function() return q:hits "query.enter" == 20 end)
      own.server:cont()
    end)
    assert.equal(20, right)
  end)

  -- One that is not woken looks by itself after a quarter of a second.
  it("wakes its reader of Redis", function()
    local q, best = bed:query {}, math.huge
    q:arm("query.enter", "sleep(1ms)") -- so that it is asked by a reader, and not by the server's thread
    for _ = 1, 10 do
      local began = clock.ns()
      q:read(7)
      best = math.min(best, (clock.ns() - began) / 1e9)
    end
    assert.is_true(best < 0.25 / 2, best)
  end)

  it("answers what is under way when it ends", function()
    local q = bed:query { db_wait = 0, db_timeout = 0 }
    q:arm("query.db_load", "pause")
    local held = task.spawn(function() return q:read(7) end)
    q:await_hits("query.db_load", 1)
    q.child:kill "TERM"
    eventually(function() return q:call("GET", "/actuator/health").status == 503 end)
    q:resume "query.db_load"
    local a = held:join()
    assert.is_true(a.status == 200 or a.status == 503)
    assert.same({ code = 0 }, q.child:wait "60s")
  end)
end)
