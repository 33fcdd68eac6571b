-- One arm from its beginning to its end, with a lab that does nothing: what counts as seen, and what keeps an
-- arm from having seen anything.
local err = require "rlab.err"

local GONE = { what = "consumer-1", kind = "gone", from = 1, ["until"] = 1, seconds = 0 }

-- The runner's story, whose labs are this one.
local function story_of(lab)
  local real = package.loaded["rlab.lab"]
  package.loaded["rlab.lab"], package.loaded["rlab.run.story"] = { new = function() return lab end }, nil
  local story = require "rlab.run.story"
  package.loaded["rlab.lab"], package.loaded["rlab.run.story"] = real, nil
  return story
end

local function nothing() end

local function failed(name, message)
  return err.new { domain = "rlab", code = 0, name = name, message = message }
end

-- What an arm has seen whose lab says this; run: its story
local function seen_by(run, more)
  local arm = { name = "one", class = "right" }
  local lab = { arm = arm, debts = {}, begin = nothing, now = function() return 1 end, happened = nothing,
    close = function() return {} end, unproved = function() return {} end }
  for key, value in pairs(more or {}) do lab[key] = value end
  local session = { view = { arm_starts = nothing },
    heartbeat = { disturbances = function() return { GONE } end },
    experiment = { path = "E.lua", limit = "20s", owes = more and more.owes or {}, run = run } }
  local told = story_of(lab).arm(session, arm, { company = { leave = nothing } })
  return told.seen, told.failure
end

local function story() return { rows = 3 } end

describe("an arm", function()
  it("has seen what its story returns, what disturbed it, and its debts", function()
    local debt = { name = "drained", kept = true, seconds = 1, limit = 4 }
    local seen, failure = seen_by(story, { debts = { debt } })
    assert.is_nil(failure)
    assert.are.same({ 3, { GONE }, { debt } }, { seen.rows, seen.disturbances, seen.owed })
  end)

  it("has seen nothing when one of its faults has no proof", function()
    local seen, failure = seen_by(story, { unproved = function() return { "SIGKILL relay-1" } end })
    assert.are.same({ nil, "no proof that this fault happened: SIGKILL relay-1", n = 2 },
      table.pack(seen, failure))
  end)

  it("has seen nothing when it could not be closed", function()
    local seen, failure = seen_by(story, { close = function() return { failed("TIMEOUT", "late") } end })
    assert.is_nil(seen)
    assert.matches("^closing: .*late", failure)
  end)

  it("that was cut off by a debt has seen that alone, also where it was to be", function()
    local debt = { name = "drained", kept = false, seconds = 9, limit = 4 }
    for _, owes in ipairs { {}, { drained = "violated" } } do
      local seen = seen_by(story, { debts = { debt }, owes = owes,
        close = function() return { failed("OWED", "drained") } end })
      assert.are.same({ nil, { GONE }, { debt }, n = 3 },
        table.pack(seen.rows, seen.disturbances, seen.owed))
    end
  end)

  it("says why its story could not go on", function()
    local seen, failure = seen_by(function() error(failed("INCONCLUSIVE", "nobody answers"), 0) end)
    assert.are.same({ nil, "nobody answers", n = 2 }, table.pack(seen, failure))
  end)

  it("says why it waited in vain where something else kept it from what it waited for", function()
    local lab = require("rlab.lab").new({ rng = require("rlab.rng").new(1) }, { name = "one" })
    lab:begin()
    local _, waited = pcall(lab.await, lab, "an answer", nothing, "30ms")
    assert.are.equal(0, waited.waited.from // 1)
    assert.is_true(waited.waited.to - waited.waited.from >= 0.03)
    waited.waited = { from = 0, to = 2 } -- GONE is in the middle of it
    local _, failure = seen_by(function() error(waited, 0) end)
    assert.matches("an answer did not happen within .*; but consumer%-1 was ended by somebody else", failure)
    waited.waited = { from = 2, to = 4 }
    _, failure = seen_by(function() error(waited, 0) end)
    assert.not_matches("; but", failure)
  end)
end)

describe("what a run keeps", function()
  it("is every proof of a fault, to be judged again", function()
    local proof = require "rlab.proof"
    local both = { proof.of("exit", { pid = 7, want = { code = 0 }, ended = { code = 0 } }),
      proof.of("state", { pid = 8, state = "T", want = "T" }) }
    local result = require("rlab.run.result").new { seed = 1 }
    result:add_setup { took = 1, seen = {}, happened = { spans = {}, events = {}, tables = {}, numbers = {},
      facts = {}, faults = { { name = "two", fired = true, proofs = both } } } }
    local kept = result.evidence.faults[1].proofs
    assert.are.same({ "exit", "state" }, { kept[1].kind, kept[2].kind })
    assert.are.same({}, proof.lacking(result.faults, result.evidence.faults, "one"))
  end)
end)
