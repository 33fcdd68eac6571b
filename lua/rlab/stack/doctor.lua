-- Is everything there that a stack needs? A list of findings, each with its mend.
local context = require "rlab.stack.context"
local fs = require "rlab.fs"
local layout = require "rlab.stack.layout"
local process = require "rlab.process"
local servers = require "rlab.stack.servers"
local tools = require "rlab.stack.tools"
local words = require "rlab.stack.words"

local M = {}

local MEMORY_NEED, MEMORY_WISH = 1 << 30, 2 << 30

-- Findings have a level: "ok", "warn" (works, but), "fail" (something needed is missing).
local function finding(level, topic, text, mend)
  return { level = level, topic = topic, text = text, mend = mend }
end

-- "no java found; install it ..." -> what, mend
local function split(message)
  local what, mend = message:match "^(.-); (.+)$"
  return what or message, mend
end

local function tool(list, topic, find, describe)
  local found, failure = find()
  if found then
    list[#list + 1] = finding("ok", topic, describe(found))
  else
    list[#list + 1] = finding("fail", topic, split(failure.message))
  end
  return found
end

local function redis_cluster(list, redis)
  local cli = tools.which("redis-cli", "/usr/bin:/usr/local/bin")
  if redis and tools.older(redis.version, tools.REDIS_CLUSTER_MIN) then
    list[#list + 1] = finding("warn", "cluster", ("a Redis Cluster needs redis-server %s or newer"):format(
      tools.REDIS_CLUSTER_MIN), "install a newer redis-server")
  elseif redis then
    list[#list + 1] = cli and finding("ok", "cluster", redis.version .. "  " .. layout.short(cli))
      or finding("warn", "cluster", "no redis-cli found, which puts half-moved slots right",
      "apt install redis-tools")
  end
end

-- What only some ask for.
local function extra(list, topic, find)
  local found, failure = find()
  if found then
    list[#list + 1] = finding("ok", topic, found.version .. "  " .. layout.short(found.path))
  else
    list[#list + 1] = finding("warn", topic, split(failure.message))
  end
end

local function programs(list)
  local java = tool(list, "java", tools.java, function(j) return ("%s  %s"):format(j.version, j.path) end)
  local kafka = tool(list, "kafka", tools.kafka,
    function(k) return ("%s  %s"):format(k.version, layout.short(k.root)) end)
  tool(list, "mysql", tools.mysql, function(m) return ("%s  %s"):format(m.version, layout.short(m.path)) end)
  local redis = tool(list, "redis", tools.redis,
    function(r) return ("%s  %s"):format(r.version, layout.short(r.path)) end)
  redis_cluster(list, redis)
  extra(list, "valkey", tools.valkey)
  extra(list, "observe", tools.observe)
  if java and kafka then
    local archive = require("rlab.stack.kafka").archive { java = java, kafka = kafka }
    list[#list + 1] = archive and finding("ok", "archive", layout.short(archive))
      or finding("warn", "archive", "Kafka's class archive is not made yet",
      "the next rlab up kafka makes it, once")
  end
end

local FLOORS = { librdkafka = "LIBRDKAFKA_MIN", hiredis = "HIREDIS_MIN" }

local function libraries(list)
  local good = {}
  for _, library in ipairs(require "rlab.libraries") do
    local floor = FLOORS[library.name] and tools.pin(FLOORS[library.name])
    if floor and tools.older(library.version, floor) then
      list[#list + 1] = finding("fail", "clients",
        ("%s %s is older than %s"):format(library.name, library.version, floor),
        "make clean && make builds rlab with a newer one")
    elseif floor or library.name == "mysql" then
      good[#good + 1] = library.name == "mysql" and library.version or library.name .. " " .. library.version
    end
  end
  if #good > 0 then list[#list + 1] = finding("ok", "clients", table.concat(good, ", ")) end
end

-- A client that opens has the feature: nothing is dialled.
local function opens(what, options)
  options.brokers, options.log_level = "127.0.0.1:1", 0
  local client = require("rlab.kafka")[what](options)
  if client then client:close() end
  return client ~= nil
end

local function features(list)
  local have, lack = {}, {}
  local function put(name, there) table.insert(there and have or lack, name) end
  put("consumer groups of KIP-848", opens("consumer", { group = "doctor", group_protocol = "consumer" }))
  put("share groups of KIP-932", opens("share_consumer", { group = "doctor" }))
  for _, codec in ipairs { "gzip", "snappy", "lz4", "zstd" } do
    put(codec, opens("producer", { compression_type = codec }))
  end
  if #lack > 0 then
    list[#list + 1] = finding("warn", "features", "librdkafka lacks " .. table.concat(lack, ", "),
      "make clean && make builds one that has them")
  end
  list[#list + 1] = finding("ok", "features", table.concat(have, ", "))
end

-- MariaDB's client loads MySQL's way to log in from a file.
local function login_plugin(list)
  local mariadb = false
  for _, library in ipairs(require "rlab.libraries") do
    mariadb = mariadb or library.version:find "MariaDB" ~= nil
  end
  if not mariadb then return end
  for _, folder in ipairs { "/usr/lib", "/usr/lib64" } do
    for _, name in ipairs(fs.list(folder) or {}) do
      if fs.exists(("%s/%s/libmariadb3/plugin/caching_sha2_password.so"):format(folder, name)) then return end
    end
    if fs.exists(folder .. "/mariadb/plugin/caching_sha2_password.so") then return end
  end
  list[#list + 1] = finding("warn", "clients",
    "the plugin caching_sha2_password.so of MariaDB's client is not where distributions keep it",
    "if logins to MySQL fail: apt install libmariadb3")
end

local function memory_available()
  local text = fs.read "/proc/meminfo" or ""
  return (tonumber(text:match "MemAvailable:%s+(%d+)") or 0) << 10
end

local function machine(list, ctx)
  local free = memory_available()
  local running = ctx:any_alive()
  local text = words.size(free) .. " available"
  if running or free >= MEMORY_WISH then
    list[#list + 1] = finding("ok", "memory", text)
  else
    list[#list + 1] = finding(free >= MEMORY_NEED and "warn" or "fail", "memory", text,
      "a whole stack takes about 1 GiB; close something, or start only what is needed: rlab up kafka")
  end
  local need = 0
  for _, name in ipairs(servers.names()) do need = need + servers.of(name).disk end
  for _, place in ipairs { { "disk", ctx.home }, { "cache", layout.cache() } } do
    local folder = place[2]
    while not fs.exists(folder) and #folder > 1 do folder = folder:match "^(.*)/[^/]*$" or "/" end
    local room = fs.disk_free(folder ~= "" and folder or "/") or 0
    list[#list + 1] = room >= need
      and finding("ok", place[1], ("%s free  %s"):format(words.size(room), layout.short(place[2])))
      or finding("fail", place[1],
      ("%s free in %s, %s needed"):format(words.size(room), layout.short(place[2]), words.size(need)),
        place[1] == "disk" and "free some space or set RLAB_HOME to another disk"
          or "free some space or set XDG_CACHE_HOME to another disk")
  end
end

local function ports(list, ctx)
  local listening, taken = layout.listening(), 0
  for _, name in ipairs(servers.names()) do
    for _, port in ipairs(servers.of(name).ports(ctx, ctx:server(name))) do
      if listening[port] and not ctx:alive(name) then
        taken = taken + 1
        local pid, program = process.port_owner(port)
        list[#list + 1] = finding("fail", "ports",
          ("%d (%s) is taken by pid %s (%s)"):format(port, name, pid or "?", program or "?"),
          "stop it or set RLAB_PORT_BASE")
      end
    end
  end
  local unsafe, mend = layout.unsafe(ctx.base)
  if unsafe then
    list[#list + 1] = finding("warn", "ports", unsafe, mend)
  elseif taken == 0 then
    list[#list + 1] = finding("ok", "ports", ctx:any_alive() and "those of the running stack" or
      ctx.base and ("free from %d to %d"):format(ctx.base, ctx.base + layout.BLOCK - 1) or "free")
  end
end

-- examine() -> list of {level=, topic=, text=, mend=} | nil, err
function M.examine()
  local ctx, failure = context.new()
  if not ctx then return nil, failure end
  local list = {}
  programs(list)
  libraries(list)
  features(list)
  login_plugin(list)
  machine(list, ctx)
  ports(list, ctx)
  return list
end

return M
