-- Every query of every panel, asked of a real Prometheus that has watched E-001 on a real stack: each gets
-- data, but for those that spec/observe/support/exceptions.lua names, which get it elsewhere or nowhere.
-- `make test-observe` runs it on a stack of `rlab up --observe`.
local clock = require "rlab.clock"
local dashboard = dofile "spec/observe/support/dashboard.lua"
local exceptions = dofile "spec/observe/support/exceptions.lua"
local exit = require "rlab.exit"
local fs = require "rlab.fs"
local process = require "rlab.process"
local kafka = require "rlab.kafka"
local prometheus = dofile "spec/observe/support/prometheus.lua"
local services = dofile "spec/support/services.lua"
local stack = require "rlab.stack"
local task = require "rlab.task"

local OURS = "deploy/grafana/dashboards"
local PUBLIC = os.getenv "RLAB_TEST_BOARDS" or "../shared/boards"

local url, first

-- An experiment that a busy machine makes inconclusive has been watched all the same.
local function run(id)
  local child <close> = assert(process.spawn { cmd = { fs.self_exe(), id }, stdout = "capture",
    stderr = "stdout" })
  local from, status = clock.unix_ms() / 1000, assert(child:wait "10m")
  assert(status.code == exit.ok or status.code == exit.inconclusive, child:output())
  return { from = from, to = clock.unix_ms() / 1000 }
end

local function boards(folder)
  local list = {}
  for _, name in ipairs(fs.list(folder) or {}) do
    if name:find "%.json$" then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

-- What has no data and no excuse, and an excuse that nothing needs.
local function complaints(folder, name)
  local list, queries = {}, dashboard.queries(folder .. "/" .. name, url, first)
  assert.is_true(#queries > 0, name)
  for _, one in ipairs(queries) do
    local count, excuse = prometheus.series(url, one.query, first), exceptions.of(name, one.told)
    if count == 0 and not excuse then
      list[#list + 1] = ("%s: no data for %s"):format(one.title, one.query)
    elseif count > 0 and excuse and not excuse.sometimes then
      list[#list + 1] = ("%s: has data, so it is no exception any more: %s"):format(one.title, one.told)
    end
  end
  return list
end

-- {experiment or service = queries} of our dashboards that E-001 does not have
local function elsewhere()
  local found = {}
  for _, name in ipairs(boards(OURS)) do
    for _, one in ipairs(dashboard.queries(OURS .. "/" .. name, url, first)) do
      local excuse = exceptions.of(name, one.told)
      local id = excuse and excuse.elsewhere
      if id then
        found[id] = found[id] or {}
        table.insert(found[id], one.query)
      end
    end
  end
  return found
end

setup(function()
  url = assert(stack.current().observe, "this stack is not observed: rlab up --observe").url
  first = run "E-001"
end)

describe("a stack that is observed", function()
  it("has all its targets up", function()
    local list = require("rlab.stack.servers").of("prometheus").targets(stack.current().ports.prometheus)
    assert.are.equal(9, #list)
    for _, target in ipairs(list) do assert.are.equal("up", target.health, target.why) end
  end)
end)

describe("each panel gets data of E-001:", function()
  for _, name in ipairs(boards(OURS)) do
    it(name, function() assert.are.same({}, complaints(OURS, name)) end)
  end
end)

local function without_data(queries, span)
  local list = {}
  for _, query in ipairs(queries) do
    if prometheus.series(url, query, span) == 0 then list[#list + 1] = query end
  end
  return list
end

-- A replay worker that has nothing to do; an experiment's is gone before it is asked twice.
local function replay_worker()
  local brokers = stack.current().kafka.brokers
  local topic = ("observe-%d-%d"):format(process.self(), clock.unix_ms())
  local admin <close> = assert(kafka.admin { brokers = brokers })
  for _, name in ipairs { topic, topic .. ".dlq" } do assert(admin:create_topic { name = name }) end
  return services.spawn("replay", { brokers = brokers, topic = topic })
end

describe("what E-001 has not", function()
  it("is shown of the experiment that has it", function()
    local missing = {}
    for id, queries in pairs(elsewhere()) do
      if id:find "^E%-" then
        for _, query in ipairs(without_data(queries, run(id))) do
          missing[#missing + 1] = id .. ": " .. query
        end
      end
    end
    assert.are.same({}, missing)
  end)

  it("is shown of a replay worker", function()
    local span, missing = { from = clock.unix_ms() / 1000 }, nil
    local worker = replay_worker()
    task.wait_until(function()
      span.to = clock.unix_ms() / 1000
      missing = without_data(elsewhere().replay, span)
      return #missing == 0
    end, { at_most = "60s", every = "500ms" })
    worker:close()
    assert.are.same({}, missing)
  end)
end)

describe("each panel of a public dashboard gets data of E-001:", function()
  local list = boards(PUBLIC)
  for _, name in ipairs(list) do
    it(name, function() assert.are.same({}, complaints(PUBLIC, name)) end)
  end
  if #list == 0 then
    it("those of others", function()
      pending("no dashboards in " .. PUBLIC .. "; RLAB_TEST_BOARDS says where they are")
    end)
  end
end)
