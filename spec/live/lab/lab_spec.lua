-- The lab's services on the real stack: experiments of spec/fixtures, run as a user runs them and judged by
-- exit code and files.
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"

local runs = fs.tmpdir() .. "/rlab-lab-runs-" .. process.self()

-- run("lab-service") -> result, output
local function run(name)
  local child <close> = assert(
    process.spawn { cmd = { fs.self_exe(), "spec/fixtures/experiments/" .. name .. ".lua", "--runs", runs },
    stdout = "capture", stderr = "stdout" })
  local status = assert(child:wait "300s")
  local output = child:output()
  assert.are.equal(0, status.code, output)
  return json.decode(assert(fs.read(output:match "report +(%S+)/report.html" .. "/result.json"))), output
end

describe("lab:service", function()
  teardown(function() fs.remove(runs) end)

  it("is killed and started again under load, frozen, stopped; each fault has its proof, nothing is sent \z
    twice", function()
    local result = run "lab-service"
    assert.are.equal("pass", result.verdict)
    assert.are.equal(4, #result.faults)
    for _, fault in ipairs(result.faults) do assert.is_true(fault.fired, fault.name) end
    for _, name in ipairs { "sum-1.config.json", "sum-1.log", "failpoints-sum-1.jsonl" } do
      assert.is_true(fs.exists(("%s/E-907/latest/%s"):format(runs, name)), name)
    end
  end)

  it("has its cache in the Redis Cluster where it is told so", function()
    assert.are.equal("pass", run "cached-in-a-cluster".verdict)
  end)
end)
