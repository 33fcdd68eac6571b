local process = require "rlab.process"
local fs = require "rlab.fs"
local json = require "rlab.json"
local clock = require "rlab.clock"

-- what a process of its own logs
local function logged(env)
  local dir = fs.tmpdir()
  fs.write(dir .. "/log_spec.lua", [[
    local log = require "rlab.log"
    log.debug("not shown")
    log.info("order published", { id = 7, key = "a b", plain = "word" })
    log.error("odd\nmessage", { nested = { 1, 2 } })
    it("logs", function() end)]])
  local p <close> = process.spawn { cmd = { fs.self_exe(), "busted", dir .. "/log_spec.lua" }, env = env }
  p:wait()
  fs.remove(dir)
  return (select(2, p:output()))
end

describe("log", function()
  it("writes lines for people", function()
    local text = logged { RLAB_LOG = false, RLAB_LOG_LEVEL = false }
    assert.matches('%d%d:%d%d:%d%d%.%d%d%d info  order published id=7 key="a b" plain=word\n', text)
    assert.is_nil(text:find "not shown")
  end)

  it("writes lines for machines", function()
    local lines = {}
    for line in logged({ RLAB_LOG = "json", RLAB_LOG_LEVEL = "error" }):gmatch "[^\n]+" do
      lines[#lines + 1] = line
    end
    assert.are.equal(1, #lines)
    local entry = assert(json.decode(lines[1]))
    assert.are.equal("odd\nmessage", entry.message)
    assert.are.equal("error", entry.level)
    assert.are.equal(2, entry.nested[2])
    assert.matches("^%d+%-%d%d%-%d%dT", entry.time)
  end)
end)

describe("clock", function()
  it("goes forward and prints ISO 8601", function()
    local a = clock.ns()
    assert.is_true(clock.ns() >= a)
    assert.are.equal("2026-11-23T15:04:05.678Z", clock.iso(1795446245678))
    assert.are.equal("1969-12-31T23:59:59.999Z", clock.iso(-1))
    assert.is_true(math.abs(clock.unix_ns() // 1000000 - clock.unix_ms()) < 1000)
  end)
end)
