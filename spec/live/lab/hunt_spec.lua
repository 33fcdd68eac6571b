-- A hunt as a user runs it, against a scenario and a service that are no part of rlab and need no server.
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"

local runs = fs.tmpdir() .. "/rlab-hunt-" .. process.self()
local SCENARIO = "spec/fixtures/experiments/two-files.lua"

local function rlab(...)
  local child <close> = assert(process.spawn { cmd = { fs.self_exe(), ... }, stdout = "capture",
    stderr = "stdout" })
  local status = assert(child:wait "120s")
  return status.code, child:output()
end

describe("rlab hunt", function()
  teardown(function() fs.remove(runs) end)

  it("finds the kill between two files, shrinks it, and writes a scenario that does it again", function()
    local code, output = rlab("hunt", SCENARIO, "--arm", "two-files", "--budget", "60s", "--runs", runs)
    assert.are.equal(0, code, output)
    local record = json.decode(assert(fs.read(runs .. "/E-941-two-files.json")))
    local fault = record.found.faults[1]
    assert.are.equal(1, #record.found.faults, output)
    assert.are.same({ "pay.between", 1 }, { fault.point, fault.hit })
    assert.are.same({ "lost" }, record.found.breaks)
    local again, said = rlab("hunt", "--replay", runs .. "/E-941-two-files.lua", "--runs", runs)
    assert.are.equal(0, again, said)
    assert.is_truthy(said:find("pay.between: #1", 1, true), said)
  end)

  it("finds nothing where a start makes good what a kill left, and says what it tried", function()
    local code, output = rlab("hunt", SCENARIO, "--arm", "recovers", "--budget", "2s", "--runs", runs)
    assert.are.equal(0, code, output)
    local record = json.decode(assert(fs.read(runs .. "/E-941-recovers.json")))
    assert.is_nil(record.found)
    local kinds = record.covered[1].tried
    assert.is_true(next(kinds) ~= nil, output)
    assert.is_truthy(output:find("pay pay.between +%d+"), output)
  end)

  it("takes the promises of an earlier hunt, and wants no run of the arm as it is", function()
    local promises = runs .. "/E-941-recovers.json"
    local code, output = rlab("hunt", SCENARIO, "--arm", "recovers", "--budget", "1s", "--runs", runs,
      "--promises", promises)
    assert.are.equal(0, code, output)
    assert.is_truthy(output:find("promises +lost"), output)
    assert.is_nil(output:find("as it is", 1, true), output)
    code, output = rlab("hunt", SCENARIO, "--arm", "two-files", "--promises", promises)
    assert.are.equal(64, code)
    assert.is_truthy(output:find("those are the promises of recovers: say --arm recovers", 1, true), output)
  end)
end)
