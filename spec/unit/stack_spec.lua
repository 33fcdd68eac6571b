local fs = require "rlab.fs"
local process = require "rlab.process"
local context = require "rlab.stack.context"
local handle = require "rlab.stack.handle"
local kafka = require "rlab.stack.kafka"
local kafka_broker = require "rlab.stack.servers.kafka_broker"
local layout = require "rlab.stack.layout"
local lock = require "rlab.stack.lock"
local mysql = require "rlab.stack.servers.mysql"
local redis = require "rlab.stack.servers.redis"
local servers = require "rlab.stack.servers"
local stack = require "rlab.stack"
local state = require "rlab.stack.state"
local task = require "rlab.task"
local supervisor = require "rlab.stack.local"
local tools = require "rlab.stack.tools"
local users = require "rlab.stack.users"
local words = require "rlab.stack.words"

local home

before_each(function() home = assert(fs.tmpdir "rlab-stack") end)
after_each(function() fs.remove(home) end)

describe("the port map", function()
  it("keeps a whole stack in its block, no port twice", function()
    for _, base in ipairs { false, 20000 } do
      local seen = {}
      for name, port in pairs(layout.ports(base or nil)) do
        assert.is_nil(seen[port], ("%s and %s share %d"):format(name, tostring(seen[port]), port))
        seen[port] = name
        if base then assert.is_true(port >= base and port < base + layout.BLOCK, name) end
      end
    end
  end)

  it("has the documented ports by default", function()
    local p = layout.ports()
    assert.are.same({ 13306, 16379, 18091, 18090, 18080, 18081, 19092, 19093, 19094 },
      { p.mysql, p.redis, p.registry, p["kafka-ui"], p.command, p.query, p["kafka-1"], p["kafka-2"],
        p["kafka-3"] })
  end)
end)

describe("a port base", function()
  it("is warned of among the ports of outgoing connections", function()
    local low, high = layout.ephemeral_range()
    assert.is_true(low < high)
    assert.is_nil(layout.unsafe(nil))
    assert.is_nil(layout.unsafe(low - layout.BLOCK))
    assert.matches("outgoing connections", layout.unsafe(low - 1))
    assert.matches("outgoing connections", layout.unsafe(high))
  end)
end)

describe("the state", function()
  it("survives being written and read", function()
    local s = state.new(20000)
    s.servers.redis = { pid = 12, start = math.maxinteger, phase = "ready", port = 20079 }
    assert(state.save(home, s))
    assert.are.same(s, state.load(home))
    state.forget(home)
    assert.is_nil(state.load(home))
  end)

  it("ignores a file that is no state", function()
    for _, text in ipairs { "", "{", "[]", '"x"', '{"version":0,"servers":{}}',
      '{"version":1,"servers":7}' } do
      assert(fs.write(home .. "/stack.json", text))
      assert.is_nil(state.load(home))
    end
  end)

  it("knows a process by pid, start time and boot", function()
    local s, pid, start = state.new(), process.self()
    s.servers.redis = { pid = pid, start = start, phase = "ready" }
    assert.are.equal("up", state.word(s, "redis"))
    s.servers.redis.start = start + 1
    assert.are.equal("dead", state.word(s, "redis"))
    s.servers.redis.start, s.boot = start, "another boot"
    assert.are.equal("dead", state.word(s, "redis"))
    assert.are.equal("down", state.word(s, "mysql"))
  end)

  it("tells a frozen process and one that is starting", function()
    local p <close> = assert(process.spawn { cmd = { "sleep", "60" } })
    local s = state.new()
    s.servers.mysql = { pid = p.pid, start = p.start, phase = "starting" }
    assert.are.equal("starting", state.word(s, "mysql"))
    assert(p:stop())
    assert.are.equal("frozen", state.word(s, "mysql"))
  end)

  it("finds strays by the mark in their environment", function()
    local p <close> = assert(process.spawn { cmd = { "sleep", "60" },
      env = { RLAB_SERVER = home .. "/kafka-2" } })
    local other <close> = assert(process.spawn { cmd = { "sleep", "60" },
      env = { RLAB_SERVER = home .. "-other/kafka-2" } })
    local inner <close> = assert(process.spawn { cmd = { "sleep", "60" }, -- the secure stack's home is inside
      env = { RLAB_SERVER = home .. "/secure/kafka-2" } })
    assert.are.same({ ["kafka-2"] = { { pid = p.pid, start = p.start } } }, state.marked(home))
    assert.is_true(process.alive(other.pid) and process.alive(inner.pid))
  end)

  it("forgets the servers of another boot, and keeps the ports of those that live", function()
    local pid, start = process.self()
    local s = state.new(20000)
    s.servers.redis = { pid = pid, start = start, phase = "ready" }
    assert(state.save(home, s))
    local ctx = assert(context.new { home = home, base = 30000 })
    assert.are.equal(20079, ctx.ports.redis)
    s.boot = "another boot"
    assert(state.save(home, s))
    ctx:reload()
    assert.are.equal(30079, ctx.ports.redis)
    assert.are.equal("down", ctx:word "redis")
  end)
end)

describe("the lock", function()
  it("names its holder", function()
    local first <close> = assert(lock.take(home .. "/lock", "rlab up"))
    local heard
    local second, failure = lock.take(home .. "/lock", "rlab down",
      { at_most = "50ms", say = function(who) heard = who end })
    assert.is_nil(second)
    assert.are.equal("BUSY", failure.name)
    local me = ("pid %d (rlab up)"):format(process.self())
    assert.are.equal(me, heard)
    assert.matches(me, failure.message, 1, true)
    first:close()
    local third <close> = assert(lock.take(home .. "/lock", "rlab down"))
    assert.is_truthy(third)
  end)
end)

describe("users", function()
  it("are listed while they live", function()
    local p <close> = assert(process.spawn { cmd = { "sleep", "60" } })
    local mine = users.enter(home, "E-012")
    local note = ('{"pid":%d,"start":%d,"what":"E-007"}'):format(p.pid, p.start)
    assert(fs.write(home .. "/users/1.json", note))
    assert(fs.write(home .. "/users/2.json", (note:gsub('"start":%d+', '"start":1'))))
    assert(fs.write(home .. "/users/3.json", "nonsense"))
    local found = users.list(home)
    assert.are.equal(1, #found)
    assert.are.equal("E-007", found[1].what)
    assert.is_false(fs.exists(home .. "/users/2.json"))
    users.leave(mine)
    assert.is_false(fs.exists(mine))
  end)

  it("that are just being written down stay, and what a dead one left half written goes", function()
    local p <close> = assert(process.spawn { cmd = { "sleep", "60" } })
    assert(fs.mkdir(home .. "/users"))
    local living = ("%s/users/%d.json.tmp.%d.a1B2c3"):format(home, p.pid, p.pid)
    local left = home .. "/users/1.json.tmp.999999999.a1B2c3"
    for _, path in ipairs { living, left } do assert(fs.append(path, '{"pid":')) end
    assert.are.same({}, users.list(home))
    assert.are.same({ true, false }, { fs.exists(living), fs.exists(left) })
  end)
end)

describe("a description of a server", function()
  it("exists for each name, with all that the supervisor asks for", function()
    for _, name in ipairs(servers.names()) do
      local d = servers.of(name)
      assert.is_true(servers.is_part(d.part))
      for _, key in ipairs { "needs", "ports", "files", "command", "ready", "cause" } do
        assert.are.equal("function", type(d[key]), name .. "." .. key)
      end
      assert.is_truthy(d.stop.signal and d.stop.rank and d.stop.at_most and d.disk)
    end
    assert.are.equal("controller", servers.names("kafka")[1])
  end)

  it("listens only where the port map says", function()
    local ctx = assert(context.new { home = home, base = 20000 })
    local text = kafka.properties(ctx, ctx:server "kafka-2")
    assert.matches("listeners=DIRECT://127.0.0.1:20093,INTER://127.0.0.1:20103,PROX://127.0.0.1:20113\n",
      text, 1, true)
    assert.matches(
      "advertised.listeners=DIRECT://127.0.0.1:20093,INTER://127.0.0.1:20103,PROX://127.0.0.1:20123\n",
      text, 1, true)
    assert.matches("controller.quorum.voters=9@127.0.0.1:20099\n", text, 1, true)
    assert.matches("\nlog.dirs=data\n", text, 1, true)
    assert.are.same({ 20093, 20103, 20113 }, kafka_broker.ports(ctx, ctx:server "kafka-2"))
  end)

  it("makes ids that Kafka takes", function()
    local seen = {}
    for _ = 1, 500 do
      local id = kafka.uuid()
      assert.matches("^[%w_][%w_-]+$", id)
      assert.are.equal(22, #id)
      assert.matches("[AQgw]$", id) -- the last character carries two bits
      assert.is_nil(seen[id])
      seen[id] = true
    end
  end)

  it("finds the cause in a log", function()
    assert.are.equal("java.net.BindException: Address already in use", kafka.cause [[
2026-11-23T15:52:20.241 ERROR Kafka$ Exiting Kafka due to fatal exception during startup.
org.apache.kafka.common.KafkaException: Socket server failed to bind to 127.0.0.1:19092
	at org.apache.kafka.X.y(Z.java:1)
Caused by: java.net.BindException: Address already in use
	at java.base/sun.nio.ch.Net.bind0(Native Method)
]])
    assert.are.equal("No space left on device", kafka.cause "java.io.IOException: No space left on device\n")
    assert.are.equal("Could not reserve enough space", kafka.cause "Error: Could not reserve enough space\n")
    assert.is_nil(kafka.cause "2026-11-23T15:52:20.241 INFO Kafka started\n")
    assert.are.equal("Can't start server: Bind on TCP/IP port: Address already in use", mysql.cause(
      "2026-11-23T16:00:00.000000Z 0 [System] [MY-010116] [Server] mysqld starting\n\z
       2026-11-23T16:00:00.000000Z 0 [ERROR] [MY-010262] [Server] Can't start server: Bind on TCP/IP port: \z
       Address already in use\n\z
       2026-11-23T16:00:00.000000Z 0 [ERROR] [MY-010119] [Server] Aborting\n"))
    local cause = "Could not create server TCP listening socket 127.0.0.1:16379: bind: Address already in use"
    assert.are.equal(cause, redis.cause(([[
12:C 23 Nov 2026 16:00:00.000 # oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo
12:M 23 Nov 2026 16:00:00.001 # Warning: Could not create server TCP listening socket
12:M 23 Nov 2026 16:00:00.001 # %s
]]):format(cause)))
  end)
end)

describe("what is missing", function()
  local function fake_java(name, version)
    local path = ("%s/%s/bin/java"):format(home, name)
    assert(fs.mkdir(home .. "/" .. name .. "/bin"))
    assert(fs.write(path, "#!/bin/sh\nexit 1\n", { mode = 493 }))
    assert(fs.write(home .. "/" .. name .. "/release", ('JAVA_VERSION="%s"\n'):format(version)))
    return path
  end

  it("is said for java: none, too old, or the first that will do", function()
    local none, failure = tools.java {}
    assert.is_nil(none)
    assert.matches("no java found; .*install it", failure.message)
    local old = fake_java("old", "11.0.2")
    none, failure = tools.java { old }
    assert.is_nil(none)
    assert.matches("java is too old: 11.0.2 at .*old/bin/java; Kafka needs Java 17", failure.message)
    none, failure = tools.java { fake_java("older", "1.8.0_402"), old }
    assert.is_nil(none)
    assert.matches("1.8.0_402", failure.message)
    assert.are.equal("21.0.1", assert(tools.java { old, home .. "/absent",
      fake_java("new", "21.0.1") }).version)
  end)

  it("is found by comparing versions number by number", function()
    assert.is_true(tools.older("2.0.2", "2.13.2"))
    assert.is_true(tools.older("2.13", "2.13.2"))
    assert.is_false(tools.older("2.13.2", "2.13.2"))
    assert.is_false(tools.older("10.1", "9.7.4"))
    assert.is_false(tools.older("17.0.15+6", "17"))
    assert.matches("^%d+%.%d", tools.pin "LIBRDKAFKA_MIN")
  end)

  it("is said for a full disk before anything is started", function()
    local real = fs.disk_free
    fs.disk_free = function() return 3 << 20 end
    local ok, failure = supervisor.up(
      assert(context.new { home = home, base = assert(process.free_ports(200))[1] }), { "redis" })
    fs.disk_free = real
    assert.is_nil(ok)
    assert.are.equal("DISK_FULL", failure.name)
    assert.matches("only 3 MiB free in .*, 64 MiB needed", failure.message)
    assert.are.same({}, state.marked(home))
  end)
end)

describe("a server that found a port taken for a moment", function()
  local spawn, started, ctx = supervisor.spawn, nil, nil

  before_each(function()
    started = {}
    supervisor.spawn = function(_, name) started[#started + 1] = name end
    ctx = assert(context.new { home = assert(fs.tmpdir "rlab-again"),
      base = assert(process.free_ports(200))[1] })
    assert(fs.mkdir(ctx.home .. "/logs"))
  end)

  after_each(function()
    supervisor.spawn = spawn
    fs.remove(ctx.home)
  end)

  local function ended_with(line)
    assert(fs.write(ctx:server "redis".log, line .. "\n"))
  end

  it("is started again, by one of those who see it, and so often", function()
    ended_with "12:M 23 Nov 2026 16:00:00.001 # bind: Address already in use"
    local second
    task.group(function(group)
      group:spawn(function() assert.is_true(supervisor.again(ctx, "redis")) end)
      group:spawn(function() second = supervisor.again(ctx, "redis") end)
    end)
    assert.is_true(second)
    assert.are.same({ "redis" }, started)
    ctx.bind_tries.redis.count = 5
    assert.is_false(supervisor.again(ctx, "redis"))
    local ok, failure = pcall(supervisor.wait_ready, ctx, "redis")
    assert.is_false(ok)
    assert.are.equal("PORT_TAKEN", failure.name)
    assert.matches("redis found one of its ports taken, 6 times, by a connection that is gone now %(%d+",
      failure.message)
    assert.matches("set RLAB_PORT_BASE, or try again", failure.message, 1, true)
  end)

  it("is none of those that end for another reason", function()
    ended_with "12:M 23 Nov 2026 16:00:00.001 # FATAL: Invalid AOF manifest file format"
    assert.is_false(supervisor.again(ctx, "redis"))
    assert.are.same({}, started)
  end)
end)

describe("the home", function()
  it("is .rlab where RLAB_HOME is empty, as where it is not there", function()
    local real = os.getenv
    local found = {}
    for _, value in ipairs { "", false } do
      os.getenv = function(name) -- luacheck: ignore 122
        if name == "RLAB_HOME" then return value or nil end
        return real(name)
      end
      found[#found + 1] = layout.home()
    end
    os.getenv = real -- luacheck: ignore 122
    assert.matches("/%.rlab$", found[1])
    assert.are.equal(found[2], found[1])
  end)
end)

describe("words", function()
  it("say ages and sizes", function()
    assert.are.same({ "4s", "4m12s", "2h05m", "3d4h" },
      { words.age(4), words.age(252), words.age(7500), words.age(3 * 86400 + 4 * 3600) })
    assert.are.same({ "12 MiB", "1.5 GiB" }, { words.size(12 << 20), words.size(3 << 29) })
  end)
end)

describe("stack.open", function()
  it("refuses what it does not know, with a guess", function()
    assert.error_matches(function() stack.open { need = { "kafka" } } end,
      "unknown option 'need', did you mean 'needs'")
    local ok, failure = pcall(stack.open, { needs = { "kafkaa" }, home = home })
    assert.is_false(ok)
    assert.matches("no server 'kafkaa'; did you mean 'kafka'", tostring(failure))
  end)

  it("follows what other rlabs do to the servers", function()
    local ctx = assert(context.new { home = home, base = 20000 })
    local s = handle.new(ctx, { "redis" }, true)
    local server = s:server "redis"
    assert.are.equal("down", server:state())
    local pid, start = process.self()
    local others = state.new(20000)
    others.servers.redis = { pid = pid, start = start, phase = "ready", since = 1 }
    assert(state.save(home, others))
    assert.is_true(server:alive())
    assert.are.same({ "up", pid, start }, { server:state(), server.pid, server.start_time })
    state.forget(home)
    assert.are.equal("down", server:state())
    assert.are.equal(20079, s.redis.port)
  end)

  it("is as old as the oldest server of its own parts", function()
    local ctx = assert(context.new { home = home, base = 20000 })
    local pid, start = process.self()
    for name, since in pairs { redis = 500, mysql = 100, ["kafka-1"] = 300, ["kafka-2"] = 200 } do
      ctx.state.servers[name] = { pid = pid, start = start, phase = "ready", since = since }
    end
    for since, parts in pairs { [500] = { "redis" }, [200] = { "kafka", "redis" },
      [100] = { "redis", "mysql" } } do
      assert.are.equal(since, handle.new(ctx, parts, true).since)
    end
  end)

  it("says how to start what does not run", function()
    local s, failure = stack.open { needs = { "redis", "kafka" }, home = home }
    assert.is_nil(s)
    assert.are.equal("NO_STACK", failure.name)
    assert.matches("rlab up kafka redis", failure.message)
  end)
end)

describe("jars", function()
  local verified = require "rlab.stack.verified"
  local A = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a.jar\n" -- of "abc"
  local B = "cb8379ac2098aa165029e3938a51da0bcecfc008fd6795f401178647f96c5b34  b.jar\n" -- of "def"

  before_each(function()
    assert(fs.mkdir(home .. "/libs"))
    assert(fs.write(home .. "/libs/a.jar", "abc"))
    assert(fs.write(home .. "/libs/b.jar", "def"))
  end)

  local function refused(name)
    local ok, failure = verified.jars(home, "kafka", A .. B)
    assert.is_nil(ok)
    assert.equal(("%s in %s is not what deps/kafka.lock says; run make deps"):format(name, home),
      failure.message)
  end

  it("are those of the lock, which is looked at once", function()
    assert.is_true(verified.jars(home, "kafka", A .. B))
    local made = assert(fs.stat(home .. "/verified"))
    assert.is_true(verified.jars(home, "kafka", A .. B))
    assert.are.same(made, fs.stat(home .. "/verified"))
  end)

  it("are refused with a byte flipped, also after they were whole", function()
    assert.is_true(verified.jars(home, "kafka", A .. B))
    assert(fs.write(home .. "/libs/b.jar", "dee"))
    refused "b.jar"
    refused "b.jar"
  end)

  it("are refused when one is missing, or one too many", function()
    assert(fs.write(home .. "/libs/c.jar", "ghi"))
    refused "c.jar"
    fs.remove(home .. "/libs/c.jar")
    fs.remove(home .. "/libs/a.jar")
    refused "a.jar"
  end)

  it("are fetched anew by make deps when one has changed in the cache", function()
    assert(fs.mkdir(home .. "/deps"))
    assert(fs.mkdir(home .. "/kafka-1"))
    assert(fs.rename(home .. "/libs", home .. "/kafka-1/libs"))
    for _, path in ipairs { "/deps/kafka.lock", "/kafka-1/lock" } do
      assert(fs.write(home .. path, A .. B))
    end
    assert(fs.symlink("kafka-1", home .. "/kafka"))
    local ask = (". deps/lib.sh; . deps/maven.sh; root='%s' cache='%s'; \z
      if jars_ready kafka-1 kafka; then echo ready; else echo fetch; fi"):format(home, home)
    local function answer() return (tools.output({ "bash", "-c", ask }, "20s")) end
    assert.equal("ready\n", answer())
    assert(fs.write(home .. "/kafka-1/libs/a.jar", "abd"))
    assert.equal("fetch\n", answer())
  end)
end)

describe("the password of MySQL", function()
  local function files_of(place)
    assert(mysql.files({ home = place, versions = { mysql = "9" } },
      { name = "mysql", dir = place .. "/mysql" }))
    return mysql.password(place)
  end

  local real = os.getenv

  before_each(function()
    assert(fs.mkdir(home .. "/rlab/mysql-data-9"))
    assert(fs.write(home .. "/rlab/mysql-data-9/mysql.ibd", ""))
    local function env(name) return name == "XDG_CACHE_HOME" and home or real(name) end
    os.getenv = env -- luacheck: ignore 122
  end)
  after_each(function() os.getenv = real end) -- luacheck: ignore 122

  it("is the home's own, kept, and for its owner's eyes", function()
    local here, there = files_of(home .. "/a"), files_of(home .. "/b")
    assert.matches("^[%w_-]+$", here)
    assert.equal(22, #here)
    assert.not_equal(here, there)
    assert.equal(here, files_of(home .. "/a"))
    for _, name in ipairs { "password", "init.sql" } do
      assert.equal(384, assert(fs.stat(home .. "/a/mysql/" .. name)).mode, name)
    end
    local sql = assert(fs.read(home .. "/a/mysql/init.sql"))
    assert.is_truthy(sql:find("ALTER USER 'rlab'@'%' IDENTIFIED BY '" .. here .. "';", 1, true))
    assert.is_nil(sql:find("$", 1, true))
  end)

  it("is the one of old where the data are older", function()
    assert(fs.mkdir(home .. "/mysql/data"))
    assert(fs.write(home .. "/mysql/data/mysql.ibd", ""))
    assert.equal("rlab", files_of(home))
    assert.is_truthy(fs.read(home .. "/mysql/init.sql"):find("IDENTIFIED BY 'rlab'", 1, true))
  end)

  it("is in no command line", function()
    files_of(home)
    local cmd = mysql.command({ home = home, mysqld = "mysqld" }, { dir = home .. "/mysql", port = 1 }).cmd
    assert.is_nil(table.concat(cmd, " "):find(mysql.password(home), 1, true))
  end)
end)
