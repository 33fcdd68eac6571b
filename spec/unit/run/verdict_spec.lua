local verdict = require "rlab.run.verdict"

local function check(outcome, expects, as_expected)
  return { name = "lost", outcome = outcome, expects = expects, as_expected = as_expected, sentence = "s" }
end

describe("an arm's outcome", function()
  local violated_as_predicted = check("violated", "violated", true)
  local held = check("holds", "violated", false)
  local holds = check("holds", "holds", true)
  local broken = check("violated", "holds", false)

  it("wrong: fails as predicted only when an expected violation appeared", function()
    assert.are.equal("fails as predicted", (verdict.arm("wrong", { violated_as_predicted, holds })))
    assert.are.equal("did not fail", (verdict.arm("wrong", { held })))
    assert.are.equal("did not fail", (verdict.arm("wrong", { holds })))
    assert.are.equal("did not fail", (verdict.arm("wrong", { violated_as_predicted, broken })))
  end)

  it("right: holds, or is violated", function()
    assert.are.equal("holds", (verdict.arm("right", { holds })))
    assert.are.equal("violated", (verdict.arm("right", { holds, broken })))
    for _, class in ipairs { "right", "wrong", "observe" } do
      assert.are.same({ "inconclusive", "this arm has no checks" }, { verdict.arm(class, {}) })
    end
  end)

  it("right: is violated by one counterexample, whatever another check could not see", function()
    local unknown = check("inconclusive", "holds", false)
    assert.are.equal("violated", (verdict.arm("right", { unknown, broken })))
    assert.are.equal("inconclusive", (verdict.arm("right", { unknown, holds })))
    assert.are.equal("inconclusive", (verdict.arm("wrong", { unknown, held })))
    assert.are.equal("inconclusive", (verdict.arm("right", { broken, holds }, "no proof")))
  end)

  it("right: is violated by one check, whatever another could not see; wrong: nobody can say", function()
    local blind = check("inconclusive", "holds", false)
    assert.are.same({ "violated", "lost: s (expected: holds)" },
      { verdict.arm("right", { blind, broken, holds }) })
    assert.are.equal("inconclusive", (verdict.arm("right", { holds, blind })))
    assert.are.equal("inconclusive", (verdict.arm("wrong", { broken, blind })))
  end)

  it("is inconclusive without proof, whatever the checks say", function()
    assert.are.equal("inconclusive", (verdict.arm("right", { broken }, "no proof that this fault happened")))
    assert.are.equal("inconclusive",
      (verdict.arm("wrong", { violated_as_predicted, check("inconclusive", "holds", false) })))
  end)
end)

describe("a run's exit code", function()
  local function code(...)
    local arms = {}
    for i, outcome in ipairs { ... } do arms[i] = { outcome = outcome } end
    return (verdict.run(arms))
  end

  it("is 0 when everything is as predicted", function()
    assert.are.equal(0, code("fails as predicted", "holds", "measured"))
  end)

  it("is explained by every arm that is not as predicted, those that decide it first", function()
    local function arm(name, outcome, reason) return { name = name, outcome = outcome, reason = reason } end
    local rows = verdict.bad_arms { arm("a", "did not fail", "r1"), arm("b", "holds"),
      arm("c", "violated", "r2"),
      arm("d", "inconclusive", "r3"), arm("e", "inconclusive", "r3") }
    local told = {}
    for i, row in ipairs(rows) do told[i] = ("%s+%d %s"):format(row.name, row.more, row.reason) end
    assert.are.same({ "c+0 r2", "d+1 r3", "a+0 r1" }, told)
  end)

  it("ranks a violated right arm over one that cannot be judged over a wrong arm that held", function()
    assert.are.equal(2, code("did not fail", "holds"))
    assert.are.equal(1, code("did not fail", "violated"))
    assert.are.equal(1, code("did not fail", "violated", "inconclusive"))
    assert.are.equal(3, code("did not fail", "inconclusive"))
  end)
end)
