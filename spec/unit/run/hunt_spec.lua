-- The hunt without servers: what is drawn, how a find is shrunk, what was covered, how it is written down.
-- With real runs: spec/live/lab/hunt_spec.lua.
local coverage_of = require "rlab.hunt.coverage"
local draw = require "rlab.hunt.draw"
local fs = require "rlab.fs"
local quiet = require "rlab.hunt.quiet"
local rng = require "rlab.rng"
local scenario = require "rlab.hunt.scenario"
local schedule = require "rlab.hunt.schedule"
local shrink = require "rlab.hunt.shrink"
local stand_in = require "rlab.hunt.stand_in"
local things = require "rlab.hunt.things"
local trial = require "rlab.hunt.trial"

local CENSUS = { points = { { service = "consumer", point = "consumer.in_tx", hits = 100 },
  { service = "consumer", point = "consumer.handle", hits = 90 } },
  requests = { { wire = "kafka", api = "Produce", matched = 7 },
  { wire = "mysql", statement = "COMMIT", matched = 3 } } }

local function kill(hit)
  return { service = "consumer", point = "consumer.in_tx", hit = hit, act = "kill" }
end

describe("what a hunt draws", function()
  local function words(seed, n)
    local next_one, list = draw.new(CENSUS, rng.new(seed)), {}
    for i = 1, n do list[i] = schedule.words(next_one()) end
    return list
  end

  it("is the seed's", function()
    assert.are.same(words(7, 40), words(7, 40))
    assert.are_not.same(words(7, 40), words(8, 40))
  end)

  it("is every act at every place that was reached, once each, before one comes again", function()
    local slows, breaks = draw.cells(CENSUS, rng.new(1))
    local cells, next_one = #slows + #breaks, draw.new(CENSUS, rng.new(1))
    assert.are.equal(2 * 4 + 5 + 3, cells)
    local met, n, together = {}, 0, 0
    while n < cells do
      for _, term in ipairs(next_one()) do
        local cell = schedule.place(term) .. " " .. schedule.action(term)
        assert.is_nil(met[cell], cell)
        met[cell], n = true, n + 1
      end
    end
    for _ = 1, 3 * cells do together = together + (#next_one() == 2 and 1 or 0) end
    assert.is_true(together > cells // 2)
  end)

  it("is from the first one that is slow and one that breaks something, at another place", function()
    for seed = 1, 20 do
      local next_one, together = draw.new(CENSUS, rng.new(seed)), 0
      for _ = 1, 2 do
        local one, slow = next_one(), 0
        for _, term in ipairs(one) do slow = slow + (schedule.action(term) == "sleep" and 1 or 0) end
        assert.are.equal(#one == 2 and 1 or slow, slow, schedule.words(one))
        if #one == 2 then assert.are_not.equal(schedule.place(one[1]), schedule.place(one[2])) end
        together = together + (#one == 2 and 1 or 0)
      end
      assert.are.equal(2, together)
    end
  end)

  it("asks for no hit that did not come, and only for faults that can be armed", function()
    local next_one = draw.new(CENSUS, rng.new(3))
    local reached = { ["consumer.in_tx"] = 100, ["consumer.handle"] = 90, Produce = 7, COMMIT = 3 }
    for _ = 1, 200 do
      local one = schedule.check(next_one())
      for _, term in ipairs(one) do
        local last = (term.hit or term.nth) + (term.times or 1) - 1
        assert.is_true(last <= reached[term.point or term.api or term.statement])
      end
    end
  end)

  it("is first who is slow between a read and a write, at every hit", function()
    local points = { { service = "query", point = "query.before_fill", hits = 14 } }
    for i = 1, 13 do points[i + 1] = { service = "relay", point = "relay.before_" .. i, hits = 14 } end
    for seed = 1, 20 do
      local one = draw.new({ points = points, requests = CENSUS.requests }, rng.new(seed))()[1]
      assert.are.equal("query: query.before_fill 14*#1 sleep(1371ms)", schedule.says(one))
    end
  end)

  it("is slow for the last hit but one of what comes most often, so that its last overtakes it", function()
    local counts = { ["1"] = 2, ["2"] = 1, ["3"] = 3, ["4"] = 4, ["5"] = 5 }
    local points = { { service = "command", point = "cmd.after_commit", hits = 6,
      things = { key = "key", counts = counts } } }
    local said = {}
    for _, term in ipairs(draw.new({ points = points, requests = {} }, rng.new(3))()) do
      said[#said + 1] = schedule.says(term)
    end
    table.sort(said)
    assert.are.same({ "command: cmd.after_commit #2 sleep(1500ms) if key=3",
      "command: cmd.after_commit #3 sleep(1500ms) if key=4",
      "command: cmd.after_commit #4 sleep(1500ms) if key=5" }, said)
  end)

  it("hangs where the work is not done yet, before it hangs elsewhere", function()
    local points = {}
    for i, word in ipairs { "handle", "after_commit", "in_tx", "after_cache" } do
      points[i] = { service = "consumer", point = "consumer." .. word, hits = 9 }
    end
    for seed = 1, 20 do
      local next_one, at = draw.new({ points = points, requests = {} }, rng.new(seed)), {}
      for _ = 1, 12 do
        for _, term in ipairs(next_one()) do
          if term.act == "hang" then at[#at + 1] = term.point end
        end
      end
      assert.are.equal("consumer.in_tx", at[1])
    end
  end)

  it("is slow for about as long wherever it is", function()
    local points = {}
    for i, hits in ipairs { 1, 3, 14, 400 } do
      points[i] = { service = "s" .. i, point = "s.before_write", hits = hits }
    end
    local next_one, slept = draw.new({ points = points, requests = {} }, rng.new(7)), {}
    for _ = 1, 16 do
      for _, one in ipairs(next_one()) do
        if schedule.action(one) == "sleep" and not slept[one.service] then
          slept[one.service] = (one.times or 1) .. " " .. one.act
        end
      end
    end
    assert.are.same({ s1 = "1 sleep(600ms)", s2 = "3 sleep(600ms)", s3 = "8 sleep(600ms)",
      s4 = "80 sleep(60ms)" }, slept)
  end)

  it("kills a program that has no failpoints while its request is on its way", function()
    local census = { points = {}, requests = CENSUS.requests, processes = { "consumer" } }
    local next_one, killed = draw.new(census, rng.new(2)), {}
    local _, breaks = draw.cells(census, rng.new(2))
    for _ = 1, #breaks do
      local term = next_one()[1]
      if term.act == "kill" then killed[#killed + 1] = schedule.place(term) .. " " .. term.service end
    end
    table.sort(killed)
    assert.are.same({ "kafka Produce consumer", "mysql COMMIT consumer" }, killed)
  end)

  it("is nothing where nothing was reached", function()
    assert.is_nil(draw.new({ points = {}, requests = {} }, rng.new(1))())
  end)
end)

describe("a schedule that was found", function()
  local late = { wire = "kafka", api = "EndTxn", act = "late", nth = 1, delay = "1500ms" }

  it("loses what it does not need, then its numbers become small", function()
    local found, asked = shrink.shrink({ late, kill(40) }, function(faults)
      for _, term in ipairs(faults) do
        if term.act == "kill" then return true end
      end
      return false
    end, 20)
    assert.are.same({ kill(1) }, found)
    assert.are.equal(2, asked)
  end)

  it("loses half of many at a time", function()
    local many = {}
    for hit = 1, 16 do many[hit] = kill(hit) end
    local found, asked = shrink.shrink(many, function(faults)
      for _, term in ipairs(faults) do
        if term.hit == 11 then return true end
      end
      return false
    end, 20)
    assert.are.same({ kill(11) }, found)
    assert.is_true(asked <= 12, asked)
  end)

  it("keeps the hit that it needs", function()
    local function breaks(faults) return faults[1].hit >= 20 end
    assert.are.same({ kill(20) }, (shrink.shrink({ kill(40) }, breaks, 20)))
    assert.are.same({ kill(39) }, (shrink.shrink({ kill(39) }, breaks, 20)))
  end)

  it("is slow once where once is enough, at the hit that it needs", function()
    local sleeps = { service = "query", point = "query.before_fill", hit = 3, times = 8,
      act = "sleep(200ms)" }
    local function breaks(faults)
      local one = faults[1]
      return one.hit <= 5 and 5 < one.hit + (one.times or 1)
    end
    local found = shrink.shrink({ sleeps }, breaks, 20)
    assert.are.equal("query: query.before_fill #5 sleep(200ms)", schedule.words(found))
    assert.are.equal("query: query.before_fill 8*#3 sleep(200ms)", schedule.words { sleeps })
  end)

  it("finds the one of many times in few trials", function()
    local sleeps = { service = "query", point = "query.before_fill", hit = 9, times = 80,
      act = "sleep(200ms)" }
    local function breaks(faults)
      local one = faults[1]
      return one.hit <= 61 and 61 < one.hit + (one.times or 1)
    end
    local found, asked = shrink.shrink({ sleeps }, breaks, 20)
    assert.are.equal("query: query.before_fill #61 sleep(200ms)", schedule.words(found))
    assert.is_true(asked <= 16, asked)
  end)

  it("waits no longer than it needs", function()
    local function breaks(faults) return require("rlab.units").duration(faults[1].delay) >= 0.3 end
    assert.are.equal("375ms", (shrink.shrink({ late }, breaks, 20))[1].delay)
    local sleep = { service = "query", point = "query.before_fill", hit = 1, act = "sleep(2s)" }
    assert.are.equal("sleep(500ms)", (shrink.shrink({ sleep }, function(faults)
      return require("rlab.units").duration(faults[1].act:match "%((.+)%)") >= 0.5
    end, 20))[1].act)
  end)

  it("is not asked for more often than it may", function()
    local found, asked = shrink.shrink({ late, kill(40) }, function() return false end, 3)
    assert.are.same({ late, kill(40) }, found)
    assert.are.equal(3, asked)
  end)

  -- An arm of two with a check of what its stores hold, judged as the plan says.
  local function judged(plan, seen)
    local base = { id = "E-900", needs = {}, arms = { { name = "one", class = "right" }, { name = "other",
      class = "wrong" } }, arm = function(self) return self.arms[1] end, checks = function(lab)
      lab.check.lost { of = { "a" }, in_ = seen }:expect { other = "violated", right = "holds" }
    end }
    local lab = { label = "one", arm = base.arms[1], arm_names = { "one" }, checks = {} }
    lab.check = require("rlab.check").bind(lab)
    plan.arm, plan.faults = "one", {}
    scenario.definition(base, plan).checks(lab, {}, base.arms[1])
    return lab.checks
  end

  it("is judged by checks that name other arms, too", function()
    local plan = { as_is = true, kinds = {} }
    assert.is_true(judged(plan, { "a" })[1].as_expected)
    assert.are.same({ lost = true }, plan.kinds)
  end)

  it("is broken on a machine that is always busy, too", function()
    local starved = { what = "rlab", kind = "starved", from = 0, ["until"] = 4, seconds = 3 }
    for search, outcome in pairs { [true] = "violated", [false] = "inconclusive" } do
      local checks = judged({ search = search, breaks = { "lost" } }, { "b" })
      require("rlab.run.disturbance").judge(checks, { disturbances = { starved } })
      assert.are.equal(outcome, checks[1].outcome)
    end
  end)

  it("is written as a scenario that arms the same", function()
    local text = scenario.text({ of = "E-004", arm = "commit-first", breaks = { "lost-effect" },
      faults = { kill(3), late } }, "rlab hunt E-004", "lost-effect:\n1 event", "runs/hunt/x.lua")
    local words = { require = require, experiment = function(def) return def end }
    local exp = assert(load(text, "=x", "t", words))()
    assert.are.equal("commit-first", exp.arms[1].name)
    assert.are.equal("consumer: consumer.in_tx #3 kill + kafka: EndTxn no. 1 late 1500ms", exp.arms[1].says)
    assert.is_truthy(text:find("rlab hunt --replay runs/hunt/x.lua", 1, true))
  end)

  it("is refused where it is mistyped, with what was meant", function()
    assert.error_matches(function() schedule.check { { service = "consumer", point = "consumer.in_tx",
      act = "kil", hit = 1 } } end, "faults, 1: .*kil")
    assert.error_matches(function() schedule.check { { act = "kill" } } end, "at a point of a service, or on")
    assert.error_matches(function() schedule.check { { service = "a", point = "b", act = "kill" } } end,
      "hit is a whole number from 1")
    assert.error_matches(function() schedule.check { { servic = "a" } } end, "did you mean 'service'")
  end)

  it("arms one point with several terms", function()
    assert.are.same({ ["consumer.in_tx"] = "#3 kill -> #9 kill" },
      schedule.of_service({ kill(3), late, kill(9) }, "consumer"))
  end)
end)

describe("who hangs", function()
  local hang = { service = "consumer", point = "consumer.in_tx", hit = 3, act = "hang", delay = "10ms" }

  it("stands still there, and is killed when nobody hears of it for so long", function()
    assert.are.equal("#3 pause", schedule.expr(hang))
    assert.are.equal("consumer: consumer.in_tx #3 hang 10ms", schedule.says(hang))
    local killed
    local child = { name = "consumer", hits = function() return { { action = "pause" } } end,
      alive = function() return true end, process = { wait = function() end,
        kill = function(_, signal) killed = signal end } }
    stand_in.hang({ child = child }, hang.point, schedule.hangs_for(hang))
    assert.are.equal("KILL", killed)
    assert.is_true(child.struck)
  end)
end)

describe("the things that hits are about", function()
  local function hit(account, more)
    local ctx = { account = account, event = "e" .. tostring(more), amount = more }
    return { hit = 1, ctx = ctx }
  end

  it("are named by the field whose values come again", function()
    local list = { hit(1, 10), hit(2, 20), hit(1, 30), hit(2, 10), hit(1, 20) }
    assert.are.same({ key = "account", counts = { ["1"] = 3, ["2"] = 2 } }, things.of(list))
  end)

  it("are none where each comes once, or by chance", function()
    assert.is_nil(things.of { hit(1, 10), hit(2, 20), hit(3, 10), hit(4, 20), hit(5, 30) })
    assert.is_nil(things.of { hit(1, 10), hit(1, 20), hit(1, 30) })
  end)
end)

describe("the faults of a trial", function()
  local function begun(plan)
    local lab = { stack = {} }
    plan.faults = { kill(3), { service = "query", point = "query.before_fill", hit = 1, times = 9,
      act = "sleep(300ms)" } }
    quiet.begin(lab, plan)
    function lab.fault(_, name) return name end
    return lab, plan
  end

  local function declared(plan)
    local lab, names = { stack = {} }, {}
    plan.faults = begun(plan) and plan.faults
    quiet.begin(lab, plan)
    lab.faults, lab.now = names, function() return 0 end
    lab:fault "consumer.in_tx: #3 kill"
    lab:fault "query.before_fill: 9*#1 sleep(300ms)"
    return #names
  end

  it("need no proof in a search, and of many hits not all in a replay", function()
    assert.are.equal(0, declared { search = true })
    assert.are.equal(1, declared {})
  end)

  it("are those that happened", function()
    local lab, plan = begun { search = true }
    plan.who = { ["consumer-1"] = "consumer", ["query-2"] = "query" }
    local function child(name, hits) return { name = name, hits = function() return hits end } end
    lab.children = { child("consumer-1", {}), child("query-2", { { action = "sleep" } }) }
    quiet.finish(lab, plan)
    assert.are.same({ plan.faults[2] }, plan.happened)
    plan.search, lab.children = nil, {}
    function lab.give_up(_, fmt, ...) error(fmt:format(...), 0) end
    assert.error_matches(function() quiet.finish(lab, plan) end, "no proof .* query.before_fill")
  end)
end)

describe("what was covered", function()
  it("are the places that were reached, by act; a trial that nobody can judge covers nothing", function()
    local covered = coverage_of.new(CENSUS)
    covered:note({ kill(3), kill(4) }, true)
    covered:note({ kill(9), { wire = "kafka", api = "Produce", act = "late", nth = 1 } }, true)
    covered:note({ { service = "consumer", point = "consumer.handle", hit = 1, act = "kill" } }, false)
    assert.are.equal("3 trials, 2 judged: 2 of 4 places, 2 pairs of place and act", covered:says())
    local grid = covered:grid(0)
    assert.is_truthy(grid:find("consumer consumer.in_tx +100 +2 +%-"), grid)
    assert.is_truthy(grid:find("kafka Produce +7 +%- +1"), grid)
    assert.is_truthy(grid:find("consumer consumer.handle +90 +%- +%-"), grid)
  end)
end)

describe("what was reached", function()
  it("are the hits of a service's longest life: a fault is asked of one", function()
    local dir, lives = assert(fs.tmpdir "rlab-spec"), {}
    for i, n in ipairs { 5, 3 } do
      lives[i] = { name = i == 1 and "consumer-1" or "consumer-1.2", hits_path = dir .. "/" .. i }
      assert(fs.write(lives[i].hits_path, ('{"name":"consumer.in_tx","hit":1}\n'):rep(n)))
    end
    local plan = { census = {}, faults = {}, who = { ["consumer-1"] = "consumer" }, counters = {},
      armed = { consumer = { ["consumer.in_tx"] = "off", ["consumer.handle"] = "off" } } }
    quiet.finish({ children = lives }, plan)
    assert(fs.remove(dir))
    assert.are.same({ { service = "consumer", point = "consumer.in_tx", hits = 5 } }, plan.census.points)
    assert.are.same({ "consumer consumer.handle" }, plan.census.not_reached)
  end)
end)

describe("the supervisor of a hunted service", function()
  local function watch(child)
    local work
    stand_in.of({ background = function(_, _, f) work = f end }, child, {})
    work()
  end

  it("ends with the arm, whose later lives are closed before it", function()
    local function closed() error "this process is closed" end
    watch { name = "relay", closed = true, process = { wait = closed } }
    local child = { name = "relay", alive = closed }
    child.process = { wait = function()
      child.closed = true
      return { signal = "KILL" }
    end }
    watch(child)
  end)
end)

describe("what a trial says", function()
  local function read(checks, arm)
    return trial.read({ dir = "d", run = { duration = 1 }, checks = checks, arms = { arm or {} } },
      { "lost-effect", "gap" })
  end

  it("is broken by a violated promise, and by nothing else", function()
    assert.are.same({ "lost-effect" }, read({ { name = "lost-effect", outcome = "violated", sentence = "x" },
      { name = "other", outcome = "violated", sentence = "y" }, { name = "gap", outcome = "holds" } }).broken)
  end)

  it("is no word where its promises are inconclusive, or a debt ended the story", function()
    local open = read({ { name = "gap", outcome = "inconclusive" } }, { reason = "nothing happened" })
    assert.is_false(open.judged)
    assert.are.equal("nothing happened", open.reason)
    local late = read { { name = "drained", outcome = "violated", debt = true, sentence = "did not happen" } }
    assert.is_false(late.judged)
    assert.are.same({}, late.broken)
    assert.are.equal("drained did not happen", late.reason)
  end)
end)
