local redis = require "rlab.redis"
local null = require "rlab.null"
local rng = require "rlab.rng"
local task = require "rlab.task"
local err = require "rlab.err"

local host, port = assert(os.getenv "RLAB_TEST_REDIS", "RLAB_TEST_REDIS is not set"):match "^(.*):(%d+)$"
port = math.tointeger(tonumber(port))

local function open(options)
  local o = { host = host, port = port }
  for key, value in pairs(options or {}) do o[key] = value end
  return assert(redis.connect(o))
end

local function key(name)
  return "rlab:spec:" .. name
end

local function ok(value, failure)
  assert.is_nil(failure and tostring(failure))
  return value
end

describe("redis", function()
  local r

  before_each(function()
    r = open()
    ok(r:call("DEL", { key "a", key "b", key "h", key "z", key "l", key "s" }))
  end)

  after_each(function() r:close() end)

  it("speaks RESP3 and says so", function()
    assert.are.same({ 3 }, { r:resp() })
    local two <close> = open { resp = 2 }
    assert.are.equal(2, (two:resp()))
    ok(two:call("HSET", key "h", "f", "v"))
    assert.are.same({ "f", "v" }, two:call("HGETALL", key "h"))
  end)

  it("types its replies", function()
    assert.are.equal("OK", r:call("SET", key "a", "text"))
    assert.are.equal("text", r:call("GET", key "a"))
    assert.are.equal(null, r:call("GET", key "b"))
    assert.are.equal("", (ok(r:call("SET", key "b", "")) and r:call("GET", key "b")))
    ok(r:call("HSET", key "h", "x", 1, "y", "2"))
    assert.are.same({ x = "1", y = "2" }, r:call("HGETALL", key "h"))
    ok(r:call("SADD", key "s", "one"))
    assert.are.same({ "one" }, r:call("SMEMBERS", key "s"))
    ok(r:call("ZADD", key "z", 1.5, "m"))
    assert.are.equal("float", math.type(r:call("ZSCORE", key "z", "m")))
    assert.are.equal(1.5, r:call("ZSCORE", key "z", "m"))
    ok(r:call("ZADD", key "z", "inf", "top"))
    assert.are.equal(math.huge, r:call("ZSCORE", key "z", "top"))
    assert.are.same({}, r:call("LRANGE", key "l", 0, -1))
    assert.are.same({ 1, null, "x" }, r:call("EVAL", "return {1, false, 'x'}", 0))
    local server = r:call("EVAL",
      "redis.setresp(3) return {true, {double=0.25}, {map={k='v'}}, {set={a=true}}}", 0)
    assert.are.same({ true, 0.25, { k = "v" }, { "a" } }, server)
  end)

  it("keeps 64 bits and every byte", function()
    assert.are.equal("OK", r:call("SET", key "a", math.maxinteger))
    assert.are.equal(math.maxinteger - 1, r:call("DECR", key "a"))
    assert.are.equal("integer", math.type(r:call("GET", key "b") == null and r:call("STRLEN", key "a")))
    local bytes = {}
    for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
    local all = table.concat(bytes)
    ok(r:call("SET", key "b", all))
    assert.are.equal(all, r:call("GET", key "b"))
    ok(r:call("SET", key "a", 0.1))
    assert.are.equal("0.1", r:call("GET", key "a"))
    ok(r:call("SET", key "a", 3.0))
    assert.are.equal("3", r:call("GET", key "a"))
    local big = ("x"):rep(8 << 20)
    ok(r:call("SET", key "a", big))
    assert.is_true(big == r:call("GET", key "a"))
  end)

  it("names the server's errors", function()
    ok(r:call("SET", key "a", "text"))
    local none, failure = r:call("LPUSH", key "a", 1)
    assert.is_nil(none)
    assert.is_true(err.is(failure))
    assert.are.equal("WRONGTYPE", failure.name)
    assert.are.equal("redis", failure.domain)
    assert.is_false(failure.retriable)
    none, failure = r:call("NOSUCHCOMMAND")
    assert.is_nil(none)
    assert.are.equal("ERR", failure.name)
    none, failure = r:call("EVALSHA", ("0"):rep(40), 0)
    assert.is_nil(none)
    assert.are.equal("NOSCRIPT", failure.name)
    assert.are.equal("text", r:call("GET", key "a"))
  end)

  it("raises on wrong usage", function()
    assert.has_error(function() redis.connect { prot = 1 } end,
      "redis.connect: unknown option 'prot', did you mean 'port'?")
    assert.has_error(function() redis.connect { resp = 4 } end)
    assert.has_error(function() r:call("SET", "k", true) end,
      "redis:call: argument 3 is boolean, but Redis knows only strings and numbers")
    assert.has_error(function() r:call("SET", "k", 0 / 0) end,
      "redis:call: argument 3 is nan, and Redis has no such number")
    assert.has_error(function() r:call("SET", "k", null) end)
    assert.has_error(function() r:call("SET", "k", nil) end)
    assert.has_error(function() r:pipeline { { "GET", "k" }, "GET" } end)
    for _, command in ipairs { "MONITOR", "sync" } do
      local _, failure = r:call(command)
      assert.are.equal("REFUSED", failure.name)
    end
    local _, failure = r:call("CLIENT", "REPLY", "OFF")
    assert.are.equal("REFUSED", failure.name)
    assert.are.equal("PONG", r:call("PING"))
  end)

  it("runs a pipeline in order, errors in their places", function()
    local replies = ok(r:pipeline { { "SET", key "a", "x" }, { "INCR", key "a" }, { "GET", key "a" },
      { "GET", key "b" } })
    assert.are.equal(4, #replies)
    assert.are.equal("OK", replies[1])
    assert.is_true(err.is(replies[2]))
    assert.are.equal("ERR", replies[2].name)
    assert.are.equal("x", replies[3])
    assert.are.equal(null, replies[4])
    assert.are.same({}, r:pipeline {})
    local multi = ok(r:pipeline { { "MULTI" }, { "SET", key "a", 1 }, { "LPUSH", key "a", 1 }, { "EXEC" } })
    assert.are.equal("QUEUED", multi[2])
    assert.are.equal("OK", multi[4][1])
    assert.are.equal("WRONGTYPE", multi[4][2].name)
  end)

  it("runs a pipeline larger than the socket buffers", function()
    local commands, value = {}, ("v"):rep(100000)
    for i = 1, 300 do
      commands[2 * i - 1] = { "SET", key "a", value .. i }
      commands[2 * i] = { "GET", key "a" }
    end
    local replies = ok(r:pipeline(commands))
    assert.are.equal(600, #replies)
    for i = 1, 300 do assert.is_true(replies[2 * i] == value .. i) end
  end)

  it("runs scripts by EVALSHA, with EVAL where the server does not know them", function()
    ok(r:call("SCRIPT", "FLUSH"))
    local script = r:script "return {KEYS[1], ARGV[1], #ARGV}"
    assert.are.same({ "k", "7", 2 }, script:call({ "k" }, { 7, "x" }))
    assert.are.same({ 1 }, r:call("SCRIPT", "EXISTS", script:sha()))
    assert.are.same({ "k", "7", 1 }, script:call({ "k" }, { 7 }))
    local calls = r:call("INFO", "commandstats")
    assert.is_truthy(calls:find "cmdstat_evalsha")
    local _, failure = r:script("return redis.error_reply('MYERR no')"):call()
    assert.are.equal("MYERR", failure.name)
    _, failure = r:script("return redis.call('LPUSH', KEYS[1])"):call { key "a" }
    assert.are.equal("ERR", failure.name)
  end)

  it("keeps push messages apart from replies", function()
    local other <close> = open()
    local confirmation = ok(r:call("SUBSCRIBE", key "one", key "two"))
    assert.are.same({ "subscribe", key "two", 2 }, confirmation)
    assert.are.equal(1, other:call("PUBLISH", key "one", "hello\0there"))
    assert.are.equal(1, other:call("PUBLISH", key "two", "2"))
    assert.are.equal("PONG", r:call("PING"))
    assert.are.same({ "message", key "one", "hello\0there" }, r:push "20s")
    assert.are.same({ "message", key "two", "2" }, r:push "20s")
    local _, failure = r:push "10ms"
    assert.are.equal("TIMEOUT", failure.name)
    local late = task.spawn(function() return r:push "20s" end)
    other:call("PUBLISH", key "one", "late")
    assert.are.same({ "message", key "one", "late" }, (late:join()))
    assert.are.same({ "unsubscribe", key "one", 1 }, r:call("UNSUBSCRIBE", key "one"))
    assert.are.equal("PONG", r:call("PING"))
  end)

  it("hears of invalidated keys", function()
    ok(r:call("CLIENT", "TRACKING", "ON"))
    r:call("GET", key "a")
    local other <close> = open()
    ok(other:call("SET", key "a", "new"))
    assert.are.same({ "invalidate", { key "a" } }, r:push "20s")
  end)

  it("refuses to subscribe on RESP2", function()
    local two <close> = open { resp = 2 }
    local _, failure = two:call("SUBSCRIBE", "x")
    assert.are.equal("NEEDS_RESP3", failure.name)
  end)

  it("breaks on a timeout and never takes the late reply for the next call's", function()
    local slow <close> = open { timeout = "20s" }
    ok(slow:call("SET", key "a", "right"))
    ok(slow:set_timeout "100ms")
    local _, failure = slow:call("BLPOP", key "l", 1)
    assert.are.equal("TIMEOUT", failure.name)
    assert.is_true(failure.retriable and failure.fatal)
    local none
    none, failure = slow:call("GET", key "a")
    assert.is_nil(none)
    assert.are.equal("BROKEN", failure.name)
    assert.is_truthy(slow:broken())
    ok(slow:set_timeout "20s")
    ok(slow:reconnect())
    assert.is_nil((slow:broken()))
    assert.are.equal("right", slow:call("GET", key "a"))
    assert.are.equal(null, slow:call("BLPOP", key "l", 0.2))
  end)

  it("is cancelled in mid-command within a moment", function()
    local started = os.time()
    local _, failure = task.timeout("100ms", function() return r:call("BLPOP", key "l", 60) end)
    assert.are.equal("TIMEOUT", failure.name)
    assert.is_true(os.time() - started < 30)
    _, failure = r:call("PING")
    assert.are.equal("BROKEN", failure.name)
    ok(r:reconnect())
    assert.are.equal("PONG", r:call("PING"))
  end)

  it("never shifts replies, whenever a cancel comes", function()
    local random = rng.new(7)
    for i = 1, 300 do
      local reply, failure = task.timeout(random:float() * 0.002, function() return r:call("ECHO", i) end)
      if reply then
        assert.are.equal(tostring(i), reply)
      else
        assert.are.equal("TIMEOUT", failure.name)
      end
      if r:broken() then ok(r:reconnect()) end
    end
    assert.are.equal("PONG", r:call "PING")
  end)

  it("says when the server hangs up", function()
    local other <close> = open()
    local id = r:call("CLIENT", "ID")
    ok(other:call("CLIENT", "KILL", "ID", id))
    local _, failure = r:call("PING")
    assert.are.equal("CONNECTION_LOST", failure.name)
    assert.is_true(failure.retriable)
  end)

  it("gives back what a broken pipeline had answered", function()
    local id = r:call("CLIENT", "ID")
    local none, failure, replies = r:pipeline { { "PING" }, { "CLIENT", "KILL", "ID", id, "SKIPME", "no" },
      { "PING" } }
    assert.is_nil(none)
    assert.are.equal("CONNECTION_LOST", failure.name)
    assert.are.equal("PONG", replies[1])
    assert.is_true(#replies <= 2)
  end)

  it("says when nobody listens", function()
    local none, failure = redis.connect { host = "127.0.0.1", port = 1 }
    assert.is_nil(none)
    assert.are.equal("ECONNREFUSED", failure.name)
    assert.is_true(failure.retriable)
    none, failure = redis.connect { socket = "/nonexistent/redis.sock" }
    assert.is_nil(none)
    assert.are.equal("ENOENT", failure.name)
    none, failure = redis.connect { host = host, port = port, password = "wrong", user = "nobody" }
    assert.is_nil(none)
    assert.are.equal("WRONGPASS", failure.name)
  end)

  it("serves many tasks on one connection, in order", function()
    ok(r:call("DEL", key "a"))
    task.group(function(g)
      for _ = 1, 20 do
        g:spawn(function() for _ = 1, 10 do ok(r:call("INCR", key "a")) end end)
      end
    end)
    assert.are.equal("200", r:call("GET", key "a"))
  end)

  it("raises on use after close", function()
    local gone = open()
    gone:close()
    gone:close()
    assert.has_error(function() gone:call "PING" end)
  end)
end)
