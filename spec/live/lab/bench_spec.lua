-- `make bench` with tiny numbers, so that it cannot rot: what it prints is looked at, never how fast it was.
local fs = require "rlab.fs"
local process = require "rlab.process"

local brokers = assert(os.getenv "RLAB_TEST_BROKERS", "RLAB_TEST_BROKERS is not set")

local function run(words)
  local child <close> = assert(process.spawn { cmd = words, stdout = "capture", stderr = "stdout",
    env = { NO_COLOR = "1", LC_ALL = "C.UTF-8" } })
  local status = assert(child:wait "900s")
  return status.code, (child:output())
end

local function bench(...)
  return run { fs.self_exe(), "bench", "--brokers", brokers, "--mysql",
    assert(os.getenv "RLAB_TEST_MYSQL", "RLAB_TEST_MYSQL is not set"),
    "--records", "2000", "--rounds", "2", "--starts", "3", "--ids", "1000", "--rows", "3000", "--few", "1",
    "--seconds", "1", "--groups", "6", "--partitions", "5", ... }
end

describe("make bench", function()
  setup(function()
    local words = { "make", "-s" }
    for _, entry in ipairs(assert(fs.list "bench")) do
      local name = (type(entry) == "table" and entry.name or entry):match "^(.+)%.c$"
      if name then words[#words + 1] = "build/bench/" .. name end
    end
    local code, output = run(words)
    assert.are.equal(0, code, output)
  end)

  it("measures every part and judges the ratios", function()
    local code, output = bench()
    assert.is_true(code == 0 or code == 4, output)
    for _, what in ipairs { "produce", "consume" } do
      assert.matches(what .. "%s+C%s+[%d,]+%s+%d+%.%d%d\n%s+Lua, batches%s+[%d,]+%s+%d+%.%d%d%s+%S+ to \z
        %S+%s+≥ 0%.9%s+%d+%.%d%d\n%s+Lua, one by one%s+[%d,]+%s+%d+%.%d%d", output)
    end
    for limit, goal in pairs { ["update  C, 2 connections"] = "95", ["delete  C, 2 connections"] = "95",
      ["C, send only"] = "75" } do
      assert.matches(limit .. "%s+[%d,]+%s+%d+%.%d%d%s+%d+%.%d%d\n%s+flow%.relay%s+[%d,]+%s+%d+%.%d%d%s+\z
        [%d. ]+≥ 0%." .. goal .. "%s+%d+%.%d%d", output)
    end
    assert.matches("cursor  C, read only%s+[%d,]+%s+%d+%.%d%d", output)
    assert.are.equal(code == 4, output:find("threshold missed", 1, true) ~= nil, output)
    assert.matches("6 groups that have committed 5 partitions each", output)
    assert.matches("the exporter's questions%s+%d+%.%d%d s%s+%d+%.%d%s+≥ 1%.0", output)
    assert.matches("its whole scrape, %d+ MiB of text%s+%d+%.%d%d s%s+< 1 s, not judged", output)
    assert.matches("lost%s+10%s+%d+%.%d%d s", output)
    assert.matches("peak memory%s+%d+ MiB", output)
    assert.matches("rlab %-%-version%s+%d+%.%d ms", output)
    assert.matches("switch to another task%s+%d+ ns", output)
    assert.matches("awaited call %(thread pool and back%)%s+%d+ ns", output)
  end)

  it("measures Java beside it", function()
    local fetched, why = run { "deps/debezium.sh" }
    if fetched ~= 0 then
      pending("no Debezium: " .. why)
      return
    end
    local code, output = bench("--java", "--warm", "3000", "relay", "consume")
    assert.is_true(code == 0 or code == 4, output)
    assert.matches("Debezium%s+[%d,]+%s+%d+%.%d%d", output)
    for _, mark in ipairs { "update", "delete", "cursor" } do
      assert.matches("flow%.relay, " .. mark .. "%s+[%d,]+%s+%d+%.%d%d%s+%S+ to \z
        %S+%s.-%d+%.%d%d%s+%d%.%d%d%d%s+≤ 0%.100", output)
    end
    for _, peer in ipairs { "Java", "Java, bare" } do
      assert.matches(peer .. "%s+[%d,]+%s+%d+%.%d%d", output)
    end
    assert.matches(
      "flow%.consume%s+[%d,]+%s+%d+%.%d%d%s+%S+ to %S+%s+≥ 1%.25%s+%d+%.%d%d%s+%d%.%d%d%d%s+≤ 0%.125",
      output)
  end)

  it("takes the names of parts and numbers that make sense", function()
    local code, output = bench "kafak"
    assert.are.equal(64, code)
    assert.matches("did you mean 'kafka'", output, 1, true)
    code, output = bench("--rounds", "none")
    assert.are.equal(64, code)
    assert.matches("--rounds takes a number from 1, not 'none'", output, 1, true)
  end)
end)
