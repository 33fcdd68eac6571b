-- What is said of a canary's rounds, by a clock and stores that the spec holds in its hand.
local judge = require "rlab.canary.judge"
local metrics = require "rlab.metrics"
local rounds_of = require "rlab.canary.rounds"
local tally_of = require "rlab.canary.tally"

local WITHIN = 10

-- A canary of one spec: at(seconds) moves its clock; rows is what the ledger has, nil while it is away.
local function bed()
  local self = { now = 100, rows = {}, told = {}, tally = tally_of.new(), step = 0 }
  self.rounds = rounds_of.new { within = WITHIN, now = function() return self.now end,
    ask = function()
      self.now = self.now + self.step
      if not self.rows then return nil, "MySQL is away" end
      return self.rows
    end,
    tell = function(round, before)
      self.tally:note(round.verdict, before)
      table.insert(self.told, (before and before .. " -> " or "") .. round.verdict)
    end }
  function self.look(seconds)
    self.now = 100 + seconds
    self.rounds:look(self.rounds:all())
  end
  function self.begin(answer, why)
    local round = self.rounds:begin "a"
    if answer then self.rounds:answered(round, answer, why) end
    return round
  end
  return self
end

local function row(effects, more)
  local found = { sent = true, effects = effects }
  for key, value in pairs(more or {}) do found[key] = value end
  return { a = found }
end

describe("a round of the canary", function()
  it("is held when its effect was seen in time, with the time of each hop", function()
    local b = bed()
    local round = b.begin()
    b.now = 100.5
    b.rounds:answered(round, "ok")
    b.now = 101
    b.rounds:read "a"
    b.look(1)
    assert.is_nil(round.verdict)
    b.rows = row(1)
    b.look(3)
    assert.equal("held", round.verdict)
    assert.same({ command = 0.5, relay = 0.5, consumer = 2, total = 3 }, round.hops)
    assert.equal(0, b.tally:code())
  end)

  it("waits for the answer of its command, whose effect may be there first", function()
    local b = bed()
    local round = b.begin()
    b.rows = row(1)
    b.look(1)
    assert.is_nil(round.verdict)
    b.look(WITHIN)
    assert.equal("held", round.verdict)
  end)

  it("is lost at its deadline, not before, and is told where it stopped", function()
    for why, rows in pairs { ["the ledger has no row"] = {},
      ["waits for the relay"] = row(0, { sent = false }),
      ["the record is not in the topic"] = row(0),
      ["parked its row: too large"] = row(0, { parked = "too large" }) } do
      local b = bed()
      local round = b.begin "ok"
      b.rows = rows
      b.look(WITHIN - 0.1)
      assert.is_nil(round.verdict)
      b.look(WITHIN)
      assert.equal("lost", round.verdict)
      assert.matches(why, round.why, 1, true)
      assert.equal(1, b.tally:code())
    end
  end)

  it("is told when the consumer has not applied a record that is there", function()
    local b = bed()
    local round = b.begin "ok"
    b.rounds:read "a"
    b.rows = row(0)
    b.look(WITHIN)
    assert.matches("the consumer has not applied it", round.why)
  end)

  it("that was lost is late when its effect comes, and no longer lost in the metrics", function()
    local b = bed()
    local round = b.begin "ok"
    b.rows = row(0)
    b.look(WITHIN)
    b.rows = row(1)
    b.look(WITHIN + 4)
    assert.same({ "lost", "lost -> late" }, b.told)
    assert.matches("after 14.00 s, 4.00 s past", round.why)
    assert.equal(4, b.tally:code())
    local text = metrics.render(b.tally:metrics())
    for _, line in ipairs { "rlab_canary_lost 0", "rlab_canary_overdue_total 1", "rlab_canary_late_total 1",
      "rlab_canary_rounds_total 1" } do
      assert.is_truthy(text:find("\n" .. line .. "\n", 1, true), line)
    end
  end)

  it("is not called late when nobody looked around its deadline", function()
    local b = bed()
    local round = b.begin "ok"
    b.rows = row(0)
    b.look(1)
    b.rows = row(1)
    b.look(WITHIN + 30)
    assert.equal("inconclusive", round.verdict)
    assert.matches("between 1.00 s and 40.00 s", round.why)
  end)

  it("counts an effect as seen when the look ends, and as missing when it began", function()
    local b = bed()
    local round = b.begin "ok"
    b.step, b.rows = 2, row(1)
    b.look(WITHIN - 1)
    assert.equal("inconclusive", round.verdict)
    assert.equal(WITHIN + 1, round.facts.came_s)
  end)

  it("is doubled when its effect is there twice, also after it held", function()
    local b = bed()
    b.begin "ok"
    b.rows = row(1)
    b.look(1)
    b.rows = row(2)
    b.look(60)
    assert.same({ "held", "held -> doubled" }, b.told)
    assert.equal(1, b.tally:code())
  end)

  it("cannot be judged while the store is away, and what was known stays known", function()
    local b = bed()
    local round = b.begin "ok"
    b.rows = nil
    b.look(WITHIN)
    assert.equal("inconclusive", round.verdict)
    assert.matches("MySQL is away", round.why)
    assert.equal(3, b.tally:code())
    b.rows = row(0)
    b.look(20)
    b.rows = nil
    b.look(30)
    assert.same({ "inconclusive", "inconclusive -> lost" }, b.told)
  end)

  it("says nothing of a command that was not taken, and loses none that nobody knows of", function()
    local b = bed()
    local round = b.begin("fail", "HTTP 409")
    b.look(0.1)
    assert.equal("inconclusive", round.verdict)
    assert.same({}, b.rounds:overdue())
    b = bed()
    round = b.begin("info", "HTTP 503")
    b.look(WITHIN)
    assert.equal("inconclusive", round.verdict)
    assert.matches("nobody knows whether it was taken %(HTTP 503%): no row", round.why)
    b.rows = row(0)
    b.look(WITHIN + 1)
    assert.equal("lost", round.verdict)
  end)

  it("is kept while its effect may come, and for a while after", function()
    local b = bed()
    local lost = b.begin "ok"
    b.look(WITHIN)
    for i = 1, 150 do
      local id = "held-" .. i
      b.rounds:answered(b.rounds:begin(id), "ok")
      b.rows[id] = { sent = true, effects = 1 }
    end
    b.look(WITHIN)
    local gone = b.rounds:forget()
    assert.same({ 50, "held-1", lost }, { #gone, gone[1], b.rounds:all()[1] })
    assert.same({ lost }, b.rounds:overdue())
  end)
end)

describe("a canary", function()
  it("that has judged no round says nothing", function()
    assert.equal(3, tally_of.new():code())
    assert.is_nil((judge.of({ answer = "ok", effects = 0, absent_s = 0 }, 1, WITHIN)))
  end)

  it("puts an effect that is missing before one that was late, and that before one unknown", function()
    local tally = tally_of.new()
    tally:note "held"
    assert.equal(0, tally:code())
    tally:note "inconclusive"
    assert.equal(3, tally:code())
    tally:note "late"
    assert.equal(4, tally:code())
    tally:note "lost"
    assert.equal(1, tally:code())
    assert.equal("4 rounds: 1 held, 1 late, 1 lost, 1 inconclusive", tally:says())
  end)
end)
