-- The consumer while MySQL, Redis or Kafka is frozen, killed or away: it lives, says so, and goes on where
-- it was. The MySQL and Redis here are the spec's own.
local ledger = require "spec.support.ledger"
local fs = require "rlab.fs"
local must = require "rlab.must"
local mysqld = require "spec.support.mysqld"
local process = require "rlab.process"
local redis = require "rlab.redis"
local task = require "rlab.task"

local function quick(settings)
  settings.consumer = { ["session.timeout.ms"] = "3000", ["heartbeat.interval.ms"] = "300" }
  return settings
end

local function ill(service, word)
  ledger.until_("health speaks of " .. word, function()
    local ok, body = service:health()
    return not ok and body:find(word, 1, true)
  end)
end

local function well(service)
  ledger.until_("all is well", function() return (service:health()) end)
end

local function each_once(l, n)
  assert.equal(n, l:count "effect_log")
  assert.equal(n, l:count "processed_event")
end

describe("without MySQL", function()
  local server, l

  setup(function() server = mysqld.beside(ledger.mysql.port) end)
  teardown(function() server:stop() end)
  before_each(function()
    l = ledger.open("mysql", { mysql = { host = "127.0.0.1", port = server.port, user = "app",
      password = "secret" }, topics = { "dlq" } })
  end)
  after_each(function() l:close() end)

  local function done(service, n)
    ledger.until_("all is applied", function() return service:metric "rlab_consumer_applied_total" >= n end)
  end

  it("a frozen one is waited for, and nothing is lost or doubled", function()
    local service <close> = l:service("consumer", quick { batch = 20, mysql_timeout = "1s" })
    l:publish(100)
    done(service, 1)
    server.child:kill "STOP"
    l:publish(100)
    ill(service, "mysql")
    server.child:cont()
    well(service)
    ledger.until_("the group is at the end", function() return l:committed() == 200 end)
    each_once(l, 200)
    assert.equal(0, service:metric "rlab_consumer_parked_total")
    assert.equal(0, service:stop().code)
  end)

  it("a killed one is waited for, too", function()
    local service <close> = l:service("consumer", quick { batch = 5 })
    l:publish(200)
    done(service, 20)
    server:kill()
    ill(service, "mysql")
    server:start()
    l.db = must(server:connect { database = l.schema })
    ledger.until_("the group is at the end", function() return l:committed() == 200 end)
    each_once(l, 200)
    assert.equal(0, service:stop().code)
  end)

  for what, settings in pairs { partitions = { batch = 20 }, ["a pool"] = { commit = "pool-min" } } do
    it("SIGTERM ends it all the same, and the work comes again: " .. what, function()
      settings.mysql_timeout = "1s"
      local service <close> = l:service("consumer", quick(settings),
        { ["consumer.before_begin"] = "#1 pause" })
      l:publish(50)
      ledger.until_("a record is in work", function() return #service:hits() == 1 end)
      server.child:kill "STOP"
      service:resume "consumer.before_begin"
      ill(service, "mysql")
      assert.equal(0, service:stop().code)
      server.child:cont()
      local second <close> = l:service("consumer", quick {})
      ledger.until_("the group is at the end", function() return l:committed() == 50 end)
      each_once(l, 50)
      assert.equal(0, second:stop().code)
    end)
  end
end)

describe("without Redis", function()
  local dir, port, server, l

  local function start()
    server = must(process.spawn { stdout = "null", stderr = "null",
      cmd = { "redis-server", "--port", tostring(port), "--bind", "127.0.0.1", "--save", "", "--dir", dir } })
    assert(task.wait_until(function()
      local r = redis.connect { port = port }
      if r then r:close() end
      return r ~= nil
    end, { at_most = "60s", every = "10ms", what = "redis" }))
  end

  before_each(function()
    dir, port = must(fs.tmpdir "rlab-spec-redis"), must(process.free_ports(1))[1]
    start()
    l = ledger.open("redis", { redis = { host = "127.0.0.1", port = port }, topics = { "retry.5s", "dlq" } })
  end)
  after_each(function()
    server:kill "KILL"
    server:wait "60s"
    server:close()
    fs.remove(dir)
    l:close()
  end)

  it("invalidation waits for it, and no offset passes it by", function()
    local service <close> = l:service("consumer", quick { cache = "versioned", batch = 20 })
    well(service)
    server:kill "KILL"
    server:wait "60s"
    server:close()
    l:publish(60)
    ill(service, "redis")
    assert.is_true(l:committed() < 60)
    start()
    ledger.until_("the group is at the end", function() return l:committed() == 60 end)
    each_once(l, 60)
    assert.equal(0, service:metric "rlab_consumer_parked_total")
    assert.is_true(service:metric "rlab_consumer_invalidated_total" >= 60)
    assert.equal(0, service:stop().code)
  end)

  it("a frozen one for too long sends the records to the retry topic", function()
    local service <close> = l:service("consumer",
      quick { cache = "versioned", cache_wait = "500ms", retry = "200ms:" .. l.topic .. ".retry.5s",
      dlq = "-" })
    well(service)
    server:kill "STOP"
    l:publish(10)
    ledger.until_("records are retried", function() return service:metric "rlab_consumer_retried_total" > 0
      end)
    server:cont()
    ledger.until_("all were told", function() return service:metric "rlab_consumer_invalidated_total" >= 10
      end)
    ledger.until_("the retry topic is done", function() return l:committed(l.topic .. ".retry.5s") >= 1 end)
    each_once(l, 10)
    assert.equal(0, service:stop().code)
  end)
end)

describe("without Kafka", function()
  it("it is ready, says what is missing, and ends in time", function()
    local l <close> = ledger.open "kafka"
    local service <close> = l:service("consumer",
      { brokers = "127.0.0.1:" .. must(process.free_ports(1))[1] })
    ill(service, "kafka")
    assert.equal(0, service:stop().code)
  end)

  it("a topic that is not there is named", function()
    local l <close> = ledger.open "kafka"
    local service <close> = l:service("consumer", { topic = l.topic .. "-none" })
    ill(service, "nknown")
    assert.equal(0, service:stop().code)
  end)
end)
