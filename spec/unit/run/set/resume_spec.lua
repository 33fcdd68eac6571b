-- A set of runs whose rlab was killed, and that is gone on with: real processes, and no server.
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"
local tables = require "rlab.tables"
local task = require "rlab.task"

local FIXTURE = "spec/fixtures/experiments/waits-at-a-gate.lua"

describe("a set of runs that was cut off", function()
  local dir, runs

  before_each(function()
    dir = assert(fs.tmpdir "rlab-resume")
    runs = dir .. "/runs"
  end)
  after_each(function() fs.remove(dir) end)

  local function start(...)
    local cmd = tables.append({ fs.self_exe(), "run" }, { ... })
    return assert(process.spawn { cmd = tables.append(cmd, { "--runs", runs, "-q" }), stdout = "capture",
      stderr = "stdout", env = { RLAB_HOME = dir .. "/stack" } })
  end

  local function rlab(...)
    local p <close> = start(...)
    return assert(p:wait "60s").code, (p:output())
  end

  local function begin(file, ...)
    return start(file or FIXTURE, "--repeat", "4", "--set", "dir=" .. dir, ...)
  end

  -- The seeds in the order in which the runs began.
  local function ran() return (fs.read(dir .. "/ran") or ""):gsub("\n", " ") end

  local function wait_until_ran(want)
    assert(task.wait_until(function() return ran() == want end, { at_most = "60s", every = "5ms" }), ran())
  end

  -- Killed in the third of four runs; then nothing waits any more.
  local function cut_off(...)
    local p <close> = begin(...)
    wait_until_ran "7 8 9 "
    assert(p:kill "KILL")
    assert.equal("KILL", assert(p:wait "60s").signal)
    assert(fs.write(dir .. "/gate", ""))
  end

  local function plan_file() return ("%s/sets/%s"):format(runs, fs.list(runs .. "/sets")[1]) end

  local function change_plan(change)
    local plan = json.decode(assert(fs.read(plan_file())))
    change(plan)
    assert(fs.write(plan_file(), json.encode(plan)))
  end

  -- The seeds of the runs that have a result, and how many lines the record has.
  local function kept()
    local seeds = {}
    for _, run in ipairs(require("rlab.run.kept").runs(runs, "E-941")) do
      table.insert(seeds, 1, run.result.run.seed)
    end
    return table.concat(seeds, " "), require("rlab.run.track_record").read(runs).runs
  end

  it("goes on with the run that was interrupted, with the same seeds, and the whole is judged", function()
    cut_off()
    local code, output = rlab "--resume"
    assert.equal(1, code, output) -- of seed 8, whose verdict was there
    assert.matches("2 of 4 have their verdicts, 2 to run", output)
    assert.matches("3 of 4 as predicted", output)
    assert.equal("7 8 9 9 10 ", ran())
    assert.same({ "7 8 9 10", 4 }, { kept() })
    assert.same({}, fs.list(dir .. "/stack/open-runs"))

    code, output = rlab "--resume"
    assert.equal(1, code, output)
    assert.matches("4 of 4 have their verdicts, nothing is left to run", output)
    assert.equal("7 8 9 9 10 ", ran())
  end)

  -- What `rlab run --resume` says of it without running anything.
  local function refused(words)
    local ok, failure = pcall(require("rlab.cli.run").run, tables.merged(
      { resume = true, runs = runs, experiments = {}, quiet = true }, words))
    assert.is_false(ok)
    assert.equal("USAGE", failure.name)
    return failure.message
  end

  -- Why the plan is not gone on with; nothing is run.
  local function plan_refused()
    local ok, failure = pcall(function()
      local plan <close> = require("rlab.run.set.plan").open(runs)
      plan:missing()
    end)
    assert.is_false(ok)
    return failure.message
  end

  it("is gone on with by one at a time, and not when an experiment has changed since", function()
    local file = dir .. "/own.lua"
    assert(fs.copy(FIXTURE, file))
    local p <close> = begin(file)
    wait_until_ran "7 8 9 "
    assert.matches("process " .. p.pid .. " works on ", plan_refused())
    assert(p:kill "KILL")
    assert(p:wait "60s")
    assert(fs.append(file, "-- changed\n"))
    assert.matches("own%.lua has changed since the set was begun", plan_refused())
    assert.equal("7 8 9 ", ran())
  end)

  it("is gone on with on the same servers and by the same rlab", function()
    cut_off()
    for said, field in pairs { ["begun by rlab 0%.0%.0"] = "rlab",
      ["begun with elsewhere, not with"] = "stack" } do
      local before
      change_plan(function(plan)
        before = plan[field]
        plan[field] = field == "rlab" and "0.0.0" or { "elsewhere" }
      end)
      assert.matches(said, plan_refused())
      change_plan(function(plan) plan[field] = before end)
    end
  end)

  it("has no verdict of a run with another seed, nor of one that was aborted", function()
    cut_off()
    local plan_of = require "rlab.run.set.plan"
    change_plan(function(plan) plan.runs[2].run = plan.runs[1].run end)
    do
      local plan <close> = plan_of.open(runs)
      local missing = plan:missing()
      assert.equal(3, #missing)
      local result, third = tables.merged(plan:results()[1]), missing[2]
      result.run, result.aborted = tables.merged(result.run, { seed = third.seed }), "isr<2"
      assert(fs.write(plan:starts(third) .. "/result.json", json.encode(result)))
      plan:ends(third, result)
    end
    local plan <close> = plan_of.open(runs)
    assert.equal(3, #plan:missing())
  end)

  it("counts a verdict once that was formed and not noted, and none whose folder is gone", function()
    cut_off()
    change_plan(function(plan) plan.runs[2].exit = nil end)
    fs.remove(("%s/%s"):format(runs, json.decode(fs.read(plan_file())).runs[1].run))
    local code, output = rlab "--resume"
    assert.equal(1, code, output)
    assert.matches("3 of 4 as predicted", output)
    assert.equal("7 8 9 7 9 10 ", ran())
  end)

  -- How many processes of those that began a run are still there.
  local function alive()
    local n = 0
    for _, name in ipairs(fs.list(runs .. "/E-941")) do
      local said = json.decode(fs.read(("%s/E-941/%s/stream.jsonl"):format(runs, name)):match "^[^\n]+")
      n = n + (process.alive(said.pid, said.start) and 1 or 0)
    end
    return n
  end

  it("takes the runs beside each other along", function()
    local p <close> = begin(nil, "--jobs", "2", "--set", "gate_from=7")
    assert(task.wait_until(function() return #ran() == 4 end, { at_most = "60s", every = "5ms" }))
    assert(p:kill "KILL")
    assert(p:wait "60s")
    assert(task.wait_until(function() return alive() == 0 end, { at_most = "20s", every = "5ms" }))
    assert(fs.write(dir .. "/gate", ""))
    assert.equal(1, (rlab "--resume"))
    local seeds = {}
    for seed in ran():gmatch "%d+" do seeds[#seeds + 1] = math.tointeger(seed) end
    table.sort(seeds)
    assert.same({ 7, 7, 8, 8, 9, 10 }, seeds)
    assert.equal(4, select(2, kept()))
  end)

  it("takes its words from the plan, and no others", function()
    for _, words in ipairs { { seed = "8" }, { set = { "dir=x" } }, { keep = true } } do
      assert.matches("%-%-" .. next(words) .. " does not go with it", refused(words))
    end
    assert.matches("it takes no experiments", refused { experiments = { "E-001" } })
  end)

  it("is no set where nothing was begun, and no single run is one", function()
    assert(fs.write(dir .. "/gate", ""))
    assert.equal(0, (rlab(FIXTURE, "--set", "dir=" .. dir)))
    assert.matches("no set of runs was begun in ", refused())
  end)
end)
