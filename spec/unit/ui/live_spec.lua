local feed = require "rlab.ui.feed"
local fs = require "rlab.fs"
local json = require "rlab.json"
local live = require "rlab.ui.live"
local stream = require "rlab.run.stream"
local task = require "rlab.task"

local EXPERIMENT = { id = "E-900", title = "a story", question = "does it?",
  telling = { { "lost - found", "records lost", nil, "most" }, { "late", "late", "ms" } },
  arms = { { name = "first", class = "wrong", says = "commits first" }, { name = "last", class = "right" } } }

local function ignore() end
local QUIET = setmetatable({}, { __index = function() return ignore end })

-- A run in a folder of its own whose stream is written by the test; run.told is a rlab.run.stream.
local function begun(dir)
  local path = dir .. "/E-900/20260101-000000"
  assert(fs.mkdir(path))
  local file = assert(io.open(path .. "/stream.jsonl", "w"))
  local samples = assert(io.open(path .. "/samples.jsonl", "w"))
  file:setvbuf "line"
  samples:setvbuf "line"
  local run = { dir = path, seed = 7, started = "2026-01-01T00:00:00Z", at = 0 }
  function run.seconds() return run.at end
  function run.sample(row) samples:write(json.encode(row), "\n") end
  function run.over(result)
    assert(fs.write(path .. "/result.json", json.encode(result)))
    file:close()
    samples:close()
  end
  run.told = stream.new(QUIET, file)
  run.told:header(EXPERIMENT, run)
  return run
end

local function lab(name) return { label = name, events = {}, faults = {} } end

local function kinds(events)
  local list = {}
  for i, e in ipairs(events) do list[i] = e.kind end
  return table.concat(list, " ")
end

local function with_folder(f)
  return function()
    local dir = assert(fs.tmpdir())
    local ok, failure = pcall(f, dir)
    fs.remove(dir)
    if not ok then error(failure, 0) end
  end
end

describe("a run that goes on", function()
  it("is told as it happens: arms, events, faults and their ends, checks", with_folder(function(dir)
    local run, one = begun(dir), lab "first"
    local follower = live.follow(run.dir)
    local head = follower:next()[1]
    assert.same({ "run", "E-900", 2, "records lost" },
      { head.kind, head.id, #head.arms, head.quantities[1].name })
    assert.same({ { name = "records lost" }, { name = "late", unit = "ms" } }, head.quantities)
    run.at = 1
    run.told:arm_starts(EXPERIMENT.arms[1], one)
    one.events[1] = { at = 0.2, arm = "first", text = "published" }
    run.told:event(one, "published")
    one.faults[1] = { name = "kill", arm = "first", at = 0.3 }
    run.told:fault(one, one.faults[1])
    assert.equal("begins event fault", kinds(follower:next()))
    one.faults[1]["until"], one.faults[1].proof = 0.5, "signal 9"
    one.events[2] = { at = 0.6, arm = "first", text = "gone", kind = "anomaly" }
    run.told:sample(one, {})
    local got = follower:next()
    assert.equal("event over", kinds(got))
    assert.same({ true, 0.5, "signal 9" }, { got[1].anomaly, got[2].t, got[2].proof })
    run.told:arm_ends({ name = "first", duration = 0.9, outcome = "fails as predicted", sentence = "1 lost" },
      { { name = "late", arm = "first", outcome = "violated", value = 12 } })
    got = follower:next()
    assert.equal("point ends", kinds(got))
    assert.same({ 2, 12 }, { got[1].q, got[1].v })
    assert.same({ name = "late", outcome = "violated", found = 12 }, got[2].checks[1])
    follower:close()
  end))

  it("has its telling quantities at every sample, where they change", with_folder(function(dir)
    local run, one = begun(dir), lab "first"
    local follower = live.follow(run.dir)
    run.at = 2
    run.told:arm_starts(EXPERIMENT.arms[1], one)
    for i, lost in ipairs { 0, 0, 4, 4, 1 } do
      run.sample { t = i / 10, arm = "first", lost = lost, found = 1 }
    end
    local values = {}
    for _, e in ipairs(follower:next()) do
      if e.kind == "point" then values[#values + 1] = e.v end
    end
    assert.same({ 0, 3, 0 }, values)
    follower:close()
  end))

  it("waits for the rest of a line", with_folder(function(dir)
    local run = begun(dir)
    local follower = live.follow(run.dir)
    follower:next()
    local file = assert(io.open(run.dir .. "/stream.jsonl", "a"))
    file:write '{"kind":"begins","arm":'
    file:flush()
    assert.same({}, follower:next())
    file:write '"last","at":1}\n{"kind":"nonsense"}\nno JSON\n'
    file:flush()
    assert.equal("begins", kinds(follower:next()))
    file:close()
    follower:close()
  end))

  it("draws arms that are sampled in a shared setup on the setup's time", with_folder(function(dir)
    local run = begun(dir)
    local follower = live.follow(run.dir)
    run.told:setup_starts(lab(nil))
    run.sample { t = 0.5, ["first.lost"] = 2, ["last.lost"] = 0, busy = 1 }
    run.told:setup_ends({ duration = 3, facts = {} })
    run.told:arm_starts(EXPERIMENT.arms[1], lab "first")
    run.told:arm_ends({ name = "first", duration = 0.01, outcome = "holds", sentence = "" }, {})
    local begins, ends = 0, nil
    for _, e in ipairs(follower:next()) do
      if e.kind == "begins" and e.arm == "first" then begins = begins + 1 end
      if e.kind == "ends" then ends = e.t end
    end
    for _, e in ipairs(follower:next()) do
      if e.kind == "begins" then begins = begins + 1 end
    end
    assert.same({ 1, 3 }, { begins, ends })
    follower:close()
  end))

  it("is found while its process lives and its result is not there", with_folder(function(dir)
    assert.is_nil(live.current(dir))
    local run = begun(dir)
    assert.equal(run.dir, live.current(dir))
    local text = assert(fs.read(run.dir .. "/stream.jsonl"))
    assert(fs.write(run.dir .. "/stream.jsonl", (text:gsub('"start":', '"start":1'))))
    assert.is_nil(live.current(dir))
    assert(fs.write(run.dir .. "/stream.jsonl", text))
    run.over {}
    assert.is_nil(live.current(dir))
  end))

  it("is its record once it is over", with_folder(function(dir)
    local run, f = begun(dir), feed.new()
    local watcher = task.spawn(live.watch, f, dir)
    local function read_until(kind)
      local cursor, got = "none yet"
      repeat
        got, cursor = f:since(cursor, "10s")
        for _, e in ipairs(got) do
          if e.kind == kind then return e end
        end
      until #got == 0
    end
    assert.equal("E-900", read_until("run").id)
    run.over { id = "E-900", title = "a story", verdict = "pass", sentence = "it does",
      run = { name = "E-900/x" }, arms = { { name = "first", class = "wrong", started = 0, duration = 1,
        outcome = "fails as predicted" } } }
    assert.truthy(task.wait_until(function() return f.epoch > 2 end, { at_most = "10s" }))
    assert.equal("it does", read_until("verdict").sentence)
    watcher:cancel()
  end))
end)
