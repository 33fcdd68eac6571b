-- A set of runs that is split over machines, and joined again.
local fs = require "rlab.fs"
local hdr = require "rlab.hdr"
local histograms = require "rlab.run.histograms"
local json = require "rlab.json"
local process = require "rlab.process"
local shard = require "rlab.run.set.shard"
local track_record = require "rlab.run.track_record"

local function runs_of(...)
  local list = {}
  for i, seconds in ipairs { ... } do
    list[i] = { seed = 7,
      experiment = { id = ("E-%03d"):format(i), path = "x.lua", seconds = seconds or nil } }
  end
  return list
end

local function ids(list)
  local words = {}
  for i, run in ipairs(list) do words[i] = run.experiment.id end
  return table.concat(words, " ")
end

describe("a set of runs that is split", function()
  it("gives each run to one shard, whatever order it stands in", function()
    local list, seen = runs_of(20, 5, 5, 5, 5, 5, 5, false, 10, 1, 1, 1), {}
    local other = {}
    for i = #list, 1, -1 do other[#other + 1] = list[i] end
    for i = 1, 3 do
      local mine = shard.share(list, { shard = i, of = 3 })
      for _, run in ipairs(mine) do
        assert.is_nil(seen[run])
        seen[run] = true
      end
      local again = {}
      for _, run in ipairs(shard.share(other, { shard = i, of = 3 })) do again[run] = true end
      for _, run in ipairs(mine) do assert.is_true(again[run]) end
    end
    for _, run in ipairs(list) do assert.is_true(seen[run]) end
  end)

  it("gives each shard about as many seconds", function()
    local list = runs_of(20, 10, 10, 5, 5, 5, 5)
    assert.equal("E-001 E-004 E-006", ids(shard.share(list, { shard = 1, of = 2 })))
    assert.equal("E-002 E-003 E-005 E-007", ids(shard.share(list, { shard = 2, of = 2 })))
  end)

  it("has parts that are named I/N", function()
    assert.same({ shard = 2, of = 4 }, shard.of "2/4")
    for _, text in ipairs { "0/4", "5/4", "1", "1/", "a/b", "1/4x", "-1/4", "1/0", "" } do
      assert.is_nil(shard.of(text), text)
    end
  end)
end)

describe("shards that are joined", function()
  local dir

  before_each(function() dir = assert(fs.tmpdir "rlab-shard") end)
  after_each(function() fs.remove(dir) end)

  local function keep(folder, id, name, seed, more)
    local result = { id = id, title = "t", verdict = "pass", sentence = "s", exit = 0, checks = {},
      faults = {}, arms = { { name = "first", class = "right", outcome = "holds" } },
      run = { name = id .. "/" .. name, seed = seed, started = "2026-11-30T10:00:0" .. seed .. "Z",
        duration = 1 } }
    for key, value in pairs(more or {}) do result[key] = value end
    local at = ("%s/%s/%s/%s"):format(dir, folder, id, name)
    assert(fs.mkdir(at))
    assert(fs.write(at .. "/result.json", json.encode(result)))
    assert(fs.write(at .. "/history.jsonl", id .. seed))
  end

  local function planned(folder, i, of, ...)
    local list = {}
    for n, id in ipairs { ... } do list[n] = { seed = 1, experiment = { id = id } } end
    shard.plan(dir .. "/" .. folder, { shard = i, of = of }, list)
  end

  local function join(...)
    local dirs = {}
    for i, folder in ipairs { ... } do dirs[i] = dir .. "/" .. folder end
    local results = shard.join(dirs, dir .. "/all")
    return results, shard.missing(dirs, results)
  end

  it("are all runs with all that they left, a line each in the record", function()
    planned("a", 1, 2, "E-001")
    planned("b", 2, 2, "E-002")
    keep("a", "E-001", "20261130-100000", 1)
    keep("b", "E-002", "20261130-100000", 1)
    local results, missing = join("a", "b")
    assert.same({ 2, {} }, { #results, missing })
    assert.equal("E-0021", fs.read(dir .. "/all/E-002/20261130-100000/history.jsonl"))
    assert.equal(2, track_record.read(dir .. "/all").runs)
    assert.is_true(fs.exists(dir .. "/all/index.html"))
    join("a", "b")
    assert.equal(2, track_record.read(dir .. "/all").runs)
    assert.same({ "20261130-100000" }, fs.list(dir .. "/all/E-001"))
  end)

  it("keep both runs that began in the same second", function()
    keep("a", "E-001", "20261130-100000", 1)
    keep("b", "E-001", "20261130-100000", 2)
    assert.equal(2, #(join("a", "b")))
    assert.equal("E-0012", fs.read(dir .. "/all/E-001/20261130-100000-2/history.jsonl"))
    assert.equal(2, track_record.read(dir .. "/all").runs)
  end)

  -- What each of n runs measured, and what one run of them all would have.
  local function measured(n)
    local whole, rows, rng = hdr.new(), {}, require("rlab.rng").new(7)
    for i = 1, n do
      local h = hdr.new()
      for _ = 1, 500 do
        local ns = rng:int(1, 1 << rng:int(1, 40))
        h:record(ns)
        whole:record(ns)
      end
      rows[i] = histograms.plain("reader latency", h, "ns")
    end
    return whole, rows
  end

  local function keep_measured(folder, seed, row)
    keep(folder, "E-001", "20261130-100000", seed,
      { arms = { { name = "first", class = "right", outcome = "holds", histograms = { row } } } })
  end

  it("have every value of each run in one histogram, as one run of all would", function()
    local whole, rows = measured(4)
    for i, row in ipairs(rows) do keep_measured("s" .. i, i, row) end
    local joined = histograms.joined((join("s1", "s2", "s3", "s4", "s1")))
    assert.equal(1, #joined)
    local sum, want = assert(hdr.decode(joined[1].hdr)), whole:summary()
    assert.same(whole:buckets(), sum:buckets())
    for _, q in ipairs { 1, 50, 90, 99, 99.9, 100 } do
      assert.equal(whole:percentile(q), sum:percentile(q))
    end
    assert.same({ "E-001", "first", "reader latency", 4, 2000, want.p50, want.p999, want.max },
      { joined[1].id, joined[1].arm, joined[1].name, joined[1].runs, joined[1].count, joined[1].p50,
        joined[1].p999, joined[1].max })
  end)

  it("add what an arm measures twice by one name, and tell what was clamped", function()
    local rows, a, b = {}, hdr.new { highest = 1000 }, hdr.new { highest = 1000 }
    a:record(5000)
    b:record(7, 2)
    histograms.add(rows, "x", a, "ns")
    histograms.add(rows, "x", b, "ns")
    histograms.add(rows, "y", b, "ns")
    assert.same({ 2, 3, 1, 2 }, { #rows, rows[1].count, rows[1].clamped, rows[2].count })
  end)

  it("miss a run that has no result, and a shard that is not there", function()
    planned("a", 1, 3, "E-001", "E-002")
    planned("c", 3, 3)
    keep("a", "E-001", "20261130-100000", 1)
    local _, missing = join("a", "c")
    assert.same({ "E-002 seed 1 of shard 1/3 has no result", "nothing is here of shard 2/3" }, missing)
  end)

  it("know nothing of a set that was split otherwise before", function()
    planned("a", 1, 3, "E-009")
    planned("a", 1, 2, "E-001")
    planned("a", 2, 2)
    keep("a", "E-001", "20261130-100000", 1)
    assert.same({}, select(2, join "a"))
  end)

  it("end with the worst of their verdicts, and with 3 where one is missing", function()
    local function ended(...)
      local p <close> = assert(process.spawn { stdout = "capture", stderr = "stdout",
        cmd = { fs.self_exe(), "merge", "--into", dir .. "/all", ... } })
      return assert(p:wait "20s").code, p:output()
    end
    keep_measured("a", 1, (select(2, measured(1)))[1])
    local fine, shown = ended(dir .. "/a")
    assert.equal(0, fine)
    assert.matches("E%-001 +first +reader latency +1 +500", shown)
    assert.equal(500, json.decode(fs.read(dir .. "/all/histograms.json"))[1].count)
    planned("a", 1, 1, "E-001", "E-002")
    local code, text = ended(dir .. "/a")
    assert.equal(3, code)
    assert.matches("E%-002 seed 1 of shard 1/1 has no result", text)
    keep("a", "E-002", "20261130-100000", 1, { exit = 1, verdict = "right-violated" })
    assert.equal(1, (ended(dir .. "/a")))
    assert.equal(64, (ended(dir .. "/none")))
  end)
end)
