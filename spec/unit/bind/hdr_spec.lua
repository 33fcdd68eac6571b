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

  -- Written by HdrHistogram for Python.
  local FOREIGN = "HISTFAAAADN4nJNpmSzMwMAgyAABzFCaEch0M9ixgMH+A0SAhWmzON9hDia2zX8Zue6/YWQBAMQmCZg="
  local COUNTS = { 2, 1, 7, 1, 3, 5, 2 }

  it("is text that other languages write, too, and comes back with every count", function()
    local function counts(h)
      local list = {}
      for i, bucket in ipairs(h:buckets()) do list[i] = bucket.count end
      return list
    end
    local h = assert(hdr.decode(FOREIGN))
    assert.are.same(COUNTS, counts(h))
    assert.are.same({ 2047, 123469823 }, { h:percentile(50), h:percentile(85) })
    local again = assert(hdr.decode(h:encode()))
    assert.are.same(h:buckets(), again:buckets())
    assert.are.same(h:summary(), again:summary())
    for _, opts in ipairs { {}, { lowest = 1000, highest = 60000000000, digits = 2 },
      { lowest = 1, highest = math.maxinteger, digits = 1 } } do
      local wide = hdr.new(opts)
      assert.are.same({}, assert(hdr.decode(wide:encode())):buckets())
      for i = 0, 62 do wide:record(1 << i, i * i * i + (i == 40 and 1 << 55 or 0)) end
      local back = assert(hdr.decode(wide:encode()))
      assert.are.same(wide:buckets(), back:buckets())
      assert.are.equal(wide:merge(back):count(), 2 * back:count())
    end
  end)

  it("is refused as text where one byte is another", function()
    for i = 1, #FOREIGN do
      local text = FOREIGN:sub(1, i - 1) .. (FOREIGN:sub(i, i) == "A" and "B" or "A") .. FOREIGN:sub(i + 1)
      local h, err = hdr.decode(text)
      assert.is_true(h ~= nil and #h:buckets() > 0 or err.name == "NOT_A_HISTOGRAM", text)
      assert.are.equal("NOT_A_HISTOGRAM", select(2, hdr.decode(FOREIGN:sub(1, i - 1))).name)
    end
    for _, text in ipairs { "", "hello", "====", FOREIGN .. "AAAA", (" "):rep(8) } do
      assert.are.equal("NOT_A_HISTOGRAM", select(2, hdr.decode(text)).name)
    end
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
