-- Who else is there: other members of the group, other transactions, readers of the cache.
local cache = require "rlab.cache"
local ledger = require "spec.support.ledger"
local lock_waits = require "spec.support.lock_waits"
local must = require "rlab.must"
local redis = require "rlab.redis"

local function quick(settings)
  settings.consumer = { ["session.timeout.ms"] = "3000", ["heartbeat.interval.ms"] = "300" }
  return settings
end

local function rows(l, sql) return must(l.db:query(sql)) end

local function doubled(l)
  return #rows(l, "SELECT event_id FROM effect_log GROUP BY event_id, account_id HAVING COUNT(*) > 1")
end

describe("a partition that is taken away", function()
  local l

  before_each(function() l = ledger.open("moved", { partitions = 2 }) end)
  after_each(function() l:close() end)

  -- The first member holds records of both partitions when a second one comes and gets one of them; then
  -- the first goes on.
  local function straddle(settings)
    local events = {}
    for p = 0, 1 do
      for _, event in ipairs(l:publish(50, { partition = p })) do events[#events + 1] = event end
    end
    settings = quick(settings)
    settings.batch, settings.fetch, settings.workers, settings.revoke_wait, settings.dedup = 1, 50, 2,
      "200ms", "none"
    settings.name = "first"
    local first <close> = l:service("consumer", settings, { ["consumer.before_begin"] = "pause" })
    ledger.until_("both partitions wait", function() return #first:hits() == 2 end)
    settings.name = "second"
    local second <close> = l:service("consumer", settings)
    ledger.until_("the second has done its partition", function() return l:count "effect_log" >= 50 end)
    first:failpoint("consumer.before_begin", nil)
    ledger.until_("all are done", function() return l:committed() == 100 end)
    if settings.drop_lost ~= false then
      ledger.until_("the first has dropped what it lost",
        function() return first:metric "rlab_consumer_dropped_total" >= 1 end)
    end
    assert.equal(0, first:stop().code)
    assert.equal(0, second:stop().code)
    return events
  end

  it("is done by its new owner only", function()
    straddle {}
    assert.equal(100, l:count "effect_log")
    assert.equal(0, doubled(l))
  end)

  it("is done twice where the old one goes on", function()
    straddle { drop_lost = false, commit = "sync-after-work" }
    ledger.until_("the records are doubled", function() return doubled(l) > 0 end)
  end)
end)

describe("a partition that is taken away while a record of it is under way", function()
  local l

  before_each(function() l = ledger.open("moved", { partitions = 2 }) end)
  after_each(function() l:close() end)

  local function start(settings, name, points)
    settings.workers, settings.batch, settings.dedup, settings.name = 2, 1, "none", name
    return l:service("consumer", quick(settings), points)
  end

  local function publish(n)
    for p = 0, 1 do l:publish(n, { partition = p }) end
  end

  it("is handed over when that is done and its offset committed", function()
    publish(5)
    local first <close> = start({ revoke_wait = "30s" }, "first",
      { ["consumer.after_db_commit"] = "2*pause" })
    ledger.until_("a record of each is applied", function() return #first:hits() == 2 end)
    local second <close> = start({ revoke_wait = "30s" }, "second")
    ledger.until_("the first is to let them go",
      function() return first:metric "rlab_consumer_position" == nil end)
    first:resume "consumer.after_db_commit"
    ledger.until_("all are done", function() return l:committed() == 10 end)
    assert.equal(0, first:stop().code)
    assert.equal(0, second:stop().code)
    assert.same({ 10, 0 }, { l:count "effect_log", doubled(l) })
  end)

  -- The first is not told, and goes on: nobody but MySQL can know.
  it("is counted once where its offset is in MySQL", function()
    publish(1)
    local settings = { commit = "mysql", drop_lost = false, revoke_wait = "200ms", fetch = 50 }
    local first <close> = start(settings, "first")
    ledger.until_("both partitions are begun", function() return l:count "consumer_offset" == 2 end)
    first:failpoint("consumer.before_begin", "2*pause")
    first:failpoint("consumer.in_tx", "return")
    publish(5)
    ledger.until_("both partitions wait", function() return #first:hits() == 2 end)
    local second <close> = start(settings, "second")
    ledger.until_("the second has done its partition", function() return l:count "effect_log" >= 7 end)
    first:resume "consumer.before_begin"
    ledger.until_("the first has tried", function() return #first:hits() >= 4 end)
    ledger.until_("all are done", function()
      return math.tointeger(tonumber(must(l.db:value "SELECT SUM(next_offset) FROM consumer_offset"))) == 12
    end)
    assert.equal(0, first:stop().code)
    assert.equal(0, second:stop().code)
    assert.same({ 12, 0 }, { l:count "effect_log", doubled(l) })
  end)

  it("is gone on with where somebody else has put its offset in MySQL", function()
    publish(10)
    local one <close> = start({ commit = "mysql", fetch = 50 }, "one",
      { ["consumer.before_begin"] = "pause if offset=3" })
    ledger.until_("both partitions wait", function() return #one:hits() == 2 end)
    must(l.db:exec "UPDATE consumer_offset SET next_offset = 8")
    one:failpoint("consumer.before_begin", nil)
    ledger.until_("both are at the end", function()
      return math.tointeger(tonumber(must(l.db:value "SELECT SUM(next_offset) FROM consumer_offset"))) == 20
    end)
    assert.equal(0, one:stop().code)
    assert.same({ 10, 0 }, { l:count "effect_log", doubled(l) })
  end)
end)

describe("a deadlock", function()
  local l

  before_each(function()
    l = ledger.open("deadlock", { partitions = 2, topics = { "dlq" } })
    must(l.db:exec "INSERT INTO account_view (account_id) VALUES (1), (2)")
  end)
  after_each(function() l:close() end)

  -- Opposite transfers meet after their first lock, and go on into each other.
  local function meet(settings)
    l:transfer(1, 1, 2, 100, 0)
    l:transfer(2, 2, 1, 30, 1)
    settings.batch, settings.lock_order, settings.workers = 1, settings.lock_order or "event", 2
    local service <close> = l:service("consumer", quick(settings),
      { ["consumer.in_tx"] = "2*barrier(pair, 2)" })
    ledger.until_("both are done", function() return l:committed() == 2 end)
    local balances = {}
    for _, row in ipairs(rows(l, "SELECT account_id AS id, balance FROM account_view ORDER BY 1")) do
      balances[row.id] = row.balance
    end
    local deadlocks, parked = service:metric "rlab_consumer_deadlocks_total",
      service:metric "rlab_consumer_parked_total"
    assert.equal(2, #service:hits())
    assert.equal(0, service:stop().code)
    return balances, deadlocks, parked
  end

  it("costs another try of the whole transaction", function()
    local balances, deadlocks, parked = meet {}
    assert.same({ -70, 70, 1, 0 }, { balances[1], balances[2], deadlocks, parked })
    assert.equal(4, l:count "effect_log")
  end)

  it("sends a healthy record to the DLQ where it is taken for its fault", function()
    local _, deadlocks, parked = meet { on_deadlock = "dlq" }
    assert.same({ 1, 1 }, { deadlocks, parked })
  end)

  -- Both wait for account 1, and hold nothing while they do.
  it("does not come about where accounts are locked in the order of their ids", function()
    must(l.db:exec "BEGIN")
    must(l.db:exec "UPDATE account_view SET version = version WHERE account_id = 1")
    local service <close> = l:service("consumer", quick { lock_wait = "20s", workers = 2, batch = 1 })
    l:transfer(1, 1, 2, 100, 0)
    lock_waits.await(l.db, l.schema, 1)
    l:transfer(2, 2, 1, 30, 1)
    lock_waits.await(l.db, l.schema, 2)
    must(l.db:exec "COMMIT")
    ledger.until_("both are done", function() return l:committed() == 2 end)
    assert.equal(0, service:metric "rlab_consumer_deadlocks_total")
    assert.equal(4, l:count "effect_log")
  end)

  it("loses the first half where only the statement is repeated", function()
    local balances = meet { on_deadlock = "repeat-statement" }
    assert.is_true(balances[1] + balances[2] ~= 0)
  end)
end)

describe("a lock that is not released in time", function()
  local l

  before_each(function()
    l = ledger.open("wait", { partitions = 1, topics = { "dlq" } })
    must(l.db:exec "INSERT INTO account_view (account_id) VALUES (1), (2)")
  end)
  after_each(function() l:close() end)

  -- Somebody holds account 2 while 100 go from 1 to 2, until the consumer was answered 1205.
  local function wait(settings)
    settings.lock_order, settings.lock_wait, settings.batch = "event", "1s", 1
    must(l.db:exec "BEGIN")
    must(l.db:exec "UPDATE account_view SET version = version WHERE account_id = 2")
    l:transfer(1, 1, 2, 100, 0)
    local service <close> = l:service("consumer", quick(settings))
    ledger.until_("1205", function() return service:metric "rlab_consumer_lock_waits_total" >= 1 end)
    must(l.db:exec "COMMIT")
    ledger.until_("it is done", function() return l:committed() == 1 end)
    assert.equal(0, service:stop().code)
    return must(l.db:value "SELECT CAST(SUM(balance) AS SIGNED) FROM account_view")
  end

  it("costs another try of the whole transaction", function()
    assert.equal(0, wait {})
    assert.equal(2, l:count "effect_log")
  end)

  it("loses the second half where the transaction is begun again without a rollback", function()
    assert.equal(-100, wait { on_lock_wait = "restart" })
  end)
end)

describe("the cache", function()
  local l, r

  before_each(function()
    l, r = ledger.open("cache", { partitions = 1, topics = { "retry.5s", "dlq" } }),
      must(redis.connect(ledger.redis))
  end)
  after_each(function()
    for account = 1, 10 do r:call("DEL", cache.key(l.prefix, account)) end
    r:close()
    l:close()
  end)

  local function fill(account, balance, version)
    must(cache.fill(r, l.prefix, account, { balance = balance, version = version }, { mode = "versioned" }))
  end

  local function consumed(settings, failpoints)
    local service <close> = l:service("consumer", quick(settings), failpoints)
    ledger.until_("all is done", function() return l:committed() == l.published end)
    local told = service:metric "rlab_consumer_invalidated_total"
    assert.equal(0, service:stop().code)
    return told
  end

  it("gets tombstones, deletions or newer values, as it is told", function()
    for _, mode in ipairs { "versioned", "del-before", "del-after", "del-twice", "lease", "update" } do
      for account = 1, 10 do fill(account, 0, 0) end
      l:publish(40)
      local twice = mode == "del-twice"
      assert.is_true(consumed { cache = mode, cache_again = "10ms" } >= (twice and 80 or 40))
      for account, balance in pairs(l.balances) do
        local entry = must(cache.read(r, l.prefix, account))
        if mode == "versioned" then assert.equal("tombstone", entry.state) end
        if mode == "update" then
          assert.same({ balance, l.versions[account] }, { entry.balance, entry.version })
        end
        if mode:find "^del" or mode == "lease" then
          assert.equal(require "rlab.null", entry)
        end
        r:call("DEL", cache.key(l.prefix, account))
      end
    end
  end)

  it("is told of both accounts of a transfer", function()
    for account = 1, 2 do fill(account, 0, 0) end
    l:transfer(1, 1, 2, 100, 0)
    l.published = 1
    consumed { cache = "del-after" }
    for account = 1, 2 do
      assert.equal(require "rlab.null", must(cache.read(r, l.prefix, account)))
    end
  end)

  -- A consumer dies between its commit and the invalidation; the next one finds the event applied.
  local function crash_before_invalidation(settings)
    local events = l:publish(20, { accounts = 3 })
    for account = 1, 3 do fill(account, 0, 0) end
    settings.batch = 1
    do
      local first <close> = l:service("consumer", quick(settings),
        { ["consumer.before_invalidate"] = ("kill if id=%s"):format(events[20].id) })
      assert.equal("KILL", first:await().signal)
    end
    consumed(settings)
    return must(cache.read(r, l.prefix, events[20].account)), events[20].version
  end

  it("is told of events that had been applied before, unless that is switched off", function()
    local entry, version = crash_before_invalidation { cache = "update" }
    assert.equal(version, entry.version)
  end)

  it("stays stale where it is switched off", function()
    local entry, version = crash_before_invalidation { cache = "update", invalidate_seen = false }
    assert.is_true(entry.version < version)
  end)

  it("adds twice where it gets deltas", function()
    local events = l:publish(1, { accounts = 1 })
    fill(1, 0, 0)
    do
      local first <close> = l:service("consumer", quick { cache = "delta", batch = 1 },
        { ["consumer.after_cache"] = "kill" })
      assert.equal("KILL", first:await().signal)
    end
    consumed { cache = "delta", batch = 1 }
    assert.equal(2 * events[1].amount, must(cache.read(r, l.prefix, 1)).balance)
  end)

  it("that refuses an entry fails that record alone, which is then tried again", function()
    must(r:call("SET", cache.key(l.prefix, 2), "no entry of ours"))
    l:publish(30, { accounts = 4 })
    local service <close> = l:service("consumer",
      quick { cache = "versioned", retry = "100ms:" .. l.topic .. ".retry.5s" })
    ledger.until_("records are parked", function() return service:metric "rlab_consumer_parked_total" > 0 end)
    r:call("DEL", cache.key(l.prefix, 2))
    ledger.until_("all is done", function() return l:committed() == 30 end)
    assert.equal(30, l:count "effect_log")
    assert.equal(0, doubled(l))
    ledger.until_("its log says why",
      function() return service:text():find('"class":"invalidation"', 1, true) end)
  end)
end)
