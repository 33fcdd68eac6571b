-- The parts of the report that compare arms: the grid of checks, the figures, the tables.
local checks = require "rlab.report.checks"
local compare = require "rlab.report.compare"

local function count(text, what) return select(2, text:gsub(what, "")) end

describe("the grid of checks", function()
  local function arms(n)
    local list = {}
    for i = 1, n do list[i] = { name = "arm-" .. i, class = i % 2 == 1 and "wrong" or "right" } end
    return list
  end

  local function text_of(list, n) return checks.render { arms = arms(n or 2), checks = list } end

  local function violated(arm, name, examples, more)
    local check = { arm = arm, name = name, outcome = "violated", counterexamples = examples }
    for key, value in pairs(more or {}) do check[key] = value end
    return check
  end

  it("says an expected violation of a right arm without alarm, and counts with a unit", function()
    local text = text_of { violated("arm-1", "lost", { { id = "a" } }),
      violated("arm-2", "copies", { { id = "a" }, { id = "b" } }, { more = 8, as_expected = true }) }
    assert.truthy(text:find('<b>violated</b> <span class="num">1 id</span>', 1, true))
    assert.truthy(text:find('<td class="calm expected"><a href="#check-2"><b>10 ids</b> \z
      <span class="num">as expected</span>', 1, true))
  end)

  it("says without alarm in a wrong arm, too, what right arms expect of the same check", function()
    local text = text_of { violated("arm-1", "copies", { { id = "a" } }, { as_expected = true }),
      violated("arm-1", "lost", { { id = "a" } }, { as_expected = true }),
      violated("arm-2", "copies", { { id = "a" } }, { as_expected = true }) }
    assert.are.equal(2, count(text, '<td class="calm expected">'))
    assert.are.equal(1, count(text, '<td class="violated expected">'))
  end)

  it("says a surprise as one, in every class", function()
    local text = text_of { violated("arm-2", "copies", { { id = "a" } }, { as_expected = false }) }
    assert.truthy(text:find('<td class="violated unexpected">', 1, true))
  end)

  it("shows no count of what was measured and not counted", function()
    local itself = { { id = "peak" } }
    local text = text_of { violated("arm-1", "peak", itself),
      violated("arm-2", "peak", itself, { value = 43, unit = "ms", as_expected = false }) }
    assert.truthy(text:find('<b>violated</b> <span class="num"></span>', 1, true))
    assert.truthy(text:find('<span class="num">43 ms</span>', 1, true))
  end)

  it("folds the checks that hold wherever they were asked", function()
    local text = text_of { violated("arm-1", "lost", { { id = "a" } }),
      { arm = "arm-2", name = "lost", outcome = "holds" },
      { arm = "arm-1", name = "drained", outcome = "holds" } }
    assert.truthy(text:find("1 more check holds wherever asked: drained", 1, true))
  end)

  it("puts at most six arms beside each other, in tables of about one width", function()
    local list = {}
    for i = 1, 13 do list[i] = { arm = "arm-" .. i, name = "lost", outcome = "violated" } end
    local text = text_of(list, 13)
    assert.are.equal(3, count(text, '<table class="grid"'))
    assert.truthy(text:find("--n:3;--of:5", 1, true))
    for i = 1, 13 do assert.are.equal(1, count(text, ('id="check%%-%d"'):format(i))) end
  end)
end)

describe("the figures of the arms", function()
  local function measured(rows)
    local result = { arms = {} }
    for i, row in ipairs(rows) do
      result.arms[i] = { name = "arm-" .. i, class = "right", numbers = row }
    end
    return compare.measured(result)
  end

  it("have a bar on one scale from zero where two arms have one", function()
    local text = measured { { { name = "p99", value = 50, unit = "ms" }, { name = "only", value = 3 } },
      { { name = "p99", value = 200, unit = "ms" } }, { { name = "p99", value = "not measured" } } }
    assert.truthy(text:find('50 ms<i class="share" style="--w:25.0%">', 1, true))
    assert.truthy(text:find('200 ms<i class="share" style="--w:100.0%">', 1, true))
    assert.truthy(text:find('<td class=n data-label="p99">not measured</td>', 1, true))
    assert.truthy(text:find('<td class=n data-label="only">3</td>', 1, true))
  end)

  it("stand in several tables when there are many, each with the arms that have some", function()
    local many, few = {}, { { name = "n1", value = 1 } }
    for i = 1, 9 do many[i] = { name = "n" .. i, value = i } end
    local text = measured { many, few }
    assert.are.equal(2, count(text, "<table"))
    assert.are.equal(1, count(text, "arm%-2"))
  end)
end)

describe("the tables of an experiment", function()
  local function table_of(arm, rows)
    return { arm = arm, title = "By node", head = { "node", "share", "note" }, rows = rows }
  end

  it("are one where they are the same of several arms", function()
    local text = compare.tables { arms = { { name = "a", class = "wrong" }, { name = "b", class = "right" } },
      tables = { table_of("a", { { "1", "92 %", "x" }, { "2", "8 %", "y" } }),
        table_of("b", { { "1", "46 %", "" } }),
        { title = "Other", head = { "x" }, rows = { { "y" } } } } }
    assert.are.equal(2, count(text, "<table"))
    assert.truthy(text:find("By node, 3 rows", 1, true))
    assert.truthy(text:find('rowspan="2"><span class="cls wrong">', 1, true))
    assert.truthy(text:find('46 %<i class="share" style="--w:50.0%">', 1, true))
  end)

  it("have no bars in columns that are not figures all the way", function()
    local rows = { { "1 (a)", "3", "1" }, { "2 (b)", "n4", "2" } }
    local text = compare.tables { tables = { table_of(nil, rows) } }
    assert.is_nil(text:find('3<i class="share"', 1, true))
    assert.truthy(text:find('2<i class="share"', 1, true))
  end)

  it("have none where a number names a thing", function()
    local text = compare.tables { tables = { { arm = "a", title = "Where the group is",
      head = { "partition", "lag" }, rows = { { 0, 7 }, { 1, 9 } } } } }
    assert.is_nil(text:find('1<i class="share"', 1, true))
    assert.truthy(text:find('9<i class="share"', 1, true))
  end)
end)

describe("names in drawings", function()
  it("of neighbours in a sequence stand on steps where they would touch", function()
    local function rows_of(names)
      local steps, rows = {}, {}
      for i = 2, #names do steps[i - 1] = { from = names[i - 1], to = names[i], text = "x" } end
      local slim = require("rlab.report.sequence").render(steps):match '<svg class="seq slim".-</svg>'
      for y in slim:gmatch '<text class="actor" x="[%d.]+" y="([%d.]+)"' do rows[#rows + 1] = tonumber(y) end
      return rows
    end
    assert.same({ 13, 13, 13 }, rows_of { "relay", "broker", "MySQL" })
    assert.same({ 13, 30, 13, 30 }, rows_of { "producer", "broker", "coordinator", "consumer" })
  end)

  it("of a step that is wrong or right are bold, and have room for it", function()
    local text = ("0 "):rep(18) .. "COMMIT"
    local function lines_of(class)
      local steps = { { from = "a", to = "b", text = text, class = class } }
      local slim = require("rlab.report.sequence").render(steps):match '<svg class="seq slim".-</svg>'
      return select(2, slim:gsub('<text class="what"', ""))
    end
    assert.are.same({ 1, 2, 2 }, { lines_of(nil), lines_of "wrong", lines_of "right" })
  end)

  it("of watermarks stand before their pole where they would be cut behind it", function()
    local function anchor_of(n)
      local cells = {}
      for i = 1, n do cells[i] = { offset = i, kind = i % 2 == 0 and "open" or "aborted", id = "e" } end
      local text = require("rlab.report.moment").render { title = "t", partitions = { { topic = "t",
        partition = 0, cells = cells, marks = { lso = n + 1, hw = n + 1, leo = n + 1 } } } }
      return text:match '<text class="flag" x="[%d.]+" y="[%d.]+"( ?[^>]*)>'
    end
    assert.equal("", anchor_of(14))
    assert.equal(' text-anchor="end"', anchor_of(20)) -- 142 pixels are left, "LSO = HW = LEO 21" may take 137
  end)
end)

describe("what the stores held", function()
  local held = require "rlab.report.held"

  local function result_with(stores, moment)
    return { moment = moment, arms = { { name = "a", class = "wrong" }, { name = "b", class = "right" } },
      checks = { { arm = "a", name = "stale-cache", outcome = "violated", sentence = "1 account stale",
        counterexamples = { { id = "7", stores = stores } } },
        { arm = "b", name = "stale-cache", outcome = "holds" } } }
  end

  it("is boxes, cut where they differ and joined where they agree", function()
    local text = held.render(result_with { { store = "ledger", text = "5" },
      { store = "account", text = "5" }, { store = "topic", text = "5" }, { store = "view", text = "<7>" } })
    assert.truthy(text:find('<section id="moment">', 1, true))
    assert.are.equal(2, count(text, 'aria%-label="agrees with"'))
    assert.are.equal(1, count(text, 'class="tiebar cut" aria%-label="differs from"'))
    assert.truthy(text:find('<li class="off">view<code>&lt;7&gt;</code></li>', 1, true))
  end)

  it("stands below the records where there are some, and is left out where nothing is known", function()
    local two = { { store = "a", text = "1" }, { store = "b", text = "2" } }
    assert.truthy(held.render(result_with(two, {})):find('<section id="held">', 1, true))
    assert.are.equal("", held.render(result_with(nil)))
    assert.is_false(held.any(result_with { two[1] }))
  end)

  it("is told by the checks of the cache and of the sums", function()
    local lab = { label = "arm", arm = { class = "right", name = "arm" }, class = "right", checks = {} }
    local check = require("rlab.check").bind(lab)
    local stale = check.stale_cache { cache = { { key = 7, version = 30 } },
      views = { { key = 7, version = 31 } } }
    assert.are.same({ { store = "view row", text = "account 7: version 31" },
      { store = "cache entry", text = "account 7: version 30" } }, stale.counterexamples[1].stores)
    local sums = check.conservation { ledger = 3, view = 2, unit = "cents" }
    assert.are.same({ { store = "ledger", text = "3 cents" }, { store = "view", text = "2 cents" } },
      sums.counterexamples[1].stores)
  end)
end)

describe("a short log", function()
  it("is drawn larger, a long one as it is", function()
    local moment = require "rlab.report.moment"
    local function width_of(n)
      local cells = {}
      for i = 1, n do cells[i] = { offset = i, kind = i % 3 == 0 and "parked" or "plain", id = "x" .. i } end
      local text = moment.render { title = "t", partitions = { { topic = "x", partition = 0, cells = cells,
        marks = {} } } }
      return text:match 'class="cells wide".-viewBox="%-1 0 (%d+)', text
    end
    assert.are.equal("702", (width_of(4)))
    assert.are.equal("1122", (width_of(18)))
    assert.truthy(select(2, width_of(4)):find("parked record", 1, true))
  end)
end)

describe("a unit of one", function()
  local html = require "rlab.report.html"
  it("is singular where it is a word", function()
    assert.are.equal("1 event", html.quantity(1, "events"))
    assert.are.equal("2 events", html.quantity(2, "events"))
    assert.are.same({ "1 ms", "1 s", "1 MiB" }, { html.quantity(1, "ms"), html.quantity(1, "s"),
      html.quantity(1, "MiB") })
  end)

  it("is singular in the first word that stands for many", function()
    local unit_for = require("rlab.check.core").unit_for
    for many, one in pairs { ["old fills refused"] = "old fill refused", deliveries = "delivery",
      ["SELECTs in 100 ms"] = "SELECT in 100 ms", ["copies of the record"] = "copy of the record",
      ["a status of legs"] = "a status of leg", ["a class"] = "a class",
      ["it was ids that partitions keep"] = "it was id that partitions keep", ["of 1"] = "of 1" } do
      assert.are.same({ one, many }, { unit_for(1, many), unit_for(2, many) })
    end
  end)
end)

describe("the proofs of faults", function()
  local proofs = require "rlab.report.proofs"

  local function faults(n, same)
    local list = {}
    for i = 1, n do
      list[i] = { name = same or "fault " .. i, arm = "arm " .. i, at = i, fired = i ~= 9, proof = "seen" }
    end
    return list
  end
  local function rows(text) return count(text, "<tr class=") end

  it("are all shown where they are few, or all different", function()
    for _, list in ipairs { faults(12, "kill"), faults(30) } do
      local text = proofs.render { faults = list }
      assert.are.same({ #list, 0 }, { rows(text), count(text, "<details") })
    end
    assert.are.equal("", proofs.render {})
  end)

  it("are each shown once where they are many, and what did not fire; the rest is folded", function()
    local text = proofs.render { faults = faults(30, "kill") }
    local shown, folded = text:match "^(.-)<details(.*)$"
    assert.are.same({ 2, 28 }, { rows(shown), rows(folded) })
    assert.truthy(shown:find("did not fire", 1, true))
    assert.truthy(folded:find("28 faults of the same", 1, true))
  end)

  it("say once what they say several times", function()
    local text = proofs.render { faults = { { name = "f", at = 1, proof = "lock, 5; lock, 6; lock, 5" } } }
    assert.truthy(text:find(">lock, 5 (2 times); lock, 6<", 1, true))
  end)
end)
