-- Redis by TLS: who is believed, what is said when nobody is, and that a connection works as a plain one.
local fs = require "rlab.fs"
local must = require "rlab.must"
local process = require "rlab.process"
local redis = require "rlab.redis"
local secure = require "rlab.stack.secure"
local tables = require "rlab.tables"
local task = require "rlab.task"

describe("a Redis that speaks TLS only", function()
  local home, port, server, admin

  local function options(more)
    return tables.merged({ port = port, user = secure.user, password = secure.of(home):password "redis",
      tls = "verify", ca = home .. "/tls/ca.pem" }, more)
  end

  local function refused(more)
    local none, failure = redis.connect(options(more))
    assert.is_nil(none)
    return failure
  end

  setup(function()
    home = must(fs.tmpdir "rlab-redis-tls")
    must(secure.ensure(home))
    local ctx = must(require("rlab.stack.context").new { home = home })
    local description, at = require "rlab.stack.servers.redis", ctx:server "redis"
    at.port = must(process.free_ports(1))[1]
    port = at.port
    must(description.needs(ctx))
    must(description.files(ctx, at))
    local command = description.command(ctx, at)
    tables.append(command.cmd, { "--bind", "127.0.0.1", "127.0.0.2" })
    server = must(process.spawn(tables.merged(command, { stdout = home .. "/log", stderr = "stdout" })))
    must(task.wait_until(function() return description.ready(ctx, at) end,
      { at_most = "60s", every = "20ms" }))
    admin = must(redis.connect(options { user = secure.admin,
      password = secure.of(home):password "redis-admin" }))
  end)

  teardown(function()
    if admin then admin:close() end
    if server then server:close() end
    fs.remove(home)
  end)

  it("carries what is larger than a record, both ways and many at once", function()
    local conn <close> = must(redis.connect(options()))
    local value = ("0123456789abcdef"):rep(40000)
    must(conn:call("SET", "rlab-large", value))
    assert.equal(value, must(conn:call("GET", "rlab-large")))
    local commands = {}
    for i = 1, 2000 do commands[i] = { "SET", "rlab-" .. i, ("x"):rep(100) } end
    assert.equal(2000, #must(conn:pipeline(commands)))
  end)

  it("is believed only when an authority that is trusted says that this host is it", function()
    local _, unknown = redis.connect { port = port, tls = "verify" }
    assert.equal("TLS", unknown and unknown.name)
    assert.matches("is not trusted: self-signed certificate", unknown.message, 1, true)
    assert.matches("127.0.0.2:" .. port .. " is not trusted: IP address mismatch",
      refused({ host = "127.0.0.2" }).message, 1, true)
    local blind <close> = must(redis.connect(options { host = "127.0.0.2", tls = "on" }))
    assert.equal("PONG", must(blind:call "PING"))
  end)

  it("asks for a certificate of ours where it wants one", function()
    must(admin:call("CONFIG", "SET", "tls-auth-clients", "yes"))
    local none, failure = redis.connect(options())
    local conn <close> = must(redis.connect(options { cert = home .. "/tls/server.pem",
      key = home .. "/tls/server.key" }))
    must(admin:call("CONFIG", "SET", "tls-auth-clients", "no"))
    assert.same({ nil, true }, { none, failure.name == "TLS" or failure.name == "CONNECTION_LOST" })
    assert.equal("PONG", must(conn:call "PING"))
  end)

  it("says what it is when one side speaks TLS and the other does not", function()
    assert.equal("CONNECTION_LOST", refused({ tls = "off", ca = home .. "/tls/ca.pem" }).name)
    local host, plain = os.getenv("RLAB_TEST_REDIS"):match "^(.*):(%d+)$"
    local silent = refused { host = host, port = math.tointeger(tonumber(plain)), connect_timeout = "300ms" }
    assert.matches("does not answer in TLS", silent.message, 1, true)
  end)

  it("is left by a cancelled call, and its end is known", function()
    local conn <close> = must(redis.connect(options { user = secure.admin,
      password = secure.of(home):password "redis-admin" }))
    local waiting = task.spawn(function() return conn:call("BLPOP", "rlab-none", 0) end)
    must(task.wait_until(function() return must(admin:call("INFO", "clients")):find "blocked_clients:1" end,
      { at_most = "20s", every = "10ms" }))
    waiting:cancel()
    waiting:join()
    must(conn:reconnect())
    must(admin:call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
    local none, failure = conn:call "PING"
    assert.is_nil(none)
    assert.is_true(failure.name == "BROKEN" or failure.name == "CONNECTION_LOST", tostring(failure))
    must(conn:reconnect())
    assert.equal("PONG", must(conn:call "PING"))
  end)
end)
