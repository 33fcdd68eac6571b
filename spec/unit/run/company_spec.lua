-- Arms that run side by side meet: what is done once for all of them.
local company_of = require "rlab.run.company"
local outcomes = require "rlab.story.degradation.outcomes"
local task = require "rlab.task"

-- A lab of that company, as far as meetings need one.
local function lab_in(company)
  local lab = require("rlab.lab").new({ rng = require("rlab.rng").new(1) }, { name = "arm" })
  lab.company = company
  return lab
end

local function together(lab, act) return lab:together(act) end

local function two()
  local company = company_of.new(2)
  return company, lab_in(company), lab_in(company)
end

describe("arms that meet", function()
  it("have an act done once, when the last has come", function()
    local _, a, b = two()
    local done, came = 0, 0
    local function act()
      done = done + 1
      assert.are.equal(2, came)
      task.sleep "5ms"
      return done
    end
    for turn = 1, 3 do
      came = 0
      local first = task.spawn(function()
        came = came + 1
        return together(a, act)
      end)
      task.sleep "5ms"
      assert.are.equal(turn - 1, done)
      came = came + 1
      assert.are.equal(turn, together(b, act))
      assert.are.equal(turn, first:join())
    end
  end)

  it("do not wait for one that has ended, also while it waits", function()
    local company, a, b = two()
    local first = task.spawn(function() return together(a, function() return "done" end) end)
    task.sleep "5ms"
    company:leave(b)
    assert.are.equal("done", first:join())
    local again, c, d = two()
    local gone = task.spawn(function() together(c, function() return "never" end) end)
    task.sleep "5ms"
    gone:cancel()
    gone:join()
    again:leave(c)
    assert.are.equal("alone", together(d, function() return "alone" end))
  end)

  it("do not wait for one that has left, whose end changes nothing then", function()
    local company = company_of.new(3)
    local a, b, c = lab_in(company), lab_in(company), lab_in(company)
    local function meet()
      local first = task.spawn(function() return together(a, function() return "done" end) end)
      task.sleep "5ms"
      assert.is_false(first:done())
      assert.is_true(task.timeout("5s", function()
        assert.are.equal("done", together(b, function() return "done" end))
        return true
      end))
    end
    c:leave()
    meet()
    company:leave(c) -- its end
    meet()
  end)

  it("share the failure of the act, and the time where there is none", function()
    local _, a, b = two()
    local function fails() error("refused", 0) end
    local first = task.spawn(function() return pcall(together, a, fails) end)
    assert.are.same({ false, "refused" }, { pcall(together, b, fails) })
    assert.are.same({ false, "refused" }, { first:join() })
    assert.are.equal("integer", math.type(together(lab_in(nil))))
  end)
end)

describe("the outcomes of a schedule", function()
  local S = 1000000000
  local window = { from = 10 * S, to = 12 * S }
  local function row(at, took, status, source, age)
    return { id = "w" .. at, intended = math.floor(at * S), ended = math.floor((at + took) * S),
      status = status, body = source and ('{"source":"%s","age_ms":%d}'):format(source, age) }
  end
  local rows = { row(9.9, 0.1, 200), row(10.0, 0.2, 200, "cache", 3), row(10.5, 0.1, 200, "stale", 900),
    row(11.0, 0.5), row(11.2, 0.3, 503), row(11.6, 0.1, 200), row(12.3, 0.1, 503), row(12.9, 0.1, 200) }

  it("are shares of what had to be answered while it lasted", function()
    local f = outcomes.of(rows, window)
    assert.are.same({ 4, 2, 1, 1, 1, 3 },
      { f.scheduled, f.answered, f.refused, f.stale, f.cached, f.oldest_cached })
    assert.are.equal(50, outcomes.share(f))
    assert.are.same({ 200, 300 }, { math.floor(f.p99 + 0.5), math.floor(f.refusal_p99 + 0.5) })
    assert.are.equal(300, math.floor(f.normal_after + 0.5))
    assert.are.same({ "w9.9", "w10.0", "w10.5", "w11.6", "w12.9" }, outcomes.acked(rows))
  end)

  it("count reads of MySQL by second, and those under way at once", function()
    local log = { rows = function()
      local list = {}
      local function ask(conn, from, to)
        list[#list + 1] = { time = from, conn = conn, direction = "request" }
        if to then list[#list + 1] = { time = to, conn = conn, direction = "response" } end
      end
      ask(1, 1.0, 1.1) ask(1, 2.2, 2.3)
      ask(1, 10.1, 10.4) ask(2, 10.2, 10.5) ask(3, 10.6, 10.7)
      ask(1, 14.0, 14.1) ask(1, 14.5, 14.6) ask(1, 14.9, 15.0) ask(1, 15.2, 15.3)
      table.sort(list, function(a, b) return a.time < b.time end)
      return list
    end }
    local lab = { started_ns = 0 }
    local found = outcomes.selects(lab, log, { quiet = { from = S, to = 3 * S }, redis_frozen = window,
      redis_killed = { from = 13 * S, to = 15 * S }, recovery = { from = 13 * S, to = 16 * S } })
    assert.are.same({ 1.0, 1.5, 2, 3, 4 },
      { found.quiet, found.killed, found.at_once, found.peak, found.recovery })
  end)
end)
