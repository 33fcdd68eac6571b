-- Checker teeth: a good history is broken in one known way, and the right checker (only) must name it.
local check = require "rlab.check"

local function lab_for(class)
  local lab = { label = "arm", arm = { class = class or "right", name = "arm" }, class = class or "right",
    checks = {} }
  lab.check = check.bind(lab)
  return lab
end

local function good()
  local history = { acked = {}, log = {}, delivered = {}, aborted = { "x1", "x2" }, ledger = {},
    ledger_sum = 0, view_sum = 0 }
  for i = 1, 40 do
    local id = ("id%02d"):format(i)
    for _, list in ipairs { history.acked, history.log, history.delivered, history.ledger } do
      list[i] = id
    end
    history.ledger_sum, history.view_sum = history.ledger_sum + i, history.view_sum + i
  end
  return history
end

local function judge(history)
  local lab = lab_for "right"
  lab.check.lost { of = history.acked, in_ = history.log }:expect "holds"
  lab.check.unseen { of = history.acked, seen = history.delivered }:expect "holds"
  lab.check.duplicate { of = history.log }:expect "holds"
  lab.check.phantom { of = history.log, in_ = history.ledger }:expect "holds"
  lab.check.aborted_read { aborted = history.aborted, of = history.delivered }:expect "holds"
  lab.check.conservation { ledger = history.ledger_sum, view = history.view_sum }:expect "holds"
  local named = {}
  for _, one in ipairs(lab.checks) do
    if one.outcome == "violated" then named[#named + 1] = one.name end
  end
  return named, lab.checks
end

describe("checkers", function()
  it("say nothing of a good history", function()
    assert.are.same({}, (judge(good())))
  end)

  local breaks = {
    lost = function(h) table.remove(h.log, 7) table.remove(h.ledger, 7) end,
    unseen = function(h) table.remove(h.delivered, 7) end,
    duplicate = function(h) h.log[#h.log + 1] = "id07" h.ledger[#h.ledger + 1] = "id07" end,
    phantom = function(h) h.log[#h.log + 1] = "ghost" end,
    ["aborted-read"] = function(h) h.delivered[#h.delivered + 1] = "x1" end,
    conservation = function(h) h.view_sum = h.view_sum + 1 end,
  }
  for name, break_it in pairs(breaks) do
    it("name " .. name .. ", and only that", function()
      local history = good()
      break_it(history)
      assert.are.same({ name }, (judge(history)))
    end)
  end

  it("count copies where two multisets must be the same", function()
    local lab = lab_for "right"
    assert.are.equal("holds", lab.check.same({ name = "s", got = { "a", "b", "b" },
      want = { "b", "a", "b" } }).outcome)
    local twice = lab.check.same { name = "s", got = { "a", "b", "b", "b" }, want = { "a", "b" } }
    assert.are.equal("violated", twice.outcome)
    assert.are.equal("0 missing, 2 too many of 2 ids", twice.sentence)
    assert.are.equal("b", twice.counterexamples[1].id)
    local once = lab.check.same { name = "s", got = { "a" }, want = { "a", "a", "c" } }
    assert.are.equal("2 missing, 0 too many of 3 ids", once.sentence)
  end)

  it("say in plain words what is there where nothing should be", function()
    local lab, what = lab_for "right", "accounts whose entry differs"
    local none = lab.check.same { name = "s", got = {}, want = {}, what = what, control = 3 }
    assert.are.same({ "holds", "no accounts whose entry differs" }, { none.outcome, none.sentence })
    local two = lab.check.same { name = "s", got = { "1", "2" }, want = {}, what = what, control = 3 }
    assert.are.same({ "violated", "accounts whose entry differs: 2, and there should be none" },
      { two.outcome, two.sentence })
    assert.are.same({ "1", "2" }, { two.counterexamples[1].id, two.counterexamples[2].id })
    local one = lab.check.same { name = "s", got = { "1" }, want = {}, control = 3 }
    assert.are.equal("ids: 1, and there should be none", one.sentence)
  end)

  it("say the number alone where it has no unit", function()
    local lab = lab_for "right"
    assert.are.equal("4, it must be 3", lab.check.equals({ name = "n", got = 4, want = 3 }).sentence)
    assert.are.equal("3 records, as it must be",
      lab.check.equals({ name = "n", got = 3, want = 3, what = "records" }).sentence)
  end)

  it("agree row by row, each under its own name and expected to hold", function()
    local lab = lab_for "right"
    lab.check.agree { { "one", 3, 3, "records" }, { "two", 4, 3 }, { "three", nil, 3 } }
    local said = {}
    for i, one in ipairs(lab.checks) do
      said[i] = ("%s %s %s %s"):format(one.name, one.outcome, one.expects, one.as_expected)
    end
    assert.are.same({ "one holds holds true", "two violated holds false", "three inconclusive holds false" },
      said)
  end)

  it("prove nothing by a value that was not measured", function()
    local lab = lab_for "wrong"
    local one = lab.check.equals { name = "hw", want = 1, what = "is the HW" }
    assert.are.equal("inconclusive", one.outcome)
    assert.is_false(one:expect("violated").as_expected)
    assert.are.equal("inconclusive", lab.check.conservation({ ledger = 3 }).outcome)
  end)

  it("show at most eight counterexamples and count the rest", function()
    local history = good()
    for _ = 1, 20 do table.remove(history.log) end
    local _, checks = judge(history)
    assert.are.equal(8, #checks[1].counterexamples)
    assert.are.equal(12, checks[1].more)
    assert.are.equal("id21", checks[1].counterexamples[1].id)
  end)

  it("carry partition and offset of a counterexample", function()
    local lab = lab_for()
    local one = lab.check.phantom { of = { "a" }, in_ = { "b" },
      details = { { id = "a", partition = 3, offset = 17, key = "k" } } }
    assert.are.same({ id = "a", partition = 3, offset = 17, key = "k" }, one.counterexamples[1])
  end)
end)

describe("expectations", function()
  it("take an exact set of ids, order aside", function()
    local lab = lab_for "wrong"
    assert.is_true(lab.check.lost { of = { "a", "b", "c" }, in_ = { "b" } }:expect({ "c", "a" }).as_expected)
    assert.is_false(lab.check.lost { of = { "a", "b", "c" }, in_ = { "b" } }:expect({ "a" }).as_expected)
    assert.is_false(lab.check.lost { of = { "a", "b" }, in_ = { "b" } }:expect({ "a", "b" }).as_expected)
    assert.is_false(lab.check.lost { of = { "a" }, in_ = { "a" } }:expect({ "a" }).as_expected)
  end)

  it("differ by class or by arm", function()
    local wrong, right = lab_for "wrong", lab_for "right"
    local want = { wrong = "violated", right = "holds" }
    assert.is_true(wrong.check.equals({ name = "n", got = 1, want = 2 }):expect(want).as_expected)
    assert.is_false(right.check.equals({ name = "n", got = 1, want = 2 }):expect(want).as_expected)
    assert.is_true(right.check.equals({ name = "n", got = 1, want = 2 }):expect(
      { arm = "violated" }).as_expected)
    assert.is_true(right.check.equals({ name = "n", got = 1, want = 2 }):expect(
      { arm = "violated", right = "holds" }).as_expected)
  end)

  it("refuse other words", function()
    assert.has_error(function() lab_for().check.equals({ name = "n", got = 1, want = 1 }):expect "green" end)
  end)

  it("name the nearest checker", function()
    local ok, failure = pcall(function() return lab_for().check.losst end)
    assert.is_false(ok)
    assert.matches("did you mean 'lost'", failure)
  end)

  it("leave a number that was not measured inconclusive", function()
    assert.are.equal("inconclusive", lab_for().check.bound({ name = "p99", at_most = 3 }).outcome)
    assert.are.equal("holds", lab_for().check.bound({ name = "p99", value = 3, at_most = 3 }).outcome)
    assert.are.equal("violated", lab_for().check.bound({ name = "p99", value = 3.01, at_most = 3 }).outcome)
  end)
end)
