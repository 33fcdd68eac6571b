-- The query service and the consumer on a Redis Cluster: what is filled, read and invalidated there, while a
-- slot moves and while a primary does not answer. The nodes are asked one by one by connections of their own.
local cache = require "rlab.cache"
local json = require "rlab.json"
local ledger = require "spec.support.ledger"
local must = require "rlab.must"
local redis = require "rlab.redis"
local redis_cluster = require "spec.support.redis_cluster"
local services = require "spec.support.services"

local ACCOUNTS = 30

describe("the cache on a Redis Cluster", function()
  local s, view, l, consumer, query

  setup(function() s, view = redis_cluster.open { "kafka", "mysql", "redis", "redis-cluster" } end)
  teardown(function() redis_cluster.close(s, view) end)
  after_each(function()
    for _, service in ipairs { query or false, consumer or false } do
      if service then service:close() end
    end
    query, consumer = nil, nil
    if l then l:close() end
    l = nil
  end)

  local function mysql_url()
    local at = l.mysql
    return ("mysql://%s:%s@%s:%d/%s"):format(at.user, at.password, at.host, at.port, at.database)
  end

  -- Each protects as the other does; the query forgives a busy machine.
  local function start(mode, more)
    l = ledger.open "cluster"
    local url = "redis-cluster://" .. table.concat({ table.unpack(s.redis_cluster.nodes, 1, 2) }, ",")
    consumer = services.spawn("consumer", { topic = l.topic, group = l.group, prefix = l.prefix, cache = mode,
      mysql = mysql_url(), brokers = l.brokers, redis = url })
    local options = { prefix = l.prefix, fill = mode, ttl = "10m", jitter = 0, redis_timeout = "2s",
      db_timeout = "5s", mysql = mysql_url(), redis = url }
    for key, value in pairs(more or {}) do options[key] = value end
    query = services.spawn("query", options)
  end

  local function read(account)
    local status, body = query:call("GET", "/accounts/" .. account)
    assert.equal(200, status)
    return body
  end

  -- An offset is committed when its event's entries are invalidated.
  local function consumed()
    ledger.until_("the group is at the end", function() return l:committed() >= l.published end)
  end

  local function health()
    local status, body = query:call("GET", "/actuator/health")
    return status, json.encode(body)
  end

  local function entry_at(home, account)
    local key = cache.key(l.prefix, account)
    local node = home(key)
    assert.equal(home(cache.lease_key(l.prefix, account)), node)
    return must(node.conn:call("HGETALL", key)), node
  end

  for _, mode in ipairs { "lease", "versioned" } do
    it(("is filled, read and invalidated on the nodes of its slots: %s"):format(mode), function()
      start(mode)
      local home, nodes, spread = view:homes(), {}, 0
      for round = 1, 3 do
        l:publish(60, { accounts = ACCOUNTS })
        consumed()
        for account, version in pairs(l.versions) do
          local first, again = read(account), read(account)
          assert.same({ version, version, "cache" }, { first.version, again.version, again.source })
          if round == 1 then assert.equal("db", first.source) end
          local entry, node = entry_at(home, account)
          assert.equal(cache.version(version), entry.version)
          if not nodes[node] then nodes[node], spread = true, spread + 1 end
        end
      end
      assert.equal(3, spread)
      assert.equal(0, query:metric "rlab_query_redis_errors_total")
      assert.equal(0, query:metric "rlab_query_fill_errors_total")
      assert.equal(180, consumer:metric "rlab_consumer_invalidated_total")
      assert.equal(0, consumer:metric "rlab_consumer_invalidations_failed_total")
    end)
  end

  -- How often the nodes have refused so, by their own count.
  local function refusals(name)
    local sum = 0
    for _, node in ipairs(view.nodes) do
      local count = must(node.conn:call("INFO", "errorstats")):match("errorstat_" .. name .. ":count=(%d+)")
      sum = sum + (tonumber(count) or 0)
    end
    return sum
  end

  -- moved(steps): account 1's slot moves to another primary; steps run between, with the move
  local function moved(steps)
    local slot, before, grown = redis.slot(cache.key(l.prefix, 1)), {}, {}
    local from, primaries = view:owner(slot), view:primaries()
    local to = from == primaries[1] and primaries[2] or primaries[1]
    for _, name in ipairs { "TRYAGAIN", "ASK", "MOVED" } do before[name] = refusals(name) end
    steps(view:move(slot, to), before)
    assert.equal(to, (view:owner(slot)))
    for name, count in pairs(before) do grown[name] = refusals(name) > count end
    assert.equal(0, query:metric "rlab_query_redis_errors_total")
    assert.equal(0, query:metric "rlab_query_fill_errors_total")
    assert.equal(0, consumer:metric "rlab_consumer_invalidations_failed_total")
    view:move(slot, from):finish()
    return grown
  end

  -- Each change is seen by the first reader after it, and then read from the cache.
  local function changes(n)
    for _ = 1, n do
      l:publish(1, { accounts = 1 })
      consumed()
      for _ = 1, 2 do assert.equal(l.versions[1], read(1).version) end
    end
    assert.equal("cache", read(1).source)
  end

  it("gives no old value and no error while a slot moves: versioned", function()
    start "versioned"
    changes(3)
    local refused = moved(function(move)
      changes(3)
      move:rest()
      changes(3)
      move:finish()
      changes(3)
    end)
    assert.same({ TRYAGAIN = false, ASK = true, MOVED = true }, refused)
  end)

  -- Of the two keys one is missing, as a rule: no node takes the script before the slot has moved.
  it("waits with an invalidation until the slot has moved: lease", function()
    start "lease"
    changes(3)
    local refused = moved(function(move, before)
      l:publish(1, { accounts = 1 })
      ledger.until_("an invalidation meets a half-moved slot",
        function() return refusals "TRYAGAIN" > before.TRYAGAIN end)
      move:rest()
      assert.is_true(l:committed() < l.published)
      move:finish()
      consumed()
      assert.equal(l.versions[1], read(1).version)
      changes(3)
    end)
    assert.is_true(refused.TRYAGAIN and refused.MOVED)
  end)

  it("costs a frozen primary's accounts only, until it answers", function()
    start("versioned", { redis_timeout = "200ms", breaker = 2, breaker_pause = "10m", stale = "0s" })
    l:publish(60, { accounts = ACCOUNTS })
    consumed()
    local home, frozen, server = view:homes(), view:primaries()[2], nil
    for i, node in ipairs(view.nodes) do
      if node == frozen then server = s:server("redis-cluster-" .. i) end
    end
    for account in pairs(l.versions) do read(account) end
    assert(server:freeze())
    local sources = {}
    for _ = 1, 3 do
      for account, version in pairs(l.versions) do
        local where = home(cache.key(l.prefix, account)) == frozen and "frozen" or "others"
        local answer = read(account)
        assert.equal(version, answer.version)
        sources[where] = sources[where] or {}
        sources[where][answer.source] = true
      end
    end
    local status, why = health()
    assert(server:thaw())
    assert.same({ frozen = { db = true }, others = { cache = true } }, sources)
    assert.equal(503, status)
    assert.matches("redis", why)
    assert.equal(0, query:metric 'rlab_query_breaker_opens_total{need="redis"}')
    assert(s:heal())
    ledger.until_("health is UP again", function() return health() == 200 end)
    for account, version in pairs(l.versions) do assert.equal(version, read(account).version) end
  end)
end)
