-- The tutorial's page without servers, run as it is printed. Its scenario on real servers is in
-- spec/live/lab/experiments_spec.lua.
local fs = require "rlab.fs"
local process = require "rlab.process"

describe("the tutorial", function()
  it("runs without any server where it says so", function()
    local section = assert(fs.read "docs/tutorial.md"):match "## 4%. Without any server.-```lua\n(.-)```"
    local script = fs.tmpdir() .. "/rlab-offline-" .. process.self() .. ".lua"
    assert(fs.write(script, assert(section)))
    local child <close> = assert(
      process.spawn { cmd = { "sh", "-c", 'exec "$0" <"$1"', fs.self_exe(), script }, stdout = "capture",
      stderr = "stdout" })
    local status = assert(child:wait "60s")
    local output = child:output()
    fs.remove(script)
    assert.are.equal(0, status.code, output)
    assert.matches("2\torder%-3", output)
  end)
end)
