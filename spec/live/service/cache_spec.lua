-- The scripts of the cache on a real Redis, through Lua and through C's cache_apply where that is reached
-- by services.
local cache = require "rlab.cache"
local clock = require "rlab.clock"
local null = require "rlab.null"
local redis = require "rlab.redis"

local host, port = assert(os.getenv "RLAB_TEST_REDIS", "RLAB_TEST_REDIS is not set"):match "^(.*):(%d+)$"
port = math.tointeger(tonumber(port))

local PREFIX = "rlab:spec:cache:"
local BIG = 1 << 53

local function ok(value, failure)
  assert.is_nil(failure and tostring(failure))
  return value
end

describe("cache", function()
  local r

  before_each(function()
    r = assert(redis.connect { host = host, port = port })
    for _, kind in ipairs { "key", "lease_key", "latest_key" } do
      ok(r:call("DEL", cache[kind](PREFIX, 7)))
    end
  end)

  after_each(function() r:close() end)

  local function fill(version, options)
    return ok(cache.fill(r, PREFIX, 7, { balance = version * 10, version = version }, options or {}))
  end

  local function apply(mode, version, extra)
    local change = { account = 7, version = version, balance = version * 10, amount = 10 }
    for k, v in pairs(extra or {}) do change[k] = v end
    return cache.apply(r, PREFIX, mode, change)
  end

  local function version() return ok(cache.read(r, PREFIX, 7)).version end

  it("fills plainly, whatever is there", function()
    assert.are.equal("written", fill(5))
    assert.are.equal("written", fill(4))
    local entry = cache.read(r, PREFIX, 7)
    assert.are.same({ "value", 40, 4 }, { entry.state, entry.balance, entry.version })
    assert.is_true(entry.expires > clock.unix_ms() + 50000)
    assert.is_true(r:call("PTTL", cache.key(PREFIX, 7)) > 50000)
    assert.are.equal(cache.version(4), r:call("HGET", cache.key(PREFIX, 7), "version"))
  end)

  it("leaves nothing of what was there before", function()
    for _, mode in ipairs { "plain", "lease" } do
      for _, before in ipairs { { "SET", cache.key(PREFIX, 7), "no entry" },
        { "HSET", cache.key(PREFIX, 7), "state", "tombstone", "version", cache.version(1) } } do
        ok(r:call("DEL", cache.key(PREFIX, 7)))
        ok(r:call(table.unpack(before)))
        ok(r:call("SET", cache.lease_key(PREFIX, 7), "mine"))
        assert.are.equal("written", fill(6, { mode = mode, token = "mine" }))
        local entry = cache.read(r, PREFIX, 7)
        assert.are.same({ "value", 60, 6 }, { entry.state, entry.balance, entry.version })
      end
    end
  end)

  it("fills by lease only while the token holds", function()
    local lease = cache.lease_key(PREFIX, 7)
    ok(r:call("SET", lease, "mine", "NX", "PX", 2000))
    assert.are.equal("refused", fill(5, { mode = "lease", token = "other" }))
    assert.are.equal("written", fill(5, { mode = "lease", token = "mine" }))
    assert.are.equal(null, r:call("GET", lease))
    ok(r:call("SET", lease, "late", "NX", "PX", 2000))
    assert.are.equal("written", ok(apply("lease", 6)))
    assert.are.equal("refused", fill(5, { mode = "lease", token = "late" }))
    assert.are.equal(null, cache.read(r, PREFIX, 7))
  end)

  it("gives a lease back to its owner only", function()
    local lease, release = cache.lease_key(PREFIX, 7), r:script(cache.source "lease_release")
    ok(r:call("SET", lease, "mine", "NX", "PX", 2000))
    assert.are.equal(0, ok(release:call({ lease }, { "other" })))
    assert.are.equal("mine", r:call("GET", lease))
    assert.are.equal(1, ok(release:call({ lease }, { "mine" })))
    assert.are.equal(null, r:call("GET", lease))
  end)

  it("refuses an old value by its version, also after an invalidation", function()
    assert.are.equal("written", fill(5, { mode = "versioned" }))
    assert.are.equal("written", fill(5, { mode = "versioned" }))
    assert.are.equal("refused", fill(4, { mode = "versioned" }))
    local _, failure = r:script(cache.source "versioned"):call({ cache.key(PREFIX, 7) },
      { "fill", "0005", "1000", "balance", "1" })
    assert.are.equal("BADVERSION", failure.name)
    assert.are.equal("written", ok(apply("versioned", 6)))
    assert.are.equal("tombstone", cache.read(r, PREFIX, 7).state)
    assert.is_true(r:call("PTTL", cache.key(PREFIX, 7)) <= 5000)
    assert.are.equal("refused", fill(5, { mode = "versioned" }))
    assert.are.equal("written", fill(6, { mode = "versioned" }))
    assert.are.equal("refused", ok(apply("versioned", 6)))
    assert.are.equal("value", cache.read(r, PREFIX, 7).state)
    assert.are.equal("written", ok(apply("versioned", 7)))
    assert.are.equal("written", ok(apply("update", 8)))
    assert.are.equal("value", cache.read(r, PREFIX, 7).state)
  end)

  it("updates only what is there, and only forwards", function()
    assert.are.equal("missing", ok(apply("update", 3)))
    assert.are.equal(null, cache.read(r, PREFIX, 7))
    fill(BIG)
    local before = r:call("PTTL", cache.key(PREFIX, 7))
    assert.are.equal("written", ok(apply("update", BIG + 1)))
    assert.are.equal("refused", ok(apply("update", BIG + 1)))
    assert.are.equal("refused", ok(apply("update", BIG)))
    assert.are.equal(BIG + 1, version())
    local after = r:call("PTTL", cache.key(PREFIX, 7))
    assert.is_true(after > 0 and after <= before)
  end)

  it("tests types before it writes", function()
    ok(r:call("RPUSH", cache.key(PREFIX, 7), "x"))
    for _, mode in ipairs { "update", "versioned" } do
      local reply, failure = apply(mode, 3)
      assert.is_nil(reply)
      assert.are.equal("WRONGTYPE", failure.name)
    end
    local reply, failure = cache.fill(r, PREFIX, 7, { balance = 1, version = 1 }, { mode = "versioned" })
    assert.is_nil(reply)
    assert.are.equal("WRONGTYPE", failure.name)
    assert.are.equal("list", r:call("TYPE", cache.key(PREFIX, 7)))
  end)

  it("keeps the wrong scripts wrong", function()
    fill(BIG)
    assert.are.equal("refused", ok(apply("tonumber", BIG + 1)))
    assert.are.equal(BIG, version())

    ok(r:call("RPUSH", cache.latest_key(PREFIX, 7), "x"))
    local reply, failure = apply("two-step", BIG + 2, { event = "e" })
    assert.is_nil(reply)
    assert.are.equal("WRONGTYPE", failure.name)
    assert.are.equal(BIG + 2, version())

    fill(1)
    ok(apply("delta", 2))
    ok(apply("delta", 2))
    assert.are.equal(30, cache.read(r, PREFIX, 7).balance)
    ok(apply("del", 3))
    ok(apply("delta", 4))
    assert.are.equal(10, cache.read(r, PREFIX, 7).balance)

    assert.are.equal(7, ok(cache.reserve(r, PREFIX, 7, 3)))
    ok(apply("del", 5))
    assert.are.equal(null, ok(cache.reserve(r, PREFIX, 7, 3)))
  end)

  it("finds every entry of a prefix", function()
    for id = 1, 30 do ok(cache.fill(r, PREFIX .. "all[*]:", id, { balance = id, version = 1 }, {})) end
    local all = ok(cache.all(r, PREFIX .. "all[*]:"))
    for id = 1, 30 do
      assert.are.equal(id, all[id].balance)
      r:call("DEL", cache.key(PREFIX .. "all[*]:", id))
    end
    assert.are.same({}, cache.all(r, PREFIX .. "all[*]:"))
  end)

  it("raises on wrong usage", function()
    assert.has_error(function() cache.apply(r, PREFIX, "versoned", {}) end,
      "cache: unknown mode 'versoned', did you mean 'versioned'?")
    assert.has_error(function() cache.fill(r, PREFIX, 7, { balance = 1, version = 1 }, { mode = "leese" })
      end,
      "cache: unknown mode 'leese', did you mean 'lease'?")
  end)
end)
