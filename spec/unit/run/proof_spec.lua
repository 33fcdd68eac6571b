-- Each kind of proof, right and wrong: what the lab has seen is one, anything else makes the arm
-- inconclusive.
local faults = require "rlab.lab.faults"
local fs = require "rlab.fs"
local proof = require "rlab.proof"
local process = require "rlab.process"

local function hits_of(n, last, ctx)
  local hits = {}
  for i = 1, n do hits[i] = { hit = i, term = 0, action = "off", pid = 7, ctx = ctx } end
  if last then hits[n].term, hits[n].action = 1, last end
  return hits
end

local function kill(more)
  local facts = { point = "p", expr = "#3 kill", armed = "#3 kill", pid = 7, hits = hits_of(3, "kill"),
    ended = { signal = "KILL" } }
  for key, value in pairs(more or {}) do facts[key] = value end
  return facts
end

local function pause(held, action)
  local hits = hits_of(1, action or "pause")
  hits[1].held = held
  local expr = action or "pause"
  return { point = "p", expr = expr, armed = expr, pid = 7, hits = hits, ended = false }
end

local thrice = { fired = 3, matched = 3, at_least = 3, bytes = 0 }
local lost = { up = 90, down = 0 }
local fifth = { fired = 1, matched = 5, nth = 5, at_least = 1, bytes = 120,
  last = { client_id = "rlab", correlation = 6 } }
local seen = { what = "rows", from = "MySQL", got = 4, want = 4 }

-- kind, name of the case, facts, the sentence, or nil where it is no proof and then what is missing
local CASES = {
  { "hits", "right", kill(), "hit 3, pid 7" },
  { "hits", "empty", kill { hits = {} }, nil, "it was never reached" },
  { "hits", "off by one", kill { hits = hits_of(4, "kill") }, nil,
    "hit 3 was to kill and did not; hit 4 did" },
  { "hits", "other context", kill { expr = "kill if batch=3", armed = "kill if batch=3",
    hits = hits_of(1, "kill", { batch = 2 }) }, nil, "hit 1 (batch=2) was not to act, and did 'kill'" },
  { "hits", "other process", kill { pid = 8 }, nil, "hit 1 is of process 7, not of 8" },
  { "hits", "other expression", kill { armed = "#4 kill" }, nil, "'#4 kill' was armed instead" },
  { "hits", "not armed", kill { armed = false }, nil, "it was not armed" },
  { "hits", "the kill that killed nobody", kill { ended = { code = 0 } }, nil,
    "the process ended by exit 0, not by signal KILL" },
  { "hits", "the last that killed nobody", kill { expr = "2*print->kill", armed = "2*print->kill",
    hits = { { hit = 1, term = 1, action = "print", pid = 7 },
      { hit = 2, term = 1, action = "print", pid = 7 },
      { hit = 3, term = 2, action = "kill", pid = 7 } }, ended = { code = 0 } }, nil,
    "the process ended by exit 0, not by signal KILL" },
  { "hits", "still alive", kill { ended = false }, nil, "the process ended by nothing, not by signal KILL" },
  { "hits", "ended by the lab", kill { ended_by_lab = true }, nil, "the lab ended the process itself" },
  { "hits", "stood still until it was let go", pause "let go", "hit 1, pid 7" },
  { "hits", "stands still", pause "holds", "hit 1, pid 7" },
  { "hits", "stood still for nobody", pause "went on", nil,
    "hit 1 was to stand still and went on by itself" },
  { "hits", "the pause that is none", pause(nil), nil, "hit 1 was to stand still and did not" },
  { "hits", "no pause", pause(nil, "print"), "hit 1, pid 7" },
  { "exit", "right", { pid = 7, want = { signal = "KILL" }, ended = { signal = "KILL" } },
    "signal 9, pid 7" },
  { "exit", "right code", { pid = 7, want = { code = 3 }, ended = { code = 3 } }, "exit 3, pid 7" },
  { "exit", "other end", { pid = 7, want = { signal = "KILL" }, ended = { signal = "TERM" } }, nil,
    "pid 7 ended by signal TERM, not by signal KILL" },
  { "exit", "alive", { pid = 7, want = { signal = "KILL" } }, nil,
    "pid 7 ended by nothing, not by signal KILL" },
  { "exit", "nothing wanted", { pid = 7, want = {}, ended = {} }, nil, "pid 7 ended by nothing, not by nil" },
  { "state", "right", { pid = 7, state = "T", want = "T" }, "process state T, pid 7" },
  { "state", "running", { pid = 7, state = "S", want = "T" }, nil, "pid 7 is in state S, not T" },
  { "state", "gone", { pid = 7, want = "T" }, nil, "pid 7 is in state nil, not T" },
  { "gone", "right", { pid = 7, before = true, after = false, signal = 9 }, "signal 9, pid 7 is gone" },
  { "gone", "still there", { pid = 7, before = true, after = true, signal = 9 }, nil,
    "pid 7 is still there" },
  { "gone", "never there", { pid = 7, before = false, after = false, signal = 9 }, nil,
    "pid 7 was not there before" },
  { "away", "killed", { server = "redis", fault = "kill", seen = "refused", seconds = 2, returned = true },
    "redis, which had answered, refused connections for 2.0 s, and answers again" },
  { "away", "frozen", { server = "redis", fault = "freeze", seen = "silent", seconds = 2 },
    "redis, which had answered, did not answer for 2.0 s" },
  { "away", "unseen", { server = "redis", fault = "kill" }, nil, "redis answered all the time" },
  { "away", "gone, not frozen", { server = "redis", fault = "freeze", seen = "refused", seconds = 2 }, nil,
    "redis refused connections: it was gone, not frozen" },
  { "away", "back too early", { server = "redis", fault = "kill", seen = "silent", seconds = 2, early = 1 },
    nil, "redis answered by itself 1.0 s after the kill, before it was to" },
  { "away", "restarted", { server = "redis", fault = "terminate", seen = "refused", seconds = 2, early = 1 },
    "redis, which had answered, refused connections for 2.0 s" },
  { "wire", "right", thrice, "3 of 3 matched on the wire" },
  { "wire", "right request", fifth,
    "1 of 5 matched on the wire of rlab, correlation 6, 120 bytes lost" },
  { "wire", "too few", { fired = 2, matched = 9, at_least = 3 }, nil,
    "it acted 2 of 3 times, 9 requests matched" },
  { "wire", "one too late", { fired = 1, matched = 6, nth = 5, at_least = 1, bytes = 0 }, nil,
    "it acted on match 6, not on 5" },
  { "wire", "a rule that is gone", { at_least = 1 }, nil, "the proxy has no counter of it" },
  { "wire", "nothing wanted", { fired = 0, matched = 0, at_least = 0 }, nil,
    "the proxy has no counter of it" },
  { "parted", "right", { directions = { { must = true, fired = 2, bytes = 30 }, { fired = 0, bytes = 0 } } },
    "1 of 1 directions in which a follower asks swallowed, 30 bytes so far" },
  { "parted", "one way", { directions = { { must = true, fired = 2, bytes = 3 },
    { must = true, fired = 0, bytes = 0 } } }, nil, "1 of 2 directions were swallowed" },
  { "parted", "empty", { directions = {} }, nil, "nobody asks anybody" },
  { "unheard", "right", { want = 2, unheard = 2, passed = { lost, lost } },
    "2 requests passed the proxy, no byte of their answers did" },
  { "unheard", "one was heard of", { want = 2, unheard = 1, passed = { lost, lost } }, nil,
    "of 2 requests 2 passed with nothing coming back, and 1 were not heard of" },
  { "unheard", "one was answered", { want = 2, unheard = 2, passed = { lost, { up = 9, down = 1 } } }, nil,
    "of 2 requests 1 passed with nothing coming back, and 2 were not heard of" },
  { "unheard", "one never came", { want = 2, unheard = 2, passed = { { up = 0, down = 0 }, lost } }, nil,
    "of 2 requests 1 passed with nothing coming back, and 2 were not heard of" },
  { "unheard", "nothing wanted", { want = 0, unheard = 0, passed = {} }, nil,
    "of 0 requests 0 passed with nothing coming back, and 0 were not heard of" },
  { "read", "right", seen, "rows: 4, says MySQL" },
  { "read", "off by one", { what = "rows", from = "MySQL", got = 3, want = 4 }, nil,
    "rows: 3, not 4, says MySQL" },
  { "read", "at least", { what = "rows", from = "MySQL", got = 3, want = { at_least = 2 } },
    "rows: 3, says MySQL" },
  { "read", "at least nothing", { what = "rows", from = "MySQL", got = 3, want = { at_least = 0 } }, nil,
    "rows: 3, not at least 0, says MySQL" },
  { "read", "nothing, with a control", { what = "rows", from = "MySQL", got = 0, want = 0, control = seen },
    "rows: 0, says MySQL" },
  { "read", "nothing, unseen", { what = "rows", from = "MySQL", got = 0, want = 0 }, nil,
    "rows: nothing was seen, and no control has seen anything" },
  { "read", "nothing, to a control that saw nothing", { what = "rows", from = "MySQL", got = 0, want = 0,
    control = { what = "rows", from = "MySQL", got = 0, want = 0 } }, nil,
    "rows: nothing was seen, and no control has seen anything" },
  { "read", "nothing wanted", { what = "rows", from = "MySQL" }, nil, "rows: nil, not nil, says MySQL" },
  { "offset", "right", { got = 0, want = 0 }, "the broker says offset 0" },
  { "offset", "off by one", { got = 1, want = 0 }, nil, "the broker says offset 1, not 0" },
  { "offset", "unknown", { want = 0 }, nil, "the broker says offset nil, not 0" },
  { "removed", "right", { before = 1, after = 0 }, "EXISTS: 1 before, 0 after" },
  { "removed", "never there", { before = 0, after = 0 }, nil, "the key was not there before" },
  { "removed", "still there", { before = 1, after = 1 }, nil, "the key is still there" },
  { "held_back", "right", { lso = 3, hw = 9 }, "LSO 3 < HW 9" },
  { "held_back", "nothing", { lso = 9, hw = 9 }, nil, "LSO 9, HW 9: nothing is held back" },
  { "expiry", "right", { count = 2, ends = { 100, 130 }, within = 30 },
    "PEXPIRETIME of 2 keys: they end within 30 ms" },
  { "expiry", "too far apart", { count = 2, ends = { 100, 131 }, within = 30 }, nil,
    "they end within 31 ms, not 30" },
  { "expiry", "no end", { count = 2, ends = { 100, -1 } }, nil, "a key has no end: -1" },
  { "expiry", "one left out", { count = 2, ends = { 100 } }, nil, "1 of 2 keys have an end" },
  { "queue", "right", { before = 9, after = 9 }, "Recv-Q 9 bytes, unchanged by the records behind it" },
  { "queue", "leaked", { before = 9, after = 12 }, nil, "its receive queue went from 9 to 12 bytes" },
  { "queue", "empty", { before = 0, after = 0 }, nil, "nothing is in its receive queue" },
  { "lock_wait", "right", { thread = 4, schema = "s" },
    "InnoDB shows a transaction of s in LOCK WAIT, thread 4" },
  { "lock_wait", "nobody", { schema = "s" }, nil, "no transaction waits for a lock" },
}

describe("a proof", function()
  for _, case in ipairs(CASES) do
    local kind, name, facts, sentence, missing = table.unpack(case, 1, 5)
    it(("of the kind %s: %s"):format(kind, name), function()
      local got, why = proof.judge(kind, facts)
      assert.are.same({ sentence, missing }, { got, why })
    end)
  end

  it("is none when its facts are gone, whatever the kind", function()
    local kinds = require "rlab.proof.kinds"
    for kind in pairs(kinds) do
      assert.is_nil((proof.judge(kind, {})), kind)
      assert.is_nil((proof.judge(kind, nil)), kind)
    end
    assert.is_nil((proof.judge("wish", {})))
  end)

  it("is tried by each kind, right and wrong", function()
    local kinds, tried = require "rlab.proof.kinds", {}
    for _, case in ipairs(CASES) do
      tried[case[1]] = tried[case[1]] or {}
      tried[case[1]][case[4] and "right" or "wrong"] = true
    end
    for kind in pairs(kinds) do assert.are.same({ right = true, wrong = true }, tried[kind], kind) end
  end)
end)

-- ---- a fault takes nothing else ----

local function lab_for()
  local lab = { faults = {}, label = "arm", run = { view = { fault = function() end } } }
  function lab:now() return #self.faults end
  lab.proof, lab.fault, lab.unproved = proof.bind(lab), faults.fault, faults.unproved
  return lab
end

describe("a fault", function()
  it("takes no text, and says where and what to pass instead", function()
    local fault = lab_for():fault "f"
    for _, wrong in ipairs { "trust me", true, 3, { kind = "exit", facts = {} } } do
      local ok, why = pcall(function() fault:fired(wrong) end)
      assert.is_false(ok)
      assert.matches("proof_spec%.lua:%d+: fault:fired takes what the lab has seen", why)
      assert.matches("lab.proof.hits(child, point)", why, 1, true)
    end
    assert.is_false((pcall(function() fault:fired() end)))
    assert.is_false(fault.row.fired)
  end)

  it("cannot be given a proof that the script made", function()
    local fault = lab_for():fault "f"
    local real = proof.of("exit", { pid = 7, want = { code = 0 }, ended = { code = 0 } })
    assert.is_false((pcall(function() setmetatable({}, getmetatable(real)) end)))
    local copy = {}
    for key, value in pairs(real) do copy[key] = value end
    assert.is_false((pcall(function() fault:fired(copy) end)))
  end)

  it("has happened when each of its proofs is right, and says them", function()
    local lab = lab_for()
    local good = proof.of("read", seen)
    local bad = proof.of("read", { what = "entries", from = "Redis", got = 2, want = 1 })
    lab:fault "good":fired(good, good)
    lab:fault "bad":fired(good, bad)
    lab:fault "unseen"
    assert.are.equal("rows: 4, says MySQL; rows: 4, says MySQL", lab.faults[1].proof)
    assert.are.same({ "bad (entries: 2, not 1, says Redis)", "unseen" }, lab:unproved())
  end)

  it("names a proof that does not exist", function()
    local ok, why = pcall(function() return lab_for().proof.exits end)
    assert.is_false(ok)
    assert.matches("there is no proof 'exits', did you mean 'exit'?", why, 1, true)
  end)
end)

describe("a stored proof", function()
  local told = { { name = "f", arm = "a", fired = true }, { name = "g", fired = true } }
  local function stored()
    local ended = { pid = 7, want = { code = 0 }, ended = { code = 0 } }
    return { { name = "f", arm = "a", proofs = { { kind = "read", facts = seen } } },
      { name = "g", proofs = { { kind = "exit", facts = ended } } } }
  end

  it("is judged again, the setup's for every arm", function()
    assert.are.same({}, proof.lacking(told, stored(), "a"))
    local changed = stored()
    changed[2].proofs[1].facts.ended = { code = 1 }
    assert.are.same({ "g (pid 7 ended by exit 1, not by exit 0)" }, proof.lacking(told, changed, "b"))
  end)

  it("proves nothing when it is empty, gone or of another fault", function()
    local changed = stored()
    changed[1].proofs = {}
    assert.are.same({ "f (nothing was seen of it)" }, proof.lacking(told, changed, "a"))
    changed[1].proofs = { {} }
    assert.are.same({ "f (there is no proof of the kind 'nil')" }, proof.lacking(told, changed, "a"))
    assert.are.same({ "f (its proof was not stored)", "g (its proof was not stored)" },
      proof.lacking(told, {}, "a"))
    changed = stored()
    changed[1], changed[2] = changed[2], changed[1]
    assert.are.equal(2, #proof.lacking(told, changed, "a"))
  end)

  it("proves nothing of a fault that the run itself had no proof of", function()
    local unproved = { { name = "f", arm = "a", fired = false }, told[2] }
    assert.are.equal(1, #proof.lacking(unproved, stored(), "a"))
    assert.are.same({}, proof.lacking(unproved, stored(), "b"))
  end)
end)

-- ---- the lab looks for itself: a child with failpoints in C and in Lua ----

local function child_of(script, expr)
  local dir = fs.tmpdir()
  fs.write(dir .. "/child_spec.lua", "it('runs', function()\n" .. script .. "\nend)")
  local p = process.spawn { cmd = { fs.self_exe(), "busted", dir .. "/child_spec.lua" },
    stdout = "capture", env = { RLAB_FAILPOINT_LOG = dir .. "/log", RLAB_FAILPOINTS = expr } }
  p:wait()
  local child = { name = "child", pid = p.pid, armed = {}, process = p }
  function child.log() return require("rlab.failpoint.log").read(dir .. "/log") end
  function child.ending()
    local status = p:wait(0)
    return { signal = status.signal, code = not status.signal and status.code or nil }
  end
  return child
end

describe("the hits of a process", function()
  local cases = {
    { "in Lua", "spec.point", 'for i = 1, 9 do require("rlab.fail").point("spec.point", { n = i % 2 }) end' },
    { "in C", "rlab.selftest", 'for i = 1, 9 do require("rlab.fail").selftest(tostring(i)) end' },
  }
  for _, case in ipairs(cases) do
    local where, point, script = table.unpack(case)
    it("prove the kill that was armed " .. where, function()
      local lab, child = lab_for(), child_of(script, point .. "=#3 kill")
      child.armed[point] = { "#3 kill" }
      assert.are.equal(("hit 3, pid %d"):format(child.pid), lab.proof.hits(child, point):sentence())
      child.pid = child.pid + 1
      assert.matches("of process", lab.proof.hits(child, point):sentence())
    end)

    it("do not prove another one " .. where, function()
      local lab, child = lab_for(), child_of(script, point .. "=#4 kill")
      child.armed[point] = { "#3 kill" }
      assert.are.equal("'#4 kill' was armed instead", lab.proof.hits(child, point):sentence())
      assert.is_false((pcall(function() return lab.proof.hits(child, "spec.other") end)))
      assert.is_false((pcall(function() return lab.proof.hits(child, point, "kill") end)))
    end)
  end

  it("say who stood still", function()
    local lab = lab_for()
    local child = child_of([[local fail, task = require "rlab.fail", require "rlab.task"
      local one = task.spawn(function() fail.point "spec.point" end)
      task.yield()
      fail.resume "spec.point"
      one:join()
      fail.arm("spec.point", "#1 pause")
      one = task.spawn(function() fail.point "spec.point" end)
      task.yield()
      one:cancel()
      one:join()
      fail.arm("spec.point", "#2 pause")
      fail.point "spec.point"
      task.spawn(function() fail.point "spec.point" end)
      task.yield()
      fail.point "spec.end"]], "spec.point=pause;spec.end=kill")
    child.armed["spec.point"] = { "pause", "#1 pause", "#2 pause" }
    local function said(expr) return lab.proof.hits(child, "spec.point", expr):sentence() end
    assert.are.equal(("hit 1, pid %d"):format(child.pid), said "pause")
    assert.are.equal("hit 1 was to stand still and went on by itself", said "#1 pause")
    assert.are.equal(("hit 2, pid %d"):format(child.pid), said "#2 pause")
  end)

  it("are of their own arming, where the point was armed anew", function()
    local lab = lab_for()
    local child = child_of([[local fail = require "rlab.fail"
      for _ = 1, 3 do fail.point "spec.point" end
      fail.arm("spec.point", "1*print")
      for _ = 1, 2 do fail.point "spec.point" end
      fail.disarm "spec.point"
      fail.point "spec.point"]], "spec.point=#2 print")
    child.armed["spec.point"] = { "#2 print", "1*print" }
    assert.are.equal(("hit 2, pid %d"):format(child.pid),
      lab.proof.hits(child, "spec.point", "#2 print"):sentence())
    assert.are.equal(("hit 1, pid %d"):format(child.pid), lab.proof.hits(child, "spec.point"):sentence())
    assert.are.equal("exit 0, pid " .. child.pid, lab.proof.exit(child, { code = 0 }):sentence())
    assert.matches("not by signal KILL", lab.proof.exit(child, { signal = "KILL" }):sentence())
  end)
end)
