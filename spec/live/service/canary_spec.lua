-- rlab canary on the running stack: a round that holds, one whose relay is frozen past its deadline, and what
-- is left of it when it has ended.
local canary_of = require "rlab.canary"
local fs = require "rlab.fs"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local mysql_server = require "spec.support.mysql_server"
local process = require "rlab.process"
local task = require "rlab.task"

local runs = fs.tmpdir() .. "/rlab-canary-" .. process.self()
local LONG = 30 -- no limit of this spec: a round that is to hold may take what a busy machine needs

describe("rlab canary", function()
  local admin, db

  setup(function()
    admin = must(kafka.admin { brokers = os.getenv "RLAB_TEST_BROKERS" })
    db = must(mysql.connect(mysql_server.options { database = "" }))
  end)
  teardown(function()
    admin:close()
    db:close()
    fs.remove(runs)
  end)

  -- Topics and schemas that carry the name.
  local function left_of(namespace)
    local names = must(admin:topics())
    for _, row in ipairs(must(db:query "SHOW DATABASES")) do names[#names + 1] = row.Database end
    local found = {}
    for _, name in ipairs(names) do
      if name:gsub("_", "-"):find(namespace, 1, true) then found[#found + 1] = name end
    end
    return found
  end

  local function comes_to(one, round, verdict)
    task.wait_until(function()
      one.rounds:look(one.rounds:overdue())
      return round.verdict == verdict
    end, { at_most = LONG, every = "20ms" })
    assert.equal(verdict, round.verdict, round.why)
  end

  it("tells a round that holds from one whose relay is frozen, which is late when it thaws", function()
    local told = {}
    local namespace
    do
      local one <close> = canary_of.open { within = LONG, runs = runs,
        view = require("rlab.run.view").new { silent = true },
        tell = function(round, before) told[#told + 1] = { round.n, before, round.verdict } end }
      namespace = one.namespace
      assert.equal("held", one:round().verdict)
      assert.equal(2, #left_of(namespace))
      local frozen = one.pipeline.services.relay:freeze()
      one.rounds.within = 1.5
      local round = one:round()
      comes_to(one, round, "lost") -- at its deadline, or when a slow MySQL shows its row
      assert.matches("waits for the relay", round.why)
      frozen.thaw()
      comes_to(one, round, "late")
      one.rounds.within = LONG
      assert.equal("held", one:round().verdict)
      assert.equal(4, one.tally:code())
    end
    assert.same({ { 2, "lost", "late" }, { 3, nil, "held" } }, { told[#told - 1], told[#told] })
    task.wait_until(function() return #left_of(namespace) == 0 end, { at_most = LONG })
    assert.same({}, left_of(namespace))
  end)

  it("is a command with a line of each round, and ends with 0", function()
    local child <close> = assert(process.spawn { cmd = { fs.self_exe(), "canary", "--rounds", "2", "--every",
      "10ms", "--within", LONG .. "s", "--port", "0", "--json" }, stdout = "capture", stderr = "stdout" })
    local status = assert(child:wait "120s")
    local says = {}
    for line in child:output():gmatch "[^\n]+" do
      local message = json.decode(line)
      says[#says + 1] = message.say .. (message.verdict and " " .. message.verdict or "")
    end
    assert.equal(0, status.code, child:output())
    assert.same({ "ready", "round held", "round held", "ends" }, says)
  end)
end)
