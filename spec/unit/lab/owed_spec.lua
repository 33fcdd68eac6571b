-- Debts: kept and broken, live and judged again.
local clock = require "rlab.clock"
local owed = require "rlab.lab.owed"
local task = require "rlab.task"
local verdict = require "rlab.run.verdict"

local function arm_of(class, seconds)
  local lab = { label = "a", arm = { class = class, name = "a" }, class = class, checks = {}, debts = {},
    said = {} }
  function lab.now() return seconds or 1 end
  function lab.anomaly(_, text) table.insert(lab.said, text) end
  lab.owed = owed.owed
  return lab
end

local function wait(lab, ...)
  local args = table.pack(...)
  local ok, value
  task.spawn(function() ok, value = pcall(lab.owed, lab, table.unpack(args, 1, args.n)) end):join()
  return ok, value
end

local function never() return false end

describe("lab:owed", function()
  it("returns what came true and keeps the time that it took", function()
    local lab = arm_of "right"
    local ok, value = wait(lab, "drained", "nothing left", function() return 7 end)
    assert.is_true(ok)
    assert.are.equal(7, value)
    assert.are.equal("drained", lab.debts[1].name)
    assert.is_true(lab.debts[1].kept)
    assert.is_true(lab.debts[1].seconds < 1)
  end)

  it("ends the story when it is not kept, and says what was owed", function()
    local lab = arm_of("right", 0)
    lab.now = function() return 0 end
    local ok, failure = wait(lab, "drained", function() return "3 rows" end, never, "50ms")
    assert.is_false(ok)
    assert.is_true(owed.is_broken(failure))
    assert.are.equal("drained: did not happen within 0.1 s: 3 rows", failure.message)
    assert.are.same({ failure.message }, lab.said)
    assert.are.equal("3 rows", owed.broken(lab.debts).what)
  end)

  it("may take half of what the arm took so far, and at least what is stated", function()
    for _, case in ipairs { { 1, nil, 4 }, { 30, nil, 15 }, { 1, "5s", 5 }, { 20, "5s", 10 } } do
      local lab = arm_of("right", case[1])
      wait(lab, "drained", "x", function() return true end, case[2])
      assert.are.equal(case[3], lab.debts[1].limit)
    end
  end)

  it("begins its time anew while less is left each time", function()
    local lab, left = arm_of("right", 0), 30
    local ok = wait(lab, "drained", "nothing left", function()
      left = left - 1
      return left == 0, left
    end, "100ms")
    assert.is_true(ok)
    assert.is_true(lab.debts[1].seconds > 0.2)
  end)

  it("does not take other work for progress", function()
    local lab, left = arm_of("right", 0), 0
    local ok = wait(lab, "drained", "nothing left", function()
      left = left + 1
      return left > 100, left -- or it would be waited for without end
    end, "50ms")
    assert.is_false(ok)
  end)

  it("counts quiet time only, and gives up when there is too little of it", function()
    local lab = arm_of("right", 0)
    function lab.give_up(_, fmt, ...) error(fmt:format(...), 0) end
    local began = clock.ns()
    lab.run = { heartbeat = { quiet = function() return (clock.ns() - began) / 1e9 / 3 end } }
    local ok, failure = wait(lab, "drained", "x", never, "100ms")
    assert.is_true(not ok and owed.is_broken(failure))
    assert.is_true(lab.debts[1].seconds >= 0.3)
    lab.run.heartbeat.quiet = function() return 7 end
    ok, failure = wait(lab, "drained", "x", never, "100ms")
    assert.is_false(ok)
    assert.matches("^drained: did not happen within %d%.%d s, of which 0.0 s were quiet: the machine is too \z
      busy", failure)
    assert.are.equal(1, #lab.debts)
  end)

  it("begins its quiet time anew, too, when less is left", function()
    local lab, left = arm_of("right", 0), 12
    local began = clock.ns()
    lab.run = { heartbeat = { quiet = function() return (clock.ns() - began) / 1e9 end } }
    assert.is_true((wait(lab, "drained", "x", function()
      left = left - 1
      task.sleep "20ms"
      return left == 0, left
    end, "200ms")))
  end)

  it("looks often while a look is quick, and seldom while it is not", function()
    local function looks(takes)
      local lab, n = arm_of("right", 0), 0
      wait(lab, "drained", "x", function()
        n = n + 1
        if takes then task.sleep(takes) end
        return false
      end, "400ms")
      return n
    end
    assert.is_true(looks() > 8)
    assert.is_true(looks "10ms" <= 5)
  end)

  it("is told from other failures", function()
    local err = require "rlab.err"
    assert.is_false(owed.is_broken(err.new { domain = "rlab", code = 0, name = "TIMEOUT", message = "x" }))
    assert.is_false(owed.is_broken "OWED")
  end)

  it("is not waited for when it cannot be kept any more, and says why", function()
    local lab, looks = arm_of("right", 0), 0
    local ok, failure = wait(lab, "singleflight", "one load", function()
      looks = looks + 1
      return false, 1, looks == 2 and "there are 2 loads" or nil
    end, "5s")
    assert.is_false(ok)
    assert.are.equal("singleflight: cannot happen any more, as there are 2 loads: one load", failure.message)
    assert.is_false(lab.debts[1].kept)
    assert.are.equal(2, looks)
  end)

  it("is an arm's: a setup has none", function()
    local lab = arm_of "right"
    lab.arm = nil
    assert.has_error(function() lab:owed("drained", "x", never) end,
      "lab:owed: a debt is an arm's, the setup has none")
  end)
end)

describe("debts, judged", function()
  local function row(name, seconds, kept)
    return { name = name, what = "x", limit = 4, seconds = seconds, kept = kept }
  end

  local function judged(class, rows, owes)
    local lab = arm_of(class)
    owed.judge(lab, rows, owes or {})
    return lab.checks
  end

  it("are one check a name, of the slowest", function()
    local checks = judged("right", { row("drained", 1, true), row("retried", 1, true),
      row("drained", 3, true) })
    assert.are.equal(2, #checks)
    assert.are.equal("after 3.00 s, at most 4.0 s without progress (the slowest of 2): x", checks[1].sentence)
    assert.are.equal(3, checks[1].value)
    assert.is_true(checks[1].debt and checks[1].as_expected)
  end)

  it("have a counterexample when they are broken", function()
    assert.are.same({}, judged("right", { row("drained", 1, true) })[1].counterexamples)
    assert.are.same({ { id = "drained", note = "did not happen within 4.0 s: x" } },
      judged("right", { row("sent", 1, true), row("drained", 4, false) })[2].counterexamples)
  end)

  it("make a right arm violated and a wrong one one that did not fail", function()
    local rows = { row("drained", 1, true), row("drained", 4, false) }
    local outcome, reason = verdict.arm("right", judged("right", rows))
    assert.are.equal("violated", outcome)
    assert.are.equal("drained: did not happen within 4.0 s: x (expected: holds)", reason)
    assert.are.equal("did not fail", (verdict.arm("wrong", judged("wrong", rows))))
  end)

  it("are expected to hold, unless the experiment says otherwise of the arm, its class or all", function()
    local rows = { row("drained", 4, false) }
    for _, case in ipairs {
      { nil, "did not fail" }, { { sent = "violated" }, "did not fail" },
      { { drained = { b = "violated" } }, "did not fail" },
      { { drained = "violated" }, "fails as predicted" },
      { { drained = { a = "violated" } }, "fails as predicted" },
      { { drained = { wrong = "violated" } }, "fails as predicted" },
      { { drained = { a = "holds", wrong = "violated" } }, "did not fail" },
    } do
      assert.are.equal(case[2], (verdict.arm("wrong", judged("wrong", rows, case[1]))))
    end
  end)
end)
