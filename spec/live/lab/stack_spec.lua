-- The supervisor as a person meets it: commands in processes of their own, servers that are killed, frozen
-- and mended. The cheap servers run in a home and on ports of this spec; Kafka is the stack that the whole
-- tier shares.
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"
local stack = require "rlab.stack"
local state = require "rlab.stack.state"
local task = require "rlab.task"

local home, base

local function spawn(words, env)
  return assert(process.spawn {
    cmd = { fs.self_exe(), table.unpack(words) }, stdout = "capture", stderr = "stdout",
    env = env or { RLAB_HOME = home, RLAB_PORT_BASE = tostring(base), NO_COLOR = "1" },
  })
end

-- rlab("up", "redis") -> exit code, output
local function rlab(...)
  local child <close> = spawn { ... }
  local status = assert(child:wait "300s")
  return status.code or status.signal, (child:output())
end

local function ok(...)
  local code, output = rlab(...)
  assert.are.equal(0, code, output)
  return output
end

local function decoded(...)
  return assert(json.decode(ok(...)))
end

local function row(name)
  for _, server in ipairs(decoded("status", "--json").servers) do
    if server.server == name then return server end
  end
end

local function entry(name)
  local s = state.load(home)
  return s and s.servers[name]
end

local function nobody_left()
  assert.are.same({}, state.marked(home))
end

-- a child of ours that listens on the port
local function listener(port)
  local p = assert(process.spawn { cmd = { "redis-server", "--port", port, "--save", "", "--dir", home },
    stdout = "null" })
  assert(task.wait_until(function() return process.port_owner(port) end, { at_most = "60s" }))
  return p
end

describe("the stack of cheap servers", function()
  before_each(function()
    home = assert(fs.realpath(assert(fs.tmpdir "rlab-stack")))
    base = assert(process.free_ports(200))[1]
  end)

  after_each(function()
    rlab("down", "--force")
    nobody_left()
    fs.remove(home)
  end)

  it("starts once, is reused, and is gone after down", function()
    local first = decoded("up", "redis", "--json")
    assert.is_false(first.reused)
    local server = row "redis"
    assert.are.equal("up", server.state)
    assert.are.equal(base + 79, server.port)
    assert.is_true(decoded("up", "redis", "--json").reused)
    assert.are.equal(server.pid, row("redis").pid)
    assert.are.same({ "redis" }, decoded("down", "--json").stopped)
    assert.is_false(process.alive(server.pid))
    assert.are.same({}, decoded("down", "--json").stopped)
  end)

  it("has a Schema Registry where one is asked for, compatible with Confluent's API", function()
    decoded("up", "registry", "--json")
    local exported = decoded("env", "--json")
    assert.are.equal(base + 91, row("registry").port)
    local http, url = require "rlab.http", exported.SCHEMA_REGISTRY_URL
    local schema = { schema = [[{"type":"record","name":"T","fields":[{"name":"id","type":"int"}]}]] }
    for _ = 1, 2 do -- the same schema again has the same id
      local answer = assert(http.post(url .. "/subjects/spec-value/versions", schema))
      assert.are.same({ 200, { id = 1 } }, { answer.status, json.decode(answer.body) })
    end
    assert.are.equal(404, assert(http.get(url .. "/schemas/ids/77")).status)
    assert.are.same({ "registry" }, decoded("down", "--json").stopped)
  end)

  it("has a Redis Cluster where one is asked for, also on other ports than before", function()
    local function cluster(at)
      ok("up", "redis-cluster")
      assert.are.equal(at + 176, row("redis-cluster-6").port)
      assert.matches("redis%-cluster%-6 +up", ok "status")
      local r <close> = assert(require("rlab.redis").connect { port = at + 171 })
      assert.matches("cluster_slots_ok:16384", (r:call("CLUSTER", "INFO")))
      local replica <close> = assert(require("rlab.redis").connect { port = at + 174 })
      assert.are.same({ "slave", "127.0.0.1", at + 171, "connected" },
        table.move(assert(replica:call "ROLE"), 1, 4, 1, {}))
      return r:call("SET", "a{b}", "kept", "GET") -- slot 3300, of node 1
    end
    assert.are_not.equal("kept", cluster(base))
    assert.are.same({ 6, {} }, { #decoded("down", "redis-cluster", "--json").stopped,
      decoded("down", "--json").killed })
    nobody_left()
    base = assert(process.free_ports(200))[1]
    assert.are.equal("kept", cluster(base))
  end)

  it("mends a Redis Cluster whose primary was killed and whose slot was left half moved", function()
    ok("up", "redis-cluster")
    local s <close> = assert(stack.open { needs = { "redis-cluster" }, home = home })
    assert(s:server("redis-cluster-2"):kill())
    local one <close> = assert(require("rlab.redis").connect { port = s.ports["redis-cluster-1"] })
    local three <close> = assert(require("rlab.redis").connect { port = s.ports["redis-cluster-3"] })
    local ids = { assert(one:call("CLUSTER", "MYID")), assert(three:call("CLUSTER", "MYID")) }
    assert(three:call("CLUSTER", "SETSLOT", 0, "IMPORTING", ids[1]))
    assert(one:call("CLUSTER", "SETSLOT", 0, "MIGRATING", ids[2]))
    assert.are.equal("redis-cluster-2", s:health()[2].server)
    assert(s:heal())
    for _, h in ipairs(s:health()) do assert.is_true(h.ok, h.why) end
    assert.is_nil(assert(one:call("CLUSTER", "NODES")):find("[", 1, true))
  end)

  it("keeps data through down and up, and loses them with --wipe", function()
    local function value(set)
      ok("up", "redis")
      local r <close> = assert(require("rlab.redis").connect { host = "127.0.0.1", port = base + 79 })
      if set then assert(r:call("SET", "k", set)) end
      return r:call("GET", "k")
    end
    value "kept"
    ok "down"
    assert.are.equal("kept", value())
    ok("down", "--wipe")
    assert.are_not.equal("kept", value())
  end)

  it("names who has a port", function()
    local taker <close> = listener(base + 79)
    local code, output = rlab("up", "redis")
    assert.are.equal(69, code)
    assert.matches(("rlab: port %d is taken by pid %d (redis-server"):format(base + 79, taker.pid), output,
      1, true)
    assert.matches("stop it or set RLAB_PORT_BASE", output, 1, true)
    local findings
    code, output = rlab("doctor", "--json")
    assert.are.equal(69, code)
    findings = json.decode(output)
    assert.is_false(findings.ok)
    assert.matches(tostring(taker.pid), output)
  end)

  it("says in one line why a server died at its start", function()
    ok("up", "redis")
    ok "down"
    local folder = home .. "/redis/data/appendonlydir"
    for _, name in ipairs(fs.list(folder)) do assert(fs.write(folder .. "/" .. name, "nonsense\n")) end
    local code, output = rlab("up", "redis")
    assert.are.equal(69, code)
    assert.matches("rlab: redis ended at its start: FATAL[^\n]+: Invalid AOF manifest file format", output)
    assert.matches("redis%.log", output)
    nobody_left()
  end)

  it("is started once by two at the same time", function()
    local one <close> = spawn { "up", "redis" }
    local two <close> = spawn { "up", "redis" }
    assert.are.same({ code = 0 }, one:wait "60s")
    assert.are.same({ code = 0 }, two:wait "60s")
    assert.are.equal(1, #state.marked(home).redis)
  end)

  it("goes on where a killed rlab stopped", function()
    local child <close> = spawn { "up", "mysql" }
    assert(task.wait_until(function()
      local e = entry "mysql"
      return e and e.pid
    end, { at_most = "60s", every = "1ms" }))
    child:kill()
    child:wait()
    local pid = entry("mysql").pid
    assert.are.equal("starting", row("mysql").state)
    ok("up", "mysql")
    assert.are.equal(pid, row("mysql").pid)
    assert.are.equal("up", row("mysql").state)
  end)

  it("leaves nothing when it is interrupted", function()
    local child <close> = spawn { "up", "mysql" }
    assert(task.wait_until(function() return entry "mysql" end, { at_most = "60s", every = "1ms" }))
    child:kill "INT"
    local status = assert(child:wait "60s")
    assert.are.equal(130, status.code, (child:output()))
    nobody_left()
  end)

  it("recovers from a kill -9 of a server, with what it had acknowledged", function()
    ok("up", "mysql")
    local function connect()
      return assert(require("rlab.mysql").connect { host = "127.0.0.1", port = base + 6, user = "rlab",
        password = require("rlab.stack.servers.mysql").password(home), database = "rlab" })
    end
    local db <close> = connect()
    assert(db:exec "CREATE TABLE t (id BIGINT PRIMARY KEY)")
    assert(db:exec "INSERT INTO t VALUES (1), (2)")
    assert(process.signal(row("mysql").pid, "KILL"))
    assert(task.wait_until(function() return row("mysql").state == "dead" end, { at_most = "60s" }))
    ok("up", "mysql")
    local again <close> = connect()
    assert.are.equal(2, #assert(again:query "SELECT id FROM t"))
  end)

  it("ends the strays of a state that was lost", function()
    ok("up", "redis")
    local pid = row("redis").pid
    assert(fs.remove(home .. "/stack.json"))
    ok("up", "redis")
    assert.is_false(process.alive(pid))
    assert.are.equal(1, #state.marked(home).redis)
  end)

  it("thaws what is frozen, also to stop it", function()
    ok("up", "redis")
    local pid = row("redis").pid
    assert(process.stop(pid))
    assert.are.equal("frozen", row("redis").state)
    ok("up", "redis")
    assert.are.equal("up", row("redis").state)
    assert(process.stop(pid))
    assert.are.same({}, decoded("down", "--json").killed)
    assert.is_false(process.alive(pid))
  end)

  it("is not taken away from somebody who works on it", function()
    ok("up", "redis")
    fs.mkdir(home .. "/users")
    local pid, start = process.self()
    fs.write(home .. "/users/x.json", json.encode { pid = pid, start = start, what = "E-012" })
    local code, output = rlab "down"
    assert.are.equal(69, code)
    assert.matches(("pid %d (E-012) works on this stack"):format(pid), output, 1, true)
    ok("down", "--force")
  end)

  it("gives exports that a shell takes, and shows logs", function()
    ok("up", "redis")
    local sh <close> = assert(process.spawn {
      cmd = { "sh", "-c",
        'eval "$("$0" env)" && redis-cli -h "$REDIS_HOST" -p "$REDIS_PORT" PING && echo "$KAFKA_BROKERS"',
        fs.self_exe() },
      env = { RLAB_HOME = home, RLAB_PORT_BASE = tostring(base) },
    })
    assert.are.same({ code = 0 }, sh:wait "60s")
    assert.are.equal(("PONG\n127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d\n"):format(base + 92, base + 93,
      base + 94), (sh:output()))
    assert.matches("Ready to accept connections", ok("logs", "redis", "-n", "1"))
    assert.matches("Ready to accept", decoded("logs", "redis", "-n", "1", "--json").line)
    local code, output = rlab("logs", "reddis")
    assert.are.equal(64, code)
    assert.matches("did you mean 'redis'", output, 1, true)
  end)

  it("follows a log, also when the server was started anew", function()
    ok("up", "redis")
    local child <close> = spawn { "logs", "redis", "-f", "-n", "1" }
    local lines = child:lines()
    local function next_line() return assert(task.timeout("20s", lines), "no line came") end
    assert.matches("Ready to accept connections", next_line())
    ok "down"
    assert.matches("shutdown", next_line())
    ok("up", "redis")
    local seen = ""
    while not seen:find "Redis is starting" do seen = next_line() end
    child:kill "INT"
    assert.are.same({ code = 130 }, child:wait "60s")
  end)

  it("refuses words and ports that make no sense", function()
    assert.are.equal(64, (rlab("up", "kafkaa")))
    local child <close> = spawn({ "status" }, { RLAB_HOME = home, RLAB_PORT_BASE = "80" })
    assert.are.same({ code = 64 }, child:wait "60s")
  end)
end)

describe("the brokers", function()
  local s

  setup(function()
    s = assert(stack.open { needs = { "kafka" }, start = true })
    assert(s:heal { at_most = "100s" }) -- what was done to the brokers before is none of this spec's
  end)
  teardown(function()
    if s then
      s:heal()
      s:close()
    end
  end)

  local function sick()
    local list = {}
    for _, h in ipairs(s:health()) do
      if not h.ok then list[#list + 1] = h.server end
    end
    return list
  end

  local function mended(...)
    local done, what = s:heal { at_most = "100s" }
    assert.is_true(done, tostring(what))
    for _, word in ipairs { ... } do assert.matches(word, table.concat(what, "; "), 1, true) end
    assert.are.same({}, sick())
  end

  it("are described", function()
    assert.are.equal("local", s.kind)
    assert.matches("^%d+%.%d+%.%d+$", s.versions.kafka)
    assert.are.same({ 1, 2, 3 }, { s.kafka.nodes[1].id, s.kafka.nodes[2].id, s.kafka.nodes[3].id })
    assert.are.equal(s.kafka.brokers:match ":(%d+)", tostring(s.kafka.nodes[1].port))
    assert.is_true(stack.current() ~= nil)
    assert.error_matches(function() s:server "kafka-4" end, "no server named 'kafka%-4', did you mean")
    assert.are.same({}, sick())
  end)

  it("run with the settings of the lab", function()
    local admin <close> = assert(require("rlab.kafka").admin { brokers = s.kafka.brokers })
    local set = {}
    for key, value in pairs(assert(admin:configs { broker = 2 })) do
      set[type(value) == "table" and value.name or key] = type(value) == "table" and value.value or value
    end
    for line in table.concat({
      "replica.lag.time.max.ms=2000", "broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500",
      "min.insync.replicas=2",
      "auto.leader.rebalance.enable=false", "group.min.session.timeout.ms=500",
      "group.consumer.session.timeout.ms=2000",
      "transaction.abort.timed.out.transaction.cleanup.interval.ms=200", "offsets.topic.num.partitions=4",
      "auto.create.topics.enable=false",
    }, "\n"):gmatch "[^\n]+" do
      local key, want = line:match "^(.-)=(.*)$"
      assert.are.equal(want, tostring(set[key]), key)
    end
  end)

  it("are mended after a kill", function()
    local broker = s:server "kafka-2"
    local pid = broker.pid
    assert(broker:kill())
    assert.are.equal("dead", broker:state())
    assert.are.same({ "kafka-2" }, sick())
    mended "kafka-2 restarted"
    assert.is_true(broker:alive())
    assert.are_not.equal(pid, broker.pid)
  end)

  it("are mended after a freeze", function()
    local broker = s:server "kafka-3"
    assert(broker:freeze())
    assert.are.equal("frozen", broker:state())
    assert.are.same({ "kafka-3" }, sick())
    mended "kafka-3 thawed"
  end)

  it("are mended when two are out, and when the controller is", function()
    assert(s:server("kafka-1"):kill())
    assert(s:server("kafka-2"):freeze())
    mended("kafka-1 restarted", "kafka-2 thawed")
    assert(s:server("controller"):kill())
    mended "controller restarted"
  end)

  it("can be told to start and to thaw one by one", function()
    local broker = s:server "kafka-1"
    assert(broker:kill())
    local nothing, failure = broker:freeze()
    assert.is_nil(nothing)
    assert.are.equal("NOT_RUNNING", failure.name)
    assert(broker:start())
    assert.is_true(broker:alive())
    assert(broker:freeze())
    assert(broker:thaw())
    mended()
  end)

  it("do not heal in no time", function()
    assert(s:server("kafka-2"):kill())
    local done, failure = s:heal { at_most = "1ms" }
    assert.is_nil(done)
    assert.are.equal("TIMEOUT", failure.name)
    assert.matches("not whole after", failure.message)
    mended()
  end)
end)
