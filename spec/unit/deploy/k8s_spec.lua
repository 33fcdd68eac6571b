-- deploy/k8s: what can be held without a cluster. Against Kubernetes' own schemas: make k8s-lint.
local fs = require "rlab.fs"
local options = require "rlab.service.options"
local process = require "rlab.process"
local settings = require "rlab.stack.settings"
local tables = require "rlab.tables"
local yaml = require "spec.unit.deploy.support.yaml"

local function documents(name)
  local list = {}
  for text in (fs.read("deploy/k8s/" .. name) .. "---\n"):gmatch "(.-)%-%-%-\n" do
    if text:find "kind:" then list[#list + 1] = assert(yaml.decode(text)) end
  end
  return list
end

local function of_kind(list, kind)
  local some = {}
  for _, one in ipairs(list) do some[#some + 1] = one.kind == kind and one or nil end
  return some
end

local function pod(one) return one.spec.template.spec end

local function env_of(container)
  local map = {}
  for _, one in ipairs(container.env) do map[one.name] = one.value or one.valueFrom end
  return map
end

local SERVICES = { "command", "consumer", "query", "relay", "replay" }

describe("deploy/k8s/services.yaml", function()
  local list = documents "services.yaml"

  it("is what make deploy writes", function()
    local made = dofile "deploy/k8s.lua"(settings.ports)
    assert.equal(made, fs.read "deploy/k8s/services.yaml", "run: make deploy")
  end)

  it("has each service, at its port, with settings that it knows", function()
    local ports, names = {}, {}
    for _, row in ipairs(settings.ports) do ports[row[1]] = tostring(row[3]) end
    for i, one in ipairs(of_kind(list, "Deployment")) do
      local container = pod(one).containers[1]
      local name, env = container.name, env_of(container)
      names[i] = name
      assert.same({ "service", name }, container.args)
      assert.same({ ports[name], ports[name] }, { env.RLAB_PORT, container.ports[1].containerPort })
      env.RLAB_BROKERS, env.RLAB_REDIS, env.RLAB_MYSQL = "kafka:9092", "redis://redis:6379/0",
        "mysql://rlab@mysql:3306/rlab"
      local told = options.resolve(require("rlab.service").load(name), {}, function(key) return env[key] end)
      assert.same({ "0.0.0.0", math.tointeger(tonumber(ports[name])) }, { told.host, told.port })
    end
    table.sort(names)
    assert.same(SERVICES, names)
    assert.equal(#SERVICES, #of_kind(list, "Service"))
  end)

  it("asks their health by a name that they answer to, and gives them no rights", function()
    for _, one in ipairs(of_kind(list, "Deployment")) do
      local container = pod(one).containers[1]
      for probe, path in pairs { startupProbe = "liveness", livenessProbe = "liveness",
        readinessProbe = "readiness" } do
        local get = container[probe].httpGet
        assert.equal("/actuator/health/" .. path, get.path)
        assert.same({ { name = "Host", value = "localhost" } }, get.httpHeaders)
      end
      assert.equal("true", container.securityContext.readOnlyRootFilesystem)
      assert.is_truthy(container.resources.requests.cpu and container.resources.limits.memory)
    end
  end)
end)

describe("the Jobs of deploy/k8s", function()
  local function job(name) return of_kind(documents(name), "Job")[1] end

  it("run as nobody, with no more than they need", function()
    local all = { job "shards.yaml", job "external.yaml", job "merge.yaml" }
    for _, one in ipairs(tables.append(all, of_kind(documents "services.yaml", "Deployment"))) do
      local container = pod(one).containers[1]
      assert.equal("true", pod(one).securityContext.runAsNonRoot)
      assert.equal("false", pod(one).automountServiceAccountToken)
      assert.equal("false", container.securityContext.allowPrivilegeEscalation)
      assert.same({ "ALL" }, container.securityContext.capabilities.drop)
    end
  end)

  it("are split into as many shards as there are pods, all on the volume that is merged", function()
    local claim = of_kind(documents "shards.yaml", "PersistentVolumeClaim")[1].metadata.name
    for _, name in ipairs { "shards.yaml", "external.yaml" } do
      local one = job(name)
      assert.equal("Indexed", one.spec.completionMode)
      assert.same({ one.spec.completions, one.spec.completions },
        { one.spec.parallelism, pod(one).containers[1].args[1] }, name)
      assert.equal(claim, pod(one).volumes[1].persistentVolumeClaim.claimName)
    end
    assert.equal(claim, pod(job "merge.yaml").volumes[1].persistentVolumeClaim.claimName)
  end)

  it("are of images that are built from the base that the others have", function()
    local base = fs.read("Dockerfile"):match "FROM (%S+)"
    assert.equal(base, fs.read("deploy/k8s/Dockerfile"):match "FROM (%S+)")
  end)
end)

describe("deploy/k8s/shard.sh", function()
  local dir

  before_each(function() dir = assert(fs.tmpdir "rlab-k8s") end)
  after_each(function() fs.remove(dir) end)

  -- What it calls rlab with, and how it ends when rlab ends so.
  local function shard(index, code, ...)
    assert(fs.write(dir .. "/rlab", "#!/bin/sh\necho \"$@\"\nexit " .. code .. "\n"))
    local p <close> = assert(process.spawn { stdout = "capture", stderr = "stdout",
      cmd = { "/bin/sh", "-c",
        'chmod +x "$0/rlab"; PATH="$0:$PATH" exec bash deploy/k8s/shard.sh "$@"', dir, ... },
      env = { JOB_COMPLETION_INDEX = index, RESULTS = dir } })
    local ended = assert(p:wait "20s")
    return ended.code, (p:output():gsub("\n$", ""))
  end

  it("runs the part of its index, and fails only where there is no verdict", function()
    local words = ("run all --shard 3/4 --runs %s/shard-3"):format(dir)
    for code = 0, 4 do assert.same({ 0, words }, { shard("2", code, "4", "run", "all") }) end
    for _, code in ipairs { 64, 69, 70, 130 } do assert.equal(code, (shard("2", code, "4", "run", "all"))) end
    assert.equal(64, (shard("2", 0, "4")))
  end)
end)
