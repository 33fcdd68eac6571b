-- Starts what is to be tried (the build with sanitizers), lets storms go over it and looks at what is left.
-- The variables are hostile.sh's. A spec, for its end, but of no tier.
local clock = require "rlab.clock"
local fs = require "rlab.fs"
local http = require "rlab.http"
local json = require "rlab.json"
local must = require "rlab.must"
local process = require "rlab.process"
local tables = require "rlab.tables"
local task = require "rlab.task"

local program, storm = "build-asan/rlab", "build/hostile/storm"
local count, seed = math.tointeger(tonumber(os.getenv "COUNT")), os.getenv "SEED"
local on_stack, reports = os.getenv "SERVERS" ~= "no", os.getenv "REPORTS"
local wires = { "kafka", "mysql", "redis" }
local failures = {}

local function fail(...) failures[#failures + 1] = string.format(...) end

-- ---- what is tried ----

local sanitized = {
  ASAN_OPTIONS = "exitcode=86:log_path=" .. reports .. "/report",
  UBSAN_OPTIONS = "print_stacktrace=1:log_path=" .. reports .. "/report",
}

local function start(name, cmd, health)
  local child = must(process.spawn { cmd = cmd, env = sanitized, stdout = "capture", stderr = "capture" })
  local line = child:lines()()
  if not line then error(name .. " did not start: " .. select(2, child:output()), 0) end
  local port = must(json.decode(line)).port
  return { name = name, child = child, port = port, health = ("http://127.0.0.1:%d%s"):format(port, health) }
end

local function started_service(name, options)
  local cmd = { program, "service", name, "--port", "0", "--die-with-parent", tostring((process.self())) }
  for key, value in pairs(options) do cmd[#cmd + 1] = ("--%s=%s"):format(key, value) end
  return start(name, cmd, "/actuator/health")
end

-- stores(own) -> where the services' stores are, the upstreams by kind; closed at the end
local function stores(own)
  if on_stack then
    local ledger = require("spec.support.services").new "hostile"
    own[#own + 1] = ledger
    local stack = ledger.stack
    return { brokers = stack.kafka.brokers, mysql = ledger.mysql,
      redis = ("redis://%s:%d/0"):format(stack.redis.host, stack.redis.port) },
      { kafka = stack.kafka.brokers:match "^[^,]+",
        mysql = ("%s:%d"):format(stack.mysql.host, stack.mysql.port),
        redis = ("%s:%d"):format(stack.redis.host, stack.redis.port) }
  end
  local upstreams = {}
  for _, kind in ipairs(wires) do
    local child = must(process.spawn { cmd = { storm, "serve", kind, seed }, stdout = "capture" })
    own[#own + 1] = child
    upstreams[kind] = "127.0.0.1:" .. child:lines()()
  end
  -- no broker: librdkafka 2.15.1 ends the process when a list of API versions is null
  return { brokers = "127.0.0.1:1", mysql = ("mysql://nobody:x@%s/none"):format(upstreams.mysql),
    redis = ("redis://%s/0"):format(upstreams.redis) }, upstreams
end

local function proxy_before(upstreams)
  local cmd = { program, "proxy", "--port", "0" }
  for _, kind in ipairs(wires) do
    cmd[#cmd + 1] = ("%s=127.0.0.1:0-%s,%s"):format(kind, upstreams[kind], kind)
  end
  local proxy = start("proxy", cmd, "/proxies")
  local url = ("http://127.0.0.1:%d"):format(proxy.port)
  for _, kind in ipairs(wires) do -- so that each message is read, some wait, and some are held against a text
    for _, rule in ipairs { { action = "count" }, { action = "count", contains = "id-1" },
      { action = "delay", delay = "20ms", chance = 0.1, times = count } } do
      rule.proto = kind
      local answer = must(http.post(url .. "/rules", rule))
      if answer.status >= 300 then error("no rule for " .. kind .. ": " .. answer.body, 0) end
    end
  end
  proxy.url, proxy.front = url, {}
  for name, row in pairs(must(json.decode(must(http.get(url .. "/proxies")).body))) do
    proxy.front[name] = row.listen:match ":(%d+)$"
  end
  return proxy
end

-- ---- the storms ----

local function blow(kind, n, ports)
  local cmd = { storm, kind, seed, tostring(n) }
  for _, port in ipairs(ports) do cmd[#cmd + 1] = tostring(port) end
  local child <close> = must(process.spawn { cmd = cmd, stdout = "capture", stderr = "capture" })
  local figures = child:lines()()
  child:wait "30m"
  local _, complaints = child:output()
  io.stdout:write((complaints:gsub("[^\n]+", "# %0")))
  return must(json.decode(figures or "null"))
end

-- Connections to MySQL that a service keeps for the next who asks; there may be more after a storm.
local function pooled(one)
  local page = http.get((one.health:gsub("/health$", "/prometheus")), { headers = { connection = "close" } })
  local sum = 0
  for n in (page and page.body or ""):gmatch "\ndb_client_connection_count%b{} (%d+)" do sum = sum + n end
  return sum
end

local function descriptors(one)
  return #(fs.list(("/proc/%d/fd"):format(one.child.pid)) or {}) - one.pooled
end

-- The most within two seconds: a client that tries again has one more now and then.
local function descriptors_at_most(all)
  local most = {}
  for _, one in ipairs(all) do one.pooled = pooled(one) end
  for _ = 1, 20 do
    for i, one in ipairs(all) do most[i] = math.max(most[i] or 0, descriptors(one)) end
    task.sleep "100ms"
  end
  return most
end

-- What a storm made over HTTP is taken away again.
local function tidy(proxy)
  for name in pairs(must(json.decode(must(http.get(proxy.url .. "/proxies")).body))) do
    local segment = name:gsub("[^%w._-]", function(c) return ("%%%02X"):format(c:byte()) end)
    if not proxy.front[name] then http.delete(proxy.url .. "/proxies/" .. segment) end
  end
end

local function look_after(one, before)
  if not process.alive(one.child.pid) then return fail("%s has died", one.name) end
  local answer, why = http.get(one.health, { timeout = "30s", headers = { connection = "close" } })
  if not answer then return fail("%s answers no more: %s", one.name, why) end
  local now
  one.pooled = pooled(one)
  task.wait_until(function()
    now = descriptors(one)
    return now <= before
  end, { at_most = "30s" })
  if now > before then fail("%s has %d descriptors open, %d before", one.name, now, before) end
end

local function ended(one)
  one.child:kill "TERM"
  local status = one.child:wait "60s"
  if not status or status.signal or status.code == 86 then
    local _, said = one.child:output()
    fail("%s ended by %s: %s", one.name, status and (status.signal or status.code) or "nothing",
      said:sub(-400))
  end
end

local options = { command = {}, query = {}, relay = { topic = "hostile" },
  consumer = { topic = "hostile", cache = "none" }, replay = { topic = "hostile" } }

local function start_all(own)
  local at, upstreams = stores(own)
  local all = { proxy_before(upstreams) }
  for name, more in pairs(options) do all[#all + 1] = started_service(name, tables.merged(at, more)) end
  return all
end

local function main(own)
  local began = clock.ns()
  local all = start_all(own)
  local ports, sums = {}, {}
  for i, one in ipairs(all) do ports[i] = one.port end
  blow("http", math.max(64, count // 8), ports) -- until clients have a connection to each broker
  for _, kind in ipairs(wires) do blow(kind, 16, { all[1].front[kind] }) end
  task.sleep "1s"
  tidy(all[1])
  local before = descriptors_at_most(all)
  sums.http = blow("http", count - 3 * (count // 6), ports)
  for _, kind in ipairs(wires) do sums[kind] = blow(kind, count // 6, { all[1].front[kind] }) end
  tidy(all[1])
  for i, one in ipairs(all) do look_after(one, before[i]) end
  for _, one in ipairs(all) do ended(one) end
  return sums, #all, (clock.ns() - began) / 1e9
end

local function figures(sums, servers, seconds)
  local web, wired, answered = sums.http, {}, 0
  local total = web.connections
  for i, kind in ipairs(wires) do
    wired[i] = ("%s %d"):format(kind, sums[kind].connections)
    answered, total = answered + sums[kind].answered, total + sums[kind].connections
  end
  return ("hostile: %d connections; http %d: %d 2xx, %d 4xx, %d 5xx, %d of them 500; %s: %d answered; \z
    %d servers, %d failures, seed %s, %.0f s"):format(total, web.connections, web.ok, web.client, web.server,
    web.internal, table.concat(wired, ", "), answered, servers, #failures, seed, seconds)
end

describe("services and proxy", function()
  it("stand connections that no client would make", function()
    local own = {}
    local ok, sums, servers, seconds = pcall(main, own)
    for i = #own, 1, -1 do own[i]:close() end
    if not ok then error(sums, 0) end
    if sums.http.internal > 0 then fail("%d answers of 500", sums.http.internal) end
    must(fs.write(reports .. "/figures", figures(sums, servers, seconds) .. "\n"))
    assert.same({}, failures)
  end)
end)
