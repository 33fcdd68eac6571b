local fail = require "rlab.fail"
local fs = require "rlab.fs"
local hit_log = require "rlab.failpoint.log"
local process = require "rlab.process"
local task = require "rlab.task"

-- The hits (1..n) of a point at which it fired.
local function fired_at(expr, n, ctx)
  fail.arm("spec.point", expr)
  local at = {}
  for i = 1, n do
    if fail.point("spec.point", ctx and ctx(i)) then at[#at + 1] = i end
  end
  fail.disarm "spec.point"
  return at
end

-- Runs a script as a spec in an rlab of its own -> how it ended, its log's lines
local function child(script, env)
  local dir = fs.tmpdir()
  fs.write(dir .. "/child_spec.lua", "it('runs', function()\n" .. script .. "\nend)")
  env.RLAB_FAILPOINT_LOG = dir .. "/log"
  local p <close> = process.spawn { cmd = { fs.self_exe(), "busted", dir .. "/child_spec.lua" }, env = env }
  local status = p:wait()
  local lines = hit_log.read(dir .. "/log")
  fs.remove(dir)
  return status, lines, select(2, p:output())
end

describe("failpoint", function()
  after_each(function() fail.disarm() end)

  it("does nothing unless armed", function()
    assert.are.equal(0, select("#", fail.point "spec.none"))
    fail.arm("spec.other", "return(1)")
    assert.is_nil(fail.point "spec.none")
  end)

  it("returns values of every kind", function()
    for expr, want in pairs { ["return(7)"] = 7, ["return(-1.5)"] = -1.5, ["return(true)"] = true,
      ["return"] = true,
      ["return(word)"] = "word", ['return("7")'] = "7", ["return(null)"] = require "rlab.null",
      ["return(a b)"] = "a b",
      ["return('it\\'s')"] = "it's" } do
      fail.arm("spec.point", expr)
      assert.are.equal(want, fail.point "spec.point")
    end
    fail.arm("spec.point", "error(ENOSPC)")
    local nothing, err = fail.point "spec.point"
    assert.is_nil(nothing)
    assert.are.equal("rlab ENOSPC: failpoint spec.point", tostring(err))
    fail.arm("spec.point", "error(1213)")
    assert.are.equal(1213, select(2, fail.point "spec.point").code)
  end)

  it("fires at the K-th hit, at N hits, and in a window", function()
    assert.are.same({ 3 }, fired_at("#3 return", 6))
    assert.are.same({ 1, 2 }, fired_at("2*return", 6))
    assert.are.same({ 4, 5 }, fired_at("2*#4 return", 6))
    assert.are.same({ 3, 4, 5, 6 }, fired_at("2*off -> return", 6))
    assert.are.same({ 1, 5 }, fired_at("1*return -> 3*off -> 1*return", 6))
  end)

  it("counts only what its condition fits", function()
    local by_turns = function(i) return { key = i % 2 == 0 and "even" or "odd", n = i } end
    assert.are.same({ 4 }, fired_at("#2 return if key=even", 8, by_turns))
    assert.are.same({ 6 }, fired_at("return if key=even and n=6", 8, by_turns))
    assert.are.same({}, fired_at("return if missing=1", 8, by_turns))
    assert.are.same({}, fired_at("return [pid 1]", 8))
    assert.are.same({ 1 }, fired_at("return [pid " .. process.self() .. "]", 1))
  end)

  it("draws chances from the seed", function()
    fail.seed(7)
    local first = fired_at("30%return", 1000)
    assert.are.same(first, fired_at("30%return", 1000))
    assert.is_true(#first > 250 and #first < 350)
    fail.seed(8)
    assert.are_not.same(first, fired_at("30%return", 1000))
    fail.seed(1)
  end)

  it("counts hits and firings while armed", function()
    fail.arm("spec.point", "#2 return")
    for _ = 1, 5 do fail.point "spec.point" end
    assert.are.same({ 5, 1 }, { fail.hits "spec.point" })
    assert.is_true(fail.disarm "spec.point")
    assert.is_false(fail.disarm "spec.point")
    fail.point "spec.point"
    assert.are.same({ 5, 1 }, { fail.hits "spec.point" })
    local found
    for _, info in ipairs(fail.list()) do found = found or info.name == "spec.point" and info end
    assert.are.same({ name = "spec.point", hits = 5, fired = 1 }, found)
    fail.arm("spec.point", "2*off -> 1*return")
    for _ = 1, 5 do fail.point "spec.point" end
    assert.are.same({ 5, 1 }, { fail.hits "spec.point" })
    fail.disarm "spec.point"
  end)

  it("sleeps without stopping other tasks", function()
    fail.arm("spec.point", "sleep(20ms)")
    local order = {}
    local sleeper = task.spawn(function() fail.point "spec.point" order[#order + 1] = "slept" end)
    task.yield()
    order[#order + 1] = "other"
    sleeper:join()
    assert.are.same({ "other", "slept" }, order)
  end)

  it("pauses until resumed, disarmed or armed again", function()
    for _, let_go in ipairs { fail.resume, fail.disarm, function(name) fail.arm(name, "off") end } do
      fail.arm("spec.point", "pause")
      local paused = task.spawn(function() fail.point "spec.point" return "went on" end)
      task.sleep "2ms"
      assert.is_false(paused:done())
      let_go "spec.point"
      assert.are.equal("went on", (paused:join()))
    end
    fail.arm("spec.point", "pause")
    local paused = task.spawn(function() fail.point "spec.point" end)
    task.yield()
    paused:cancel()
    assert.are.equal("CANCELLED", select(2, paused:join()).name)
  end)

  it("meets at barriers, round after round", function()
    fail.arm("spec.point", "barrier(meet, 3)")
    for _ = 1, 2 do
      local arrived, tasks = 0, {}
      local function come()
        tasks[#tasks + 1] = task.spawn(function() fail.point "spec.point" arrived = arrived + 1 end)
      end
      come() come()
      task.sleep "2ms"
      assert.are.equal(0, arrived)
      come()
      for _, t in ipairs(tasks) do t:join() end
      assert.are.equal(3, arrived)
    end
    -- who was cancelled does not count any more
    local gone = task.spawn(function() fail.point "spec.point" end)
    task.yield()
    gone:cancel()
    gone:join()
    local done = 0
    for _ = 1, 2 do task.spawn(function() fail.point "spec.point" done = done + 1 end) end
    task.sleep "2ms"
    assert.are.equal(0, done)
    fail.disarm "spec.point"
    task.wait_until(function() return done == 2 end, { at_most = "60s" })
    assert.are.equal(2, done)
  end)

  it("calls Lua, which may wait", function()
    fail.define("twice", function(ctx, hit) task.sleep "1ms" return ctx.n * 2, hit end)
    fail.arm("spec.point", "call(twice)")
    assert.are.same({ 42, 1 }, { fail.point("spec.point", { n = 21 }) })
    fail.define("twice", nil)
    assert.error_matches(function() fail.point("spec.point", { n = 1 }) end, "no such function")
  end)

  it("reaches points in C", function()
    assert.are.equal("go on", (fail.selftest()))
    fail.arm("rlab.selftest", "return(x) if key=a -> error(28)")
    assert.are.same({ "returned", "x" }, { fail.selftest "a" })
    assert.are.same({ "failed", "28" }, { fail.selftest "b" })
    local names = {}
    for i, point in ipairs(fail.points()) do names[i] = point.name end
    local sorted = table.move(names, 1, #names, 1, {})
    table.sort(sorted)
    assert.are.same(sorted, names)
  end)

  it("is armed by the environment and logs each arming, and each hit before it acts", function()
    local status, lines = child([[
      local fail = require "rlab.fail"
      for i = 1, 10 do fail.point("spec.kill", { key = i, name = "n" .. i }) end]],
      { RLAB_FAILPOINTS = 'spec.never=off; spec.kill=1*print -> kill if name="n4" ;' })
    assert.are.same({ signal = "KILL" }, status)
    assert.are.same({ "spec.never off", 'spec.kill 1*print -> kill if name="n4" ' },
      { lines[1].name .. " " .. lines[1].armed, lines[2].name .. " " .. lines[2].armed })
    local did = {}
    for i = 3, #lines do did[i - 2] = ("%d %s %d"):format(lines[i].hit, lines[i].action, lines[i].term) end
    assert.are.same({ "1 print 1", "2 off 0", "3 off 0", "4 kill 2" }, did)
    status, lines = child([[
      local fail = require "rlab.fail"
      for i = 1, 10 do fail.point("spec.kill", { key = i, name = "a;b" }) end]],
      { RLAB_FAILPOINTS = 'spec.kill=#4 kill if name="a;b"' })
    assert.are.same({ signal = "KILL" }, status)
    assert.are.equal(5, #lines)
    local line = lines[5]
    assert.are.same({ "spec.kill", 4, 4, "kill" }, { line.name, line.hit, line.nth, line.action })
    assert.are.same({ key = 4, name = "a;b" }, line.ctx)
    assert.are.equal("integer", math.type(line.pid))
    assert.are.equal("integer", math.type(line.time))
  end)

  it("exits with a code", function()
    assert.are.same({ code = 9 },
      (child([[require("rlab.fail").point "spec.exit"]], { RLAB_FAILPOINTS = "spec.exit=exit(9)" })))
  end)

  it("refuses a wrong environment before anything runs", function()
    local status, lines, text = child("error 'ran'", { RLAB_FAILPOINTS = "spec.a=kill;spec.b=kil" })
    assert.are.same({ code = 64 }, status)
    assert.are.same({}, lines)
    assert.matches("failpoint spec.b: no action 'kil', did you mean 'kill'?", text)
    status, lines, text = child("error 'ran'", { RLAB_FAILPOINT_SEED = "seven" })
    assert.are.same({ code = 64 }, status)
    assert.are.same({}, lines)
    assert.matches("RLAB_FAILPOINT_SEED is a whole number, not 'seven'", text, 1, true)
  end)

  it("explains expressions and shows where they are wrong", function()
    assert.are.equal("at the 40th hit: kill this process with SIGKILL", fail.explain "#40 kill")
    assert.are.equal(
      "1. at the first 2 hits: do nothing\n2. otherwise, at every hit, with a chance of 5 %: sleep 200 ms",
      fail.explain "2*off->5%sleep(200ms)")
    local nothing, err = fail.explain "#1 kil"
    assert.is_nil(nothing)
    assert.are.equal("no action 'kil', did you mean 'kill'? (column 4)\n  #1 kil\n     ^", err.message)
    assert.has_error(function() fail.arm("spec.point", "kil") end)
    assert.has_error(function() fail.arm("a b", "kill") end)
  end)
end)
