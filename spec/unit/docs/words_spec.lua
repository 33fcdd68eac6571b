-- What the commands that read say to a program: JSON that needs no second parser.
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"

local function rlab(...)
  local p <close> = assert(process.spawn { cmd = { fs.self_exe(), ... }, stdout = "capture",
    stderr = "capture" })
  local status = assert(p:wait "60s")
  local out, wrong = p:output()
  return out, status.code, wrong
end

describe("rlab list --json", function()
  it("tells what an experiment needs as a list, and its arms by class", function()
    local row = json.decode((rlab("list", "--json")))[1]
    assert.same({ "kafka", "mysql", "redis" }, { table.unpack(row.needs) })
    assert.same({ "integer", "integer", "integer" },
      { math.type(row.wrong), math.type(row.right), math.type(row.observe) })
  end)
end)

describe("rlab api NAME --json", function()
  it("tells of that name alone", function()
    assert.equal("kafka", json.decode((rlab("api", "kafka", "--json"))).module)
    local send = json.decode((rlab("api", "kafka.producer:send", "--json")))
    assert.equal("send", send.name)
    assert.matches("^p:send", send.call)
    local kafka = json.decode((rlab("api", "kafka", "--json")))
    for _, method in ipairs(kafka.types[1].methods) do
      assert.is_nil(method["1"])
      assert.is_string(method.doc, method.name)
    end
    assert.is_true(#json.decode((rlab("api", "--json"))) > 20)
    local _, code, wrong = rlab("api", "kafca", "--json")
    assert.same({ 64, "rlab: api: nothing is called 'kafca'; did you mean 'kafka'?\n" }, { code, wrong })
  end)
end)

describe("an arm that is measured", function()
  it("is called observed wherever people read of it", function()
    assert.matches("wrong +right +observed\n", (rlab "list"))
    local told = rlab("explain", "E-009")
    assert.matches("\n  observed  %S", told)
    assert.is_nil(told:find("\n  observe ", 1, true))
    assert.matches("\n| observed | `", (rlab("explain", "E-009", "--markdown")))
  end)
end)

describe("the page of a scenario", function()
  it("asks nothing that the file does not, and leads to the file beside it", function()
    local folder = assert(fs.tmpdir "spec")
    local path = folder .. "/E-900.lua"
    assert(fs.write(path, 'return experiment { id = "E-900", title = "t", claim = "c", \z
      arms = { wrong "a" {} }, run = function() end, checks = function() end }'))
    local page = rlab("explain", path, "--markdown")
    assert.is_nil(page:find("Question", 1, true))
    assert.matches(("Source: [`%s`](E-900.lua)"):format(path), page, 1, true)
    assert.matches("run it: rlab " .. path .. "  ", (rlab("explain", path)), 1, true)
    assert.matches("run it: rlab E-012  ", (rlab("explain", "E-012")), 1, true)
    fs.remove(folder)
  end)
end)
