local frame = require "rlab.ui.frame"
local models = require "rlab.ui.model"
local record = require "rlab.ui.record"
local report = require "rlab.report"
local term = require "rlab.term"

local HEAD = { kind = "run", id = "E-900", title = "a story", question = "does it?", seed = 7, at = 0,
  arms = { { name = "commit-first", class = "wrong" }, { name = "commit-last", class = "right" } },
  quantities = { { name = "records lost" } } }

local BEGUN = { HEAD, { kind = "begins", arm = "commit-first", at = 1 },
  { kind = "point", arm = "commit-first", q = 1, t = 0, v = 0, at = 1 },
  { kind = "fault", arm = "commit-first", t = 0.5, name = "SIGKILL consumer", at = 1.5 },
  { kind = "gauges", arm = "commit-first", t = 0.6, at = 1.6,
    values = { lag = 12, backlog = 3, ["p0.hw"] = 9, ["p0.lso"] = 7, ["p0.leo"] = 10 } },
  { kind = "point", arm = "commit-first", q = 1, t = 1, v = 4, at = 2 },
  { kind = "event", arm = "commit-first", t = 1, text = "event 40 is gone", anomaly = true, at = 2 } }

local function after(...)
  local model = models.new()
  for _, events in ipairs { ... } do models.take(model, events) end
  return model
end

local function text_of(model, opts)
  opts = opts or {}
  opts.width = opts.width or 100
  return table.concat(frame.lines(model, opts), "\n")
end

describe("rlab top", function()
  it("shows the arms, what was lost, the fault, lag, backlog and marks of what runs", function()
    local seen = text_of(after(BEGUN))
    assert.matches("commit%-first: event 40 is gone", seen)
    assert.matches("wrong +commit%-first .* 4  running, 1%.00 s", seen)
    assert.matches("fault: SIGKILL consumer .* backlog 3 .* lag 12 .* p0 LSO 7 HW 9 LEO 10", seen)
    assert.matches("right +commit%-last .*not begun", seen)
    assert.matches("%+1%.00 s +commit%-first: event 40 is gone\n", seen)
    assert.matches("gone\n +%+0%.50 s +commit%-first: fault: SIGKILL", seen)
  end)

  it("forgets what nobody knows any more, and counts a fault that is over", function()
    local seen = text_of(after(BEGUN, {
      { kind = "gauges", arm = "commit-first", t = 1.2, values = { lag = false }, at = 2.2 },
      { kind = "over", arm = "commit-first", t = 1.3, name = "SIGKILL consumer", at = 2.3 } }))
    assert.is_nil(seen:find("lag 12", 1, true))
    assert.matches("1 fault over", seen)
  end)

  it("says how an arm was judged and what became of the run", function()
    local seen = text_of(after(BEGUN, { { kind = "ends", arm = "commit-first", t = 2, at = 3,
      outcome = "fails as predicted", checks = { { outcome = "violated" }, { outcome = "holds" } } },
      { kind = "begins", arm = "commit-last", at = 3 },
      { kind = "ends", arm = "commit-last", t = 1, at = 4, outcome = "inconclusive", reason = "no proof",
        checks = { { outcome = "violated", as_expected = true } } },
      { kind = "verdict", sentence = "one lost, one did not", word = "PASS", tone = "right", at = 4 } }))
    assert.matches("fails as predicted\n +checks: 1 hold, 1 violated", seen)
    assert.matches("no proof .* checks: 1 violated as expected", seen)
    assert.matches("one lost, one did not\n +PASS\n", seen)
    assert.matches("took 4%.0 s", seen)
  end)

  it("draws all arms on one scale and one time", function()
    local seen = text_of(after(BEGUN, { { kind = "begins", arm = "commit-last", at = 2 },
      { kind = "point", arm = "commit-last", q = 1, t = 0, v = 0, at = 2 },
      { kind = "tick", at = 3 } }))
    local first, last = seen:match "commit%-first ([^ ]+) .-commit%-last +([^ ]+) "
    assert.matches("▁+█+", first)
    assert.equal(utf8.len(first) // 2, utf8.len(last))
    assert.equal(("▁"):rep(utf8.len(last)), last)
  end)

  it("begins anew for another run, and says what to do when there is none", function()
    local model = after(BEGUN, { HEAD })
    assert.is_nil(text_of(model):find("gone", 1, true))
    assert.matches("Nothing is running%..*rlab E%-012", text_of(models.new()))
  end)

  it("shows what steers a terminal as text", function()
    local steers = { kind = "event", arm = "commit-last", t = 1, text = "\27[2J", at = 3 }
    local seen = text_of(after(BEGUN, { steers }))
    assert.matches("\\x1b%[2J", seen)
  end)

  it("fits every width and height", function()
    for _, name in ipairs { "fixture-E-007", "fixture-E-009", "fixture-E-012" } do
      local model = after(record.events(assert(report.load("spec/fixtures/report/" .. name)), name))
      for _, width in ipairs { 24, 40, 71, 72, 200 } do
        for _, height in ipairs { 3, 8, 12, 24, 60 } do
          local lines = frame.lines(model, { width = width, height = height, foot = "q ends it" })
          assert.equal(height, #lines)
          assert.matches("q ends it", lines[height])
          for _, line in ipairs(lines) do assert.is_true(term.display_width(line) <= width, line) end
        end
      end
    end
  end)

  it("says how many arms have no room", function()
    local model = after(record.events(assert(report.load "spec/fixtures/report/fixture-E-009"), "x"))
    assert.matches("%+%d more arms", text_of(model, { height = 10, foot = "q" }))
  end)
end)
