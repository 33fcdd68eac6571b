-- When a live test of an experiment may be skipped, and when it may not.
local disturbance = require "rlab.run.disturbance"
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"
local run_files = require "spec.support.run_files"

-- reason({arm = {outcome, reason}}) of a run whose file is this
local function reason(arms)
  local dir <close> = setmetatable({ path = ("%s/too-busy-%d"):format(fs.tmpdir(), process.self()) },
    { __close = function(d) fs.remove(d.path) end })
  local result = { sentence = "the reason", arms = {} }
  for name, arm in pairs(arms) do
    result.arms[#result.arms + 1] = { name = name, outcome = arm[1], reason = arm[2] }
  end
  assert(fs.mkdir(dir.path))
  assert(fs.write(dir.path .. "/result.json", json.encode(result)))
  return run_files.too_busy(dir.path)
end

local LATE = "in-time: p99 393 ms, limit at most 150; but " .. disturbance.says {
  what = "mysql", kind = "starved", seconds = 2, from = 0.5 }

describe("a live test of an experiment", function()
  it("is skipped where the verdict says of each arm in doubt that the machine took its word", function()
    assert.equal("the reason", reason { a = { "inconclusive", LATE }, b = { "holds" } })
  end)

  it("is red when one arm is in doubt for another reason", function()
    assert.is_nil(reason { a = { "inconclusive", LATE }, b = { "inconclusive", "a wait ran out" } })
    assert.is_nil(reason { a = { "inconclusive" } })
    assert.is_nil(reason { a = { "holds", LATE } })
  end)
end)
