-- The read path under an outside load generator: hits on 100 accounts over 64 kept connections, each server
-- in turn, on one Redis of our own.
--   query        rlab service query: each answer comes from Redis
--   query, L1    the same from the process' own copy
--   hello        bare libmicrohttpd without a Redis: what could be reached at best
--   nginx + Lua  lua-nginx-redis with kept connections, the peer, where the packages are there
--   redis-benchmark asks the same HGETALL over 64 connections, one by one: what the peer's Redis can do at
--     best
local cache = require "rlab.cache"
local clock = require "rlab.clock"
local fs = require "rlab.fs"
local json = require "rlab.json"
local must = require "rlab.must"
local process = require "rlab.process"
local redis = require "rlab.redis"
local task = require "rlab.task"
local term = require "rlab.term"

local ACCOUNTS, CONNECTIONS, PREFIX = 100, 64, "bench:"
-- of another's requests in the same rounds
local GOALS = {
  { who = "query", of = "hello", least = 0.75 },
  { who = "query, L1", of = "hello", least = 0.9 },
  { who = "query", of = "nginx + Lua", least = 2.2, tail = true },
}
local TICKS = 100

local WRK_SCRIPT = [[
local n = 0
function request()
  n = n + 1
  return wrk.format("GET", "/accounts/" .. (n %% %d + 1))
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%%d,"us":%%d,"errors":%%d,"p50":%%d,"p99":%%d}\n', summary.requests,
    summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
]]

local NGINX = [[
daemon off; worker_processes 2; pid %s/nginx.pid; error_log %s/error.log;
load_module %s/ndk_http_module.so; load_module %s/ngx_http_lua_module.so;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000000;
  lua_package_path "/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua;;";
  client_body_temp_path %s/body; proxy_temp_path %s/proxy; fastcgi_temp_path %s/fastcgi;
  uwsgi_temp_path %s/uwsgi; scgi_temp_path %s/scgi;
  server { listen 127.0.0.1:%d; location ~ ^/accounts/(\d+)$ { content_by_lua_block {
    local r = require("nginx.redis"):new()
    r:set_timeout(5000)
    local id = ngx.var[1]
    if not r:connect("127.0.0.1", %d) then return ngx.exit(503) end
    local entry = r:hmget("%saccount:{" .. id .. "}", "balance", "version", "stored", "soft", "state")
    r:set_keepalive(10000, 100)
    if not entry or type(entry[1]) ~= "string" then return ngx.exit(404) end
    ngx.update_time()
    local age = ngx.now() * 1000 - tonumber(entry[3])
    local body = string.format('{"account_id":%%s,"balance":%%s,"version":%%s,"source":"cache","age_ms":%%d}',
      id, entry[1], entry[2]:gsub("^0+", ""), age)
    ngx.header["Content-Type"], ngx.header["X-Cache"] = "application/json", "cache"
    ngx.header["Age"] = string.format("%%d", age / 1000)
    ngx.header["Content-Length"] = #body
    ngx.print(body)
  } } }
}
]]

-- ---- servers ----

local function on_path(name)
  for dir in (os.getenv "PATH" .. ":/usr/sbin:/sbin"):gmatch "[^:]+" do
    if fs.exists(dir .. "/" .. name) then return dir .. "/" .. name end
  end
end

local function await_port(port, what)
  must(task.wait_until(function() return process.port_owner(port) ~= nil end,
    { at_most = "10s", every = "10ms", what = what }))
end

local function start_redis(bed)
  bed.redis_port = must(process.free_ports(1))[1]
  bed.redis = must(process.spawn { stdout = "null", stderr = "null",
    cmd = { "redis-server", "--port", tostring(bed.redis_port), "--bind", "127.0.0.1", "--save", "",
      "--dir", bed.dir } })
  await_port(bed.redis_port, "a Redis")
  local r <close> = must(redis.connect { port = bed.redis_port })
  for id = 1, ACCOUNTS do
    must(cache.fill(r, PREFIX, id, { balance = id * 100, version = id }, { ttl = "1h" }))
  end
end

-- every answer is a hit, so that MySQL is never asked; however busy the machine is
local function start_query(...)
  local more = { ... }
  return function(ctx, bed)
    local child = must(process.spawn { stdout = "capture", stderr = bed.dir .. "/query.log",
      cmd = { ctx.rlab, "service", "query", "--port", "0", "--prefix", PREFIX, "--redis",
        ("redis://127.0.0.1:%d/0"):format(bed.redis_port), "--redis-timeout", "5s", table.unpack(more) } })
    return child, must(json.decode(child:lines()())).port
  end
end

local SIDES = {
  { name = "query", start = start_query() },
  { name = "query, L1", start = start_query("--l1", "1h") },
  { name = "hello", start = function(ctx)
    local child = must(process.spawn { stdin = "pipe", stdout = "capture",
      cmd = { ctx.peers .. "/http_hello", "bare", "2" } })
    return child, math.tointeger(tonumber(child:lines()()))
  end },
  { name = "nginx + Lua", needs = function()
    if not on_path "nginx" then return "nginx is not there (package nginx)" end
    if not fs.exists "/usr/lib/nginx/modules/ngx_http_lua_module.so" then
      return "nginx has no Lua (package libnginx-mod-http-lua)"
    end
    if not fs.exists "/usr/share/lua/5.1/nginx/redis.lua" then
      return "nginx's Lua has no Redis client (package lua-nginx-redis)"
    end
  end, start = function(_, bed)
    local port, d, modules = must(process.free_ports(1))[1], bed.dir, "/usr/lib/nginx/modules"
    must(fs.write(d .. "/nginx.conf",
      NGINX:format(d, d, modules, modules, d, d, d, d, d, port, bed.redis_port, PREFIX)))
    local child = must(process.spawn {
      cmd = { on_path "nginx", "-c", d .. "/nginx.conf", "-e", d .. "/error.log" }, stdout = "null",
      stderr = "null" })
    await_port(port, "nginx")
    return child, port
  end },
}

-- ---- measuring ----

local function stat_of(pid)
  local text = fs.read(("/proc/%d/stat"):format(pid))
  local fields = {}
  for word in (text or ""):match "%) (.*)$":gmatch "%S+" do fields[#fields + 1] = tonumber(word) or word end
  return fields
end

-- CPU seconds of a process and its children
local function cpu_of(pid)
  local sum = 0
  for _, name in ipairs(fs.list "/proc") do
    local other = tonumber(name)
    local ok, fields = pcall(stat_of, other or -1)
    if ok and (other == pid or fields[2] == pid) then sum = sum + fields[12] + fields[13] end
  end
  return sum / TICKS
end

local function wrk(ctx, bed, port)
  local output = ctx.run { "wrk", "-t1", "-c" .. CONNECTIONS, ("-d%ds"):format(ctx.seconds), "-s",
    bed.dir .. "/wrk.lua",
    ("http://127.0.0.1:%d/"):format(port) }
  return must(json.decode(output:match "{.-}"))
end

local function measure(ctx, bed, side)
  local child <close>, port = side.start(ctx, bed)
  local before, redis_before = cpu_of(child.pid), cpu_of(bed.redis.pid)
  local seen = wrk(ctx, bed, port)
  local cpu, redis_cpu = cpu_of(child.pid) - before, cpu_of(bed.redis.pid) - redis_before
  child:kill "TERM"
  must(child:wait "10s")
  if seen.errors > 0 or seen.requests == 0 then
    error(("%s: %d of %d requests failed"):format(side.name, seen.errors, seen.requests), 0)
  end
  return { rate = seen.requests / (seen.us / 1e6), p50 = seen.p50 / 1e3, p99 = seen.p99 / 1e3,
    cpu = cpu / seen.requests * 1e5,
    redis = redis_cpu / seen.requests * 1e5 }
end

local function redis_rate(ctx, bed)
  local output = ctx.run { "redis-benchmark", "-p", tostring(bed.redis_port), "-c", tostring(CONNECTIONS),
    "-n", "200000", "--csv",
    "HGETALL", PREFIX .. "account:{7}" }
  return tonumber(output:match '\n"[^"]*","([%d.]+)"')
end

local function sides_of()
  local sides, left_out = {}, {}
  for _, side in ipairs(SIDES) do
    local why = side.needs and side.needs()
    if why then
      left_out[#left_out + 1] = ("%s: left out, %s"):format(side.name, why)
    else
      sides[#sides + 1] = { name = side.name, start = side.start }
    end
  end
  return sides, left_out
end

local function median_of(ctx, rounds, key)
  local list = {}
  for i, round in ipairs(rounds) do list[i] = round[key] end
  return ctx.median(list)
end

-- Two servers of one round met the same load: the ratio is the median of the rounds' ratios.
local function ratio_of(ctx, own, peer, key)
  local list = {}
  for i in ipairs(own.rounds) do list[i] = own.rounds[i][key] / peer.rounds[i][key] end
  return ctx.median(list)
end

local function by_name(sides, name)
  for _, side in ipairs(sides) do
    if side.name == name then return side end
  end
end

local function row_of(ctx, side, own)
  local function text(fmt, key) return fmt:format(median_of(ctx, side.rounds, key)) end
  return { side = side.name, rate = ctx.count_text(median_of(ctx, side.rounds, "rate")),
    p50 = text("%.2f", "p50"), p99 = text("%.2f", "p99"),
    cpu = text("%.2f", "cpu"), redis = side.name ~= "hello" and text("%.2f", "redis") or "",
    ratio = side ~= own and ("%.2f"):format(ratio_of(ctx, own, side, "rate")) or "" }
end

-- One row a goal, and what was missed.
local function judge(ctx, sides)
  local rows, missed = {}, {}
  for _, goal in ipairs(GOALS) do
    local own, peer = by_name(sides, goal.who), by_name(sides, goal.of)
    local function add(what, seen, fine, target)
      local text = ("%s, %s to %s's"):format(goal.who, what, goal.of)
      rows[#rows + 1] = { goal = text, seen = ("%.2f"):format(seen), target = target }
      if not fine then missed[#missed + 1] = ("query: %s: %.2f, target %s"):format(text, seen, target) end
    end
    if peer then
      local ratio = ratio_of(ctx, own, peer, "rate")
      add("requests", ratio, ratio >= goal.least, ("%s %.2f"):format(term.symbol "ge", goal.least))
    end
    if peer and goal.tail then
      local tail = ratio_of(ctx, own, peer, "p99")
      add("p99", tail, tail < 1, "< 1")
    end
  end
  return rows, missed
end

local function run(ctx, bed)
  local sides, left_out = sides_of()
  must(fs.write(bed.dir .. "/wrk.lua", WRK_SCRIPT:format(ACCOUNTS)))
  for _, side in ipairs(sides) do side.rounds = {} end
  for turn = 1, ctx.few do
    for i = 1, #sides do -- each begins in its turn
      local side = sides[(i + turn - 2) % #sides + 1]
      side.rounds[turn] = measure(ctx, bed, side)
    end
  end
  local own, rows = by_name(sides, "query"), {}
  for i, side in ipairs(sides) do rows[i] = row_of(ctx, side, own) end
  rows[#rows + 1] = { side = "redis-benchmark", rate = ctx.count_text(redis_rate(ctx, bed)) }
  ctx.title("query", ("hits on %d accounts, wrk with %d connections for %d s, medians of %d rounds"):format(
    ACCOUNTS, CONNECTIONS, ctx.seconds, ctx.few))
  ctx.table({ { name = "", key = "side" }, { name = "requests/s", key = "rate", align = "right" },
    { name = "query / it", key = "ratio", align = "right" },
    { name = "p50 ms", key = "p50", align = "right" },
    { name = "p99 ms", key = "p99", align = "right" },
    { name = "CPU s per 100k", key = "cpu", align = "right" },
    { name = "Redis's", key = "redis", align = "right" } }, rows)
  local goals, missed = judge(ctx, sides)
  print()
  ctx.table({ { name = "goal, median of the rounds", key = "goal" },
    { name = "seen", key = "seen", align = "right" }, { name = "target", key = "target" } }, goals)
  for _, text in ipairs(left_out) do print("        " .. text) end
  return missed
end

return function(ctx)
  for _, tool in ipairs { "wrk", "redis-server", "redis-benchmark" } do
    if not on_path(tool) then
      ctx.title("query", ("left out: %s is not there (package %s)"):format(tool,
        tool == "redis-benchmark" and "redis-tools" or tool))
      return {}
    end
  end
  local bed = { dir = must(fs.realpath(must(fs.tmpdir "rlab-bench"))), began = clock.ns() }
  start_redis(bed)
  local server <close> = bed.redis -- luacheck: ignore 211
  local missed = run(ctx, bed)
  server:kill "KILL"
  fs.remove(bed.dir)
  return missed
end
