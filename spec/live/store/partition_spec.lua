-- A real partition between brokers, without root: the replication listener goes through the proxy, everyone
-- lives, the ISR shrinks and comes back.
local fs = require "rlab.fs"
local json = require "rlab.json"
local must = require "rlab.must"
local process = require "rlab.process"
local task = require "rlab.task"

local EXPERIMENT = [[
return experiment {
  id = "E-P", title = "parted", claim = "c", needs = { "kafka", "proxy", "partition" }, disrupts = true,
  limit = "120s",
  arms = { right "parted" {} },
  run = function(lab)
    local topic = lab:topic("t", { partitions = 1 })
    local leader = must(lab:partition(topic, 0)).leader
    local pids = {}
    for id = 1, 3 do pids[id] = lab.stack:server("kafka-" .. id).pid end
    local follower = leader % 3 + 1
    local p = lab:producer { linger_ms = 0, message_timeout_ms = 20000 }
    must(p:send { topic = topic, partition = 0, value = "before" })
    local parted = lab:part("kafka-" .. follower)
    -- acknowledged once the follower is out: one that lacks nothing stays in
    must(p:send { topic = topic, partition = 0, value = "while parted" })
    lab:await("an ISR without broker " .. follower, function()
      local now = lab:partition(topic, 0)
      return now and #now.isr == 2 and now.leader == leader
    end, "20s")
    local alive = 0
    for id = 1, 3 do alive = alive + (process.alive(pids[id]) and 1 or 0) end
    parted.heal()
    lab:await("all three in sync again", function()
      local now = lab:partition(topic, 0)
      return now and #now.isr == 3
    end, "20s")
    return { alive = alive }
  end,
  checks = function(lab, seen)
    lab.check.equals { name = "alive", got = seen.alive, want = 3, what = "brokers lived through it" }
      :expect "holds"
  end,
}
]]

describe("a partition between brokers", function()
  local stack, dir

  setup(function()
    stack = must(require("rlab.stack").open { needs = { "kafka", "proxy" }, start = true })
    dir = must(fs.tmpdir "rlab-partition")
  end)

  teardown(function()
    fs.remove(dir)
    stack:close()
  end)

  it("shrinks the ISR while all live, heals, and leaves the brokers as they were", function()
    must(fs.write(dir .. "/parted.lua", EXPERIMENT))
    local child <close> = must(process.spawn {
      cmd = { fs.self_exe(), dir .. "/parted.lua", "--json", "--runs", dir .. "/runs" }, stdout = "capture",
      stderr = "capture" })
    local status = must(child:wait "300s")
    local out, errors = child:output()
    assert.equal(0, status.code, out .. errors)
    local result = must(json.decode(out))
    assert.equal("pass", result.verdict)
    assert.is_true(result.faults[1].fired)
    assert.is_false(stack:partitionable())
    must(task.wait_until(function()
      for _, part in ipairs(stack:health()) do
        if not part.ok then return false end
      end
      return true
    end, { at_most = "60s", what = "a whole stack" }))
  end)

  it("is refused to an experiment that would not have the stack alone", function()
    local path = dir .. "/polite.lua"
    must(fs.write(path, (EXPERIMENT:gsub("disrupts = true,%s*", ""))))
    local ok, failure = pcall(require("rlab.experiment").load, path)
    assert.is_false(ok)
    assert.is_truthy(failure.message:find("say disrupts = true", 1, true))
  end)
end)
