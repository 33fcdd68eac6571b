-- The moment's second half: what the stores held, a wrong arm beside a right one.
local check = require "rlab.check"
local experiment = require "rlab.experiment"
local held = require "rlab.report.held"
local report = require "rlab.report"
local run_held = require "rlab.run.held"

local function judged(class, f)
  local lab = { label = "arm", arm = { class = class, name = "arm" }, arm_names = { "arm" }, checks = {} }
  f(check.bind(lab))
  return check.plain(lab.checks[1])
end

local function at(text, ...)
  local from = 1
  for _, what in ipairs { ... } do
    local found = text:find(what, from, true)
    if not found then return nil, what end
    from = found + #what
  end
  return from
end

describe("a check that holds", function()
  it("says what the stores hold of one that is as it must be", function()
    local fresh = judged("right", function(lab_check)
      lab_check.stale_cache { cache = { { key = 1, version = 1 }, { key = 7, version = 9 } },
        views = { { key = 1, version = 1 }, { key = 7, version = 9 } } }:expect "holds"
    end)
    assert.are.same({ { store = "view row", text = "account 7: version 9" },
      { store = "cache entry", text = "account 7: version 9" } }, fresh.stores)
    local sums = judged("right", function(lab_check)
      lab_check.conservation { ledger = 5, view = 5, unit = "cents" }:expect "holds"
    end)
    assert.are.same({ { store = "ledger", text = "5 cents" }, { store = "view", text = "5 cents" } },
      sums.stores)
  end)

  it("says nothing where there is nothing", function()
    local none = judged("right", function(lab_check)
      lab_check.stale_cache { cache = { { key = 1, state = "tombstone", version = 2 } }, at_least = 0,
        views = { { key = 1, version = 1 } } }:expect "holds"
    end)
    assert.are.same({ "holds" }, { none.outcome, none.stores })
  end)
end)

describe("the stores of an experiment's moment", function()
  local exp = { arms = { { name = "bad", class = "wrong" }, { name = "good", class = "right" },
    { name = "cut", class = "right" }, { name = "broken", class = "right" },
    { name = "in debt", class = "right" } },
    moment = function(seen, arm, shared)
      if arm.name == "cut" then return nil end
      return { says = shared.what, { "producer", "1 sent" }, { "view", seen.rows .. " rows", seen.rows > 1 } }
    end }
  local evidence = { shared = { what = "event 7" }, arms = { bad = { rows = 2 }, good = { rows = 1 },
    cut = {}, broken = {}, ["in debt"] = { rows = 1, owed = { { kept = false } } } } }

  it("are told by arm, and one of which nothing can be told keeps no run from its end", function()
    local bad, good, broken, more = table.unpack(run_held.of(exp, evidence))
    assert.are.same({ "bad", "event 7", true, false }, { bad.arm, bad.says, bad.stores[1].agrees,
      bad.stores[2].agrees })
    assert.are.same({ "good", true }, { good.arm, good.stores[2].agrees })
    assert.are.same({ "broken", 0, nil }, { broken.arm, #broken.stores, more })
    assert.matches("^no picture: ", broken.says)
    assert.is_nil(run_held.of({ arms = exp.arms }, evidence))
  end)

  it("are drawn with the right arm beside the wrong one that tells of the same", function()
    local function row(arm, says, off)
      return { arm = arm, says = says, stores = { { store = "log", text = "a", agrees = true },
        { store = "view", text = arm, agrees = not off } } }
    end
    local arms = { { name = "w1", class = "wrong" }, { name = "w2", class = "wrong" },
      { name = "r1", class = "right" }, { name = "r2", class = "right" } }
    local text = held.render { arms = arms, held = { row("w1", "x", true), row("w2", "y", true),
      row("r1", "z"), row("r2", "y") } }
    assert.is_truthy(at(text, "<b>w2</b>", "<b>r2</b>", "<b>w1</b>", "<b>r1</b>"))
    assert.is_truthy(at(text, "<b>w2</b>", "tiebar cut", "differs from", '<li class="off">', "<b>r2</b>",
      'tiebar"', "agrees with"))
  end)

  it("are not drawn of an arm without a verdict", function()
    local stores = { { store = "log", text = "1", agrees = false } }
    local result = { arms = { { name = "a", class = "wrong", outcome = "inconclusive" } },
      held = { { arm = "a", says = "s", stores = stores } } }
    assert.is_false(held.any(result))
    result.arms[1].outcome = "fails as predicted"
    assert.is_true(held.any(result))
  end)

  it("are those of the checks where the experiment tells none: a right one by the same check", function()
    local function stores(a, b) return { { store = "ledger", text = a }, { store = "view", text = b } } end
    local result = { arms = { { name = "bad", class = "wrong" }, { name = "good", class = "right" } },
      checks = { { arm = "bad", name = "conservation", outcome = "violated", as_expected = true,
        counterexamples = { { id = "sum", stores = stores("5", "4") } } },
        { arm = "good", name = "other", outcome = "holds", stores = stores("1", "1") },
        { arm = "good", name = "conservation", outcome = "holds", stores = stores("5", "5") } } }
    local text = held.render(result)
    assert.is_truthy(at(text, "<b>bad</b>", "cut", "<b>good</b>", "<code>5</code>", "<code>5</code>"))
    assert.is_nil(text:find("<code>1</code>", 1, true))
  end)
end)

describe("every experiment's report", function()
  local shows = { "lab:moment", "lab:picture", "show_copies", "check.conservation", "check.stale_cache",
    "rlab.story.degradation", "transfers.check" }
  it("has a moment: of records, of a check over two stores, or one of its own", function()
    local fs = require "rlab.fs"
    for _, path in ipairs(experiment.names()) do
      local exp, text, some = experiment.load(path), fs.read(path), false
      for _, word in ipairs(shows) do some = some or text:find(word, 1, true) end
      assert.is_truthy(exp.moment or some, path)
    end
  end)
end)

describe("the moments of the experiments", function()
  local function told(name, seen, arm)
    local list = require("rlab.story.moment." .. name)(seen, arm)
    local out = {}
    for i, s in ipairs(list) do out[i] = (s[3] and "off " or "") .. s[2] end
    return table.concat(out, " | ")
  end

  it("say of a stampede what it costs", function()
    local function of(n, settings)
      settings.story = "one key"
      return told("stampede", { answers = { {}, {}, {} }, selects = n, before_load = 3 },
        { settings = settings })
    end
    assert.are.equal("account 7: has run out | 3 find nothing | off 64 SELECTs of one row", of(64, {}))
    assert.are.equal("account 7: has run out | 3 find nothing | 1 SELECT of one row", of(1, {}))
    assert.matches("3 answered with the old value | 1 SELECT", of(1, { soft_ttl = "5s" }), 1, true)
  end)

  it("say of an old event whether it is known, refused or applied again", function()
    local function of(arm, seen)
      return told("retention", seen, { class = "right", settings = arm })
    end
    local short = { too_old = { "e10" }, old = { "e3" }, effects = { "e10", "e10" }, dead = {} }
    assert.are.equal("e10 once more | off its row is gone | not in it | off 2 rows",
      of({ way = "chunks", keep = 7 }, short))
    short.effects, short.dead = { "e10" }, { { id = "e10" } }
    assert.are.equal("e10 once more | its row is gone | refused as too old | 1 row",
      of({ way = "chunks", keep = 7, refuses = true }, short))
    assert.are.equal("e3 once more | its row is there | not in it | 1 row",
      of({ way = "chunks", keep = 15 }, { too_old = {}, old = { "e3" }, effects = { "e3" }, dead = {} }))
  end)

  it("say of a late EndTxn what a reader is given", function()
    local function of(held_word, late, given)
      return told("late_end", { rounds = { { held = held_word, rc = given,
        second = { acked = { { id = "x/T2-a" } }, late = late } } } }, { name = "a" })
    end
    assert.are.equal("T2-a, T2 committed | off ends T2 in the middle | off is not given T2-a",
      of("abort", 0, {}))
    assert.are.equal("T2-a, T2 aborted | is refused: error 47 | is not given T2-a", of("commit", 47, {}))
  end)
end)

describe("a record of work that was rolled back", function()
  it("is no aborted record", function()
    local text = require("rlab.report.moment").render { title = "t", partitions = { { topic = "events",
      partition = 0, cells = { { offset = 0, kind = "ghost", id = "e1" } } } } }
    assert.is_truthy(text:find('class="c-ghost"', 1, true))
    assert.is_truthy(text:find("record of work that was rolled back", 1, true))
    assert.is_nil(text:find("aborted", 1, true))
  end)
end)

describe("the report", function()
  it("has the stores in its moment", function()
    local text = report.render({ id = "E-900", arms = { { name = "a", class = "wrong" } },
      held = { { arm = "a", says = "s", stores = { { store = "log", text = "1", agrees = true } } } } },
      {}, {})
    assert.is_truthy(text:find('id="moment"', 1, true))
  end)
end)
