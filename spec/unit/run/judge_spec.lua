-- A stored run is judged again by what it stored, once its history has the right form.
local fs = require "rlab.fs"
local json = require "rlab.json"
local judge = require "rlab.run.judge"

local GOOD = '{"index":0,"time":5,"process":0,"type":"invoke","f":"send","value":1,"actor":"a"}\n'

describe("a stored run", function()
  local dir = fs.tmpdir()
  teardown(function() fs.remove(dir) end)

  local arm = { name = "ids", class = "right" }
  local exp = { id = "E-999", path = "none.lua", arms = { arm }, owes = {}, checks = function(lab, seen)
    lab.check.lost { of = seen.acked, in_ = seen.log }:expect "holds"
  end }

  -- judged: the checks of the result; owed: the debts of the evidence
  local function outcome(history, judged, owed)
    assert(fs.write(dir .. "/result.json", ('{"faults":[],"checks":[%s]}'):format(judged or "")))
    assert(fs.write(dir .. "/evidence.json",
      ('{"arms":{"ids":{"acked":["x"],"log":["x"],"owed":[%s]}},"faults":[]}'):format(owed or "")))
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

  it("says nothing when the debts that it judged are gone from its evidence", function()
    local judged = '{"arm":"ids","name":"drained","debt":true}'
    local owed = '{"name":"drained","what":"nothing left","limit":4,"seconds":1,"at":1,"kept":true}'
    assert.are.same({ "holds" }, outcome(GOOD, judged, owed))
    assert.are.same({ "inconclusive", "the evidence has no debts, the run judged 'drained'" },
      outcome(GOOD, judged))
    assert.are.same({ "violated", "drained: did not happen within 4.0 s: nothing left (expected: holds)" },
      outcome(GOOD, judged, (owed:gsub("true", "false"))))
  end)

  describe("of a wrong arm that is expected not to keep a debt", function()
    local wrong = { name = "no-retry", class = "wrong" }
    local checked = 0
    local open = { id = "E-998", path = "none.lua", arms = { wrong },
      owes = { retried = { ["no-retry"] = "violated" } }, checks = function(lab)
        checked = checked + 1
        lab.check.lost { of = { "x" }, in_ = { "x" } }:expect "holds"
      end }

    local function judged(kept, faults)
      local debt = { name = "retried", what = "y", limit = 4, seconds = 4, at = 5, kept = kept }
      local row, checks = judge.stored_arm(open, wrong, { checks = {}, faults = faults or {} },
        { name = "no-retry" }, { arms = { ["no-retry"] = { owed = { debt } } }, faults = {} })
      return { row.outcome, row.reason }, checks[#checks]
    end

    it("fails as predicted by it, and no other check is asked", function()
      local said, check = judged(false)
      assert.are.same({ "fails as predicted" }, said)
      assert.are.same({ "retried", "violated", true }, { check.name, check.expects, check.as_expected })
      assert.are.equal(0, checked)
    end)

    it("did not fail when the debt was kept", function()
      assert.are.same({ "did not fail", "retried: after 4.00 s, at most 4.0 s without progress: y \z
        (expected: violated)" }, (judged(true)))
      assert.are.equal(1, checked)
    end)

    it("is inconclusive without the proof of its fault", function()
      local faults = { { name = "a crash", arm = "no-retry", fired = true } }
      assert.are.same({ "inconclusive", "no proof that this fault happened: a crash \z
        (its proof was not stored)" }, (judged(false, faults)))
    end)
  end)

  it("stops at a debt that nobody expected to be broken, before it asks for proofs", function()
    local row = judge.stored_arm(exp, arm, { checks = {}, faults = { { name = "a crash", fired = false } } },
      { name = "ids" }, { arms = { ids = { owed = { { name = "drained", what = "x", limit = 4, seconds = 4,
        kept = false } } } }, faults = {} })
    assert.are.same({ "violated", "drained: did not happen within 4.0 s: x (expected: holds)" },
      { row.outcome, row.reason })
  end)

  it("asks for the debts of its own arm, and for nothing that was no debt", function()
    assert.are.same({ "holds" }, outcome(GOOD, '{"arm":"other","name":"drained","debt":true}'))
    assert.are.same({ "holds" }, outcome(GOOD, '{"arm":"ids","name":"lost"}'))
  end)

  it("is inconclusive where the arm left nothing, by the reason that it gave", function()
    local function left_nothing(reason)
      local row, checks = judge.stored_arm(exp, arm, { checks = {}, faults = {} },
        { name = "ids", reason = reason }, { arms = {}, faults = {} })
      assert.are.same({}, checks)
      return { row.outcome, row.reason }
    end
    assert.are.same({ "inconclusive", "mysql was down" }, left_nothing "mysql was down")
    assert.are.same({ "inconclusive", "no evidence was stored" }, left_nothing(nil))
  end)

  it("holds with the stored proofs of its faults, not without", function()
    local function judged(proofs)
      local row = judge.stored_arm(exp, arm,
        { checks = {}, faults = { { name = "a crash", arm = "ids", fired = true } } }, { name = "ids" },
        { arms = { ids = { acked = { "x" }, log = { "x" } } },
          faults = proofs and { { name = "a crash", arm = "ids", proofs = proofs } } })
      return row.outcome
    end
    local facts = { pid = 7, want = { code = 0 }, ended = { code = 0 } }
    assert.are.equal("holds", judged { { kind = "exit", facts = facts } })
    assert.are.equal("inconclusive", judged {})
    assert.are.equal("inconclusive", judged(nil))
  end)

  describe("as its checks are asked again", function()
    local function asked(checks, evidence)
      local one = { id = "E-997", path = "none.lua", arms = { arm }, owes = {}, checks = checks }
      local row = judge.stored_arm(one, arm, { checks = {}, faults = {} }, { name = "ids" },
        { arms = { ids = evidence or { got = 2 } }, faults = {}, shared = { n = 3,
          disturbances = evidence and evidence.setup } })
      return row.outcome, row.reason
    end

    it("says nothing where a check has no expectation, or its script fails", function()
      local said, reason = asked(function(lab) lab.check.lost { of = { "x" }, in_ = { "x" } } end)
      assert.are.equal("inconclusive", said)
      assert.matches("check 'lost' of arm 'ids' has no :expect", reason, 1, true)
      said, reason = asked(function() error "no such luck" end)
      assert.are.equal("inconclusive", said)
      assert.matches("the evidence cannot be judged: .*no such luck", reason)
    end)

    it("says nothing where it gives up, with the reason", function()
      local said, reason = asked(function(lab) lab:give_up("%d of %d", 1, 2) end)
      assert.are.equal("inconclusive", said)
      assert.matches("the evidence cannot be judged: .*1 of 2", reason)
    end)

    it("shows the checks what the arm and the setup saw, and the arm", function()
      local got
      asked(function(lab, seen, which) got = { seen.got, lab.shared.n, which.name } end)
      assert.are.same({ 2, 3, "ids" }, got)
    end)

    it("is inconclusive by what disturbed the arm, or its setup", function()
      local function violated(lab) lab.check.lost { of = { "x" }, in_ = { "y" } }:expect "holds" end
      local gone = { { what = "mysql", kind = "gone", from = 1, ["until"] = 2, seconds = 1 } }
      assert.are.equal("violated", (asked(violated)))
      assert.are.equal("inconclusive", (asked(violated, { disturbances = gone })))
      assert.are.equal("inconclusive", (asked(violated, { setup = gone })))
    end)
  end)
end)
