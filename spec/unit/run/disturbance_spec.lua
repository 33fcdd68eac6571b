-- The rule by which a disturbance takes a check its word, and the heartbeat that sees disturbances.
local children = require "rlab.lab.children"
local clock = require "rlab.clock"
local core = require "rlab.check.core"
local numbers = require "rlab.check.numbers"
local disturbance = require "rlab.run.disturbance"
local heartbeat = require "rlab.run.heartbeat"
local process = require "rlab.process"
local task = require "rlab.task"

local function row(kind, seconds)
  return { what = "consumer-1", kind = kind, from = 3.1, ["until"] = 3.1 + seconds, seconds = seconds }
end

local function waited(seconds, of)
  return { what = "consumer-1", kind = "starved", from = 3.1, ["until"] = 3.1 + of, seconds = seconds }
end

local function judged(check, ...)
  local one = { name = "lost", outcome = "violated", sentence = "1 record lost", expects = "holds",
    as_expected = false }
  for key, value in pairs(check) do one[key] = value end
  disturbance.judge({ one }, { disturbances = { ... } })
  return one.outcome, one
end

describe("a check that is not as expected", function()
  it("is inconclusive where somebody was stopped, killed or lost a session, and says so", function()
    for _, kind in ipairs { "stall", "stopped", "gone", "rebalance", "session lost" } do
      assert.are.equal("inconclusive", (judged({}, row(kind, 2.31))), kind)
    end
    local _, check = judged({}, row("stopped", 2.31))
    assert.are.equal("lost: 1 record lost; but consumer-1 was stopped for 2.31 s from t=3.10 s", check.reason)
  end)

  it("stays where all was quiet, or a stop was short, or somebody waited a little for a processor", function()
    assert.are.equal("violated", (judged {}))
    assert.are.equal("violated", (judged({}, row("stall", 0.9), row("starved", 0.9), waited(2.4, 5))))
  end)

  it("is inconclusive where somebody waited for a processor longer than he went on", function()
    local outcome, check = judged({}, waited(2.6, 5))
    assert.are.equal("inconclusive", outcome)
    assert.matches("consumer%-1 waited 2.60 s for a processor from t=3.10 s", check.reason)
  end)

  it("is a debt, and stays where somebody waited for a processor: its clock stood still", function()
    assert.are.equal("violated", (judged({ debt = true }, waited(4.9, 5))))
    for kind, seconds in pairs { stall = 2, stopped = 2, gone = 0, rebalance = 0, ["session lost"] = 0 } do
      assert.are.equal("inconclusive", (judged({ debt = true }, row(kind, seconds))), kind)
    end
  end)

  it("is a debt, and stays where rlab was a little late again and again", function()
    local function stall(longest)
      local one = row("stall", 2.2)
      one.longest = longest
      return one
    end
    assert.are.equal("violated", (judged({ debt = true }, stall(0.9))))
    assert.are.equal("inconclusive", (judged({ debt = true }, stall(1.1))))
    assert.are.equal("inconclusive", (judged({}, stall(0.9))))
  end)

  it("about time is inconclusive when a tenth of its limit was lost", function()
    local late = { limit_s = 4 }
    assert.are.equal("violated", (judged(late, row("starved", 0.3))))
    assert.are.equal("inconclusive", (judged(late, row("starved", 0.3), row("stall", 0.2))))
  end)

  it("about time is what it was where all that was lost cannot make up for it", function()
    local rows = { row("starved", 0.3), row("stall", 0.2) }
    assert.are.equal("inconclusive", (judged({ limit_s = 0.3, over_s = 0.9 }, table.unpack(rows))))
    assert.are.equal("violated", (judged({ limit_s = 0.3, over_s = 1.1 }, table.unpack(rows))))
  end)

  it("that depends on a window is explained by what was lost in it, and by nothing else", function()
    local window = { from = 4.1, to = 5.1 } -- a row here begins at 3.1
    assert.are.equal("violated", (judged({ window = window }, row("stopped", 1))))
    assert.are.equal("inconclusive", (judged({ window = window }, row("stopped", 5))))
    local late = { window = window, limit_s = 1, over_s = 1 }
    assert.are.equal("violated", (judged(late, waited(2, 5)))) -- 0.4 s of them in the window
    assert.are.equal("inconclusive", (judged(late, waited(3, 5))))
    assert.are.equal("violated", (judged({ window = { from = 9, to = 10 } }, row("gone", 0))))
    assert.are.equal("inconclusive", (judged({ window = { from = 3, to = 4 } }, row("gone", 0))))
    local stall = row("stall", 2.2)
    stall.longest = 1.1
    assert.are.equal("violated", (judged({ debt = true, window = { from = 3.1, to = 3.6 } }, stall)))
  end)

  it("is a floor that was not reached, and says who could not work for it", function()
    local function reason(...)
      local lab = { checks = {}, label = "an arm" }
      numbers.enough(lab, { name = "accepted", seen = 80, at_least = 95 })
      disturbance.judge(lab.checks, { disturbances = { ... } })
      assert.are.equal("inconclusive", lab.checks[1].outcome)
      return lab.checks[1].reason
    end
    assert.are.equal("accepted: 80, at least 95", reason(waited(2, 5)))
    assert.are.equal("accepted: 80, at least 95; but consumer-1 waited 3.00 s for a processor from t=3.10 s",
      reason(waited(3, 5)))
  end)

  it("is explained by so much that was lost in a window, as its script says", function()
    local function explained(seconds)
      local lab = { checks = {}, label = "an arm" }
      local check = core.add(lab, "share", { outcome = "violated", sentence = "0.64" }):expect "holds"
      assert.are.equal(check, check:explained_by({ from = 3.1, to = 5.1 }, 0.5))
      disturbance.judge(lab.checks, { disturbances = { waited(seconds, 2) } })
      return check.outcome
    end
    assert.are.equal("violated", explained(0.2))
    assert.are.equal("inconclusive", explained(0.3))
  end)

  it("says nothing without the window in which its script wants to see what was lost", function()
    for _, window in ipairs { false, {}, { from = 1 } } do
      local lab = { checks = {}, label = "an arm" }
      local check = core.add(lab, "share", { outcome = "holds", sentence = "0.4" }):expect "holds"
      check:explained_by(window or nil, 0.5)
      assert.are.equal("inconclusive", check.outcome)
      assert.is_false(check.as_expected)
    end
  end)

  it("is the only one that changes", function()
    assert.are.equal("violated", (judged({ as_expected = true, expects = "violated" }, row("gone", 1))))
    assert.are.equal("holds", (judged({ outcome = "holds", as_expected = true }, row("gone", 1))))
  end)
end)

describe("a wait for the environment that was in vain", function()
  it("says who could not work for most of it, and nothing of what was before or short", function()
    local window = { from = 4, to = 7 } -- a row here begins at 3.1
    assert.are.equal("; but consumer-1 waited 1.90 s for a processor from t=4.00 s",
      disturbance.of_wait({ { what = "consumer-1", kind = "starved", from = 4, ["until"] = 7,
        seconds = 1.9 } }, window))
    assert.are.equal("", disturbance.of_wait({ waited(2.4, 5), row("stopped", 1.5) }, window))
    assert.are.equal("", disturbance.of_wait({ row("stopped", 5) }, nil))
  end)
end)

describe("the disturbances of an arm", function()
  it("are its own and those of the setup that it shares", function()
    local one = { name = "lost", outcome = "violated", sentence = "x", expects = "holds" }
    disturbance.judge({ one }, {}, { disturbances = { row("gone", 1) } })
    assert.are.equal("inconclusive", one.outcome)
  end)
end)

describe("the heartbeat", function()
  local function lab_with(beat)
    local lab = { children = {}, run = { heartbeat = beat }, stack = { servers = function() return {} end } }
    lab.started_ns = require("rlab.clock").ns()
    function lab.now() return (require("rlab.clock").ns() - lab.started_ns) / 1e9 end
    return lab
  end

  local function child_of(lab)
    local p = process.spawn { cmd = { "sleep", "30" } }
    local child = { name = "sleeper", lab = lab, process = p, pid = p.pid,
      hits = function() return {} end }
    lab.run.heartbeat:watch(child)
    return child
  end

  local function watched(f)
    local beat = heartbeat.start { stack = { servers = function() return {} end } }
    local lab = lab_with(beat)
    local child = child_of(lab)
    f(child, beat)
    task.sleep "250ms"
    beat:stop()
    child.process:close()
    return beat:disturbances(lab), beat
  end

  local function seen(rows, kind)
    for _, one in ipairs(rows) do
      if one.what == "sleeper" and one.kind == kind then return one end
    end
  end

  it("sees a child that somebody stopped, for as long as that", function()
    local rows = watched(function(child)
      child.process:stop()
      task.sleep "500ms"
      child.process:cont()
    end)
    local stopped = seen(rows, "stopped")
    assert.is_true(stopped.seconds > 0.3 and stopped.seconds < 5)
  end)

  it("sees one that somebody killed", function()
    local rows = watched(function(child)
      child.process:kill "KILL"
      child.process:wait "5s"
    end)
    assert.is_not_nil(seen(rows, "gone"))
  end)

  it("takes no notice of what the lab itself does", function()
    local rows = watched(function(child)
      children.means(child, "stopped")
      child.process:stop()
      task.sleep "300ms"
      children.means(child, "gone")
      child.process:kill "KILL"
      child.process:wait "5s"
    end)
    assert.is_nil(seen(rows, "stopped") or seen(rows, "gone"))
  end)

  it("beats on when a child is closed", function()
    local rows = watched(function(child, beat)
      local other = process.spawn { cmd = { "sleep", "30" } }
      local gone = { name = "closed", lab = child.lab, process = other, pid = other.pid, closed = true }
      beat:watch(gone)
      other:close()
      task.sleep "300ms"
      child.process:stop()
      task.sleep "500ms"
      child.process:cont()
    end)
    assert.is_not_nil(seen(rows, "stopped"))
  end)

  it("counts quiet time, and not while somebody is stopped", function()
    local began = clock.ns()
    local _, beat = watched(function(child)
      task.sleep "300ms"
      child.process:stop()
      task.sleep "1s"
      child.process:cont()
    end)
    local quiet, all = beat:quiet(), (clock.ns() - began) / 1e9
    assert.is_true(quiet < all - 0.8, ("%.2f of %.2f s"):format(quiet, all))
  end)

  -- The disturbances of an arm with one service, which wrote `message` now and had these hits now.
  local function told(message, hits, more)
    local dir, now = require("rlab.fs").tmpdir "heartbeat", require("rlab.clock").unix_ms()
    require("rlab.fs").write(dir .. "/service.log", ('{"message":"%s","at_ms":%d}\n'):format(message, now))
    for _, hit in ipairs(hits) do hit.time = now * 1000000 end
    local beat = heartbeat.start { stack = { servers = function() return {} end } }
    local lab = lab_with(beat)
    lab.run.dir = dir
    lab.children[1] = { name = "service", lab = lab, spawned_ms = now - 60000,
      hits = function() return hits end }
    for key, value in pairs(more or {}) do lab.children[1][key] = value end
    beat:stop()
    local rows = beat:disturbances(lab)
    require("rlab.fs").remove(dir)
    for _, one in ipairs(rows) do
      if one.what == "service" then return one.kind end
    end
    return nil
  end

  it("reads in a service's log that it lost its session or its partitions", function()
    assert.are.equal("session lost", told("lost", {}))
    assert.are.equal("rebalance", told("revoked", {}))
    assert.is_nil(told("assigned", {}))
  end)

  it("takes a kill or a held process for the cause, and no error that the story planned", function()
    assert.is_nil(told("lost", { { action = "kill" } }))
    assert.is_nil(told("lost", { { action = "error" }, { action = "pause" } }))
    assert.are.equal("session lost", told("lost", { { action = "error" }, { action = "print" } }))
  end)

  it("takes a start for the cause of moved partitions, and of no lost session", function()
    local now = { spawned_ms = require("rlab.clock").unix_ms() }
    assert.is_nil(told("revoked", {}, now))
    assert.are.equal("session lost", told("lost", {}, now))
  end)
end)
