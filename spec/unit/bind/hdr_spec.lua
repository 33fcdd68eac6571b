local hdr = require "rlab.hdr"

local function near(want, got)
  assert.is_true(math.abs(got - want) <= want / 1000 + 1, ("%s is not near %s"):format(got, want))
end

describe("hdr", function()
  it("knows percentiles within its digits", function()
    local h = hdr.new()
    for i = 1, 10000 do h:record(i * 1000) end
    near(5000000, h:percentile(50))
    near(9900000, h:percentile(99))
    local s = h:summary()
    assert.are.equal(10000, s.count)
    near(1000, s.min)
    near(10000000, s.max)
    near(5000500, s.mean)
    near(9990000, s.p999)
    assert.are.equal(0, s.clamped)
    assert.are.equal(10000, #h)
  end)

  it("is empty without values", function()
    local h = hdr.new { digits = 2 }
    assert.are.same({ count = 0, min = 0, max = 0, mean = 0.0, stddev = 0.0, p50 = 0, p90 = 0, p99 = 0,
      p999 = 0, clamped = 0 }, h:summary())
    assert.are.equal(0, h:percentile(100))
    assert.are.same({}, h:buckets())
  end)

  it("counts requests that a pause held back", function()
    local h = hdr.new()
    h:record_paced(1000, 100)
    assert.are.equal(10, h:count())
  end)

  it("merges, and tells what was clamped", function()
    local a, b = hdr.new { highest = 1000 }, hdr.new()
    a:record(5, 3)
    a:record(5000)
    b:record(7)
    b:record(1000000, 2)
    assert.are.equal(a, a:merge(b))
    local s = a:summary()
    assert.are.equal(7, s.count)
    assert.are.equal(3, s.clamped)
    local total = 0
    for _, bucket in ipairs(a:buckets()) do total = total + bucket.count end
    assert.are.equal(7, total)
    a:reset()
    assert.are.equal(0, a:summary().clamped + a:count())
  end)

  it("raises on wrong use", function()
    assert.error_matches(function() hdr.new { digits = 9 } end, "digits 1..5")
    assert.error_matches(function() hdr.new { hihgest = 9 } end, "did you mean 'highest'")
    local h = hdr.new()
    assert.error_matches(function() h:record(-1) end, "negative")
    assert.error_matches(function() h:record(1.5) end, "integer")
    assert.error_matches(function() h:percentile(101) end, "between 0 and 100")
    h:close()
    assert.error_matches(function() h:count() end, "closed")
  end)
end)
