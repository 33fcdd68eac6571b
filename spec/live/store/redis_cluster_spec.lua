-- The client of a Redis Cluster on six real nodes: a slot that moves, a primary that dies and one that
-- freezes while others read and write.
local err = require "rlab.err"
local process = require "rlab.process"
local redis = require "rlab.redis"
local redis_cluster = require "spec.support.redis_cluster"
local task = require "rlab.task"

local s, view

local function client(options)
  local o = { nodes = s.redis_cluster.nodes, timeout = "5s" }
  for key, value in pairs(options or {}) do o[key] = value end
  return assert(redis.cluster(o))
end

-- ports -> list of keys, one on each primary
local function spread(form)
  local keys = {}
  for i, node in ipairs(view:primaries()) do keys[i] = view:key_on(node, form) end
  return keys
end

describe("a client of a Redis Cluster", function()
  setup(function() s, view = redis_cluster.open { "redis-cluster" } end)
  teardown(function() redis_cluster.close(s, view) end)

  it("knows each key's slot as the servers do, and the three primaries", function()
    for _, key in ipairs { "", "a", "{a}b", "a{}b", "{}{a}", "x{y{z}}", "k\0\255{t\0}" } do
      assert.are.equal(assert(view.nodes[1].conn:call("CLUSTER", "KEYSLOT", key)), redis.slot(key))
    end
    local c <close> = client()
    local count = 0
    for _, key in ipairs(spread "spec:k:%d") do assert(c:call("SET", key, 1)) end
    assert(task.wait_until(function() return view:lists_replicas() end, { at_most = "10s" }))
    for _, range in ipairs(assert(c:slots())) do
      count = count + range.last - range.first + 1
      assert.are.equal(view:owner(range.first).address, range.primary)
      local _, replicas = view:owner(range.last)
      assert.are.equal(replicas[1].address, range.replicas)
    end
    assert.are.equal(16384, count)
  end)

  it("has no key for a node that has no slot, and says that it is not the time", function()
    local _, replicas = view:owner(0)
    local ok, failure = pcall(view.key_on, view, replicas[1], "spec:none:%d")
    assert.is_false(ok)
    assert.are.equal("NOT_READY", failure.name)
    assert.matches("has no slot", failure.message)
  end)

  it("sends a pipeline to all nodes, each key's commands in their order", function()
    local c <close> = client()
    local commands = {}
    for k = 1, 40 do commands[k] = { "DEL", "spec:n:" .. k } end
    for n = 1, 20 do
      for k = 1, 40 do
        commands[#commands + 1] = { "INCR", "spec:n:" .. k }
        if n % 5 == 0 then commands[#commands + 1] = { "DEL", "spec:n:" .. k, ("{spec:n:%d}"):format(k) } end
      end
    end
    local replies, at = assert(c:pipeline(commands)), 40
    for n = 1, 20 do
      for _ = 1, 40 do
        at = at + 1
        assert.are.equal((n - 1) % 5 + 1, replies[at])
        if n % 5 == 0 then at = at + 1 end
      end
    end
    assert.are.equal(0, c:stats().moved)
  end)

  it("writes what redis-py's cluster client reads, and reads what it writes", function()
    local maker <close> = assert(process.spawn { cmd = { "deps/python.sh" }, stdout = "capture",
      stderr = "capture" })
    if assert(maker:wait "300s").code ~= 0 then
      pending("no Python environment: " .. select(2, maker:output()))
      return
    end
    local c <close> = client()
    local commands = {}
    for i = 1, 200 do commands[i] = { "SET", "spec:py:" .. i, "ours " .. i } end
    for _, reply in ipairs(c:pipeline(commands)) do assert.are.equal("OK", reply) end
    local python <close> = assert(process.spawn { stdout = "capture", stderr = "stdout", cmd = {
      maker:output():match "%S+", "-c", [[
import sys
from redis.cluster import RedisCluster
r = RedisCluster(host="127.0.0.1", port=int(sys.argv[1]))
for i in range(1, 201):
    key = "spec:py:%d" % i
    assert r.keyslot(key) >= 0 and r.get(key) == b"ours %d" % i, key
    r.set(key, "theirs %d" % i)
]], tostring(view.nodes[1].port) } })
    assert.are.same({ code = 0 }, python:wait "60s", (python:output()))
    for i = 1, 200 do commands[i] = { "GET", "spec:py:" .. i } end
    for i, reply in ipairs(c:pipeline(commands)) do assert.are.equal("theirs " .. i, reply) end
  end)

  it("says what cannot be done", function()
    local c <close> = client()
    local keys = spread "spec:x:%d"
    local none, failure = c:call("MGET", keys)
    assert.are.same({ nil, "CROSSSLOT" }, { none, failure.name })
    assert.are.equal("NO_KEY", select(2, c:call "DBSIZE").name)
    assert.error_matches(function() c:call("GET", true) end, "boolean")
    assert.error_matches(function() redis.cluster { node = "x" } end, "did you mean 'nodes'")
    local replies = assert(c:pipeline { { "SET", keys[1], 1 }, { "PING" }, { "LPUSH", keys[1], 1 },
      { "GET", keys[1] } })
    assert.are.same({ "OK", "NO_KEY", "WRONGTYPE", "1" }, { replies[1], replies[2].name, replies[3].name,
      replies[4] })
  end)

  it("reads from replicas when told to", function()
    local c <close> = client { replicas = true }
    local key = spread("spec:r:%d")[1]
    local _, replicas = view:owner(redis.slot(key))
    assert(c:call("SET", key, "v"))
    assert(replicas[1].conn:call "READONLY")
    local function arrived() return replicas[1].conn:call("GET", key) == "v" end
    assert(task.wait_until(arrived, { at_most = "5s" }))
    assert(replicas[1].conn:call("CONFIG", "RESETSTAT"))
    for _ = 1, 10 do assert.are.equal("v", c:call("GET", key)) end
    assert.matches("cmdstat_get:calls=5,", (replicas[1].conn:call("INFO", "commandstats")))
    assert.are.equal(0, c:stats().moved)
  end)

  it("counts what comes in by slot, or says that these nodes cannot", function()
    local keys, node = spread("spec:s:%d"), view.nodes[1]
    local info = assert(node.conn:call("INFO", "server"))
    local valkey, version = info:match "valkey_version:(%d+)", info:match "redis_version:([%d.]+)"
    if not valkey and require("rlab.stack.tools").older(version, "8.2") then
      assert.is_false(view:counts_slots())
      return
    end
    local own = require("rlab.stack.redis_view").open(s.redis_cluster.nodes)
    assert.is_true(own:counts_slots())
    local before, slot = own:slot_bytes(keys), redis.slot(keys[1])
    assert(view:owner(slot).conn:call("GET", keys[1]))
    local now = own:slot_bytes(keys)
    for at, bytes in pairs(now) do assert.are.equal(at == slot, bytes > before[at]) end
    own:close()
    assert.are.same({ ["cluster-slot-stats-enabled"] = "no" },
      node.conn:call("CONFIG", "GET", "cluster-slot-stats-enabled"))
  end)

  -- Each of these has keys of its own, and knows what each answer must be.
  local function load_of(c, tag, seen)
    local a, b, n = ("spec:{%s}a"):format(tag), ("spec:{%s}b"):format(tag), 0
    seen.answers, seen.errors, seen.wrong = 0, {}, {}
    return function()
      while not seen.over do
        n = n + 1
        local replies = c:pipeline { { "SET", a, n }, { "MSET", a, n, b, n }, { "MGET", a, b },
          { "GET", a } }
        local want = { "OK", "OK", { tostring(n), tostring(n) }, tostring(n) }
        for i, reply in ipairs(replies) do
          if err.is(reply) then
            seen.errors[#seen.errors + 1] = reply
          else
            seen.answers = seen.answers + 1
            local got = i == 3 and table.concat(reply, " ") or reply
            local right = i == 3 and table.concat(want[3], " ") or want[i]
            -- behind a command whose outcome is unknown both values may be there
            if got ~= right and #seen.errors == 0 then
              seen.wrong[#seen.wrong + 1] = got .. " for " .. right
            end
          end
        end
      end
    end
  end

  it("gives no wrong answer and no error while a slot moves", function()
    local slot, seen = redis.slot "move", {}
    local from = view:owner(slot)
    local primaries = view:primaries()
    local to = from == primaries[1] and primaries[2] or primaries[1]
    local c <close> = client()
    local other <close> = client()
    local elsewhere = {}
    local loads = { task.spawn(load_of(c, "move", seen)), task.spawn(load_of(other, "stay", elsewhere)) }
    local function answers(n)
      local want = seen.answers + n
      assert(task.wait_until(function() return seen.answers >= want end, { at_most = "20s", every = "1ms" }))
    end
    answers(20)
    local move = view:move(slot, to)
    answers(8)
    move:keys { "spec:{move}a" }
    local function held_up() return c:stats().tryagain > 0 end
    assert(task.wait_until(held_up, { at_most = "10s", every = "1ms" }))
    move:rest()
    assert(task.wait_until(function() return c:stats().asked > 0 end, { at_most = "10s", every = "1ms" }))
    move:finish()
    answers(40)
    seen.over, elsewhere.over = true, true
    for _, load in ipairs(loads) do assert(load:join() == nil) end
    assert.are.same({ {}, {}, {}, {} }, { seen.wrong, seen.errors, elsewhere.wrong, elsewhere.errors })
    local stats = c:stats()
    assert.is_true(stats.tryagain >= 1 and stats.asked >= 1 and stats.moved >= 1, tostring(stats.moved))
    assert.are.equal(0, other:stats().moved)
    assert.are.equal(to, (view:owner(slot)))
    local back = view:move(slot, from)
    back:finish()
  end)

  it("leaves MOVED to the caller when it shall not follow", function()
    local slot = redis.slot "spec:f"
    local from, primaries = view:owner(slot), view:primaries()
    local c <close> = client { redirects = 0 }
    view:move(slot, from == primaries[1] and primaries[2] or primaries[1]):finish()
    local _, failure = c:call("GET", "spec:f")
    assert.are.equal("MOVED", failure.name)
    view:move(slot, from):finish()
  end)

  it("loses to a frozen primary its slots only", function()
    local c <close> = client { timeout = "200ms", connect_timeout = "200ms", tries = 0 }
    local keys = spread "spec:z:%d"
    local node = view:owner(redis.slot(keys[2]))
    local server
    for i, known in ipairs(view.nodes) do
      if known == node then server = s:server("redis-cluster-" .. i) end
    end
    assert(server:freeze())
    local commands = {}
    for i = 1, 30 do commands[i] = { "SET", keys[(i - 1) % 3 + 1], i } end
    local replies = assert(c:pipeline(commands))
    assert(server:thaw())
    for i, reply in ipairs(replies) do
      assert.are.equal((i - 1) % 3 + 1 == 2 and "TIMEOUT" or "OK", err.is(reply) and reply.name or reply)
    end
    assert.are.equal("30", c:call("GET", keys[3]))
  end)

  it("gives no wrong answer when a primary is killed, and goes on with its replica", function()
    local tags, seen, loads = {}, {}, {}
    for i, key in ipairs(spread "%d") do tags[i] = key end
    local patient = { timeout = "60s", tries = 500 }
    local c <close> = client(patient)
    local d <close> = client(patient)
    local e <close> = client(patient)
    for i, cluster in ipairs { c, d, e } do
      seen[i] = {}
      loads[i] = task.spawn(load_of(cluster, tags[i], seen[i]))
    end
    assert(task.wait_until(function() return seen[1].answers > 20 end, { at_most = "10s" }))
    local node, replicas = view:owner(redis.slot(tags[1]))
    for i, known in ipairs(view.nodes) do
      if known == node then assert(s:server("redis-cluster-" .. i):kill()) end
    end
    assert(task.wait_until(function() return replicas[1].conn:call "ROLE"[1] == "master" end,
      { at_most = "20s", every = "20ms" }))
    local from = seen[1].answers
    assert(task.wait_until(function() return seen[1].answers > from + 20 end, { at_most = "20s" }))
    for i = 1, 3 do
      seen[i].over = true
      loads[i]:join()
      assert.are.same({}, seen[i].wrong)
      if i > 1 then assert.are.same({}, seen[i].errors) end
    end
    for _, failure in ipairs(seen[1].errors) do assert.are.equal("CONNECTION_LOST", failure.name) end
    assert.is_true(#seen[1].errors <= 4) -- those in flight
    assert(s:heal())
  end)
end)
