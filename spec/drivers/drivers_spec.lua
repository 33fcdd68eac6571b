-- Fault drivers at work: a plain stack of rlab, marked and treated as somebody's own, whose processes
-- spec/drivers/plain.sh kills and freezes. `make test-drivers` runs it; the rules without servers are in
-- spec/unit/external_faults_spec.lua.
local fs = require "rlab.fs"
local json = require "rlab.json"
local must = require "rlab.must"
local process = require "rlab.process"
local redis = require "rlab.redis"
local tables = require "rlab.tables"
local task = require "rlab.task"

local OWNER_ONLY = tonumber("600", 8)
local brokers = assert(os.getenv "RLAB_TEST_BROKERS", "RLAB_TEST_BROKERS is not set")
local host, port, user, password = assert(os.getenv "RLAB_TEST_MYSQL",
  "RLAB_TEST_MYSQL is not set"):match "^(.-):(%d+) (%S+) (%S*)$"
local redis_host, redis_port = assert(os.getenv "RLAB_TEST_REDIS",
  "RLAB_TEST_REDIS is not set"):match "^(.*):(%d+)$"

local dir, works

local function start(file, ...)
  assert(fs.write(dir .. "/servers.json", json.encode(file), { mode = OWNER_ONLY }))
  return must(process.spawn { cmd = { fs.self_exe(), "--stack", "external", dir .. "/servers.json", "run",
    "--runs", dir .. "/runs", ... }, stdout = "capture", stderr = "stdout" })
end

local function run(file, ...)
  local child <close> = start(file, ...)
  local status = must(child:wait "5m")
  return status.code, (child:output())
end

-- The stack's file with these drivers of each part.
local function with(drivers)
  return { kafka = { brokers = brokers }, redis = { host = redis_host, port = math.tointeger(redis_port) },
    mysql = { host = host, port = math.tointeger(port), user = user, password = password },
    faults = { kafka = drivers, redis = drivers, mysql = drivers } }
end

local function redis_answers()
  local conn = redis.connect { host = redis_host, port = math.tointeger(redis_port) }
  local answers = conn and conn:call "PING" == "PONG"
  if conn then conn:close() end
  return answers
end

local SCENARIO = [[
return experiment { id = "E-901", title = "t", claim = "c", needs = { "redis", "mysql" },
  disrupts = { "redis", "mysql" }, faults = { redis = { "kill", "terminate" }, mysql = { "freeze" } },
  arms = { right "hurt" {} },
  run = function(lab)
    lab:kill("redis").restart()
    lab:terminate("redis").restart()
    lab:freeze("mysql").thaw()
    return { n = 3 }
  end,
  checks = function(lab, seen) lab.check.agree { { "n", seen.n, 3, "faults" } } end,
}]]

setup(function()
  dir = must(fs.tmpdir "rlab-drivers")
  local plain = must(fs.realpath "spec/drivers/plain.sh")
  local argv = { plain, fs.self_exe(), "{act}", "{server}" }
  works = { kill = argv, terminate = argv, start = argv, freeze = argv, thaw = argv, at_most = "60s" }
  local admin <close> = must(require("rlab.kafka").admin { brokers = brokers })
  must(admin:create_topic { name = "rlab-may-run-here", partitions = 1, replication_factor = 3,
    configs = { ["min.insync.replicas"] = "2" } })
  local db <close> = must(require("rlab.mysql").connect { host = host, port = math.tointeger(port),
    user = user, password = password })
  must(db:exec "CREATE DATABASE rlab_may_run_here")
  local conn <close> = must(redis.connect { host = redis_host, port = math.tointeger(redis_port) })
  must(conn:call("SET", "rlab-may-run-here", 1))
  must(fs.write(dir .. "/hurt.lua", SCENARIO))
  must(fs.write(dir .. "/waits.lua", (SCENARIO:gsub("lab:kill%(.-%.restart%(%)",
    'lab:kill "redis"\n    require("rlab.task").sleep "10m"'))))
end)
teardown(function() fs.remove(dir) end)

describe("a driver that does what it says", function()
  for _, id in ipairs { "E-007", "E-029" } do
    it("lets " .. id .. " be as predicted", function()
      local code, said = run(with(works), id)
      if code == 3 and not said:find "faults%.%l+%.%l+" then return pending(id .. ": not by a driver") end
      assert.equal(0, code, said)
      assert.matches("by its driver: kafka%-%d, which had answered, did not answer for .-,", said)
    end)
  end

  it("is proved by Redis and MySQL themselves", function()
    local code, said = run(with(works), dir .. "/hurt.lua")
    assert.equal(0, code, said)
    for _, fault in ipairs { "kill redis", "terminate redis", "freeze mysql" } do
      assert.is_truthy(said:find(fault .. " by its driver: ", 1, true), said)
    end
  end)

  it("puts a server back on Ctrl-C", function()
    local child <close> = start(with(works), dir .. "/waits.lua")
    assert(task.wait_until(function() return not redis_answers() end, { at_most = "60s" }))
    child:kill "INT"
    local status = must(child:wait "2m")
    assert.equal(130, status.code, (child:output()))
    assert.is_true(redis_answers())
  end)

  it("puts back what a run left that was killed, when the next one begins", function()
    local child <close> = start(with(works), dir .. "/waits.lua")
    assert(task.wait_until(function() return not redis_answers() end, { at_most = "60s" }))
    child:kill "KILL"
    must(child:wait "1m")
    assert.is_false(redis_answers() or false)
    local code, said = run(with(works), dir .. "/hurt.lua")
    assert.equal(0, code, said)
    assert.matches("a run that died has left this behind, and it is put back: kill redis at", said)
  end)
end)

describe("a driver's word is no proof:", function()
  for name, case in pairs {
    ["one that lies"] = { { "true" },
      "faults.kafka.freeze says that it is done, but kafka%-%d still answers" },
    ["one that hangs"] = { { "sh", "-c", "echo waiting for the pod; sleep 100" },
      "faults.kafka.freeze was not done within 2s; its last line: waiting for the pod" },
    ["one that fails"] = { { "sh", "-c", "echo no such pod >&2; exit 4" },
      "faults.kafka.freeze exited with 4; its last line: no such pod" },
  } do
    it(name .. " makes the arm inconclusive", function()
      local code, said = run(with { freeze = case[1], thaw = { "true" }, at_most = "2s" }, "E-007", "--arm",
        "hw-against-leo", "--json")
      assert.equal(3, code, said)
      assert.matches(case[2], json.decode(said).sentence)
    end)
  end

  it("none is refused with the name of what is missing", function()
    local freezes = tables.picked(works, { "freeze", "thaw" })
    local code, said = run(with(freezes), "E-029")
    assert.equal(64, code, said)
    assert.matches("E%-029 cannot run on an external stack: .* has no driver faults.kafka.kill", said)
  end)
end)
