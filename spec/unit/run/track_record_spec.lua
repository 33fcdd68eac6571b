-- The track record: what is counted of each arm, that it outlives the folders of runs, and how it is shown.
local fs = require "rlab.fs"
local index = require "rlab.report.index"
local json = require "rlab.json"
local overview = require "rlab.report.overview"
local track_record = require "rlab.run.track_record"
local ui_runs = require "rlab.ui.runs"

local function result(id, name, arms)
  return { id = id, title = "t", verdict = "pass", sentence = "s", checks = {}, arms = arms,
    run = { name = id .. "/" .. name, seed = 7, started = "2026-11-2" .. name .. "T10:00:00Z" } }
end

local function wrong(outcome, reason)
  return { name = "first", class = "wrong", outcome = outcome, reason = reason }
end

local function right(outcome, reason)
  return { name = "last", class = "right", outcome = outcome, reason = reason }
end

describe("the track record", function()
  local runs
  before_each(function() runs = assert(fs.tmpdir()) end)
  after_each(function() fs.remove(runs) end)

  local function keep(one)
    local dir = ("%s/%s"):format(runs, one.run.name)
    assert(fs.mkdir(dir))
    assert(fs.write(dir .. "/result.json", json.encode(one)))
    return one
  end

  local function some()
    track_record.add(runs, keep(result("E-004", "1", { wrong "fails as predicted", right "holds" })))
    track_record.add(runs, keep(result("E-004", "2", { wrong("inconclusive", "kafka waited 1.5 s"),
      right "holds" })))
    track_record.add(runs, keep(result("E-004", "3", { wrong("inconclusive", "kafka waited 2.25 s"),
      right("violated", "lost: 1 event") })))
    track_record.add(runs, keep(result("E-005", "4", { { name = "seen", class = "observe",
      outcome = "measured" } })))
  end

  it("counts each arm by its outcome, and a run by its worst arm", function()
    some()
    local total = track_record.read(runs)
    local one = total.experiments[1]
    assert.are.equal("1 of 3 as predicted, 1 inconclusive, 1 not", track_record.says(one))
    assert.are.equal("1 of 3 as predicted, 2 inconclusive", track_record.says(one.arms[1]))
    assert.are.equal("2 of 3 as predicted, 1 not", track_record.says(one.arms[2]))
    assert.are.equal("1 of 1 as predicted", track_record.says(total.experiments[2].arms[1]))
    assert.are.equal("4 runs of 2 experiments since 2026-11-21: 2 of 4 as predicted, 1 inconclusive, 1 not",
      track_record.sums_up(total))
  end)

  it("says each reason once, with how often it came", function()
    some()
    assert.are.same({
      { id = "E-004", arm = "first", class = "wrong", times = 2,
        says = "inconclusive: kafka waited 2.25 s" },
      { id = "E-004", arm = "last", class = "right", times = 1, says = "violated: lost: 1 event" },
    }, track_record.reasons(track_record.read(runs)))
  end)

  it("remembers runs whose folders are gone", function()
    some()
    fs.remove(runs .. "/E-004")
    assert.are.equal(4, track_record.read(runs).runs)
    assert.are.equal(1, track_record.read(runs, { "E-005" }).runs)
  end)

  it("brings with its first line what was kept before there was one", function()
    keep(result("E-004", "1", { right "holds" }))
    assert.are.equal(1, track_record.read(runs).runs)
    track_record.add(runs, keep(result("E-004", "2", { right "holds" })))
    fs.remove(runs .. "/E-004")
    assert.are.equal(2, track_record.read(runs).runs)
  end)

  it("takes no run twice, and none of a line that was cut off", function()
    some()
    local whole = assert(fs.read(runs .. "/record.jsonl"))
    assert(fs.append(runs .. "/record.jsonl", whole .. '{"id":"E-004","run":"E-004/9","ar'))
    assert.are.equal(4, track_record.read(runs).runs)
  end)

  it("is on the index page, in the README and in the console", function()
    some()
    local page = index.render(runs)
    assert.is_truthy(page:find('data-label="inconclusive">2</td>', 1, true), page)
    assert.is_truthy(page:find("2 x: inconclusive: kafka waited 2.25 s", 1, true), page)
    local text = overview.record(runs, { { id = "E-004" }, { id = "E-005" } })
    local row = "| E-004 | 2 | 3 | 1 | 1 | 1 | 2 x *first* inconclusive: kafka"
    assert.is_truthy(text:find(row, 1, true), text)
    local arms = ui_runs.list(runs)[1].record.arms
    assert.are.same({ "1 of 3 as predicted, 2 inconclusive", "2 of 3 as predicted, 1 not" },
      { arms[1].says, arms[2].says })
  end)

  it("is none where nothing was run", function()
    assert.are.equal(0, track_record.read(runs).runs)
    assert.is_truthy(overview.record(runs, {}):find("Nothing is recorded", 1, true))
  end)
end)
