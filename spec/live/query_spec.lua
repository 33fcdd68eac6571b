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
  must(task.wait_until(f, { at_most = "5s", every = "2ms" }))
end

describe("query", function()
  local bed

  before_each(function()
    bed = query_bed.open()
    bed:account(7, 1200, 3)
  end)
  after_each(function() bed:close() end)

  -- stampede(settings, n): 64 readers of one account at n processes; no load goes on before all have entered and as many as `loads` are loading.
  -- Returns the SELECTs that it took, and the services.
  local function stampede(settings, n, loads)
    local all, services, answers = { workers = 64, db_pool = 64, db_wait = 0 }, {}, {}
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
      eventually(function() return hits "query.enter" == 64 and hits "query.db_load" >= loads end)
      for _, q in ipairs(services) do q:disarm "query.db_load" end
    end
    task.group(function(g)
      for i, q in ipairs(services) do
        g:spawn(function() table.move(q:readers(64 // n, 7, i == n and release or nil), 1, 64 // n, #answers + 1, answers) end)
      end
    end)
    assert.equal(64, #answers)
    for _, a in ipairs(answers) do assert.same({ 200, 1200, 3 }, { a.status, a.balance, a.version }) end
    return sum(function(q) return q:total "db_reads" end), services
  end

  it("says where an answer came from and how old it is", function()
    local q = bed:query {}
    local a = q:read(7)
    assert.same({ 200, "db", 1200, 3, 7, 0 }, { a.status, a.source, a.balance, a.version, a.account_id, a.age_ms })
    assert.same({ "db", "0", "application/json" }, { a.headers["x-cache"], a.headers.age, a.headers["content-type"] })
    must(bed.r:call("HSET", cache.key(bed.prefix, 7), "stored", clock.unix_ms() - 2500))
    a = q:read(7)
    assert.same({ "cache", "cache", "2" }, { a.source, a.headers["x-cache"], a.headers.age })
    assert.is_true(a.age_ms >= 2500 and a.age_ms < 5000)
    assert.equal("00000000000000000003", bed.r:call("HGET", cache.key(bed.prefix, 7), "version"))
    assert.equal(1, q:total "db_reads")
    assert.equal(1, q:metric('seconds_count', '{source="cache"}'))
  end)

  it("refuses what is no account, and no other path", function()
    local q = bed:query {}
    local a = q:read(999)
    assert.same({ 404, "there is no account 999", "db" }, { a.status, a.detail, a.source })
    for _, id in ipairs { "x", "1x", "99999999999999999999", "1.5" } do assert.equal(400, q:read(id).status, id) end
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
    local reads, services = stampede({ single = "lease" }, 2, 1)
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
    local q = bed:query { single = "process", retries = retries, stale = 0, db_pool = 1, db_wait = 0, breaker = 0 }
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
end)
