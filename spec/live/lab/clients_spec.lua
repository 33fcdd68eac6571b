-- E-028 for the clients of others, one arm of it: Java is where the brokers are. The cluster's
-- transaction.version is lowered for it and raised again.
local fs = require "rlab.fs"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local process = require "rlab.process"
local run_files = require "spec.support.run_files"

describe("clients/endtxn.lua", function()
  local runs = must(fs.tmpdir "rlab-spec-clients")
  teardown(function() fs.remove(runs) end)

  it("finds Java torn at transaction.version 1, and leaves the cluster as it was", function()
    local admin <close> = must(kafka.admin { brokers = os.getenv "RLAB_TEST_BROKERS" })
    local level = must(admin:features())["transaction.version"]
    local child <close> = must(process.spawn { cmd = { fs.self_exe(), "run", "clients/endtxn.lua", "--arm",
      "java-tv1", "--set", "rounds=late-abort", "--json", "--runs", runs }, stdout = "capture",
      stderr = "capture" })
    local status = must(child:wait "120s")
    local out, errors = child:output()
    assert.equal(level, must(admin:features())["transaction.version"])
    local why = status.code == 3 and run_files.too_busy(runs .. "/E-028-clients/latest")
    if why then return pending(why) end
    assert.equal(0, status.code, out .. errors)
    local found = {}
    for _, check in ipairs(must(json.decode(out)).checks) do found[check.name] = check.outcome end
    assert.same({ ["late-abort"] = "holds", ["aborted-read"] = "holds", lost = "violated" }, found)
  end)
end)
