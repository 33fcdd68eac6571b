-- What stops a run early, and how much it may send.
local abort = require "rlab.run.abort"
local beside = require "rlab.canary.beside"
local rate_cap = require "rlab.run.rate_cap"
local set = require "rlab.run.set"
local task = require "rlab.task"

local function partition(leader, isr, replicas)
  local p = { leader = leader, isr = {}, replicas = {} }
  for i = 1, isr do p.isr[i] = i end
  for i = 1, replicas do p.replicas[i] = i end
  return p
end

local function guard_of(text, values, now)
  return abort.new(assert(abort.all { text }), { cluster = function() return values end,
    canary = function() return values end }, now)
end

describe("an abort condition", function()
  it("is a quantity, a bound, and perhaps for how long; a mistake is told", function()
    for _, text in ipairs { "under-replicated>0", "isr < 2 for 5s", "canary-p99>=500ms", "offline>0" } do
      assert.is_table(abort.of(text), text)
    end
    for text, why in pairs { ["isr"] = "is no condition", ["isr<two"] = "a whole number, not 'two'",
      ["is<2"] = "did you mean 'isr'", ["canary-p99>500"] = "a duration such as 500ms",
      ["isr<2 for ever"] = "'for' takes a duration" } do
      local one, wrong = abort.of(text)
      assert.is_nil(one, text)
      assert.is_truthy(wrong:find(why, 1, true), wrong)
    end
  end)

  it("is held against all partitions of the cluster", function()
    assert.same({ ["under-replicated"] = 2, offline = 1, isr = 0 }, abort.cluster { topics = {
      { partitions = { partition(1, 3, 3), partition(2, 2, 3) } }, { partitions = { partition(-1, 0, 1) } },
    } })
  end)

  it("that is met says its value, and stays; one that nobody can measure is not met", function()
    local values = { isr = 2 }
    local guard = guard_of("isr<2", values)
    assert.is_nil(guard:look())
    values.isr = nil
    assert.is_nil(guard:look())
    values.isr = 1
    assert.equal("stopped by the abort condition isr<2: isr is 1", guard:look())
    values.isr = 3
    assert.equal("stopped by the abort condition isr<2: isr is 1", guard:look())
    assert.matches("canary%-p99 is 1.2 s", guard_of("canary-p99>1s", { ["canary-p99"] = 1.2 }):look())
  end)

  it("with a time is met when it was so all that time", function()
    local values, now = { offline = 1 }, 0
    local guard = guard_of("offline>0 for 5s", values, function() return now end)
    assert.is_nil(guard:look())
    now, values.offline = 4, 0
    assert.is_nil(guard:look())
    now, values.offline = 6, 1
    assert.is_nil(guard:look())
    now = 11
    assert.is_truthy(guard:look())
  end)

  it("cuts the stories under way, lets them close what they opened, and lets none begin", function()
    local values, closed = { offline = 0 }, false
    local guard = guard_of("offline>0", values)
    assert.equal("seen", guard:during(function() return "seen" end))
    local story = task.spawn(function()
      return guard:during(function()
        local _ <close> = setmetatable({}, { __close = function() closed = true end })
        task.sleep "3s"
      end)
    end)
    task.yield()
    values.offline = 1
    guard:look()
    local _, failure = story:join()
    assert.same({ "INCONCLUSIVE", guard.tripped, true }, { failure.name, failure.message, closed })
    assert.is_false((pcall(guard.during, guard, function() return "begun" end)))
  end)

  it("lets a story's own failure through", function()
    local guard = guard_of("offline>0", {})
    local ok, failure = pcall(guard.during, guard, function() error({ mine = true }, 0) end)
    assert.same({ false, { mine = true } }, { ok, failure })
  end)

  it("ends the set of runs, too", function()
    local ran = {}
    local runs = set.rounds({ { id = "A" }, { id = "B" } }, { seed = 1 })
    set.in_turn(runs, function(run)
      ran[#ran + 1] = run.experiment.id
      return { exit = 3, aborted = "stopped" }
    end)
    assert.same({ "A" }, ran)
  end)
end)

describe("the canary beside a run", function()
  it("says what is lost at the moment, and a percentile of enough rounds", function()
    local one = beside.new()
    local function hear(verdict, seconds, was)
      one:hear { say = "round", verdict = verdict, seconds = seconds, was = was }
    end
    for _ = 1, 4 do hear("held", 0.1) end
    assert.same({ ["canary-lost"] = 0 }, one:values())
    hear "lost"
    assert.same({ ["canary-lost"] = 1, ["canary-p99"] = 10 }, one:values())
    hear("late", 14, "lost")
    assert.same({ ["canary-lost"] = 0, ["canary-p99"] = 14 }, one:values())
    for _ = 1, 100 do hear("held", 0.2) end
    assert.equal(0.2, one:values()["canary-p99"])
  end)
end)

describe("a rate cap", function()
  local function cap_of(rate)
    local slept, now = {}, 10
    return rate_cap.new(rate, function() return now end, function(s)
      slept[#slept + 1] = s
      now = now + s
    end), slept
  end

  it("lets go out what fits, and waits for the rest", function()
    local cap, slept = cap_of(100)
    local sizes = {}
    for part in cap:parts { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 } do
      sizes[#sizes + 1] = #part
    end
    cap:take(1)
    assert.same({ 10, 5 }, sizes)
    assert.equal(2, #slept)
    assert.is_true(math.abs(slept[1] - 0.1) < 1e-9 and math.abs(slept[2] - 0.05) < 1e-9)
  end)

  it("counts before what a load asks for, and bounds one that goes as fast as it is answered", function()
    local cap, all = cap_of(50), { {}, { rate = "20/s" }, { rate = 400 }, { readers = 64 } }
    for _, opts in ipairs(all) do cap:load(opts) end
    assert.same({ { rate = 50 }, { rate = "20/s" }, { rate = 50 }, { rate = 50 } }, all)
  end)

  it("that is not there leaves a list whole", function()
    local parts = {}
    for part in rate_cap.parts(nil, { 1, 2 }) do parts[#parts + 1] = part end
    assert.same({ { 1, 2 } }, parts)
  end)
end)
