-- Ctrl-C while mutants run (deps/mutants.lua): it ends, nothing that it started is left, and no copy of the
-- tree with a mutant in it. In a project of its own, whose judge and compiler take longer than anybody waits.
local fs = require "rlab.fs"
local process = require "rlab.process"
local task = require "rlab.task"

local RUNNER = fs.realpath "deps/mutants.lua"

local SLEEPS = "#!/bin/sh\necho $$ >\"$PROJECT/at\"\nsleep 300\n"
local FILES = {
  ["code.txt"] = "good\n",
  ["Makefile"] = ".PHONY: rlab\nrlab:\n\t@./compiler\n",
  ["spec/mutants/all.lua"] = [[return { { id = "one", mechanism = "m", file = "code.txt", before = "good",
    after = "bad", run = "E-999", exit = 1, check = "c" } }]],
}

local function make_project(dir, judge, compiler)
  for path, text in pairs(FILES) do
    assert(fs.mkdir((dir .. "/" .. path):match "(.*)/"))
    assert(fs.write(dir .. "/" .. path, text))
  end
  assert(fs.mkdir(dir .. "/build"))
  assert(fs.write(dir .. "/rlab", judge, { mode = tonumber("755", 8) }))
  assert(fs.write(dir .. "/compiler", compiler, { mode = tonumber("755", 8) }))
  local git <close> = assert(process.spawn { cwd = dir,
    cmd = { "sh", "-c", "git init -q && git add -A && git -c user.name=x -c user.email=x commit -qm x" } })
  assert.are.same({ code = 0 }, git:wait "30s")
end

-- Who is in the session that `leader` began, in whatever group, and lives.
local function session_of(leader)
  local ps <close> = assert(process.spawn { cmd = { "ps", "-eo", "sid=,stat=,args=" } })
  ps:wait()
  local list = {}
  for line in ps:output():gmatch "[^\n]+" do
    local session, state = line:match "^%s*(%d+)%s+(%S+)"
    if tonumber(session) == leader and not state:find "Z" then list[#list + 1] = line end
  end
  return list
end

-- To every process of the group, as a terminal sends it.
local function interrupt(leader)
  local kill <close> = assert(process.spawn { cmd = { "bash", "-c", "kill -INT -- -" .. leader } })
  assert.are.same({ code = 0 }, kill:wait())
end

local function interrupted(dir, judge, compiler, words)
  make_project(dir, judge, compiler)
  local runner <close> = assert(process.spawn { cwd = dir, env = { PROJECT = dir }, stderr = "stdout",
    cmd = { "lua5.4", RUNNER, table.unpack(words or {}) } })
  assert(task.wait_until(function() return fs.exists(dir .. "/at") end, { at_most = "30s", every = "10ms" }))
  local there, with = fs.exists(dir .. "/build-mutants/tree"), #session_of(runner.pid)
  interrupt(runner.pid)
  local status, late = runner:wait "10s"
  return { status = status, late = late, said = runner:output(), there = there, with = with,
    left = session_of(runner.pid), copy = fs.exists(dir .. "/build-mutants"),
    code = fs.read(dir .. "/code.txt") }
end

-- Has no answer while the other worker is at it.
local BUSY = [[#!/bin/sh
if [ ! -e "$PROJECT/taken/done.2" ]; then
  echo '{"arms":[{"reason":"but mysql waited 1.5 s for a processor"}],"checks":[]}'
  exit 3
fi
if grep -q good code.txt; then echo '{"arms":[],"checks":[]}'; exit 0; fi
echo '{"arms":[],"checks":[{"name":"c","as_expected":false,"outcome":"violated"}]}'
exit 1
]]

-- The first time a broker is late.
local UNSURE = [[#!/bin/sh
if [ -e "$PROJECT/asked" ]; then
  echo '{"arms":[],"checks":[{"name":"c","as_expected":false,"outcome":"violated"}]}'
  exit 1
fi
touch "$PROJECT/asked"
echo '{"arms":[{"reason":"a topic did not come about within 30 s"}],"checks":[]}'
exit 3
]]

describe("mutants, for which the machine was too busy", function()
  local dir
  before_each(function() dir = assert(fs.tmpdir "rlab-spec") end)
  after_each(function() assert(fs.remove(dir)) end)

  it("are asked again when nobody is beside them any more", function()
    make_project(dir, BUSY, "#!/bin/sh\n")
    assert(fs.mkdir(dir .. "/taken"))
    local runner <close> = assert(process.spawn { cwd = dir, env = { PROJECT = dir }, stderr = "stdout",
      cmd = { "lua5.4", RUNNER, "--worker", "1", "--workers", "2", "--taken", "taken" } })
    assert(task.wait_until(function() return fs.exists(dir .. "/taken/done.1") end,
      { at_most = "30s", every = "10ms" }))
    assert(fs.write(dir .. "/taken/done.2", ""))
    assert.are.same({ code = 0 }, runner:wait "30s")
    local said = runner:output()
    assert.matches("busy +one.*caught +one", said)
    assert.are.equal("1 0 0 0 0", fs.read(dir .. "/taken/score.1"))
    assert.is_false(fs.exists(dir .. "/taken/over.1")) -- whoever started it says so
  end)

  it("are skipped by the tests, with what was said", function()
    make_project(dir, BUSY, "#!/bin/sh\n")
    local runner <close> = assert(process.spawn { cwd = dir, env = { PROJECT = dir }, stderr = "stdout",
      cmd = { "lua5.4", RUNNER, "--tap" } })
    assert.are.same({ code = 0 }, runner:wait "30s")
    local said = runner:output()
    assert.matches("ok 1 %- # SKIP one: .*exit 3, but mysql waited 1%.5 s for a processor", said)
    assert.not_matches("not ok", said)
  end)

  it("are asked once more where there was no verdict, whatever the reason", function()
    make_project(dir, UNSURE, "#!/bin/sh\n")
    local runner <close> = assert(process.spawn { cwd = dir, env = { PROJECT = dir }, stderr = "stdout",
      cmd = { "lua5.4", RUNNER, "--tap", "--draw", "1" } })
    assert.are.same({ code = 0 }, runner:wait "30s")
    assert.matches("ok 1 - one is caught by E-999", runner:output(), 1, true)
  end)

  it("are skipped by the tests where there was none twice, and missed where all are tried", function()
    local no_verdict = UNSURE:gsub("touch", "true")
    local good = no_verdict:gsub("\n", "\nif grep -q good code.txt; then echo '{}'; exit 0; fi\n", 1)
    make_project(dir, good, "#!/bin/sh\n")
    for said, words in pairs { ["ok 1 %- # SKIP one: .*within 30 s"] = { "--tap" }, ["MISSED +one"] = {} } do
      local runner <close> = assert(process.spawn { cwd = dir, env = { PROJECT = dir }, stderr = "stdout",
        cmd = { "lua5.4", RUNNER, table.unpack(words) } })
      assert.is_not_nil(runner:wait "30s")
      assert.matches(said, (runner:output()))
    end
  end)
end)

-- A spec of which three tests are red ends with 3, as an experiment without a verdict does.
local THREE_RED = [[#!/bin/sh
if grep -q good code.txt; then echo 'ok 1 - it is good'; exit 0; fi
echo 'not ok 1 - it is good'
exit 3
]]

describe("mutants, judged by a spec", function()
  local dir
  before_each(function() dir = assert(fs.tmpdir "rlab-spec") end)
  after_each(function() assert(fs.remove(dir)) end)

  it("are caught by a test that is red, however many are", function()
    make_project(dir, THREE_RED, "#!/bin/sh\n")
    assert(fs.write(dir .. "/spec/mutants/all.lua", [[return { { id = "one", mechanism = "m",
      file = "code.txt", before = "good", after = "bad", spec = "spec/unit/a_spec.lua", it = "is good" } }]]))
    local runner <close> = assert(process.spawn { cwd = dir, stderr = "stdout", cmd = { "lua5.4", RUNNER } })
    assert.are.same({ code = 0 }, runner:wait "30s")
    assert.matches("1 of 1 caught by the right word", runner:output(), 1, true)
  end)
end)

describe("mutants of a run that was cut off", function()
  local dir
  before_each(function() dir = assert(fs.tmpdir "rlab-spec") end)
  after_each(function() assert(fs.remove(dir)) end)

  local function run_on(kept, judge)
    make_project(dir, judge, "#!/bin/sh\n")
    assert(fs.write(dir .. "/kept", kept))
    local runner <close> = assert(process.spawn { cwd = dir, env = { PROJECT = dir }, stderr = "stdout",
      cmd = { "lua5.4", RUNNER, "--kept", "kept" } })
    local status = runner:wait "30s"
    return status.code, runner:output(), fs.read(dir .. "/kept")
  end

  it("are not asked again, whatever was heard", function()
    local code, said = run_on("one\tMISSED\tdue exit 1, c\n", "#!/bin/sh\nexit 70\n")
    assert.are.equal(1, code)
    assert.matches("MISSED +one.*mutants: 0 of 1", said)
  end)

  it("are asked where there is no answer yet, which is kept", function()
    local broken = "#!/bin/sh\nexit 70\n"
    local _, said, kept = run_on("", broken)
    assert.matches("BROKEN +one", said)
    assert.matches("one\tBROKEN\tred without it: [^\n]+\n$", kept)
  end)
end)

describe("mutants, interrupted", function()
  local dir
  before_each(function() dir = assert(fs.tmpdir "rlab-spec") end)
  after_each(function() assert(fs.remove(dir)) end)

  local function ends(seen)
    assert.is_true(seen.there and seen.with > 1) -- it was at work
    assert.is_not_nil(seen.status, tostring(seen.late))
    assert.are_not.same({ code = 0 }, seen.status)
    assert.matches("interrupted", seen.said)
    assert.are.same({}, seen.left)
    assert.is_false(seen.copy)
    assert.are.equal("good\n", seen.code)
  end

  it("end while a judge runs, with nothing left behind", function()
    ends(interrupted(dir, SLEEPS, "#!/bin/sh\n", { "--draw", "1", "--seed", "1" }))
  end)

  it("end while a mutant is compiled, with nothing left behind", function()
    ends(interrupted(dir, "#!/bin/sh\n", SLEEPS))
  end)
end)
