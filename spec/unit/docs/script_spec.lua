local err = require "rlab.err"
local experiment = require "rlab.experiment"
local script = require "rlab.experiment.script"

local function failure_of(text)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  local ok, failure = pcall(experiment.load, path)
  os.remove(path)
  assert.is_false(ok)
  assert.are.equal("SCRIPT", failure.name)
  return (failure.message:gsub(path:gsub("%W", "%%%0"), "FILE"))
end

describe("what went wrong in a scenario file", function()
  it("is one line with the file's own place", function()
    assert.are.equal("FILE:2: attempt to perform arithmetic on a nil value", failure_of "\nlocal x = nil + 1")
  end)

  it("may begin with a byte order mark and a #! line, as lua's files may", function()
    local mark = "\xEF\xBB\xBF"
    for _, head in ipairs { mark, "#!/usr/bin/env rlab", mark .. "#!/usr/bin/env rlab", "# x" } do
      assert.are.equal("FILE:2: no", failure_of(head .. "\nerror 'no'"))
    end
    assert.are.equal("", script.source "#!rlab")
    assert.are.equal("return 1 # 2", script.source "return 1 # 2")
  end)

  it("is that it is no source, and what to do", function()
    assert.equal("FILE: it is UTF-16: save it as UTF-8", failure_of "\xFF\xFEr\0e\0")
    assert.equal("FILE: it is UTF-16: save it as UTF-8", failure_of "\xFE\xFF\0r\0e")
    local compiled = string.dump(function() return {} end)
    assert.equal("FILE: it is compiled Lua, and its source is read here", failure_of(compiled))
    local path = os.tmpname()
    local file <close> = assert(io.open(path, "w"))
    file:write(compiled)
    file:flush()
    local ok, failure = pcall(script.run, path) -- of a service, a handler
    os.remove(path)
    assert.is_false(ok)
    assert.matches("it is compiled Lua", tostring(failure), 1, true)
  end)

  it("names the lines that led there when they are others", function()
    assert.are.equal("FILE:2: deep\n  from FILE:4, in main chunk",
      failure_of "local function f()\n  error 'deep'\nend\nf()")
  end)

  it("is said at the script's line when rlab complains about an argument", function()
    local trace = "lua/rlab/lab/clients.lua:41: kafka.producer: unknown option 'a'\nstack \z
      traceback:\n\t[C]: in function 'x'\n\tlua/rlab/lab/clients.lua:41: in method \z
      'producer'\n\tmine.lua:7: in function <mine.lua:6>\n\tlua/rlab/task.lua:1: in ?"
    assert.are.equal("mine.lua:7: kafka.producer: unknown option 'a'", script.message(trace, "mine.lua"))
    assert.are.equal("mine.lua:7: lua/rlab/lab/clients.lua:41: attempt to index a nil value",
      script.message((trace:gsub("kafka.producer: unknown option 'a'", "attempt to index a nil value")),
        "mine.lua"))
  end)

  it("leaves errors of the world as they are", function()
    local failure = err.new { domain = "kafka", code = 7, name = "TIMED_OUT", message = "late" }
    assert.are.equal(failure, script.error(failure, "mine.lua"))
    assert.are.equal("mine.lua:1: no", script.error("mine.lua:1: no", "mine.lua").message)
  end)
end)
