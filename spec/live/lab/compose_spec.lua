-- An experiment on `rlab --stack compose`: its containers are those of a stand-in of the engine's API, and
-- behind each is a real server of this stack, which is killed, paused and started through that API alone.
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"
local stack = require "rlab.stack"
local stand_in = require "spec.unit.deploy.support.stand_in"

describe("an experiment on the stack of docker-compose.yml", function()
  local standin, held

  setup(function()
    held = assert(stack.open { needs = { "kafka" }, start = true })
    local containers = {}
    for i, server in ipairs(held:servers()) do containers[i] = ("%s=%d"):format(server.name, server.pid) end
    standin = stand_in.start(containers)
  end)

  -- What the stand-in has started is not in the books of the local stack, which starts it anew.
  teardown(function()
    standin:close()
    held:close()
    assert(stack.open { needs = { "kafka" }, start = true }):close()
  end)

  it("kills and freezes brokers through the engine, and comes out as predicted", function()
    local before = held:server("kafka-1").pid
    local child <close> = assert(process.spawn { stdout = "capture", stderr = "stdout",
      cmd = { fs.self_exe(), "--stack", "compose", "E-009", "--runs", standin.folder },
      env = { DOCKER_HOST = "unix://" .. standin.socket } })
    local status = assert(child:wait "3m")
    assert.are.equal(0, status.code, child:output())
    local result = assert(json.decode(assert(fs.read(standin.folder .. "/E-009/latest/result.json"))))
    assert.are.same({ "compose", "pass" }, { result.stack.kind, result.verdict })
    assert.is_false(process.alive(before)) -- the leader that was killed is another process now
    local proofs = {}
    for i, fault in ipairs(result.faults) do proofs[i] = fault.proof end
    assert.matches("paused, pid %d+", table.concat(proofs, "; "))
  end)
end)
