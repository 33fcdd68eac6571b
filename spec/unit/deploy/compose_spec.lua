-- docker-compose.yml and the Dockerfiles beside lua/rlab/stack/settings.lua, deps/pins.sh and the services'
-- own options. No container runs here: what can be held without an engine is.
local fs = require "rlab.fs"
local http = require "rlab.http"
local layout = require "rlab.stack.layout"
local options = require "rlab.service.options"
local process = require "rlab.process"
local service = require "rlab.service"
local settings = require "rlab.stack.settings"
local tables = require "rlab.tables"
local tools = require "rlab.stack.tools"
local yaml = require "spec.unit.deploy.support.yaml"

local env_text = dofile "deploy/env.lua"
local compose = assert(yaml.decode(assert(fs.read "docker-compose.yml")))
local ports = layout.ports()
local CLUSTER = "^redis%-cluster"

-- "${NAME:-default}" -> default
local function plain(text) return (text:gsub("%${[%w_]+:%-(.-)}", "%1")) end

local function rlab_services()
  local list = {}
  for _, name in ipairs(tables.sorted_keys(compose.services)) do
    if compose.services[name].image:find "^rlab/rlab:" then list[#list + 1] = name end
  end
  return list
end

local function image(name)
  local row = settings.images[name]
  return row[1] .. ":" .. assert(tools.pin(row[2]), row[2])
end

describe("docker-compose.yml", function()
  it("has each image at the version of deps/pins.sh, and no tag that floats", function()
    local known = { ["rlab/kafka:" .. tools.pin "KAFKA_VERSION"] = true, ["rlab/rlab:local"] = true }
    for name in pairs(settings.images) do known[image(name)] = true end
    for name, one in pairs(compose.services) do
      assert.is_true(known[one.image] or false, ("%s: %s"):format(name, one.image))
      assert.is_truthy(one.build or one.image:find ":[^:]*%d+%.%d+", name .. ": a tag that floats")
    end
  end)

  it("publishes the ports of the local stack, on loopback alone", function()
    local seen = {}
    local published = { ["kafka-ui"] = { "kafbat" }, ["redis-cluster"] = {},
      controller = { "controller-jmx" } }
    for i = 1, 3 do published["kafka-" .. i] = { "kafka-" .. i, ("kafka-%d-jmx"):format(i) } end
    for i = 1, 6 do published["redis-cluster"][i] = "redis-cluster-" .. i end
    for name, one in pairs(compose.services) do
      local wanted = {}
      for i, key in ipairs(published[name] or { name }) do wanted[i] = ports[key] end
      local got = {}
      for _, text in ipairs(one.ports or {}) do
        local low, high = text:match "^127%.0%.0%.1:(%d+)%-?(%d*):%d"
        assert.is_truthy(low, ("%s: %s"):format(name, text))
        for port = math.tointeger(low), math.tointeger(tonumber(high) or low) do
          got[#got + 1] = port
          assert.is_nil(seen[port], text)
          seen[port] = name
        end
      end
      if one.ports then assert.are.same(wanted, got, name) end
    end
    for _, key in ipairs { "mysql", "redis", "registry", "kafka-1", "kafka-2", "kafka-3", "kafbat",
      "prometheus", "grafana", "mysqld-exporter", "redis-exporter", "redis-cluster-6" } do
      assert.is_truthy(seen[ports[key]], key)
    end
  end)

  it("gives the brokers the settings of the local ones", function()
    local made = fs.read "deploy/kafka/settings.env"
    assert.equal(env_text(settings.kafka.properties), made, "run: make deploy")
    local ids = {}
    for i, id in ipairs(settings.kafka.brokers) do
      local broker = compose.services["kafka-" .. id]
      ids[i] = math.tointeger(broker.environment.KAFKA_NODE_ID)
      assert.equal("deploy/kafka/settings.env", broker.env_file)
      assert.is_truthy(broker.environment.KAFKA_ADVERTISED_LISTENERS:find(
        ("DIRECT://127.0.0.1:%d,INTER://kafka-%d:9092"):format(ports["kafka-" .. id], id), 1, true))
    end
    assert.are.same(settings.kafka.brokers, ids)
    local controller = compose.services.controller
    assert.equal("deploy/kafka/settings.env", controller.env_file)
    assert.equal(tostring(settings.kafka.controller), controller.environment.KAFKA_NODE_ID)
    assert.is_nil(compose.services["kafka-" .. #settings.kafka.brokers + 1])
  end)

  it("gives MySQL, Redis and the Redis Cluster the settings of the local ones", function()
    assert.are.same(settings.mysql, compose.services.mysql.command)
    assert.are.same({ "redis-server", table.unpack(settings.redis) }, compose.services.redis.command)
    for i = 1, 6 do
      local name = "redis-cluster-" .. i
      local wanted = { "redis-server", "--port", tostring(ports[name]), "--cluster-port",
        tostring(ports[name .. "-bus"]), table.unpack(settings.redis) }
      table.move(settings.redis_cluster, 1, #settings.redis_cluster, #wanted + 1, wanted)
      assert.are.same(wanted, compose.services[name].command)
      assert.equal(tostring(ports[name]), compose.services["redis-cluster"].command[i])
    end
  end)

  it("gives MySQL's exporter the settings of the local one", function()
    assert.are.same(settings.mysqld_exporter, compose.services["mysqld-exporter"].command)
  end)

  it("has MySQL and Redis of the series that run here", function()
    for pin, find in pairs { IMAGE_MYSQL = tools.mysql, IMAGE_REDIS = tools.redis } do
      local tag, here = tools.pin(pin), find()
      local floor = pin == "IMAGE_MYSQL" and tools.pin "MYSQL_MIN" or tools.REDIS_CLUSTER_MIN
      assert.is_false(tools.older(tag, floor))
      local series = here and here.version:match "^%d+%.%d+"
      if series and series ~= tag:match "^%d+%.%d+" then
        pending(("%s is %s, this machine's is %s"):format(pin, tag, here.version))
      end
    end
  end)

  it("configures each service by options that it has", function()
    local found = {}
    for _, name in ipairs(rlab_services()) do
      local one = compose.services[name]
      assert.are.same({ "service", name }, one.command)
      local description, taken = service.load(name), {}
      local config = options.resolve(description, {}, function(key)
        taken[key] = true
        return one.environment[key] and plain(one.environment[key])
      end)
      for key in pairs(one.environment) do assert.is_true(taken[key], ("%s: %s"):format(name, key)) end
      assert.equal(ports[name], config.port)
      assert.are.same({ name }, config.hosts)
      assert.equal("0.0.0.0", config.host)
      found[name] = true
    end
    for _, name in ipairs { "command", "relay", "consumer", "query", "replay", "exporter" } do
      assert.is_true(found[name], name)
    end
  end)

  it("makes the topics that the services name", function()
    local made = {}
    for _, topic in ipairs(compose.services.topics.command) do made[topic] = true end
    for _, name in ipairs(rlab_services()) do
      local environment = compose.services[name].environment
      for _, key in ipairs { "RLAB_TOPIC", "RLAB_DLQ" } do
        if environment[key] then assert.is_true(made[environment[key]], environment[key]) end
      end
      for topic in (environment.RLAB_RETRY or ""):gmatch ":([^,]+)" do assert.is_true(made[topic], topic) end
    end
  end)

  it("limits each container, looks at its health, and waits for what it needs", function()
    local once = { topics = true, flyway = true }
    for name, one in pairs(compose.services) do
      assert.is_truthy(one.mem_limit, name .. " has no limit")
      local node = name:find(CLUSTER .. "%-")
      if not once[name] and not node then
        assert.is_truthy(one.healthcheck and one.healthcheck.test, name .. " has no healthcheck")
        assert.equal("unless-stopped", one.restart, name)
      end
      for on, how in pairs(node and {} or one.depends_on or {}) do
        local other = assert(compose.services[on], on)
        if once[on] then
          assert.equal("service_completed_successfully", how.condition)
        else
          assert.equal("service_healthy", how.condition)
          assert.is_truthy(other.healthcheck, on)
        end
      end
    end
  end)

  it("keeps the Redis Cluster for its profile", function()
    for name, one in pairs(compose.services) do
      assert.are.same(name:find(CLUSTER) and { "cluster" } or nil, one.profiles, name)
    end
  end)

  it("mounts only what is there", function()
    for name, one in pairs(compose.services) do
      for _, volume in ipairs(one.volumes or {}) do
        local path = volume:match "^%./([^:]+):[^:]+:ro$"
        assert.is_true(path and fs.exists(path) or false, ("%s: %s"):format(name, volume))
      end
    end
  end)

  it("is taken by docker-compose", function()
    local program = tools.which "docker-compose"
    if not program then return pending "no docker-compose on this machine" end
    local said, status = tools.output({ program, "--profile", "cluster", "config", "-q" }, "3m")
    assert.are.same({ code = 0 }, status, said)
  end)
end)

describe("the Dockerfiles", function()
  local function bases(path)
    local list = {}
    for base in assert(fs.read(path)):gmatch "\nFROM (%S+)" do list[#list + 1] = base end
    return list
  end

  it("begin from the versions of deps/pins.sh", function()
    assert.are.same({ image "debian", image "debian" }, bases "Dockerfile")
    assert.are.same({ image "maven", image "kafka" }, bases "deploy/kafka/Dockerfile")
    local text = fs.read "deploy/kafka/Dockerfile"
    assert.is_truthy(text:find("jmx_prometheus_javaagent:" .. tools.pin "JMX_AGENT_VERSION" .. " ", 1, true))
    assert.is_truthy(text:find(tools.pin "JMX_AGENT_SHA256", 1, true))
    assert.is_truthy(text:find("maven-dependency-plugin:" .. tools.pin "MAVEN_DEPENDENCY_VERSION", 1, true))
  end)

  it("end as a user without rights, with a healthcheck", function()
    local text = fs.read "Dockerfile"
    assert.is_truthy(text:find "\nUSER 10001\n")
    assert.is_truthy(text:find "\nHEALTHCHECK ")
  end)

  it("install the libraries that rlab is linked with", function()
    if not (fs.read "/etc/os-release" or ""):find "VERSION_CODENAME=bookworm" then
      return pending "the names of the packages are those of Debian 12"
    end
    local needed = assert(tools.output({ "readelf", "-d", fs.self_exe() }, "3m"))
    if needed:find "libmysqlclient" then return pending "this is not the client that the image has" end
    local words, count = { "dpkg", "-L", "libc6" }, 0
    local last = fs.read("Dockerfile"):match "\nFROM [^\n]+\nRUN [^\n]+%-recommends (.-) &&"
    for name in last:gmatch "[%w.+-]+" do words[#words + 1] = name end
    local files = assert(tools.output(words, "3m"))
    for library in needed:gmatch "NEEDED[^%[]*%[([^%]]+)%]" do
      if not library:find "^ld%-" and not library:find "san%.so" then
        assert.is_truthy(files:find("/" .. library .. "\n", 1, true), library)
        count = count + 1
      end
    end
    assert.is_true(count >= 10)
  end)
end)

describe("deploy/rlab/healthy.sh", function()
  it("believes a 200 alone", function()
    local status = 200
    local asked
    local server <close> = assert(http.serve { handler = function(req)
      asked = req.path
      return { status = status, body = "{}" }
    end })
    local function ask(port)
      local p <close> = assert(process.spawn { cmd = { "bash", "deploy/rlab/healthy.sh" }, stderr = "null",
        env = { RLAB_PORT = tostring(port) } })
      return assert(p:wait "20s").code
    end
    assert.equal(0, ask(server.port))
    assert.equal("/actuator/health/readiness", asked)
    status = 503
    assert.equal(1, ask(server.port))
    assert.equal(1, ask(assert(process.free_ports(1))[1]))
  end)
end)
