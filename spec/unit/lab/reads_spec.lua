-- How old an answer was: how long the next version had been there when the request began.
local clock = require "rlab.clock"
local json = require "rlab.json"
local reads = require "rlab.lab.reads"

describe("the age of an answer", function()
  local now_ms, now_ns = clock.unix_ms(), clock.ns()

  -- A lab in whose schema each version was applied so many ms ago.
  local function lab_of(...)
    local rows = {}
    for version, ago in ipairs { ... } do
      rows[version] = { account_id = 7, version = version, us = (now_ms - ago) * 1000 }
    end
    return { db = function() return { query = function() return rows end } end }
  end

  local function answered(version, source, status)
    return { status = status or 200, started = now_ns,
      body = json.encode { account_id = 7, version = version, source = source } }
  end

  it("is that of the version behind it", function()
    local ages, share = reads.staleness(lab_of(5000, 3000, 1000), { answered(1, "cache"),
      answered(2, "cache"), answered(3, "db"), answered(1, "cache", 503) })
    for i, age in ipairs { 3000, 1000, 0 } do assert.is_true(math.abs(ages[i] - age) < 100, ages[i]) end
    assert.are.same({ 3, 2 / 3 }, { #ages, share })
  end)

  it("is none where the request began before there was another", function()
    assert.are.same({ 0 }, (reads.staleness(lab_of(5000, -60000), { answered(1, "db") })))
  end)

  it("has percentiles that were measured", function()
    local told = {}
    local lab = { number = function(_, name, value, unit) told[#told + 1] = { name, value, unit } end }
    reads.percentiles(lab, "age", { 30, 10, 20 }, { 50, 99 }, "ms")
    assert.are.same({ { "age, p50", 20, "ms" }, { "age, p99", 30, "ms" } }, told)
  end)
end)
