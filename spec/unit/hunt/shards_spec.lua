-- A hunt that is split over machines, and joined again.
local draw = require "rlab.hunt.draw"
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"
local rng = require "rlab.rng"
local schedule = require "rlab.hunt.schedule"
local shards = require "rlab.hunt.shards"
local tables = require "rlab.tables"
local verdict = require "rlab.hunt.verdict"

local HANDLE = { service = "consumer", point = "consumer.handle", hits = 90 }
local IN_TX = { service = "consumer", point = "consumer.in_tx", hits = 100 }
local REQUESTS = { { wire = "kafka", api = "Produce", matched = 7 },
  { wire = "mysql", statement = "COMMIT", matched = 3 } }
local CENSUS = { points = { IN_TX, HANDLE }, requests = REQUESTS, processes = { "a", "b" } }

local function drawn(census, n, shard)
  local next_one, list = draw.new(census, rng.new(7), shard), {}
  for i = 1, n do list[i] = next_one() end
  return list
end

describe("the faults of a hunt that is split", function()
  -- How often each fault comes in the first trials, which try each cell once.
  local function in_first(shard)
    local slows, breaks = draw.cells(CENSUS, rng.new(7))
    local n, met = #slows + #breaks, {}
    local all = drawn(CENSUS, n, shard)
    for i = 1, n do
      for _, term in ipairs(all[i] or {}) do
        local said = schedule.says(term)
        met[said] = (met[said] or 0) + 1
      end
    end
    return met, n
  end

  it("are in the first trials those of the hunt, with its numbers", function()
    local whole, n = in_first()
    assert.is_true(#tables.sorted_keys(whole) >= n)
    for of = 2, 4 do
      local found = {}
      for i = 1, of do
        for said in pairs(in_first { shard = i, of = of }) do found[said] = true end
      end
      local slows, breaks = draw.cells(CENSUS, rng.new(7))
      for _, faults in ipairs(draw.first(slows, breaks, rng.new(7))) do
        for _, term in ipairs(faults) do assert.is_true(found[schedule.says(term)], schedule.says(term)) end
      end
    end
  end)

  it("are the same shard's where a machine did not reach another place", function()
    local function cells(census, i)
      local met = {}
      for _, faults in ipairs(drawn(census, 60, { shard = i, of = 3 })) do
        local one = faults[1]
        if one.point ~= HANDLE.point then
          met[("%s %s %s"):format(schedule.place(one), schedule.action(one), one.service or "")] = true
        end
      end
      return met
    end
    local less = { points = { IN_TX }, requests = REQUESTS, processes = { "a", "b" } }
    for i = 1, 3 do assert.same(cells(CENSUS, i), cells(less, i)) end
  end)

  it("are none where every cell is another shard's", function()
    local alone, given = { points = {}, requests = { REQUESTS[1] } }, 0
    for i = 1, 9 do given = given + #drawn(alone, 1, { shard = i, of = 9 }) end
    assert.is_true(given >= 1 and given <= 5, given)
  end)
end)

describe("hunts that are joined", function()
  local dir

  before_each(function() dir = assert(fs.tmpdir "rlab-hunts") end)
  after_each(function() fs.remove(dir) end)

  local function kill(hit)
    return { service = "consumer", point = "consumer.in_tx", hit = hit, act = "kill" }
  end

  local function keep(folder, i, of, more)
    local record = { experiment = "E-900", title = "t", arm = "first", class = "right", seed = 7,
      started = "2026-11-30T10:00:0" .. i .. "Z", shard = { shard = i, of = of }, budget = 60, seconds = 50,
      promises = { "lost" }, trials = json.array {}, search = { trials = 3, judged = 2 },
      covered = { { place = "consumer consumer.in_tx", reached = 90 + i, tried = { kill = i, sleep = 1 } } },
      not_reached = { "consumer.handle" } }
    for key, value in pairs(more or {}) do record[key] = value end
    assert(fs.mkdir(dir .. "/" .. folder))
    assert(fs.write(("%s/%s/%s-%s.json"):format(dir, folder, record.experiment, record.arm),
      json.encode(record)))
    return record
  end

  local function trial(folder, name)
    local at = ("%s/%s/E-900-hunt/%s"):format(dir, folder, name)
    assert(fs.mkdir(at))
    assert(fs.write(at .. "/result.json", json.encode { id = "E-900-hunt", exit = 1, arms = {}, checks = {},
      verdict = "right-violated", run = { name = "E-900-hunt/" .. name, seed = 7, started = folder } }))
    assert(fs.write(at .. "/history.jsonl", folder))
    return at
  end

  local function found(folder, hits, name)
    assert(fs.mkdir(dir .. "/" .. folder))
    local faults, at = {}, trial(folder, name)
    for i, hit in ipairs(hits) do faults[i] = kill(hit) end
    local file = ("%s/%s/E-900-first.lua"):format(dir, folder)
    assert(fs.write(file, "-- Run it: rlab hunt --replay " .. file .. "\n-- " .. folder .. "\n"))
    return { found = { faults = faults, breaks = { "lost" }, says = folder, dir = at },
      trials = { { faults = faults, broken = { "lost" }, judged = true, dir = at } } }
  end

  local function join(...)
    local dirs = {}
    for i, folder in ipairs { ... } do dirs[i] = dir .. "/" .. folder end
    local hunts = shards.join(dirs, dir .. "/all")
    return hunts, shards.missing(hunts)
  end

  it("have covered what each of them has", function()
    keep("a", 1, 2)
    keep("b", 2, 2, { not_reached = {}, covered = { { place = "consumer consumer.handle", reached = 5,
      tried = { error = 1 } }, { place = "consumer consumer.in_tx", reached = 92, tried = { kill = 2 } } } })
    local hunts, missing = join("a", "b")
    assert.same({ 1, {} }, { #hunts, missing })
    assert.same({ { place = "consumer consumer.in_tx", reached = 92, tried = { kill = 3, sleep = 1 } },
      { place = "consumer consumer.handle", reached = 5, tried = { error = 1 } } }, hunts[1].record.covered)
    assert.equal("6 trials, 4 judged: 2 of 2 places, 3 pairs of place and act", hunts[1].coverage:says())
    assert.same({}, hunts[1].record.not_reached)
    assert.same({ 100, 120 }, { hunts[1].record.seconds, hunts[1].record.budget })
  end)

  it("keep every find, the shortest first, with its scenario and its runs", function()
    keep("a", 1, 2, found("a", { 1, 2 }, "20261130-100000"))
    keep("b", 2, 2, found("b", { 9 }, "20261130-100000"))
    local record = join("a", "b")[1].record
    assert.same({ "b", "a" }, { record.findings[1].says, record.findings[2].says })
    assert.equal("shard 2/2", record.found.of)
    assert.matches("replay " .. dir:gsub("%p", "%%%0") .. "/all/E%-900%-first%.lua\n%-%- b\n",
      fs.read(dir .. "/all/E-900-first.lua"))
    assert.matches("%-%- a\n", fs.read(dir .. "/all/E-900-first-2.lua"))
    for _, one in ipairs(record.findings) do assert.equal(one.says, fs.read(one.dir .. "/history.jsonl")) end
    for i, folder in ipairs { "a", "b" } do
      assert.equal(folder, fs.read(record.trials[i].dir .. "/history.jsonl"))
      assert.equal(("shard %d/2"):format(i), record.trials[i].of)
    end
    assert.is_nil(fs.read(dir .. "/all/record.jsonl"))
  end)

  it("count once what is given twice, also when it was joined before", function()
    keep("a", 1, 2)
    keep("b", 2, 2)
    local once = join("a", "b", "a")[1].record
    assert.same({ 6, 2 }, { once.search.trials, #once.parts })
    local again = shards.join({ dir .. "/all", dir .. "/all" }, dir .. "/more")[1].record
    assert.same({ 6, 2, once.covered }, { again.search.trials, #again.parts, again.covered })
  end)

  it("say as a whole what one of them found, and nothing where a part is missing", function()
    local function code(given, ...)
      for i, one in ipairs { ... } do keep(({ "a", "b" })[i], i, 2, one) end
      return verdict.code((join(table.unpack({ "a", "b" }, 1, given))))
    end
    local broken = { found = { faults = { kill(1) }, breaks = { "lost" }, says = "x" } }
    assert.equal(0, code(2, {}, {}))
    assert.equal(1, code(2, {}, broken))
    assert.equal(2, code(2, { class = "wrong" }, { class = "wrong" }))
    assert.equal(0, code(2, { class = "wrong" }, { class = "wrong", found = broken.found }))
    assert.equal(3, code(2, { why_not = "it is not as predicted" }, {}))
    assert.equal(1, code(2, { why_not = "it is not as predicted" }, broken))
    assert.equal(3, code(1, { class = "wrong" }))
    assert.equal(1, code(1, broken))
  end)

  it("end with one exit code, and are no runs of a set", function()
    local function ended(...)
      local p <close> = assert(process.spawn { stdout = "capture", stderr = "stdout",
        cmd = { fs.self_exe(), "merge", "--into", dir .. "/all", ... } })
      return assert(p:wait "20s").code, p:output()
    end
    keep("a/hunt", 1, 2)
    local code, text = ended(dir .. "/a")
    assert.equal(3, code, text)
    assert.matches("nothing is here of shard 2/2 of the hunt of E%-900 first, seed 7", text)
    keep("b/hunt", 2, 2, found("b/hunt", { 1 }, "20261130-100000"))
    code, text = ended(dir .. "/a", dir .. "/b")
    assert.equal(1, code, text)
    assert.matches("found by +shard 2/2: consumer: consumer.in_tx #1 kill", text)
    assert.is_true(fs.exists(dir .. "/all/hunt/E-900-first.json"))
    assert.is_nil(fs.read(dir .. "/all/record.jsonl"))
    code, text = ended(dir .. "/a/hunt", "--into", dir .. "/a/hunt")
    assert.equal(64, code, text)
  end)
end)
