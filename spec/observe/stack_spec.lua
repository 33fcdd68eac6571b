-- What a person does with a stack that is observed: looks where status says, restarts a broker, has the
-- observers taken away and brought back.
local clock = require "rlab.clock"
local fs = require "rlab.fs"
local http = require "rlab.http"
local json = require "rlab.json"
local process = require "rlab.process"
local prometheus = dofile "spec/observe/support/prometheus.lua"
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

local QUICK = { rlab = true, exporter = true }

local function targets()
  return servers.of("prometheus").targets(stack.current().ports.prometheus)
end

local function all_up()
  return task.wait_until(function()
    local list = targets()
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

local url

setup(function()
  url = assert(stack.current().observe, "this stack is not observed: rlab up --observe").url
end)

-- how many series have a value now
local function now(query)
  local at = clock.unix_ms() / 1000
  return prometheus.series(url, query, { from = at, to = at })
end

local function shows(query, count)
  return task.wait_until(function() return now(query) == count end, { at_most = "60s", every = "200ms" })
end

describe("a stack that is observed", function()
  it("is asked as often as the settings say once all are up", function()
    assert.is_truthy(all_up())
    assert.is_truthy(task.wait_until(function()
      for _, target in ipairs(targets()) do
        if target.every ~= (QUICK[target.job] and "1s" or "3s") then return false end
      end
      return true
    end, { at_most = "60s", every = "200ms" }))
  end)

  it("has a console among its targets while one runs, and misses none that ended", function()
    local console <close> = assert(process.spawn { cmd = { fs.self_exe(), "ui", "--port", "0" },
      stdout = "capture", stderr = "stdout" })
    assert.is_truthy(shows('up{job="rlab",instance=~"console:.*"} == 1', 1))
    assert.is_truthy(shows('rlab_run_under_way{instance=~"console:.*"}', 1))
    assert.are.equal(1, now "kafka_brokers") -- the exporter alone tells of the cluster
    console:kill "KILL"
    assert(console:wait "20s")
    assert.is_truthy(shows('up{instance=~"console:.*"}', 0))
    assert.are.equal(0, now 'ALERTS{alertname="TargetDown",instance=~"console:.*"}')
    assert.is_truthy(all_up())
  end)

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
