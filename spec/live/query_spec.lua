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

  -- 32 readers of each process are inside the load, or wait for it, before the first load goes on
  local function stampede(settings, processes)
    local all = { workers = 64, db_pool = 64, db_wait = 0 }
    for key, value in pairs(settings) do all[key] = value end
    local services, answers = {}, {}
    for i = 1, processes do services[i] = bed:query(all) end
    local first = services[1]
    for _, q in ipairs(services) do
      q:arm("query.enter", "off")
      q:arm("query.db_load", "pause")
    end
    task.group(function(g)
      for _, q in ipairs(services) do
        for _ = 1, 64 // processes do
          g:spawn(function() answers[#answers + 1] = q:read(7) end)
        end
      end
      eventually(function()
        local entered = 0
        for _, q in ipairs(services) do entered = entered + q:hits "query.enter" end
        return entered == 64
      end)
      local loads = settings.single == "none" and 64 or 1
      eventually(function()
        local loading = 0
        for _, q in ipairs(services) do loading = loading + q:hits "query.db_load" end
        return loading >= loads
      end)
      for _, q in ipairs(services) do q:disarm "query.db_load" end
    end)
    local reads = 0
    for _, q in ipairs(services) do reads = reads + q:total "db_reads" end
    assert.equal(64, #answers)
    for _, a in ipairs(answers) do assert.same({ 200, 1200, 3 }, { a.status, a.balance, a.version }) end
    return reads, first
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
    assert.equal(1, (stampede({ single = "lease" }, 2)))
  end)

  it("loads once in each process by singleflight", function()
    local reads, q = stampede({ single = "process" }, 2)
    assert.is_true(reads == 1 or reads == 2, reads) -- 1: the second process had not begun when the first had filled
    assert.is_true(q:total "joins" >= 31)
  end)

  it("loads 64 times without either", function()
    assert.equal(64, (stampede({ single = "none", fill = "plain" }, 1)))
  end)

  it("a leader that fails costs one retry, not all who wait with it", function()
    local q = bed:query { single = "process", retries = 1, stale = 0 }
    local function run()
      bed:expire(7)
      q:arm("query.enter", "off")
      q:arm("query.db_load", "1*pause -> 1*error(BROKEN_DISK) -> off")
      local answers
      task.group(function(g)
        g:spawn(function() answers = q:readers(32, 7) end)
        q:await_hits("query.enter", 32)
        q:arm("query.db_load", "1*error(BROKEN_DISK)")
      end)
      return sources(answers)
    end
    q:arm("query.db_load", "pause")
    local answers
    task.group(function(g)
      g:spawn(function() answers = q:readers(32, 7) end)
      q:await_hits("query.db_load", 1)
      eventually(function() return q:total "joins" == 31 end)
      q:arm("query.db_load", "1*error(BROKEN_DISK)")
    end)
    assert.is_function(run)
    assert.same({ db = 32 }, sources(answers))
    assert.equal(0, q:total "retries")
  end)
end)
