-- The examples of docs/bring-your-own.md: the mistake is found in the first version, and nothing in the
-- mended one.
local fs = require "rlab.fs"
local json = require "rlab.json"
local must = require "rlab.must"
local process = require "rlab.process"

local function output(cmd, env)
  local child <close> = must(process.spawn { cmd = cmd, env = env, stdout = "capture", stderr = "capture" })
  local status = must(child:wait "600s")
  local out, errors = child:output()
  return status.code, out, errors
end

local function run(path, env)
  local code, out, errors = output({ fs.self_exe(), path, "--json" }, env)
  assert.equal(0, code, out .. errors)
  local result = must(json.decode(out))
  local found = {}
  for _, check in ipairs(result.checks) do found[check.arm .. " " .. check.name] = check.outcome end
  return found
end

describe("bring your own service", function()
  it("finds the commit before the work in the Python consumer", function()
    local code, python, why = output { "deps/python.sh" }
    if code ~= 0 then
      pending("no Python environment: " .. why)
      return
    end
    local found = run("docs/bring-your-own/python.lua", { RLAB_PYTHON = python:match "%S+" })
    assert.same({ ["as-written lost-effect"] = "violated", ["as-written duplicate-effect"] = "holds",
      ["mended lost-effect"] = "holds", ["mended duplicate-effect"] = "holds",
      ["as-written drained"] = "holds", ["mended drained"] = "holds" }, found)
  end)

  it("is told where everything is, and serves under load", function()
    for name, outcome in pairs(run "spec/fixtures/experiments/own-process.lua") do
      assert.equal("holds", outcome, name)
    end
  end)

  it("finds the doubled effects of the Java consumer", function()
    local found = run("docs/bring-your-own/java.lua")
    assert.same({ ["as-written duplicate-effect"] = "violated", ["as-written lost-effect"] = "holds",
      ["as-written conservation"] = "violated",
      ["mended duplicate-effect"] = "holds", ["mended lost-effect"] = "holds",
      ["mended conservation"] = "holds",
      ["as-written drained"] = "holds", ["mended drained"] = "holds" }, found)
  end)
end)
