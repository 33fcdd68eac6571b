-- Fault drivers of an external stack: what its file may say of them, one call of one, and that what rlab asks
-- the server itself is the proof. The servers here are files: `gone` and `still` say how one answers.
local drivers = require "rlab.stack.external.drivers"
local external = require "rlab.stack.external.file"
local faults = require "rlab.lab.faults"
local fs = require "rlab.fs"
local guard = require "rlab.stack.external.guard"
local json = require "rlab.json"
local probes = require "rlab.stack.external.probe"
local proof = require "rlab.proof"
local servers = require "rlab.stack.external.server"
local tables = require "rlab.tables"
local task = require "rlab.task"

local KILL = { kill = { "touch", "gone" }, start = { "rm", "-f", "gone" } }
local FREEZE = { freeze = { "touch", "still" }, thaw = { "rm", "-f", "still" } }
local OWNER_ONLY = tonumber("600", 8)

local dir
before_each(function() dir = assert(fs.tmpdir "rlab-drivers") end)
after_each(function() fs.remove(dir) end)

local function read(value)
  assert(fs.write(dir .. "/stack.json", json.encode(value), { mode = OWNER_ONLY }))
  return external.read(dir .. "/stack.json")
end

local function refusal(f, ...)
  local ok, failure = pcall(f, ...)
  assert.is_false(ok)
  return failure.message
end

describe("the file's fault drivers", function()
  it("are argvs by part, with a limit, and their programs count from the file's folder", function()
    local found = read { faults = { kafka = { kill = { "./k.sh", "{server}" }, start = { "s", "{id}" },
      at_most = "5s" }, redis = FREEZE } }.faults
    assert.same({ dir .. "/./k.sh", "{server}" }, found.kafka.kill)
    assert.same({ "s", "{id}" }, found.kafka.start)
    assert.equal("5s", found.kafka.at_most)
    assert.equal("30s", found.redis.at_most)
    assert.same({}, read({}).faults)
  end)

  it("know what stands for what, and nothing else", function()
    local argv = { "k", "{server}:{id}", "{host}:{port}", "{part} {act}", "{.items}" }
    assert.same({ "k", "kafka-2:2", "h:9092", "kafka kill", "{.items}" }, drivers.filled(argv,
      { server = "kafka-2", id = 2, host = "h", port = 9092, part = "kafka", act = "kill" }))
    assert.same({ "" }, drivers.filled({ "{id}" }, { server = "redis" }))
  end)

  for said, section in pairs {
    ["faults has no 'kafak'; did you mean 'kafka'"] = { kafak = {} },
    ["faults.kafka has no 'kil'; did you mean 'kill'"] = { kafka = { kil = { "a" } } },
    ["faults.kafka.kill is a list of texts, a program and its arguments: no line for a shell"] =
      { kafka = { kill = "kill -9 1", start = { "a" } } },
    ["faults.mysql has kill and no start, which puts the server back"] = { mysql = { kill = { "a" } } },
    ["faults.mysql has freeze and no thaw"] = { mysql = { freeze = { "a" } } },
    ["nothing is known as {sever}; did you mean 'server'"] = { redis = { kill = { "a", "{sever}" } } },
    ["faults.redis.at_most is a duration of at most 10m"] = { redis = { at_most = "1h" } },
    ["faults.redis is an object"] = { redis = "a" },
  } do
    it("are refused: " .. said, function()
      local told = refusal(read, { faults = section })
      assert.is_truthy(told:find(said, 1, true), told)
    end)
  end

  it("hold no secret in an argument, where anybody reads it", function()
    local told = refusal(read, { redis = { password = "s3cret-word" },
      faults = { kafka = { kill = { "k", "--password=s3cret-word" }, start = { "a" } } } })
    assert.matches("faults.kafka.kill: an argument holds a secret of the file", told)
    assert.is_nil(told:find("s3cret", 1, true))
  end)

  it("let an experiment run that says which of them it needs, and name the one that is missing", function()
    local file = read { kafka = { brokers = "h:1" }, faults = { kafka = KILL } }
    local exp = { needs = { "kafka" }, disrupts = true, faults = { kafka = { "kill" } } }
    assert.is_nil(guard.unfit(exp, file))
    exp.faults = { kafka = { "freeze", "kill" } }
    assert.matches("rlab owns no process: .*/stack.json has no driver faults.kafka.freeze$",
      guard.unfit(exp, file))
    exp.faults = nil
    assert.matches("rlab owns no process$", guard.unfit(exp, file))
  end)
end)

describe("one call of a driver", function()
  local function run(argv, more, at_most)
    local file = read(tables.merged({ faults = { redis = { kill = argv, start = { "true" },
      at_most = at_most } } }, more))
    return drivers.run(file, "redis", "kill", { server = "redis" })
  end

  it("has failed with another exit code than 0, and its last line says why", function()
    assert.is_true(run { "true" })
    local _, why = run { "sh", "-c", "echo first; echo 'pod not found' >&2; echo; exit 4" }
    assert.equal("the driver faults.redis.kill exited with 4; its last line: pod not found", why)
    _, why = run { "false" }
    assert.equal("the driver faults.redis.kill exited with 1; it said nothing", why)
    _, why = run { "./none.sh" }
    assert.matches("the driver faults.redis.kill cannot be run: ", why, 1, true)
  end)

  it("is ended at its limit", function()
    local process, pid = require "rlab.process", nil
    local spawn = process.spawn
    function process.spawn(opts)
      local child = assert(spawn(opts))
      pid = child.pid
      return child
    end
    finally(function() process.spawn = spawn end)
    local _, why = run({ "sleep", "20" }, nil, "200ms")
    assert.equal("the driver faults.redis.kill was not done within 200ms; it said nothing", why)
    assert.is_false(process.alive(pid))
  end)

  it("is given no secret, and tells none", function()
    local _, why = run({ "sh", "-c", "echo password is s3cret; exit 1" }, { redis = { password = "s3cret" } })
    assert.matches("its last line: password is %*%*%*$", why)
    _, why = run({ "sh", "-c", "echo home is ${HOME-unset}; exit 1" }, { redis = { password_env = "HOME" } })
    assert.matches("its last line: home is unset$", why)
  end)
end)

describe("a fault of an external stack", function()
  local open, kept = probes.open, tables.merged(servers.waits)

  -- It answers as the files say; a question to one that stands still stays open for that long.
  local function probe(_, _, _, patience)
    local one = { close = function() end }
    function one.ask()
      if fs.exists(dir .. "/gone") then
        assert(fs.write(dir .. "/seen", ""))
        return "refused", "Connection refused"
      end
      local patient = patience == servers.waits.open and "5s" or "20ms"
      local went_on = task.wait_until(function() return not fs.exists(dir .. "/still") end,
        { at_most = patient, every = "2ms" })
      if not went_on then return "silent", "no answer" end
      if fs.exists(dir .. "/seen") then assert(fs.write(dir .. "/back", "")) end
      return "answers"
    end
    function one:ready() return self:ask() == "answers" end
    return setmetatable(one, { __close = one.close })
  end

  setup(function()
    probes.open = probe
    servers.waits.every, servers.waits.silent, servers.waits.back = "2ms", "20ms", "60ms"
  end)
  teardown(function()
    probes.open = open
    for key, value in pairs(kept) do servers.waits[key] = value end
  end)

  local function for_now(waits)
    local before = tables.merged(servers.waits)
    for key, value in pairs(waits) do servers.waits[key] = value end
    finally(function()
      for key in pairs(waits) do servers.waits[key] = before[key] end
    end)
  end

  -- A run's lab on a stack with these drivers of Redis; lab.ledger: what is to be put back, in case it dies.
  local function lab_with(section)
    local ledger = { items = {} }
    function ledger:add(kind, name) self.items[kind .. " " .. name] = true end
    function ledger:drop(kind, name) self.items[kind .. " " .. name] = nil end
    local stack = { file = read { faults = { redis = section } }, ledger = ledger, redis = {},
      faults = { redis = { "freeze", "kill", "terminate" } } }
    local server = servers.of(stack, { server = "redis", part = "redis", host = "h", port = 6379 })
    function stack.server() return server end
    local lab = { faults = {}, owned = {}, stack = stack, server = server, ledger = ledger,
      fault = faults.fault,
      run = { view = { fault = function() end } } }
    function lab.now() return 0 end
    function lab:own(handle) self.owned[#self.owned + 1] = handle end
    lab.proof = proof.bind(lab)
    return lab
  end

  local function items(lab) return table.concat(tables.sorted_keys(lab.ledger.items), ", ") end

  it("is proved by what the server itself does not answer, and put back", function()
    local lab = lab_with(KILL)
    local killed = faults.kill(lab, "redis")
    assert.same({}, faults.unproved(lab))
    assert.matches("redis, which had answered, refused connections for", lab.faults[1].proof)
    assert.equal("fault kill redis at h:6379", items(lab))
    assert.equal("gone", lab.server.meant)
    killed.restart()
    assert.matches(", and answers again$", lab.faults[1].proof)
    assert.equal("", items(lab))
    assert.is_false(fs.exists(dir .. "/gone"))
  end)

  it("that freezes has an open question until it is thawed", function()
    local lab = lab_with(FREEZE)
    local frozen = faults.freeze(lab, "redis")
    assert.matches("redis, which had answered, did not answer for", lab.faults[1].proof)
    frozen.thaw()
    assert.same({}, faults.unproved(lab))
    assert.matches(", and answers again$", lab.faults[1].proof)
  end)

  it("that terminates may come back by itself", function()
    local lab = lab_with { start = { "true" },
      terminate = { "sh", "-c", "touch gone; until [ -e seen ]; do sleep 0.01; done; rm gone" } }
    faults.terminate(lab, "redis").restart()
    assert.same({}, faults.unproved(lab))
    assert.matches("refused connections", lab.faults[1].proof)
  end)

  for fault, undo in pairs(drivers.UNDO) do
    it("did not happen where the driver of " .. fault .. " lies", function()
      local lab = lab_with { [fault] = { "true" }, [undo] = { "touch", "undone" } }
      for_now { look = "60ms", silent = "5s" }
      local words = "%s redis: the driver faults.redis.%s says that it is done, but redis still answers"
      assert.equal(words:format(fault, fault), refusal(faults[fault], lab, "redis"))
      assert.same({ fault .. " redis by its driver" }, faults.unproved(lab))
      assert.equal("fault " .. fault .. " redis at h:6379", items(lab))
      assert(lab.server:restore())
      assert.is_true(fs.exists(dir .. "/undone"))
      assert.equal("", items(lab))
    end)
  end

  it("did not happen where its driver failed, and is put back all the same", function()
    local lab = lab_with { kill = { "sh", "-c", "touch gone; echo no such pod; exit 3" },
      start = { "rm", "-f", "gone" } }
    assert.matches("kill redis: .* exited with 3; its last line: no such pod",
      refusal(faults.kill, lab, "redis"))
    getmetatable(lab.owned[1]).__close(lab.owned[1])
    assert.is_false(fs.exists(dir .. "/gone"))
  end)

  it("is none of a server that did not answer before", function()
    local lab = lab_with(KILL)
    assert(fs.write(dir .. "/gone", ""))
    assert.equal("kill redis: it refuses connections beforehand: Connection refused",
      refusal(faults.kill, lab, "redis"))
    assert.equal("", items(lab))
  end)

  it("is none where the server came back before it was to", function()
    local lab = lab_with(KILL)
    local killed = faults.kill(lab, "redis")
    assert(fs.remove(dir .. "/gone"))
    task.wait_until(function() return lab.server.look.back end, { at_most = "5s", every = "2ms" })
    killed.restart()
    assert.matches("^kill redis by its driver %(redis answered by itself", faults.unproved(lab)[1])
  end)

  it("begins when its driver is done, whatever that did until then", function()
    local lab = lab_with { start = { "rm", "-f", "gone" }, kill = { "sh", "-c", [[touch gone
      until [ -e seen ]; do sleep 0.01; done
      rm gone; until [ -e back ]; do sleep 0.01; done
      touch gone]] } }
    faults.kill(lab, "redis").restart()
    assert.same({}, faults.unproved(lab))
  end)

  it("is none that freezes where the server is gone", function()
    local lab = lab_with { freeze = { "touch", "gone" }, thaw = { "rm", "-f", "gone" } }
    assert.matches("redis refuses connections: it is gone, not frozen", refusal(faults.freeze, lab, "redis"))
    assert(lab.server:restore())
  end)

  it("is asked of nothing that the experiment or the file does not name", function()
    local lab = lab_with(KILL)
    assert.matches("names no driver faults.redis.freeze", refusal(faults.freeze, lab, "redis"))
    lab.stack.faults = nil
    assert.matches('does not say faults = { redis = { "kill" } }', refusal(faults.kill, lab, "redis"), 1,
      true)
    lab.stack.faults, lab.stack.ledger = { redis = { "kill" } }, nil
    assert.matches("only a run, which puts it back, may hurt it", refusal(faults.kill, lab, "redis"))
    assert.is_false(fs.exists(dir .. "/gone"))
  end)

  it("of a run that died is put back by what its ledger says, or the next run ends there", function()
    local stack = { file = read { faults = { redis = KILL } }, redis = {} }
    assert(fs.write(dir .. "/gone", ""))
    assert.is_true((servers.undo(stack, "kill redis at h:6379")))
    assert.is_false(fs.exists(dir .. "/gone"))
    stack.file.faults.redis.start = { "true" }
    assert(fs.write(dir .. "/gone", ""))
    local _, failure = servers.undo(stack, "kill redis at h:6379")
    assert.matches("redis is not back within 60ms of its driver faults.redis.start: it refuses connections",
      failure.message)
    _, failure = servers.undo(stack, "kill mysql at h:3306")
    assert.matches("'kill mysql at h:3306' cannot be undone", failure.message)
  end)
end)

describe("what a server says", function()
  it("is told from what its connection says", function()
    for word, failures in pairs {
      silent = { { domain = "mysql", name = "TIMEOUT" }, { domain = "rlab", name = "TIMEOUT" } },
      refused = { { domain = "kafka", name = "_TRANSPORT" },
        { domain = "kafka", name = "BROKER_NOT_AVAILABLE" },
        { domain = "mysql", name = "CR_CONNECTION_ERROR", code = 2002 },
        { domain = "redis", name = "ECONNREFUSED", code = 111 },
        { domain = "redis", name = "CONNECTION_LOST" } },
      unwell = { { domain = "kafka", name = "_SSL" }, { domain = "mysql", name = "ER_CON_COUNT_ERROR" },
        { domain = "redis", name = "LOADING", code = 0 }, { domain = "redis", name = "ERR", code = 0 } },
    } do
      for _, failure in ipairs(failures) do assert.equal(word, probes.word(failure), failure.name) end
    end
    assert.equal("answers", probes.word(nil))
  end)
end)
