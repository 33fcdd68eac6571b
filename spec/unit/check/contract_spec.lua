-- What a check was not given, or has not seen: mistakes raise with the script's line, silence is
-- inconclusive.
local check = require "rlab.check"

local function checks()
  local lab = { label = "arm", arm = { class = "right", name = "arm" }, checks = {},
    arm_names = { "arm", "commit-first" } }
  return check.bind(lab)
end

local ROW = { id = "a", key = 1, version = 1, partition = 0, offset = 0 }
local OPS = { { type = "ok", process = 0, f = "send", value = { { "send", "t-0", { 0, "a" } } } },
  { type = "ok", process = 1, f = "poll", value = { { "poll", { ["t-0"] = { { 0, "a" } } } } } } }

-- The arguments with which each check holds.
local good = {
  lost = { of = { "a" }, in_ = { "a" } },
  orphan_row = { of = { "a" }, in_ = { "a" } },
  unseen = { of = { "a" }, seen = { "a" } },
  phantom = { of = { "a" }, in_ = { "a" } },
  stranger = { of = { { id = "a", event = "e", topic = "t" } }, outbox = { { event = "e", topic = "t" } } },
  aborted_read = { aborted = { "x" }, of = { "a" } },
  all_or_nothing = { transactions = { { ROW } }, of = { "a" } },
  duplicate = { of = { "a" } },
  duplicate_publish = { of = { "a" } },
  duplicate_effect = { of = { "a" } },
  lost_effect = { of = { ROW }, committed = { ["0"] = 1 }, effects = { "a" } },
  same = { name = "s", got = { "a" }, want = { "a" } },
  reorder = { of = { ROW }, what = "apply" },
  gap = { of = { ROW }, position = { ["0"] = 1 }, delivered = { "a" } },
  equals = { name = "n", got = 1, want = 1 },
  bound = { name = "b", value = 1, at_most = 2 },
  enough = { name = "e", seen = 1, at_least = 1 },
  amplification = { operations = 1, logical = 1 },
  conservation = { ledger = 3, view = 3 },
  stale_cache = { cache = { { key = 1, version = 2 } }, views = { { key = 1, version = 2 } } },
  kafka = { history = OPS, class = "lost-write" },
  custom = { name = "c", control = 1, judge = function() return true, "fine" end },
}

-- What the world may not have said; all else that is missing is the script's mistake.
local measured = { lost_effect = { committed = true }, equals = { got = true }, bound = { value = true },
  amplification = { operations = true, logical = true }, conservation = { ledger = true, view = true },
  enough = { seen = true }, gap = { position = true, delivered = true } }

local function with(args, key, value)
  local copy = {}
  for name, old in pairs(args) do copy[name] = old end
  copy[key] = value
  return copy
end

describe("a check", function()
  for name, args in pairs(good) do
    it(name .. " holds where it was given everything", function()
      assert.are.equal("holds", checks()[name](args).outcome)
    end)

    it(name .. " refuses a misspelt argument with the line of the script", function()
      local ok, why = pcall(function() checks()[name](with(args, "naem", "x")) end)
      assert.is_false(ok)
      assert.matches("contract_spec%.lua:%d+: check%." .. name .. ": unknown argument 'naem'", why)
      assert.matches("did you mean 'name'", why)
    end)

    for key, value in pairs(args) do
      if not (measured[name] or {})[key] and not (name == "bound" and key == "at_most")
        and not (name == "custom" and key == "control") then
        it(("%s raises without %s"):format(name, key), function()
          assert.has_error(function() checks()[name](with(args, key, nil)) end)
        end)
      end
      it(("%s raises where %s is of another type"):format(name, key), function()
        local other = type(value) == "table" and 7 or {}
        if name == "custom" and key == "control" then other = "many" end
        assert.has_error(function() checks()[name](with(args, key, other)) end)
      end)
      if type(value) == "table" then
        it(("%s does not hold where %s is empty"):format(name, key), function()
          local ok, one = pcall(function() return checks()[name](with(args, key, {})) end)
          assert.is_true(not ok or one.outcome ~= "holds")
        end)
      end
    end

    for key in pairs(measured[name] or {}) do
      it(("%s says nothing where %s was not measured"):format(name, key), function()
        assert.are.equal("inconclusive", checks()[name](with(args, key, nil)).outcome)
      end)
    end

    it(name .. " says nothing where its control saw nothing", function()
      assert.are.equal("inconclusive", checks()[name](with(args, "control", 0)).outcome)
      local one = checks()[name](with(args, "control", { what = "rows of the control", seen = 0 }))
      assert.are.equal("inconclusive", one.outcome)
      assert.matches("its control, rows of the control, saw 0", one.sentence)
      assert.has_error(function() checks()[name](with(args, "control", { rows = 3 })) end)
    end)
  end

  it("needs as much as at_least says, control or not", function()
    local c = checks()
    assert.are.equal("holds", c.lost({ of = { "a", "b" }, in_ = { "a", "b" }, at_least = 2 }).outcome)
    local one = c.lost { of = { "a" }, in_ = { "a" }, at_least = 2, control = 9 }
    assert.are.equal("inconclusive", one.outcome)
    assert.matches("'of' has 1 of the 2 that must be there", one.sentence)
  end)

  it("agrees row by row, and refuses what is no row", function()
    local c = checks()
    for _, rows in ipairs { {}, { { "n", 1, 1, contrl = 2 } }, { { "n", 1 } }, { 7 },
      { nil, { "n", 1, 1 } } } do
      local ok, why = pcall(c.agree, rows)
      assert.is_false(ok)
      assert.matches("check%.", why)
    end
  end)

  it("has a floor, below which nothing is proved", function()
    local one = checks().enough { name = "hits", seen = 48.7, at_least = 50, unit = "%", what = "reads" }
    assert.are.same({ "inconclusive", "reads: 48.70 %, at least 50" }, { one.outcome, one.sentence })
  end)

  it("bound needs a limit, and one that can be met", function()
    assert.has_error(function() checks().bound { name = "b", value = 1 } end)
    assert.has_error(function() checks().bound { name = "b", value = 1, at_least = 3, at_most = 2 } end)
    local both = checks().bound { name = "b", value = 5, at_least = 1, at_most = 3 }
    assert.are.equal("at least 1 and at most 3", both.bound)
  end)

  it("takes no time that ends before it begins", function()
    assert.are.equal("inconclusive",
      checks().bound({ name = "visible", value = -0.4, at_most = 3, unit = "s" }).outcome)
  end)

  it("believes a zero only beside a counter that moved", function()
    local c = checks()
    assert.are.equal("inconclusive", c.equals({ name = "n", got = 0, want = 0 }).outcome)
    assert.are.equal("inconclusive", c.equals({ name = "n", got = 0, want = 7 }).outcome)
    assert.are.equal("holds", c.equals({ name = "n", got = 0, want = 0, control = 12 }).outcome)
    assert.are.equal("violated", c.equals({ name = "n", got = 0, want = 7, control = 12 }).outcome)
    assert.are.equal("inconclusive", c.bound({ name = "n", value = 0, at_most = 0 }).outcome)
    assert.are.equal("inconclusive", c.amplification({ operations = 0, logical = 320 }).outcome)
    assert.are.equal("holds", c.amplification({ operations = 0, logical = 320, control = 9 }).outcome)
    assert.are.equal("inconclusive", c.conservation({ ledger = 0, view = 0 }).outcome)
    assert.has_error(function() c.amplification { operations = 1, logical = 1, at_most = 0 } end)
  end)

  it("refuses a list with a hole, a row without its id and a row without what is compared", function()
    local c = checks()
    assert.has_error(function() c.lost { of = { "a", nil, "c" }, in_ = { "a" } } end)
    assert.has_error(function() c.lost { of = { { key = 1 } }, in_ = { "a" } } end)
    assert.has_error(function() c.reorder { of = { { id = "a", version = 1 } }, what = "apply" } end)
    assert.has_error(function() c.reorder { of = { { id = "a", key = 1 } }, what = "apply" } end)
    assert.has_error(function() c.lost { of = { require("rlab.json").null }, in_ = { "a" } } end)
  end)

  it("takes nothing for a list that is not one, and no text for a row", function()
    local c = checks()
    for _, list in ipairs { { first = "a" }, { [0] = "a", "b" }, { "a", [1.5] = "b" }, { "a", n = 1 } } do
      local ok, why = pcall(function() c.lost { of = list, in_ = { "a" } } end)
      assert.is_false(ok)
      assert.matches("'of' is no list without holes", why, 1, true)
      assert.has_error(function() c.reorder { of = list, what = "apply" } end)
    end
    local ok, why = pcall(function() c.reorder { of = { ROW, "a" }, what = "apply" } end)
    assert.is_false(ok)
    assert.matches("'of' is a list of rows with .*, at 2 is a string", why)
    ok, why = pcall(function() c.reorder { of = { [1] = ROW, [3] = ROW }, what = "apply" } end)
    assert.is_false(ok)
    assert.matches("'of' is no list without holes", why, 1, true)
  end)

  it("refuses a control that does not say what it saw", function()
    local cases = {
      ["'control' is a table, this is a boolean"] = true,
      ["'control.what' is a text, this is a nil"] = { seen = 3 },
      ["'control.what' is a text, this is a number"] = { what = 3, seen = 3 },
      ["'control.seen' is a number, this is a nil"] = { what = "x" },
      ["'control.seen' is a number, this is a string"] = { what = "x", seen = "3" },
      ["it has no 'saw'"] = { what = "x", seen = 3, saw = 4 },
    }
    for words, control in pairs(cases) do
      local ok, why = pcall(function() checks().lost { of = { "a" }, in_ = { "a" }, control = control } end)
      assert.is_false(ok, words)
      assert.matches(words, why, 1, true)
    end
  end)

  it("takes a floor where it speaks of one list alone", function()
    assert.are.equal("inconclusive", checks().duplicate({ of = { "a" }, at_least = 2 }).outcome)
    assert.are.equal("holds", checks().duplicate({ of = { "a" }, at_least = 1 }).outcome)
  end)

  it("does not let an unknown partition pass for one where nothing was lost", function()
    local rows = { ROW, { id = "b", key = 1, version = 2, partition = 2, offset = 0 } }
    local one = checks().lost_effect { of = rows, committed = { ["0"] = 1 }, effects = { "a" } }
    assert.are.equal("inconclusive", one.outcome)
    assert.matches("partition 2", one.sentence)
    local two = checks().lost_effect { of = rows, committed = { ["0"] = 1, ["2"] = 1 }, effects = { "a" } }
    assert.are.same({ "b" }, two.ids)
  end)

  it("proves nothing by a group that passed nothing, or a transaction without records", function()
    assert.are.equal("inconclusive",
      checks().lost_effect({ of = { ROW }, committed = { ["0"] = 0 }, effects = { "a" } }).outcome)
    assert.are.equal("inconclusive",
      checks().all_or_nothing({ transactions = { { ROW }, {} }, of = { "a" } }).outcome)
  end)

  it("names a cached value that is ahead, of nobody, or of another balance", function()
    local views = { { key = 1, version = 2, balance = 5 } }
    for _, entry in ipairs { { key = 1, version = 3 }, { key = 9, version = 1 },
      { key = 1, version = 2, balance = 6 } } do
      assert.are.equal("violated", checks().stale_cache({ cache = { entry }, views = views }).outcome)
    end
  end)

  it("says how a stale value is looked up in Redis, in a run that was kept", function()
    local row = { key = 7, version = 1, stored_as = "x-cache:account:7" }
    local stale = checks().stale_cache { cache = { row },
      views = { { key = 7, version = 2 } } }
    assert.are.equal("echo 'redis \"HGETALL x-cache:account:7\"' | rlab", stale.counterexamples[1].show)
  end)

  it("adds sums up beyond 64 bits and refuses what is no number", function()
    local far = checks().conservation { ledger = math.mininteger, view = math.maxinteger }
    assert.are.equal("violated", far.outcome)
    assert.is_true(far.value > 1.8e19)
    for _, number in ipairs { 0 / 0, math.huge } do
      assert.are.equal("inconclusive", checks().conservation({ ledger = 1, view = number }).outcome)
    end
    assert.are.equal("inconclusive", checks().bound({ name = "n", value = 0 / 0, at_most = 1 }).outcome)
    assert.are.equal("inconclusive", checks().equals({ name = "n", got = 0 / 0, want = 1 }).outcome)
  end)
end)

describe("an expectation", function()
  it("for an arm that there is not is a mistake", function()
    local one = checks().equals { name = "n", got = 1, want = 1 }
    local ok, why = pcall(one.expect, one, { rigth = "holds" })
    assert.is_false(ok)
    assert.matches("did you mean 'right'", why)
    assert.is_true(one:expect({ arm = "holds", ["commit-first"] = "violated" }).as_expected)
  end)

  it("is said in the words that a report shows", function()
    local function said(want)
      return checks().lost({ of = { "a", "b" }, in_ = { "c" } }):expect(want).expects
    end
    assert.are.same({ "holds", "holds", "violated", "violated by exactly 2 ids", "violated by exactly 3" },
      { said {}, said "holds", said "violated", said { "a", "b" }, said(3) })
    local ok, why = pcall(function() said(true) end)
    assert.is_false(ok)
    assert.matches('an expectation is "holds", "violated", a list of ids or a number', why, 1, true)
  end)

  it("of an exact set holds for more ids than are listed", function()
    local bag = require "rlab.bag"
    local many, all = bag.new {}, {}
    for i = 1, 10050 do all[i] = ("id-%05d"):format(i) end
    for _, id in ipairs(all) do many:add(id) end
    local one = checks().lost { of = many, in_ = { "other" } }
    assert.are.equal(10000, #one.ids)
    assert.is_true(one:expect(all).as_expected)
    all[10050] = "another"
    assert.is_false(one:expect(all).as_expected)
  end)

  it("leaves out one of unknown outcome, and says so", function()
    local one = checks().lost { of = { "a", "b" }, in_ = { "a" }, unknown = { "b" } }
    assert.are.equal("holds", one.outcome)
    assert.matches("(1 of unknown outcome left out)", one.sentence, 1, true)
    assert.is_true(one:expect({}).as_expected)
  end)
end)
