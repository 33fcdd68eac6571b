-- An experiment on `rlab --stack compose`: its containers are those of a stand-in of the engine's API, and
-- behind each is a real server of this stack, which is killed, paused and started through that API alone.
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"
local stack = require "rlab.stack"
local task = require "rlab.task"

describe("an experiment on the stack of docker-compose.yml", function()
  local folder, socket, standin, held

  setup(function()
    folder = assert(fs.tmpdir())
    socket = folder .. "/engine.sock"
    held = assert(stack.open { needs = { "kafka" }, start = true })
    local cmd = { "python3", "spec/unit/deploy/support/engine.py", socket }
    for _, server in ipairs(held:servers()) do cmd[#cmd + 1] = ("%s=%d"):format(server.name, server.pid) end
    standin = assert(process.spawn { cmd = cmd, stderr = "inherit" })
    assert(task.wait_until(function() return fs.exists(socket) end, { at_most = "10s" }))
  end)

  -- What the stand-in has started is not in the books of the local stack, which starts it anew.
  teardown(function()
    standin:kill "TERM"
    standin:wait "10s"
    standin:close()
    held:close()
    assert(stack.open { needs = { "kafka" }, start = true }):close()
    fs.remove(folder)
  end)

  it("kills and freezes brokers through the engine, and comes out as predicted", function()
    local before = held:server("kafka-1").pid
    local child <close> = assert(process.spawn { stdout = "capture", stderr = "stdout",
      cmd = { fs.self_exe(), "--stack", "compose", "E-009", "--runs", folder },
      env = { DOCKER_HOST = "unix://" .. socket } })
    local status = assert(child:wait "3m")
    assert.are.equal(0, status.code, child:output())
    local result = assert(json.decode(assert(fs.read(folder .. "/E-009/latest/result.json"))))
    assert.are.same({ "compose", "pass" }, { result.stack.kind, result.verdict })
    assert.is_false(process.alive(before)) -- the leader that was killed is another process now
    local proofs = {}
    for i, fault in ipairs(result.faults) do proofs[i] = fault.proof end
    assert.matches("paused, pid %d+", table.concat(proofs, "; "))
  end)
end)
