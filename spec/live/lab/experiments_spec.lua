-- The experiments on real servers, as a user runs them: in a process of their own, judged by exit code and
-- files.
local emptied = require "spec.support.emptied"
local experiment = require "rlab.experiment"
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"
local run_files = require "spec.support.run_files"
local task = require "rlab.task"

local runs = fs.tmpdir() .. "/rlab-spec-runs-" .. process.self()

-- rlab(words...) -> {code=, signal=}, output
local function rlab(...)
  local cmd = { fs.self_exe(), ... }
  local child <close> = assert(process.spawn { cmd = cmd, stdout = "capture", stderr = "stdout" })
  local status = assert(child:wait "600s")
  return status, child:output()
end

local function result_of(id)
  return json.decode(assert(fs.read(("%s/%s/latest/result.json"):format(runs, id))))
end

-- A verdict that the machine did not let come about is none: the test is skipped, with the run's reason.
local function assert_pass(id, status, output)
  local why = status.code == 3 and run_files.too_busy(("%s/%s/latest"):format(runs, id))
  if why then return pending(id .. ": " .. why) end
  assert.are.equal(0, status.code, output)
end

describe("experiments", function()
  teardown(function() fs.remove(runs) end)

  for _, path in ipairs(experiment.names()) do
    local id = path:match "([^/]+)%.lua$"
    it(id .. " is as predicted, with proof of every fault", function()
      local junit = ("%s/%s.xml"):format(runs, id)
      assert_pass(id, rlab(id, "--runs", runs, "--junit", junit))
      local result = result_of(id)
      assert.are.equal("pass", result.verdict)
      for _, fault in ipairs(result.faults) do assert.is_true(fault.fired, fault.name) end
      assert.is_true(#result.checks >= #result.arms)
      for _, name in ipairs { "report.html", "history.jsonl", "samples.jsonl", "evidence.json" } do
        assert.is_true(#assert(fs.read(("%s/%s/latest/%s"):format(runs, id, name))) > 0, name)
      end
      assert.are.same({}, run_files.problems(("%s/%s/latest"):format(runs, id), junit))
    end)

    it(id .. " is judged the same from what the run stored", function()
      local status, output = rlab("check", ("%s/%s/latest"):format(runs, id))
      assert.are.equal(result_of(id).exit, status.code, output)
    end)

    it(id .. " is green by nothing that its checks read and do not find", function()
      local read, survivors = emptied.survivors {
        experiment = experiment.load(experiment.find(id)), result = result_of(id),
        evidence = json.decode(assert(fs.read(("%s/%s/latest/evidence.json"):format(runs, id)))) }
      assert.are.equal("", table.concat(survivors, "\n"))
      assert.is_true(read >= #result_of(id).arms, read)
    end)
  end

  it("make the README's table, each with what broke and what held", function()
    local status, output = rlab("list", "--markdown", "--runs", runs)
    assert.are.equal(0, status.code, output)
    local rows = 0
    for row in ("\n" .. output):gmatch "\n(| %[E[^\n]*)" do
      local id = row:match "E%-%d+"
      local form = result_of(id).exit == 3 and "%| INCONCLUSIVE: [^|]+"
        or "%| %*[^|]+: [^|]+%| %*[^|]+: [^|]+%|$"
      assert.matches(form, row)
      rows = rows + 1
    end
    assert.are.equal(#experiment.names(), rows)
  end)

  it("run side by side and are summed up", function()
    local status, output = rlab("run", "E-002", "E-004", "E-012", "--jobs", "2", "--seed", "11",
      "--runs", runs)
    assert.are.equal(0, status.code, output)
    for _, id in ipairs { "E-002", "E-004", "E-012" } do
      assert.matches("PASS +" .. id:gsub("%-", "%%-") .. " +[%d.]+ s ", output)
      assert.are.equal(11, result_of(id).run.seed)
    end
    assert.matches("PASS +3 of 3 as predicted, [^\n]+, at most [%d.]+ [GM]iB of memory", output)
  end)

  it("runs the tutorial's scenario", function()
    local text = assert(fs.read "docs/tutorial.md")
    local scenario = assert(text:match "```lua\n(.-)```")
    local path = runs .. "/E-101.lua"
    assert(fs.mkdir(runs))
    assert(fs.write(path, scenario))
    local status, output = rlab(path, "--runs", runs)
    assert.are.equal(0, status.code, output)
    assert.are.same({}, run_files.problems(runs .. "/E-101/latest"))
    -- it has no function for its verdict: the headline is what its arms said, and not its claim
    assert.matches("commit%-last holds: 12 of 12 orders done", result_of("E-101").sentence)
  end)

  it("runs the skeleton that `rlab new` writes", function()
    local path = runs .. "/skeleton/E-102.lua"
    assert.are.equal(0, rlab("new", "E-102", "--file", path).code)
    local status, output = rlab(path, "--runs", runs)
    assert.are.equal(0, status.code, output)
    assert.are.equal(64, rlab("new", "E-102", "--file", path).code)
  end)

  it("keeps what it showed: --keep, and each stale account is found by its command", function()
    local status, output = rlab("E-001", "--arm", "no-invalidation", "--runs", runs, "--keep")
    assert.are.equal(0, status.code, output)
    local shown = 0
    for _, check in ipairs(result_of("E-001").checks) do
      for _, x in ipairs(check.name == "stale-cache" and check.counterexamples or {}) do
        local command = x.show:gsub("rlab$", fs.self_exe())
        local child <close> = assert(process.spawn { cmd = { "sh", "-c", command }, stdout = "capture" })
        assert.are.equal(0, child:wait("60s").code)
        assert.matches("balance", child:output(), 1, true)
        shown = shown + 1
      end
    end
    assert.is_true(shown > 0)
  end)
end)

-- Each mutation of what a run stored must change the checks that it concerns, and no other.
describe("a stored run that was tampered with", function()
  local source, copy = runs .. "/E-012/latest", runs .. "/tampered"

  local function judged(dir)
    local status, output = rlab("check", dir, "--json")
    local outcomes = {}
    for _, one in ipairs(json.decode(output).checks) do
      outcomes[one.arm .. "/" .. one.check] = one.outcome
    end
    return status.code, outcomes
  end

  local function changed(tamper, history)
    local result, evidence = json.decode(assert(fs.read(source .. "/result.json"))),
      json.decode(assert(fs.read(source .. "/evidence.json")))
    tamper(evidence.arms, evidence.shared, result)
    assert(fs.mkdir(copy))
    assert(fs.write(copy .. "/result.json", json.encode(result)))
    assert(fs.write(copy .. "/evidence.json", json.encode(evidence)))
    assert(fs.write(copy .. "/history.jsonl", history or assert(fs.read(source .. "/history.jsonl"))))
    local _, before = judged(source)
    local code, after = judged(copy)
    local names = {}
    for name, outcome in pairs(before) do
      if after[name] ~= outcome then names[#names + 1] = name end
    end
    table.sort(names)
    return { code, table.concat(names, " ") }
  end

  lazy_setup(function()
    if not fs.exists(source) then assert.are.equal(0, rlab("E-012", "--runs", runs).code) end
  end)

  it("names the check that it concerns", function()
    assert.are.same({ 1, "ids/lost ids/same-ids" }, changed(function(arms) table.remove(arms.ids.ids, 3) end))
    assert.are.same({ 1, "ids/same-ids" },
      changed(function(arms) table.insert(arms.ids.ids, arms.ids.ids[1]) end))
    assert.are.same({ 1, "ids/conservation" }, changed(function(arms) arms.ids.view = arms.ids.view + 1 end))
    assert.are.same({ 1, "ids/log-committed" },
      changed(function(_, shared) table.remove(shared.rc.records, 1) end))
    assert.are.same({ 1, "end-of-partition/lag" },
      changed(function(arms) arms["end-of-partition"].lag = 1 end))
    assert.are.same({ 2, "offsets-as-count/alarms" },
      changed(function(arms) table.remove(arms["offsets-as-count"].alarms) end))
  end)

  it("is inconclusive when the history's form is not Jepsen's", function()
    local lines = assert(fs.read(source .. "/history.jsonl"))
    local function is_void(text)
      local seen = changed(function() end, text)
      assert.are.equal(3, seen[1], seen[2])
    end
    is_void((lines:gsub("^[^\n]*\n", "")))
    is_void((lines:gsub('"time":%d+', '"time":0', 9):gsub('"time":0', '"time":99', 1)))
    is_void(lines:sub(1, -20))
    is_void((lines:gsub('"process":0', '"process":"0"', 1)))
  end)

  it("is inconclusive without a value or without the proof of its fault", function()
    assert.are.same({ 3, "ids/conservation" }, changed(function(arms) arms.ids.view = nil end))
    assert.are.same({ 3, "" }, changed(function(_, _, result) result.faults[1].fired = false end))
  end)
end)

describe("a verdict can go red", function()
  local cases = {
    { file = "right-loses", id = "E-910", code = 1, word = "right-violated", says = "acknowledged and gone" },
    { file = "right-too-late", id = "E-911", code = 1, word = "right-violated", says = "came" },
    { file = "wrong-holds", id = "E-920", code = 2, word = "wrong-did-not-fail", says = "nothing is lost" },
    { file = "fault-never-fires", id = "E-930", code = 3, word = "inconclusive",
      says = "no proof that this fault happened" },
    { file = "wait-runs-out", id = "E-931", code = 3, word = "inconclusive",
      says = "a miracle did not happen" },
    { file = "census-stops-early", id = "E-932", code = 3, word = "inconclusive",
      says = "stopped at 1, the brokers had 2" },
    { file = "too-little-load", id = "E-933", code = 3, word = "inconclusive",
      says = "sends: 1 of 2 operations were issued" },
    { file = "reader-dies", id = "E-934", code = 3, word = "inconclusive", says = "the reader failed" },
    { file = "sees-nothing", id = "E-936", code = 3, word = "inconclusive", says = "'of' is empty" },
    { file = "no-checks", id = "E-937", code = 3, word = "inconclusive", says = "this arm has no checks" },
  }
  for _, case in ipairs(cases) do
    it(("%s exits %d"):format(case.file, case.code), function()
      local junit = ("%s/%s.xml"):format(runs, case.id)
      local status, output = rlab(("spec/fixtures/experiments/%s.lua"):format(case.file), "--runs", runs,
        "--junit", junit)
      assert.are.equal(case.code, status.code, output)
      assert.are.same({}, run_files.problems(("%s/%s/latest"):format(runs, case.id), junit))
      local result = result_of(case.id)
      assert.are.equal(case.word, result.verdict)
      assert.is_truthy(result.sentence:find(case.says, 1, true), result.sentence)
    end)
  end

  it("a script error exits 65 and names the line", function()
    local status, output = rlab("spec/fixtures/experiments/broken.lua", "--runs", runs)
    assert.are.equal(65, status.code, output)
    assert.matches("broken%.lua:%d+", output)
  end)

  it("a misspelt argument of a check exits 65, names the line and the argument that was meant", function()
    local status, output = rlab("spec/fixtures/experiments/check-misspelt.lua", "--runs", runs)
    assert.are.equal(65, status.code, output)
    assert.matches("check%-misspelt%.lua:6: check%.lost: unknown argument 'inn_'", output)
    assert.matches("did you mean 'in_'?", output, 1, true)
  end)

  it("a script error in one arm closes the arm beside it to the end", function()
    local status, output = rlab("spec/fixtures/experiments/sibling-raises.lua", "--runs", runs)
    assert.are.equal(65, status.code, output)
    assert.matches("sibling%-raises%.lua:%d+: this story is wrong", output)
    assert.matches("the sibling was closed", output, 1, true)
    assert.not_matches("warning", output, 1, true)
  end)

  it("wrong words exit 64", function()
    assert.are.equal(64, rlab("E-012", "--arm", "nobody", "--runs", runs).code)
    assert.are.equal(64, rlab("E-112").code)
    assert.are.equal(64, rlab("E-012", "--seed", "many").code)
  end)
end)

describe("a killed rlab", function()
  local function started(signal)
    local child <close> = assert(process.spawn { cmd = { fs.self_exe(), "E-009", "--runs", runs },
      stdout = "capture", stderr = "stdout" })
    for line in child:lines() do
      if line:find "SIGSTOP" then break end
    end
    child:kill(signal)
    return assert(child:wait "300s")
  end

  it("by Ctrl-C ends with 130 and leaves a healthy stack", function()
    assert.are.equal(130, started("INT").code)
    local status, output = rlab("E-012", "--runs", runs, "--quiet")
    assert.are.equal(0, status.code, output)
  end)

  it("by SIGTERM likewise", function()
    assert.are.equal(130, started("TERM").code)
  end)

  it("by the end of its terminal likewise", function()
    assert.are.equal(130, started("HUP").code)
  end)

  local function open_runs()
    return #(fs.list((os.getenv "RLAB_HOME" or ".rlab") .. "/open-runs") or {})
  end

  it("by SIGKILL leaves nothing that the next run trips over", function()
    assert.are.equal("KILL", started("KILL").signal)
    local status, output = rlab("E-009", "--runs", runs)
    assert.are.equal(0, status.code, output)
    assert.are.equal(0, open_runs())
  end)

  it("with runs beside each other waits until each has cleaned up", function()
    assert.are.equal(0, open_runs()) -- what others left would be taken for these
    local cmd = { fs.self_exe(), "run", "E-001", "E-005", "--jobs", "2", "--runs", runs }
    local child <close> = assert(process.spawn { cmd = cmd, stdout = "capture", stderr = "stdout" })
    assert(task.wait_until(function() return open_runs() == 2 end, { at_most = "60s", what = "two runs" }))
    child:kill "INT"
    assert.are.equal(130, assert(child:wait "60s").code)
    assert.are.equal(0, open_runs())
  end)
end)
