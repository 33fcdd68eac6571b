local hdr = require "rlab.hdr"
local metrics = require "rlab.metrics"

describe("metrics", function()
  it("writes HELP and TYPE once a name, labels in order, and escapes", function()
    local text = metrics.render {
      { name = "a_total", type = "counter", help = "Line one\nback\\slash", value = 1,
        labels = { z = 'q"\\\n', b = "x" } },
      { name = "b", type = "gauge", value = 0.1 },
      { name = "a_total", type = "counter", help = "Line one\nback\\slash", value = 9007199254740993 },
    }
    assert.equal(table.concat({
      "# HELP a_total Line one\\nback\\\\slash",
      "# TYPE a_total counter",
      'a_total{b="x",z="q\\"\\\\\\n"} 1',
      "a_total 9007199254740993",
      "# TYPE b gauge",
      "b 0.1",
      "" }, "\n"), text)
  end)

  it("writes what is no number as Prometheus does", function()
    local text = metrics.render { { name = "x", value = 0 / 0 }, { name = "x", value = math.huge },
      { name = "x", value = -math.huge } }
    assert.equal("# TYPE x untyped\nx NaN\nx +Inf\nx -Inf\n", text)
  end)

  it("tells a histogram by cumulative buckets that end in the count", function()
    local h = hdr.new()
    h:record(1000000, 3)
    h:record(200000000, 2)
    h:record(60000000000)
    local text = metrics.render {
      { name = "t_seconds", type = "histogram", hdr = h, scale = 1e-9, bounds = { 0.01, 0.5, 5 },
      labels = { k = "v" } } }
    assert.matches('t_seconds_bucket{k="v",le="0.01"} 3\n', text, 1, true)
    assert.matches('t_seconds_bucket{k="v",le="0.5"} 5\n', text, 1, true)
    assert.matches('t_seconds_bucket{k="v",le="5"} 5\n', text, 1, true)
    assert.matches('t_seconds_bucket{k="v",le="+Inf"} 6\n', text, 1, true)
    assert.matches('t_seconds_count{k="v"} 6\n', text, 1, true)
    local sum = tonumber(text:match 't_seconds_sum{k="v"} (%S+)')
    assert.is_true(math.abs(sum - 60.403) < 0.1)
  end)

  it("tells a snapshot, or a histogram that is asked to be one, as a summary", function()
    local h = hdr.new()
    for value = 1, 100 do h:record(value * 1000000) end
    for _, source in ipairs { h, h:summary() } do
      local text = metrics.render { { name = "t_seconds", type = "summary", hdr = source, scale = 1e-9 } }
      assert.matches("# TYPE t_seconds summary\n", text, 1, true)
      assert.is_true(math.abs(tonumber(text:match 't_seconds{quantile="0.99"} (%S+)') - 0.099) < 0.001)
      assert.matches("t_seconds_count 100\n", text, 1, true)
    end
    assert.matches('quantile="0.5"} NaN', metrics.render { { name = "e", hdr = hdr.new() } }, 1, true)
  end)

  it("writes a series of very many from labels that were made before", function()
    local labels = metrics.labels { topic = 'a"b', partition = 1 }
    assert.equal("# HELP x X.\n# TYPE x gauge\nx{k=\"v\",partition=\"1\",topic=\"a\\\"b\"} 5\n"
      .. "x{k=\"v\",partition=\"1\",topic=\"a\\\"b\"} 0.5\n",
      metrics.render { { name = "x", type = "gauge", help = "X.", labels = { k = "v" },
        series = { labels, 5, labels, 0.5 } } })
  end)

  it("refuses names, types, labels and keys that are wrong", function()
    for _, wrong in ipairs { { name = "1a", value = 1 }, { name = "a", type = "count", value = 1 },
      { name = "a", value = 1, labels = { ["x-y"] = "1" } },
      { name = "a", value = 1, lables = {} }, { name = "a" }, { name = "a", value = "1" },
      { name = "a", type = "histogram", hdr = hdr.new(), labels = { le = "1" } },
      { name = "a", type = "summary", hdr = hdr.new(), labels = { quantile = "1" } } } do
      assert.has_error(function() metrics.render { wrong } end)
    end
  end)
end)
