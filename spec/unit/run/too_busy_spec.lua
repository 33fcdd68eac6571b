-- When a live test of an experiment may be skipped, and when it may not.
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"
local run_files = require "spec.support.run_files"

local starved = { what = "mysql", kind = "starved", from = 0, ["until"] = 4, seconds = 2 }
local late = { what = "mysql", kind = "starved", from = 0, ["until"] = 4, seconds = 0.2 }

-- reason({arm = {outcome, disturbances}}) of a run whose files are these
local function reason(arms)
  local dir <close> = setmetatable({ path = ("%s/too-busy-%d"):format(fs.tmpdir(), process.self()) },
    { __close = function(d) fs.remove(d.path) end })
  local result, evidence = { sentence = "the reason", arms = {} }, { arms = {} }
  for name, arm in pairs(arms) do
    result.arms[#result.arms + 1] = { name = name, outcome = arm[1] }
    evidence.arms[name] = { disturbances = arm[2] }
  end
  assert(fs.mkdir(dir.path))
  assert(fs.write(dir.path .. "/result.json", json.encode(result)))
  assert(fs.write(dir.path .. "/evidence.json", json.encode(evidence)))
  return run_files.too_busy(dir.path)
end

describe("a live test of an experiment", function()
  it("is skipped when whoever is in doubt was kept from a processor for a second", function()
    assert.equal("the reason", reason { a = { "inconclusive", { late, starved } }, b = { "holds", {} } })
  end)

  it("is red when one arm is in doubt for another reason", function()
    assert.is_nil(reason { a = { "inconclusive", { starved } }, b = { "inconclusive", { late } } })
    assert.is_nil(reason { a = { "inconclusive" } })
    assert.is_nil(reason { a = { "holds", { starved } } })
  end)
end)
