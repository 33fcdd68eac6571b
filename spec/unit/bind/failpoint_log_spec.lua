-- The second count of a failpoint's hits agrees with the engine's, and notices each hit that is not the one
-- that was asked for.
local expression = require "rlab.failpoint.expression"
local fs = require "rlab.fs"
local hit_log = require "rlab.failpoint.log"
local process = require "rlab.process"
local rng = require "rlab.rng"

-- ---- against the engine ----

local EXPRESSIONS = {
  "print", "#3 print", "2*print", "2*#4 print", "print if k=1", "#2 print if k=1", "2*off -> print",
  "#3 print if k=1 and n=7 -> print", "1*print -> 3*off -> 2*print", "40%print", "40%3*print -> #2 print",
  'print if k="a b"', "return(x) if k=2 -> #4 error(28)", "error(the commit fails) if k=1",
  "2*#3 print if k=2 -> 1*return() -> off",
}

-- What an rlab of its own logs when these points are hit with these contexts -> path of the log
local function run(dir, contexts)
  local script = { "local fail = require 'rlab.fail'" }
  for i, expr in ipairs(EXPRESSIONS) do
    script[#script + 1] = ("fail.arm('p%d', %q)"):format(i, expr)
    for _, ctx in ipairs(contexts) do
      script[#script + 1] = ("fail.point('p%d', { k = %s, n = %d })"):format(i, ctx.k, ctx.n)
    end
  end
  fs.write(dir .. "/child_spec.lua", "it('runs', function()\n" .. table.concat(script, "\n") .. "\nend)")
  local p <close> = process.spawn { cmd = { fs.self_exe(), "busted", dir .. "/child_spec.lua" },
    env = { RLAB_FAILPOINT_LOG = dir .. "/log" } }
  local status = p:wait()
  assert(status.code == 0, table.concat({ p:output() }, "\n"))
  return dir .. "/log"
end

describe("the second count of hits", function()
  it("agrees with the engine for every form of the grammar", function()
    local dir, random, contexts = fs.tmpdir(), rng.new(9), {}
    for i = 1, 60 do
      contexts[i] = { k = ({ "1", "2", "'a b'" })[random:int(1, 3)], n = random:int(6, 8) }
    end
    local lines = hit_log.read(run(dir, contexts))
    fs.remove(dir)
    for i, expr in ipairs(EXPRESSIONS) do
      local armings = hit_log.armings(lines, "p" .. i)
      assert.are.equal(1, #armings, expr)
      assert.are.equal(expr, armings[1].expr)
      assert.are.equal(60, #armings[1].hits)
      local acts, why = expression.replay(expr, armings[1].hits)
      assert.is_truthy(acts, ("%s: %s"):format(expr, tostring(why)))
      assert.are.same(#hit_log.acted(lines, "p" .. i), #acts)
    end
  end)
end)

-- ---- what is wrong is noticed ----

local function hit(n, action, term, ctx)
  return { hit = n, action = action or "off", term = term or 0, ctx = ctx, pid = 7 }
end

local function why(expr, hits)
  local acts, reason = expression.replay(expr, hits)
  assert.is_nil(acts)
  return reason
end

describe("a log that is not what was armed", function()
  it("has the hit one too late", function()
    assert.are.equal("hit 3 was to kill and did not; hit 4 did",
      why("#3 kill", { hit(1), hit(2), hit(3), hit(4, "kill", 1) }))
  end)

  it("has the hit one too early", function()
    assert.are.equal("hit 2 was not to act, and did 'kill'", why("#3 kill", { hit(1), hit(2, "kill", 1) }))
  end)

  it("acts in another context", function()
    assert.are.equal("hit 1 (batch=2) was not to act, and did 'kill'",
      why("kill if batch=3", { hit(1, "kill", 1, { batch = 2 }) }))
    assert.are.equal("hit 1 (batch=3) was to kill and did not; hit 2 (batch=4) did",
      why("kill if batch=3", { hit(1, nil, nil, { batch = 3 }), hit(2, "kill", 1, { batch = 4 }) }))
  end)

  it("counts hits that its `if` does not fit", function()
    local a, b = { key = "a" }, { key = "b" }
    assert.is_truthy(expression.replay("#2 kill if key=b",
      { hit(1, nil, nil, a), hit(2, nil, nil, b), hit(3, nil, nil, a), hit(4, "kill", 1, b) }))
    assert.matches("hit 2 %(key=b%) was not to act",
      why("#2 kill if key=b", { hit(1, nil, nil, a), hit(2, "kill", 1, b) }))
  end)

  it("is another process's, or lacks what its `if` asks for", function()
    local mine, others = hit(1, "kill", 1), hit(1)
    others.pid = 8
    assert.are.equal(1, #expression.replay("kill [pid 7]", { mine }))
    assert.are.equal("'kill [pid 7]' acted 0 of 1 times in 1 hits", why("kill [pid 7]", { others }))
    assert.are.equal(1, #expression.replay("kill if k=1", { hit(1), hit(2, "kill", 1, { k = 1 }) }))
  end)

  it("sleeps for another time", function()
    local sleeps = hit(1, "sleep", 1)
    sleeps.seconds = 0.2
    assert.are.equal(1, #expression.replay("sleep(200ms)", { sleeps }))
    sleeps.seconds = 0.02
    assert.are.equal("hit 1 did 'sleep', not 'sleep'", why("sleep(200ms)", { sleeps }))
  end)

  it("does something else", function()
    assert.are.equal("hit 1 did 'print', not 'kill'", why("#1 kill", { hit(1, "print", 1) }))
    local other = hit(1, "error", 1)
    other.arg = "1213"
    assert.are.equal("hit 1 did 'error', not 'error'", why("error(1205)", { other }))
  end)

  it("was never reached, or not often enough", function()
    assert.are.equal("it was never reached", why("#3 kill", {}))
    assert.are.equal("'#3 kill' acted 0 of 1 times in 2 hits", why("#3 kill", { hit(1), hit(2) }))
    assert.are.equal("'2*print' acted 1 of 2 times in 1 hits", why("2*print", { hit(1, "print", 1) }))
    assert.are.equal("'print if k=1' acted 0 of 1 times in 1 hits",
      why("print if k=1", { hit(1, nil, nil, { k = 2 }) }))
  end)

  it("has lost a line", function()
    assert.are.equal("the log has hit 3 where hit 2 belongs",
      why("#3 kill", { hit(1), hit(3, "kill", 1) }))
  end)
end)

describe("a line", function()
  local function line(fields)
    fields.name, fields.pid = "p", 7
    return fields
  end

  it("is read when it has its end", function()
    local path = os.tmpname()
    fs.write(path, '{"hit":1}\n{"hit"')
    local known = hit_log.read_on(path)
    assert.are.same({ { hit = 1 } }, known.list)
    fs.write(path, '{"hit":1}\n{"hit":2}\n')
    assert.are.same({ { hit = 1 }, { hit = 2 } }, hit_log.read_on(path, known).list)
    os.remove(path)
  end)

  it("of an arming that is over stays with it", function()
    local armings = hit_log.armings({ line { armed = "pause", arming = 1 },
      line { hit = 1, arming = 1, action = "pause" }, line { waits = 1, arming = 1 },
      line { armed = "#2 pause", arming = 2 }, line { hit = 1, arming = 2, action = "off" },
      line { left = 1, let_go = true, arming = 1 } }, "p")
    assert.are.same({ "let go" }, armings[1].held)
    assert.are.same({}, armings[2].held)
    assert.are.equal(1, #armings[1].hits)
    assert.are.equal(1, #armings[2].hits)
  end)

  it("without the number of its arming is of the last one", function()
    local armings = hit_log.armings({ line { hit = 9 }, line { armed = "kill" }, line { hit = 1 },
      line { armed = "pause" }, line { hit = 1 }, line { waits = 1 },
      { name = "other", hit = 1 } }, "p")
    assert.are.equal(1, #armings[1].hits)
    assert.are.equal(1, #armings[2].hits)
    assert.are.same({ "holds" }, armings[2].held)
  end)

  it("says of a hit that is to stand still whether it has begun to", function()
    local pause = line { hit = 2, arming = 1, action = "pause" }
    local print = line { hit = 1, arming = 1, action = "print" }
    local lines = { line { armed = "#2 pause", arming = 1 }, print, pause }
    assert.is_true(hit_log.has_stopped(lines, print))
    assert.is_false(hit_log.has_stopped(lines, pause))
    for _, other in ipairs { line { waits = 1, arming = 1 }, line { waits = 2, arming = 2 },
      { name = "q", waits = 2, arming = 1 } } do
      lines[4] = other
      assert.is_false(hit_log.has_stopped(lines, pause))
    end
    lines[4] = line { waits = 2, arming = 1 }
    assert.is_true(hit_log.has_stopped(lines, pause))
    assert.is_true(hit_log.has_stopped({}, line { hit = 2, action = "pause" }))
    assert.is_true(hit_log.stands { action = "barrier" })
  end)
end)
