-- deploy/prometheus and deploy/grafana: the files are as they are made, the rules do what they are for, and
-- no query asks for a metric that nobody exports.
local fs = require "rlab.fs"
local json = require "rlab.json"
local layout = require "rlab.stack.layout"
local plain_json = dofile "deps/bill/json.lua"
local scrape = require "rlab.stack.scrape"
local service = require "rlab.service"
local tools = require "rlab.stack.tools"
local yaml = require "spec.unit.deploy.support.yaml"

local grafana, boards = dofile "deploy/grafana.lua", dofile "deploy/boards.lua"
local rules = assert(yaml.decode(assert(fs.read "deploy/prometheus/rules.yml")))
local config = assert(yaml.decode(assert(fs.read "deploy/prometheus/prometheus.yml")))
local tests = assert(fs.read "deploy/prometheus/rules_test.yml")
local compose = assert(yaml.decode(assert(fs.read "docker-compose.yml")))

local function each_rule(kind)
  local list = {}
  for _, group in ipairs(rules.groups) do
    for _, rule in ipairs(group.rules) do
      if rule[kind] then list[#list + 1] = rule end
    end
  end
  return list
end

-- every query of the dashboards and the rules
local function queries()
  local list = {}
  for _, board in ipairs(boards) do
    for _, panel in ipairs(board.panels) do
      for i = 3, #panel do list[#list + 1] = panel[i][1] end
    end
    for _, row in ipairs(board.annotations or {}) do list[#list + 1] = row[3] end
  end
  for _, kind in ipairs { "record", "alert" } do
    for _, rule in ipairs(each_rule(kind)) do list[#list + 1] = rule.expr end
  end
  return list
end

local WORDS = { ["and"] = true, ["or"] = true, unless = true, bool = true }

-- The names of metrics in a query: what is left of it without texts, matchers, windows and lists of labels.
local function metrics_of(query)
  local rest = query:gsub('"[^"]*"', ""):gsub("%b{}", ""):gsub("%b[]", "")
    :gsub("%f[%w]offset %w+", "")
  for _, word in ipairs { "by", "on", "ignoring", "group_left", "group_right" } do
    rest = rest:gsub("%f[%w_]" .. word .. " *%b()", " ")
  end
  local names = {}
  for name, at in rest:gmatch "%f[%a_:]([%a_:][%w_:]*)()" do
    if not WORDS[name] and not rest:find("^ *%(", at) then names[#names + 1] = name end
  end
  return names
end

-- Those that the servers' exporters have; which of them these servers really tell is seen on a live stack.
local OTHERS = { "^mysql_", "^redis_", "^kafka_server_", "^kafka_controller_", "^kafka_network_", "^up$",
  "^ALERTS$" }

local function known_metrics()
  local known = {}
  for name, kind in fs.read("docs/services.md"):gmatch "\n| `([%l_]+)` | (%l+) |" do
    known[name] = true
    if kind == "histogram" then
      for _, suffix in ipairs { "_bucket", "_count", "_sum" } do known[name .. suffix] = true end
    end
  end
  for _, rule in ipairs(each_rule "record") do known[rule.record] = true end
  return known
end

local function promtool(...)
  local path = layout.cache() .. "/prometheus/bin/promtool"
  if not fs.exists(path) then return pending "no promtool: make observe fetches it" end
  local said, status = tools.output({ path, ... }, "3m")
  assert.are.same({ code = 0 }, status, said)
end

describe("deploy/grafana", function()
  it("has the dashboards that deploy/boards.lua says, byte by byte", function()
    local there = {}
    for _, board in ipairs(boards) do
      local path = ("%s.json"):format(board.uid)
      local text = fs.read("deploy/grafana/dashboards/" .. path)
      assert.equal(plain_json.encode(grafana(board)) .. "\n", text, "run: make deploy")
      assert.is_nil(there[path])
      there[path] = true
    end
    for _, name in ipairs(assert(fs.list "deploy/grafana/dashboards")) do
      assert.is_true(there[name], name)
    end
  end)

  it("has one for the pipeline with its six panels, one a service, and one for a run", function()
    local by_uid = {}
    for _, board in ipairs(boards) do by_uid[board.uid] = board end
    local titles = {}
    for i, panel in ipairs(by_uid["rlab-pipeline"].panels) do titles[i] = panel[1] end
    assert.are.same({ "Consumer lag", "Outbox: backlog and age", "Dead letters", "Cache: hits and misses",
      "Database: queries and connections", "Latency: p95 and p99" }, titles)
    for _, name in ipairs(service.names()) do
      assert.is_truthy(by_uid["rlab-" .. (name == "exporter" and "kafka" or name)], name)
    end
    assert.is_true(#by_uid["rlab-run"].annotations > 0)
  end)

  it("gives each panel an id and a place of its own, and the data source that is provisioned", function()
    local sources = yaml.decode(fs.read "deploy/grafana/provisioning/datasources/prometheus.yml").datasources
    for _, board in ipairs(boards) do
      local decoded = assert(json.decode(plain_json.encode(grafana(board))))
      local seen = {}
      for i, panel in ipairs(decoded.panels) do
        local place = ("%d,%d"):format(panel.gridPos.x, panel.gridPos.y)
        assert.is_nil(seen[place])
        seen[place] = true
        assert.equal(i, panel.id)
        assert.equal(sources[1].uid, panel.datasource.uid)
      end
    end
  end)

  it("asks for metrics that somebody exports", function()
    local known, count = known_metrics(), 0
    for _, query in ipairs(queries()) do
      for _, name in ipairs(metrics_of(query)) do
        local found = known[name] or false
        for _, pattern in ipairs(OTHERS) do found = found or name:find(pattern) ~= nil end
        assert.is_true(found, ("%s in %s"):format(name, query))
        count = count + 1
      end
    end
    assert.is_true(count > 150)
  end)
end)

describe("deploy/prometheus", function()
  it("asks what lua/rlab/stack/settings.lua says", function()
    assert.equal(scrape.containers(), fs.read "deploy/prometheus/prometheus.yml", "run: make deploy")
  end)

  it("asks every service and exporter of docker-compose.yml, at the port that it has", function()
    local asked = {}
    for _, job in ipairs(config.scrape_configs) do
      for _, target in ipairs(job.static_configs[1].targets) do
        local host, port = target:match "^([%w-]+):(%d+)$"
        asked[host] = port
        local one = host ~= "localhost" and assert(compose.services[host], host)
        for _, text in ipairs(one and not host:find "^kafka" and one.ports or {}) do
          assert.equal(port, text:match ":(%d+)$", host)
        end
      end
    end
    for name, one in pairs(compose.services) do
      if one.image:find "^rlab/rlab" or name:find "exporter" or name:find "^kafka%-%d" then
        assert.is_truthy(asked[name], name)
      end
    end
  end)

  it("has a test for each alert, that it fires and that it does not", function()
    local alerts = each_rule "alert"
    assert.is_true(#alerts > 20)
    for _, rule in ipairs(alerts) do
      local _, count = tests:gsub("alertname: " .. rule.alert .. "\n", "")
      assert.equal(2, count, rule.alert)
      assert.is_true(rule.labels.severity == "warning" or rule.labels.severity == "critical")
    end
  end)

  it("is a configuration that Prometheus takes, with its rules", function()
    promtool("check", "config", "deploy/prometheus/prometheus.yml")
  end)

  it("has rules that do what their tests say", function()
    promtool("test", "rules", "deploy/prometheus/rules_test.yml")
  end)

  it("has queries that Prometheus can parse", function()
    local lines = { "groups:", "  - name: queries", "    rules:" }
    for i, query in ipairs(queries()) do
      lines[#lines + 1] = ("      - record: query_%d\n        expr: '%s'"):format(i, (query:gsub("'", "''")))
    end
    local folder = assert(fs.tmpdir "rlab-queries")
    assert(fs.write(folder .. "/queries.yml", table.concat(lines, "\n") .. "\n"))
    promtool("check", "rules", folder .. "/queries.yml")
    fs.remove(folder)
  end)
end)
