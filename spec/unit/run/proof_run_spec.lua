-- Proofs as a run stores them, and as `rlab check` judges them again: experiments that need no server.
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"

local FIXTURES = "spec/fixtures/experiments/"

local function rlab(home, ...)
  local p <close> = process.spawn { cmd = { fs.self_exe(), ... }, stdout = "capture", stderr = "stdout",
    env = { RLAB_HOME = home } }
  local status = p:wait()
  return status.code, (p:output())
end

describe("a run", function()
  local home, dir

  setup(function()
    home = fs.tmpdir()
    dir = home .. "/runs/E-939/latest"
    local code, output = rlab(home, FIXTURES .. "killed-role.lua", "--runs", home .. "/runs")
    assert.are.equal(0, code, output)
  end)

  teardown(function() fs.remove(home) end)

  -- The exit code of `rlab check` after the proofs of the only fault were changed.
  local function judged(change)
    local path = dir .. "/evidence.json"
    local before = assert(fs.read(path))
    local evidence = json.decode(before)
    change(evidence.faults, evidence.faults[1].proofs)
    assert(fs.write(path, json.encode(evidence)))
    local code, output = rlab(home, "check", dir)
    assert(fs.write(path, before))
    return code, output
  end

  it("stores what proves its faults, and is judged the same", function()
    assert.are.equal(0, (judged(function(faults, proofs)
      assert.are.equal(1, #faults)
      assert.are.equal("hits", proofs[1].kind)
      assert.are.equal(3, #proofs[1].facts.hits)
      assert.are.same({ signal = "KILL" }, proofs[1].facts.ended)
    end)))
  end)

  it("proves nothing when its proofs were tampered with", function()
    local changes = {
      ["its proof was not stored"] = function(faults) faults[1] = nil end,
      ["nothing was seen of it"] = function(_, proofs) proofs[1] = nil end,
      ["there is no proof of the kind"] = function(_, proofs) proofs[1].kind = "word" end,
      ["it was never reached"] = function(_, proofs) proofs[1].facts.hits = json.array {} end,
      ["hit 3 (piece=3) was to kill and did not"] = function(_, proofs)
        local hits = proofs[1].facts.hits
        hits[4] = { hit = 4, term = 1, action = "kill", pid = hits[3].pid, ctx = { piece = 4 } }
        hits[3].term, hits[3].action = 0, "off"
      end,
      ["'#4 kill' was armed instead"] = function(_, proofs) proofs[1].facts.armed = "#4 kill" end,
      ["the process ended by exit 0"] = function(_, proofs) proofs[1].facts.ended = { code = 0 } end,
    }
    for words, change in pairs(changes) do
      local code, output = judged(change)
      assert.are.equal(3, code, output)
      assert.matches(words, output, 1, true)
    end
  end)

  it("takes no word for a fault: a script error at the line that says it", function()
    local code, output = rlab(home, FIXTURES .. "fault-by-a-word.lua", "--runs", home .. "/runs")
    assert.are.equal(65, code, output)
    assert.matches("fault%-by%-a%-word%.lua:5: fault:fired takes what the lab has seen", output)
    assert.matches("lab.proof.hits(child, point)", output, 1, true)
  end)
end)
