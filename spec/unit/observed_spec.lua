-- What Prometheus is told to ask on a stack of this machine, and what the stack does so that it is answered.
local away = dofile "spec/support/away.lua"
local context = require "rlab.stack.context"
local fs = require "rlab.fs"
local http = require "rlab.http"
local kafka = require "rlab.stack.kafka"
local kafka_broker = require "rlab.stack.servers.kafka_broker"
local process = require "rlab.process"
local promlint = dofile "spec/support/formats/promlint.lua"
local scrape = require "rlab.stack.scrape"
local servers = require "rlab.stack.servers"
local settings = require "rlab.stack.settings"
local stack = require "rlab.stack"
local state = require "rlab.stack.state"
local task = require "rlab.task"
local yaml = require "spec.unit.deploy.support.yaml"

local home

before_each(function() home = assert(fs.tmpdir "rlab-observed") end)
after_each(function() fs.remove(home) end)

local function targets_of(text)
  local by_job = {}
  for _, job in ipairs(assert(yaml.decode(text)).scrape_configs) do by_job[job.job_name] = job end
  return by_job
end

describe("the part observe", function()
  it("is started with all that Prometheus asks, and stopped alone", function()
    assert.are.same({ "kafka", "mysql", "redis", "observe" }, stack.parts_of({ "observe" }, true))
    assert.are.same({ "observe" }, stack.parts_of { "observe" })
    assert.are.same({ "exporter", "mysqld-exporter", "redis-exporter", "prometheus" },
      servers.names "observe")
  end)

  it("asks the jobs of the containers at the ports of the stack", function()
    local ctx = assert(context.new { home = home, base = 20000 })
    local here, there = targets_of(scrape.on_loopback(ctx.ports)), targets_of(scrape.containers())
    for _, row in ipairs(settings.scrape) do
      local own = here[row.job]
      assert.is_truthy(there[row.job])
      assert.are.equal(row.passed_on and 1 or #row, #own.static_configs[1].targets, row.job)
      for _, target in ipairs(own.static_configs[1].targets) do
        assert.matches("^127%.0%.0%.1:20[01]%d%d$", target)
      end
    end
    assert.are.equal("/actuator/services", here.rlab.metrics_path)
    assert.are.equal("true", here.rlab.honor_labels)
    assert.is_nil(there.rlab.honor_labels)
  end)

  it("asks more often until all have answered, and no service less often than ever", function()
    local ctx = assert(context.new { home = home, base = 20000 })
    local function every(hurried)
      local text = scrape.on_loopback(ctx.ports, hurried)
      return yaml.decode(text).global.scrape_interval, targets_of(text).rlab.scrape_interval
    end
    assert.are.same({ "3s", "1s" }, { every(false) })
    assert.are.same({ "1s", "1s" }, { every(true) })
  end)
end)

describe("a broker", function()
  local function command(ctx)
    ctx.java, ctx.kafka = { path = "java", version = "17" }, { root = home, classpath = "x.jar" }
    ctx.observe = { agent = "/agent.jar" }
    return table.concat(kafka.command(ctx, ctx:server "kafka-2").cmd, " ")
  end

  it("has the agent and its MBeans on a stack that is observed, and there alone", function()
    local ctx = assert(context.new { home = home, base = 20000 })
    assert.is_nil(command(ctx):find("-javaagent", 1, true))
    assert.matches("\nmetric.reporters=\n", kafka.properties(ctx, ctx:server "kafka-2"), 1, true)
    ctx.watch = true
    assert.matches("-javaagent:/agent.jar=127.0.0.1:20153:jmx.yml ", command(ctx), 1, true)
    assert.is_nil(kafka.properties(ctx, ctx:server "kafka-2"):find("metric.reporters", 1, true))
    assert.are.same({ 20093, 20103, 20113, 20153 }, kafka_broker.ports(ctx, ctx:server "kafka-2"))
    assert.are.same({ 20099, 20159 }, servers.of("controller").ports(ctx, ctx:server "controller"))
  end)

  it("keeps the agent when it is started again beside a Prometheus that runs", function()
    local pid, start = process.self()
    local s = state.new(20000)
    s.servers.prometheus = { pid = pid, start = start, phase = "ready" }
    assert(state.save(home, s))
    assert.matches("-javaagent", command(assert(context.new { home = home })), 1, true)
  end)

  it("that runs without the agent does not serve a stack that is to be observed", function()
    local pid, start = process.self()
    local ctx = assert(context.new { home = home, base = 20000 })
    ctx.state.servers["kafka-1"] = { pid = pid, start = start, phase = "ready" }
    assert.is_false(kafka.unobserved(ctx, "kafka-1", {}))
    ctx.watch = true
    assert.is_true(kafka.unobserved(ctx, "kafka-1", {}))
    assert.is_false(kafka.unobserved(ctx, "kafka-1", { [20152] = true }))
    assert.is_false(kafka.unobserved(ctx, "kafka-3", {}))
  end)
end)

describe("what services tell", function()
  local function service(name, words)
    local child = away.service(name, words, nil, { RLAB_HOME = home })
    return child, away.ready(child)
  end

  local function passed_on(url)
    return assert(http.get(url .. "/actuator/services")).body
  end

  -- On a busy machine a service that lives is given up on now and then, and is asked again.
  local function all_answer(url, how_many)
    local text
    repeat text = passed_on(url) until select(2, text:gsub("\nup{[^}]*} 1%f[\n]", "")) == how_many
    return text
  end

  it("is passed on by the exporter with the instance of each, while they live", function()
    local exporter <close>, url = service("exporter", { "--services", home .. "/services" })
    assert.is_false(fs.exists(home .. "/services")) -- where nobody looks, nothing is noted
    assert(fs.mkdir(home .. "/services"))
    assert.are.equal("", passed_on(url))
    local command <close>, at = service("command", { "--name", "command-1" })
    local query <close> = service("query", { "--name", "query-1" })
    local instance = "command-1" .. at:match ":%d+$"
    local text = assert(task.timeout("60s", function() return all_answer(url, 2) end))
    assert.are.same({}, promlint.problems(text))
    assert.matches(('\nup{instance="%s"} 1\n'):format(instance), text, 1, true)
    assert.matches(('\nrlab_service_info{instance="%s",name="command-1",'):format(instance), text, 1, true)
    assert.matches(('\nrlab_draining{instance="%s"} 0\n'):format(instance), text, 1, true)
    assert.matches('\nup{instance="query%-1:%d+"} 1\n', text)
    assert.are.equal(1, select(2, text:gsub("# TYPE rlab_service_info ", "")))
    assert.is_nil(text:find("exporter", 1, true))

    assert(query:stop())
    assert.matches('\nup{instance="query%-1:%d+"} 0\n', passed_on(url)) -- frozen: it hides no other
    query:kill "KILL"
    assert(command:kill "TERM")
    assert(command:wait "20s")
    assert(query:wait "20s")
    assert.are.equal("", passed_on(url))
    assert(exporter)
  end)

  it("is joined by what a console tells of its runs, for as long as it lives", function()
    local exporter <close>, url = service("exporter", { "--services", home .. "/services" })
    local console <close> = assert(process.spawn { stdout = "capture", stderr = "stdout",
      cmd = { fs.self_exe(), "ui", "--port", "0", "--runs", home .. "/runs" },
      env = { RLAB_HOME = home } })
    local text = assert(task.timeout("60s", function() return all_answer(url, 1) end))
    assert.matches('\nup{instance="console:%d+"} 1\n', text)
    assert.matches('\nrlab_run_under_way{instance="console:%d+"} 0\n', text)
    assert.is_nil(text:find("kafka", 1, true)) -- which the exporter tells itself
    console:kill "KILL"
    assert(console:wait "20s")
    assert.are.equal("", passed_on(url))
    assert(exporter)
  end)
end)
