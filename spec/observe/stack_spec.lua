-- What a person does with a stack that is observed: looks where status says, restarts a broker, has the
-- observers taken away and brought back.
local fs = require "rlab.fs"
local http = require "rlab.http"
local json = require "rlab.json"
local process = require "rlab.process"
local servers = require "rlab.stack.servers"
local stack = require "rlab.stack"
local task = require "rlab.task"

local function rlab(...)
  local child <close> = assert(process.spawn { cmd = { fs.self_exe(), ... }, stdout = "capture",
    stderr = "stdout" })
  local status, said = assert(child:wait "5m"), child:output()
  assert.are.equal(0, status.code, said)
  return said
end

local function all_up()
  return task.wait_until(function()
    local list = servers.of("prometheus").targets(stack.current().ports.prometheus)
    for _, target in ipairs(list) do
      if target.health ~= "up" then return false end
    end
    return #list == 9
  end, { at_most = "60s", every = "200ms" })
end

local function pids()
  local found = {}
  for _, row in ipairs(json.decode(rlab("status", "--json")).servers) do found[row.server] = row.pid end
  return found
end

describe("a stack that is observed", function()
  it("is looked at where status says", function()
    local look = json.decode(rlab("status", "--json")).look
    assert.are.equal(200, assert(http.get(look .. "/-/ready")).status)
    assert.matches("look +" .. look:gsub("%p", "%%%0"), rlab "status")
    assert.is_truthy(all_up())
  end)

  it("asks a broker that was killed and is started again", function()
    local s <close> = assert(stack.current())
    assert(s:server("kafka-2"):kill())
    assert(s:heal())
    assert.is_truthy(all_up())
  end)

  it("is left as it was when those who watch are taken away, and is watched again", function()
    local before = pids()
    assert.matches("stopped exporter, mysqld%-exporter, redis%-exporter, prometheus", rlab("down", "observe"))
    local between = pids()
    assert.is_nil(between.prometheus)
    assert.are.equal(before["kafka-1"], between["kafka-1"])
    rlab("up", "--observe")
    assert.is_truthy(all_up())
    assert.are.equal(before["kafka-1"], pids()["kafka-1"])
  end)
end)
