-- What `rlab new service` writes. That it runs, and finds what it is there to find, `make examples` tells.
local experiment = require "rlab.experiment"
local fs = require "rlab.fs"
local json = require "rlab.json"
local template = require "rlab.experiment.template"
local tools = require "rlab.stack.tools"

describe("rlab new service", function()
  local home

  setup(function() home = assert(fs.tmpdir "rlab-new") end)
  teardown(function() fs.remove(home) end)

  local function new(...)
    return tools.output({ "env", "RLAB_SCENARIOS=" .. home, fs.self_exe(), "new", ... }, "20s")
  end

  it("writes the example's program with all that it is built from, and an experiment that loads", function()
    for _, language in ipairs(template.languages()) do
      local text, status = new("service", "--lang", language, "--json")
      assert.are.same({ code = 0 }, status, text)
      local told = assert(json.decode(text))
      assert.are.same({ id = "service-" .. language, path = ("%s/service-%s.lua"):format(home, language) },
        told)
      local exp = experiment.load(told.path)
      assert.are.equal(told.id, exp.id)
      assert.are.equal("right", exp.arms[1].class)
      for _, file in ipairs(template.files(language, home .. "/service-" .. language)) do
        assert.are.equal(file.text, fs.read(file.path), file.path)
      end
      local program = fs.read(told.path):match '"([^"]+/[^"]+)"' -- the first path of its command
      assert.is_true(fs.exists(program), program)
    end
  end)

  it("has every file that the example's run.sh and its program name", function()
    for _, language in ipairs { "go", "node", "java" } do
      local names = {}
      for _, file in ipairs(template.files(language, "x")) do names[file.path] = file.text end
      for name in names["x/run.sh"]:gmatch "%$here/([%w-]+%.[a-z]+)" do
        assert.is_string(names["x/" .. name], name)
      end
    end
  end)

  it("writes over nothing, knows its languages, and says so in one line", function()
    local again = ("RLAB_SCENARIOS=%s %s new service --lang go 2>&1"):format(home, fs.self_exe())
    local said, status = tools.output({ "sh", "-c", again }, "20s")
    assert.are.same({ code = 64 }, status)
    assert.matches("service%-go/go.mod is there already; choose another %-%-file\n$", said)
    for args, told in pairs { ["service --lang cobol"] = "--lang is one of go, java, node, python",
      service = "--lang is one of", ["E-101 --lang go"] = "is for `rlab new service`" } do
      said, status = tools.output({ "sh", "-c", fs.self_exe() .. " new " .. args .. " 2>&1" }, "20s")
      assert.are.same({ code = 64 }, status, args)
      assert.is_truthy(said:find(told, 1, true), said)
    end
  end)
end)
