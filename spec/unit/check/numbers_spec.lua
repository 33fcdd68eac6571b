-- Numbers at their limits: what is just inside, what a limit on time is, and sums that are left out.
local check = require "rlab.check"

local function checks()
  return check.bind { label = "arm", arm = { class = "right", name = "arm" }, checks = {} }
end

describe("a bound", function()
  local function bound(fields)
    fields.name = fields.name or "b"
    return checks().bound(fields)
  end

  it("takes in its own limits", function()
    assert.are.equal("holds", bound({ value = 3, at_most = 3 }).outcome)
    assert.are.equal("holds", bound({ value = 3, at_least = 3 }).outcome)
    assert.are.equal("holds", bound({ value = 3, at_least = 3, at_most = 3 }).outcome)
    assert.are.equal("violated", bound({ value = 3.001, at_most = 3 }).outcome)
    assert.are.equal("violated", bound({ value = 2.999, at_least = 3 }).outcome)
  end)

  it("on a time says its limit in seconds, which a disturbance is held against", function()
    assert.are.equal(3, bound({ value = 1, at_most = 3, unit = "s" }).limit_s)
    assert.are.equal(0.25, bound({ value = 1, at_most = 250, unit = "ms" }).limit_s)
    assert.is_true(math.abs(bound({ value = 1, at_most = 250, unit = "us" }).limit_s - 0.00025) < 1e-9)
    assert.are.equal(2, bound({ value = 4, at_least = 2, unit = "s" }).limit_s)
    assert.are.equal(5, bound({ value = 4, at_least = 2, at_most = 5, unit = "s" }).limit_s)
    assert.are.equal(0.75, bound({ value = 1000, at_most = 250, unit = "ms" }).over_s)
    assert.are.equal(1.5, bound({ value = 0.5, at_least = 2, at_most = 5, unit = "s" }).over_s)
    assert.is_nil(bound({ value = 9, at_most = 3, unit = "records" }).over_s)
    assert.equal("9 records, limit at most 3", bound({ value = 9, at_most = 3, unit = "records" }).sentence)
    assert.equal("1 record, limit at most 3", bound({ value = 1, at_most = 3, unit = "records" }).sentence)
    assert.is_nil(bound({ value = 1, at_most = 3, unit = "records" }).limit_s)
    assert.is_nil(bound({ value = 1, at_most = 3 }).limit_s)
  end)

  it("takes no time below zero, in any unit, and other numbers as they are", function()
    for _, unit in ipairs { "s", "ms", "us" } do
      assert.are.equal("inconclusive", bound({ value = -1, at_most = 3, unit = unit }).outcome, unit)
      assert.are.equal("holds", bound({ value = 0.5, at_most = 3, unit = unit }).outcome, unit)
      assert.are.equal("holds", bound({ value = 0, at_most = 3, unit = unit, control = 1 }).outcome, unit)
    end
    assert.are.equal("holds", bound({ value = -1, at_most = 3, unit = "cents" }).outcome)
  end)

  it("says what it is of, and why", function()
    assert.are.equal("gap 4 ms, limit at least 2 and at most 5 (half of it)",
      bound({ value = 4, at_least = 2, at_most = 5, unit = "ms", what = "gap", why = "half of it" }).sentence)
    assert.are.equal("4, limit at most 5", bound({ value = 4, at_most = 5 }).sentence)
  end)
end)

describe("equals", function()
  it("has the number as its value, which an expectation may name", function()
    local one = checks().equals { name = "n", got = 3, want = 4, what = "records" }
    assert.are.equal("3 records, it must be 4", one.sentence)
    assert.is_true(one:expect(3).as_expected)
    assert.is_nil(checks().equals({ name = "n", got = "x", want = "x" }).value)
  end)
end)

describe("amplification", function()
  it("is one for one unless another limit is stated", function()
    assert.are.equal("violated", checks().amplification({ operations = 3, logical = 2 }).outcome)
    assert.are.equal("holds", checks().amplification({ operations = 2, logical = 2 }).outcome)
    assert.are.equal("holds", checks().amplification({ operations = 4, logical = 2, at_most = 2 }).outcome)
  end)

  it("says nothing of a count that is none", function()
    assert.are.equal("inconclusive", checks().amplification({ operations = -1, logical = 2 }).outcome)
    assert.are.equal("inconclusive", checks().amplification({ operations = 3, logical = 0 }).outcome)
  end)

  it("has the unit of its number, as equals has", function()
    local reads = checks().amplification { operations = 4, logical = 2, what = "reads for one",
      unit = "reads" }
    assert.are.same({ 2, "reads" }, { reads.value, reads.unit })
    local rows = checks().equals { name = "left", got = 3, want = 2, what = "old rows", unit = "rows" }
    assert.are.same({ 3, "rows", "3 old rows, it must be 2" }, { rows.value, rows.unit, rows.sentence })
  end)

  it("names whole numbers as such", function()
    assert.are.equal("2 reads for one, limit 1",
      checks().amplification({ operations = 4, logical = 2, what = "reads for one" }).sentence)
  end)
end)

describe("conservation", function()
  it("compares the sums that it was given", function()
    local function outcome(a) return checks().conservation(a).outcome end
    assert.are.equal("holds", outcome { ledger = 3, account = 3 })
    assert.are.equal("violated", outcome { ledger = 3, account = 4 })
    assert.are.equal("holds", outcome { ledger = 3, view = 3 })
    assert.are.equal("violated", outcome { ledger = 3, account = 3, view = 2 })
    assert.are.equal("inconclusive", outcome { ledger = 3 })
  end)

  it("says how far off, and who", function()
    local one = checks().conservation { ledger = 3, account = 5, unit = "cents" }
    assert.are.same({ "the accounts are off by +2 cents", 2 }, { one.sentence, one.value })
    one = checks().conservation { ledger = 3, account = 5, view = 2, unit = "cents" }
    assert.are.same({ "the view is off by -1 cents", -1 }, { one.sentence, one.value })
  end)
end)

describe("stale_cache", function()
  local views = { { key = 1, version = 2, balance = 5 }, { key = 2, version = 7 } }
  local function outcome(...) return checks().stale_cache({ cache = { ... }, views = views }).outcome end

  it("compares balances where both sides say one", function()
    assert.are.equal("holds", outcome { key = 1, version = 2, balance = 5 })
    assert.are.equal("violated", outcome { key = 1, version = 2, balance = 6 })
    assert.are.equal("holds", outcome { key = 1, version = 2 })
    assert.are.equal("holds", outcome { key = 2, version = 7, balance = 3 })
  end)

  it("takes a tombstone or a negative entry for no value", function()
    assert.are.equal("inconclusive", outcome { key = 1, version = 1, state = "tombstone" })
    assert.are.equal("holds", outcome({ key = 1, version = 1, state = "none" },
      { key = 1, version = 2, state = "value" }))
  end)

  it("raises where a value has no version", function()
    assert.has_error(function() outcome { key = 1, state = "value" } end)
  end)
end)
