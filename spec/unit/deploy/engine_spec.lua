-- The stack of docker-compose.yml, on a stand-in of a container engine's API (support/engine.py): no engine
-- runs where this is tested. Its containers are processes, so that what is said of them can be looked up.
local compose = require "rlab.stack.compose"
local engine = require "rlab.stack.engine"
local process = require "rlab.process"
local pty = dofile "spec/transcript/support/pty.lua"
local stand_in = require "spec.unit.deploy.support.stand_in"

local SERVICES = { "controller", "kafka-1", "kafka-2", "kafka-3", "redis" }

describe("the stack of docker-compose.yml", function()
  local socket, standin
  setup(function()
    standin = stand_in.start(SERVICES)
    socket = standin.socket
  end)
  teardown(function() standin:close() end)

  local function asked(more)
    return assert(engine.open { address = "unix://" .. socket, project = more and more.project })
  end
  local function opened(needs)
    return compose.open { needs = needs or { "kafka", "redis" }, engine = asked() }
  end

  it("has the addresses of the local stack and the versions of its images", function()
    local stack <close> = assert(opened())
    assert.same({ "compose", 3, "4.4.0" }, { stack.kind, #stack.kafka.nodes, stack.versions.kafka })
    assert.same({ host = "127.0.0.1", port = stack.ports.redis }, stack.redis)
    assert.equal(1767225600, stack.since)
    assert.equal(#SERVICES, #stack:servers())
  end)

  it("kills a container and starts it again", function()
    local stack <close> = assert(opened())
    local server = stack:server "kafka-2"
    local pid = server.pid
    assert.same({ "up", true }, { server:state(), process.alive(pid) })
    assert.is_true(server:kill())
    assert.same({ "dead", false, pid, "gone" },
      { server:state(), process.alive(pid), server.pid, server.meant })
    local ok, failure = server:kill()
    assert.same({ nil, "NOT_RUNNING" }, { ok, failure.name })
    assert.is_true(server:start())
    assert.is_true(server:start())
    assert.same({ "up", nil }, { server:state(), server.meant })
    assert.is_true(server.pid ~= pid and process.alive(server.pid))
  end)

  it("freezes a container and thaws it", function()
    local stack <close> = assert(opened())
    local server = stack:server "redis"
    assert.is_true(server:freeze())
    assert.same({ "frozen", "T", "stopped", true }, { server:state(), process.state(server.pid), server.meant,
      server:alive() })
    assert.equal(server.stopped, server:process_state())
    local ok, failure = server:freeze()
    assert.same({ nil, "CONFLICT" }, { ok, failure.name })
    assert.matches("is not running", failure.message)
    assert.is_true(server:thaw())
    assert.equal("up", server:state())
  end)

  it("ends one with SIGTERM, and one that is frozen with SIGKILL", function()
    local stack <close> = assert(opened())
    local server = stack:server "redis"
    assert.is_true(server:terminate "5s")
    assert.equal("dead", server:state())
    assert.is_true(server:start())
    assert.is_true(server:freeze())
    assert.is_true(server:kill())
    assert.equal("dead", server:state())
    assert.is_true(server:start())
  end)

  it("mends what is frozen and what is dead", function()
    local stack <close> = assert(opened { "redis" })
    assert.is_true(stack:server("redis"):freeze())
    assert.same({ server = "redis", ok = false, why = "is frozen" }, stack:health()[1])
    assert.same({ true, { "redis thawed" } }, { stack:heal { at_most = "5s" } })
    assert.is_true(stack:server("redis"):kill())
    assert.same({ true, { "redis restarted" } }, { stack:heal { at_most = "5s" } })
  end)

  it("reads what a container has said", function()
    local stack <close> = assert(opened())
    local text, at = stack:server("redis"):log()
    assert.same({ "ready\noops\n", 11 }, { text, at })
    assert.equal("oops\n", (stack:server("redis"):log(6)))
  end)

  it("is proved by what the engine says", function()
    local stack <close> = assert(opened())
    local makers, server = require "rlab.proof.makers", stack:server "redis"
    local proof = require "rlab.proof"
    assert.is_false((proof.all { makers.state({}, server, "T") }))
    assert.is_true(server:freeze())
    local fired, words = proof.all { makers.state({}, server, "T") }
    assert.is_true(server:thaw())
    assert.is_true(fired)
    assert.matches("paused, pid %d+", words)
  end)

  it("says what is missing and how to start it", function()
    local stack, failure = opened { "mysql" }
    assert.is_nil(stack)
    assert.same({ "NO_STACK", "mysql is down; start it with: docker compose up -d mysql" },
      { failure.name, failure.message })
    stack, failure = opened { "partition" }
    assert.is_nil(stack)
    assert.matches("needs proxy, which is not in docker%-compose%.yml", failure.message)
    stack, failure = compose.open { needs = { "redis" }, engine = asked { project = "another" } }
    assert.is_nil(stack)
    assert.matches("redis is down", failure.message)
  end)

  it("refuses an engine that is no socket of this machine, and says where none answers", function()
    local none, failure = engine.open { address = "tcp://10.0.0.1:2375" }
    assert.is_nil(none)
    assert.matches("over a unix socket only", failure.message)
    none, failure = assert(engine.open { address = "unix:///nowhere/engine.sock" }):find "redis"
    assert.is_nil(none)
    assert.same("NO_ENGINE", failure.name)
    assert.matches("/nowhere/engine%.sock", failure.message)
  end)

  it("is what rlab --stack compose works on", function()
    local kinds = require "rlab.stack"
    assert.same({ "local", "USAGE" }, { kinds.use(), select(2, pcall(kinds.use, "k8s")).name })
    local env = { DOCKER_HOST = "unix://" .. socket }
    local seen, code = pty.run("rlab --stack compose status", { env = env })
    assert.equal(0, code)
    assert.matches("kafka%-2 +up +%d+ +19093\n", seen)
    assert.matches("mysql +down", seen)
    seen, code = pty.run("rlab --stack compose up", { env = env })
    assert.matches("^rlab: up is for the local stack", seen)
    assert.equal(64, code)
    assert.matches("takes local, compose or external FILE, not 'k8s'", (pty.run "rlab --stack k8s status"))
  end)
end)
