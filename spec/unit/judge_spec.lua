-- A stored run is judged again by what it stored, once its history has the right form.
local fs = require "rlab.fs"
local json = require "rlab.json"
local judge = require "rlab.run.judge"

local GOOD = '{"index":0,"time":5,"process":0,"type":"invoke","f":"send","value":1,"actor":"a"}\n'

describe("a stored run", function()
  local dir = fs.tmpdir()
  teardown(function() fs.remove(dir) end)

  local arm = { name = "ids", class = "right" }
  local exp = { id = "E-999", path = "none.lua", arms = { arm }, checks = function(lab, seen)
    lab.check.lost { of = seen.acked, in_ = seen.log }:expect "holds"
  end }

  local function outcome(history)
    assert(fs.write(dir .. "/result.json", '{"faults":[],"checks":[]}'))
    assert(fs.write(dir .. "/evidence.json", '{"arms":{"ids":{"acked":["x"],"log":["x"]}},"faults":[]}'))
    assert(fs.write(dir .. "/history.jsonl", history))
    local stored, evidence = judge.stored(dir, function(path) return json.decode(fs.read(path)) end)
    local row = judge.stored_arm(exp, arm, stored, { name = "ids", outcome = "holds" }, evidence)
    return { row.outcome, row.reason }
  end

  it("holds by its checks when its history is well-formed", function()
    assert.are.same({ "holds" }, outcome(GOOD))
    assert.are.same({ "holds" }, outcome "")
  end)

  it("is inconclusive when its history is not well-formed, whatever its checks say", function()
    assert.are.same({ "inconclusive",
      "the history is not well-formed: line 2: process 0 has an operation outstanding" },
      outcome(GOOD .. GOOD:gsub('"index":0', '"index":1')))
    assert.are.same({ "inconclusive", "the history is not well-formed: line 1 is cut off" },
      outcome(GOOD:sub(1, -3)))
  end)
end)
