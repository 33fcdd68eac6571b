-- A scenario that never waits can be stopped, and none ends rlab without a verdict.
local fs = require "rlab.fs"
local process = require "rlab.process"
local task = require "rlab.task"

-- f(child) with `rlab FILE` under way, the file having this text and having said that it runs
local function with_run(text, f)
  local path = ("%s/rlab-stop-%d.lua"):format(fs.tmpdir(), process.self())
  assert(fs.write(path, 'io.stdout:write "runs\\n"\nio.stdout:flush()\n' .. text .. "\n"))
  local child <close> = assert(process.spawn { cmd = { fs.self_exe(), path }, stdout = "capture",
    stderr = "stdout" })
  assert(task.wait_until(function() return child:output():find("runs", 1, true) end, { at_most = "60s" }))
  f(child)
  fs.remove(path)
end

local FOR_EVER = [[string.match(("a"):rep(40), ("a?"):rep(40) .. ("a"):rep(40))]]

describe("a scenario that never waits", function()
  for _, signal in ipairs { "INT", "TERM", "HUP" } do
    it("is stopped by SIG" .. signal, function()
      with_run("while true do end", function(child)
        assert(child:kill(signal))
        assert.equal(130, assert(child:wait "60s").code, child:output())
      end)
    end)
  end

  it("is stopped by the second signal inside C", function()
    with_run(FOR_EVER, function(child)
      assert(child:kill "TERM")
      task.sleep(0.5) -- one that comes while the first is being delivered is the same one
      assert(child:kill "TERM")
      assert.equal("TERM", assert(child:wait "60s").signal)
    end)
  end)

  it("is stopped though it catches errors", function()
    with_run("while true do pcall(function() while true do end end) end", function(child)
      assert(child:kill "INT")
      local status = child:wait "4s"
      if not status then assert(child:kill "INT") end
      assert.is_table(status or assert(child:wait "60s"))
    end)
  end)
end)

describe("a scenario", function()
  for what, text in pairs { ["os.exit"] = "os.exit(0)", ["io.popen"] = 'require "io".popen "true"',
    ["os.execute"] = 'load("os.execute()")()' } do
    it("does not end or bypass its run by " .. what, function()
      with_run(text, function(child)
        assert.equal(65, assert(child:wait "60s").code)
        assert.matches(what:gsub("%.", "%%.") .. " is not a scenario's", (child:output()))
      end)
    end)
  end
end)

describe("the current directory", function()
  it("has no modules of rlab's", function()
    local dir = assert(fs.tmpdir "rlab-here")
    assert(fs.mkdir(dir .. "/rlab"))
    for _, name in ipairs { "flow", "fs" } do
      assert(fs.write(("%s/rlab/%s.lua"):format(dir, name), 'print "from here" return {}'))
    end
    assert(fs.write(dir .. "/ask", 'print(pcall(require, "rlab.flow"))\nprint(fs.tmpdir ~= nil)\n'))
    local child <close> = assert(process.spawn { cmd = { "sh", "-c", '"$0" <ask', fs.self_exe() }, cwd = dir,
      stdout = "capture", stderr = "stdout" })
    assert.equal(0, assert(child:wait "60s").code)
    local text <const> = child:output()
    assert.matches("^false\tmodule 'rlab.flow' not found", text)
    assert.matches("\ntrue\n$", text)
    assert.is_nil(text:find("from here", 1, true))
    fs.remove(dir)
  end)
end)

describe("the list of scenarios", function()
  it("runs none of them, and a broken one is one line", function()
    local dir = assert(fs.tmpdir "rlab-scenarios")
    local good = 'fs.write("%s/made", "x") os.execute("touch %s/made")\nreturn experiment { id = "E-901", \z
      title = "mine", claim = "c", arms = { right "a" {} }, run = function() end, checks = function() end }'
    assert(fs.write(dir .. "/E-901.lua", (good:gsub("%%s", dir))))
    assert(fs.write(dir .. "/E-902.lua", "return experiment {"))
    assert(fs.write(dir .. "/E-903.lua", "while true do end"))
    local child <close> = assert(process.spawn { cmd = { fs.self_exe(), "list" }, stdout = "capture",
      stderr = "stdout", env = { RLAB_SCENARIOS = dir } })
    assert.equal(0, assert(child:wait "60s").code, child:output())
    local text <const> = child:output()
    assert.matches("E%-001 ", text)
    assert.matches("E%-901  mine", text)
    assert.matches("E%-902  broken: [^\n]*unexpected symbol", text)
    assert.matches("E%-903  broken: it computes too long", text)
    assert.is_false(fs.exists(dir .. "/made"))
    fs.remove(dir)
  end)
end)
