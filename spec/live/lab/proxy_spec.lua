-- The proxy on real servers: every action of a rule on Kafka, MySQL and Redis, its counters, and the wire
-- log. Nothing here touches what others do: each spec has a proxy of its own in this process, or names of
-- its own on the stack's.
local clock = require "rlab.clock"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local proxy = require "rlab.proxy"
local redis = require "rlab.redis"
local task = require "rlab.task"

local function unique(word)
  return ("%s-%s"):format(word, require("rlab.rng").new(clock.ns()):id():sub(1, 8):lower())
end

local function seconds(f)
  local from = clock.ns()
  local value, failure = f()
  return (clock.ns() - from) / 1e9, value, failure
end

describe("the proxy before Kafka", function()
  local stack, admin, client, name

  setup(function()
    stack = must(require("rlab.stack").open { needs = { "kafka", "proxy" }, start = true })
    admin = must(kafka.admin { brokers = stack.kafka.brokers, at_most = "60s" })
    client = must(proxy.connect(stack.proxy.url))
  end)

  teardown(function()
    admin:close()
    stack:close()
  end)

  before_each(function()
    name = unique "wire"
    must(admin:create_topic { name = name, partitions = 1, replication_factor = 3 })
  end)

  after_each(function()
    client:sweep(name)
    admin:delete_topics { name }
  end)

  local function producer(more)
    local settings = { brokers = stack.proxy.brokers, client_id = name, linger_ms = 0, acks = "all",
      socket_timeout_ms = 20000, message_timeout_ms = 60000,
      ["max.in.flight.requests.per.connection"] = 1, ["reconnect.backoff.ms"] = 20 }
    for key, value in pairs(more or {}) do settings[key] = value end
    return must(kafka.producer(settings))
  end

  local function rule(spec)
    spec.owner, spec.topic = name, spec.topic or (not spec.contains and name or nil)
    return must(client:add_rule(spec)).id
  end

  local function values(isolation)
    local consumer <close> = must(kafka.consumer { brokers = stack.kafka.brokers, group = name,
      isolation_level = isolation or "read_committed",
      enable_partition_eof = true, auto_offset_reset = "earliest" })
    must(task.wait_until(function() -- a commit returns before its markers are written
      local at = admin:offsets(name, 0)
      return at and at.lso == at.hw
    end, { at_most = "60s", what = "the end of the last transaction" }))
    must(consumer:assign { { topic = name, partition = 0, offset = "earliest" } })
    local list = {}
    must(task.wait_until(function()
      for record in must(consumer:poll(100, "100ms")):each() do
        if record.eof then return true end
        list[#list + 1] = record.value
      end
    end, { at_most = "60s", what = "the end" }))
    return table.concat(list, " ")
  end

  local function send(p, value)
    return p:send { topic = name, value = value, headers = { { "event-id", "id-" .. value } } }
  end

  it("logs what a Produce carries and what it was answered", function()
    must(client:watch { api = "Produce", topic = name, owner = name })
    local p <close> = producer { enable_idempotence = true }
    must(send(p, "a"))
    must(send(p, "b"))
    local rows = must(client:wire { owner = name })
    assert.equal(4, #rows)
    local first, second = rows[1], rows[2]
    assert.same({ "request", "Produce", name, "id-a", 0 },
      { first.direction, first.api, first.client_id, first.partitions[1].ids[1],
        first.partitions[1].sequence })
    assert.same({ "response", 0, 0 },
      { second.direction, second.partitions[1].error, second.partitions[1].base_offset })
    assert.equal(1, rows[4].partitions[1].base_offset)
    assert.is_true(first.correlation == second.correlation and first.ns < second.ns)
  end)

  it("logs an OffsetCommit with its offsets and errors", function()
    must(client:watch { api = "OffsetCommit", contains = name, owner = name })
    local p <close> = producer()
    for i = 1, 3 do must(send(p, tostring(i))) end
    local c <close> = must(kafka.consumer { brokers = stack.proxy.brokers, client_id = name, group = name,
      auto_offset_reset = "earliest",
      enable_auto_commit = false })
    must(c:subscribe { name })
    local seen = 0
    must(task.wait_until(function()
      seen = seen + #must(c:poll(10, "200ms"))
      return seen == 3
    end, { at_most = "60s", what = "3 records" }))
    must(c:commit())
    local rows = must(client:wire { owner = name })
    assert.same({ name, 3 }, { rows[1].group, rows[1].partitions[1].offset })
    assert.same({ "response", 0 }, { rows[2].direction, rows[2].partitions[1].error })
  end)

  -- librdkafka's own requests for a coordinator abort the program here; whatever the admin asks of one goes
  -- over our wire.
  it("a coordinator that is found late costs an admin's call its time, and nothing else", function()
    local place = { topic = name, partition = 0 }
    local commit = { topic = name, partition = 0, offset = 1 }
    local calls = {
      function(a, ...) return a:group(name, ...) end,
      function(a, ...) return a:group_offsets(name, ...) end,
      function(a, ...) return a:alter_group_offsets(name, { commit }, ...) end,
      function(a, ...) return a:delete_group_offsets(name, { place }, ...) end,
      function(a, ...) return a:delete_groups({ name }, ...) end,
    }
    local admins = {}
    local id = rule { api = "FindCoordinator", contains = name, action = "delay", delay = "700ms" }
    for i, call in ipairs(calls) do
      admins[i] = must(kafka.admin { brokers = stack.proxy.brokers, at_most = "10s" })
      must(admins[i]:cluster())
      local value, failure = call(admins[i], { at_most = "300ms" })
      assert.same({ nil, "TIMEOUT" }, { value, failure and failure.name })
    end
    must(task.wait_until(function() return must(client:rule(id)).held == 0 end,
      { at_most = "10s", what = "the late answers" }))
    assert.equal(#calls, must(client:rule(id)).fired)
    must(client:remove_rule(id))
    must(admin:alter_group_offsets(name, { commit }))
    for i, call in ipairs(calls) do
      must(call(admins[i]))
      admins[i]:close()
    end
  end)

  it("a coordinator's answer that is lost is asked for again, and a group that went with it is told as \z
    deleted", function()
    local place = { topic = name, partition = 0, offset = 1 }
    local a <close> = must(kafka.admin { brokers = stack.proxy.brokers, at_most = "20s" })
    local swallowed = rule { api = "OffsetCommit", contains = name, nth = 1, action = "black-hole" }
    assert.same({ place }, must(a:alter_group_offsets(name, { place })).altered)
    assert.equal(1, must(client:rule(swallowed)).fired)
    local cut = rule { api = "DeleteGroups", contains = name, nth = 1, action = "cut-after" }
    assert.same({ name }, must(a:delete_groups { name }).deleted)
    assert.equal(1, must(client:rule(cut)).fired)
    local _, failure = a:delete_groups { name }
    assert.equal("GROUP_ID_NOT_FOUND", failure.name)
  end)

  it("cut-after loses the response: a plain producer writes it twice", function()
    local id = rule { api = "Produce", nth = 3, action = "cut-after" }
    local p <close> = producer()
    for _, value in ipairs { "1", "2", "3", "4" } do must(send(p, value)) end
    assert.equal("1 2 3 3 4", values())
    local state = must(client:rule(id))
    assert.same({ 1, 3 }, { state.fired, state.matched }) -- a rule that is spent looks no more
    assert.equal(0, state.last.partitions[1].error)
  end)

  it("cut-after loses the response: an idempotent one does not", function()
    local id = rule { api = "Produce", nth = 3, action = "cut-after" }
    local p <close> = producer { enable_idempotence = true }
    for _, value in ipairs { "1", "2", "3", "4" } do must(send(p, value)) end
    assert.equal("1 2 3 4", values())
    assert.equal(1, must(client:rule(id)).fired)
  end)

  it("cut-before loses the request", function()
    local id = rule { api = "Produce", nth = 2, action = "cut-before" }
    local p <close> = producer { retries = 0 }
    must(send(p, "1"))
    local _, failure = send(p, "2")
    assert.is_truthy(failure)
    must(send(p, "3"))
    assert.equal("1 3", values())
    assert.equal(1, must(client:rule(id)).fired)
  end)

  it("delay delays one request", function()
    local id = rule { api = "Produce", nth = 2, action = "delay", delay = "400ms" }
    local p <close> = producer()
    must(send(p, "1"))
    assert.is_true(seconds(function() return must(send(p, "2")) end) >= 0.4)
    must(send(p, "3"))
    assert.equal("1 2 3", values())
    assert.equal(1, must(client:rule(id)).fired)
  end)

  it("black-hole swallows what comes, and says how much", function()
    local id = rule { api = "Produce", action = "black-hole" }
    local p <close> = producer { message_timeout_ms = 5000, socket_timeout_ms = 1000 }
    local _, failure = send(p, "1")
    assert.equal("_MSG_TIMED_OUT", failure.name)
    local state = must(client:rule(id))
    assert.is_true(state.bytes > 0 and state.fired >= 1)
    must(client:remove_rule(id))
    must(task.wait_until(function() return (send(p, "2")) end,
      { at_most = "60s", what = "a delivery after the hole" }))
    assert.is_nil(values():find("1", 1, true))
  end)

  it("hold keeps a request until it is released", function()
    local id = rule { api = "Produce", nth = 1, action = "hold" }
    local p <close> = producer()
    local sent
    local sending = task.spawn(function() sent = must(send(p, "1")) end)
    must(task.wait_until(function() return must(client:rule(id)).held == 1 end,
      { at_most = "60s", what = "a held request" }))
    task.sleep "100ms"
    assert.is_nil(sent)
    assert.equal("", values())
    assert.equal(1, must(client:release(id)))
    sending:join()
    assert.equal(0, sent.offset)
  end)

  it("late: the client is cut at once, the broker gets the request on release", function()
    must(client:watch { api = "Produce", topic = name, owner = name })
    local id = rule { api = "Produce", nth = 1, action = "late" }
    local p <close> = producer()
    must(send(p, "1")) -- its repeat
    must(send(p, "2"))
    assert.equal("1 2", values())
    assert.equal(1, must(client:release(id)))
    must(task.wait_until(function()
      for _, row in ipairs(must(client:wire { owner = name })) do
        if row.direction == "late response" then return row.partitions[1].base_offset == 2 end
      end
    end, { at_most = "60s", what = "the late response" }))
    assert.equal("1 2 1", values())
  end)

  it("duplicate sends a request twice, and the broker drops an idempotent one", function()
    rule { api = "Produce", nth = 1, action = "duplicate" }
    local p <close> = producer()
    -- the second is answered when the first one's double was taken
    for _, value in ipairs { "1", "2" } do must(send(p, value)) end
    assert.equal("1 1 2", values())
    local q <close> = producer { enable_idempotence = true }
    client:sweep(name)
    rule { api = "Produce", nth = 1, action = "duplicate" }
    for _, value in ipairs { "3", "4" } do must(send(q, value)) end
    assert.equal("1 1 2 3 4", values())
  end)

  it("error answers in the broker's place", function()
    local id = rule { api = "Produce", action = "error", code = 29 } -- TOPIC_AUTHORIZATION_FAILED
    local p <close> = producer()
    local _, failure = send(p, "1")
    assert.equal("TOPIC_AUTHORIZATION_FAILED", failure.name)
    must(client:remove_rule(id))
    local q <close> = producer()
    must(send(q, "2"))
    assert.equal("2", values())
  end)

  it("error answers every API that it claims to know", function()
    local id = name .. "-tx"
    -- TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    rule { api = "InitProducerId", contains = id, action = "error", code = 53 }
    local p <close> = producer { transactional_id = id }
    local _, failure = p:init_transactions "60s"
    assert.equal("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", failure.name)
  end)

  it("chances follow the seed", function()
    local function pattern()
      local own <close> = must(proxy.serve { seed = 5 })
      local c = must(proxy.connect(own.url))
      local row = must(c:create { name = "r", upstream = ("127.0.0.1:%d"):format(stack.kafka.nodes[1].port),
        proto = "kafka" })
      must(c:add_rule { api = "ApiVersions", action = "cut-before", chance = 0.5 })
      local list = {}
      for i = 1, 10 do
        local socket <close> = must(kafka.admin { brokers = "127.0.0.1:" .. row.port, at_most = "300ms" })
        list[i] = socket:topics() and "ok" or "cut"
      end
      return must(c:rule(1)).fired > 0, table.concat(list, " ")
    end
    assert.is_true((pattern()))
  end)

  it("kafka.transactional replaces a producer that lost a connection while it ended a transaction", function()
    local id = name .. "-tx"
    local t <close> = must(kafka.transactional { brokers = stack.proxy.brokers, client_id = name,
      transactional_id = id, linger_ms = 0 })
    local held = rule { api = "EndTxn", nth = 1, action = "late", contains = id }
    must(t:transaction(function(p) return must(send(p, "T1")) end))
    assert.is_true(must(client:rule(held)).fired == 1)
    local first = t.current
    assert.is_true(first:end_uncertain())
    must(t:transaction(function(p)
      must(send(p, "T2-a"))
      assert.equal(1, must(client:release(held)))
      task.sleep "200ms" -- time for a late EndTxn to do its harm
      return must(send(p, "T2-b"))
    end))
    assert.equal(1, t.replaced)
    assert.is_false(must(t:producer()):end_uncertain())
    assert.equal("T1 T2-a T2-b", values())
  end)
end)

describe("the proxy before MySQL and Redis", function()
  local stack, served, client, row

  setup(function() stack = must(require("rlab.stack").open { needs = { "mysql", "redis" }, start = true })
    end)
  teardown(function() stack:close() end)

  before_each(function()
    served = must(proxy.serve { proxies = {
      { name = "db", upstream = "127.0.0.1:" .. stack.mysql.port, proto = "mysql" },
      { name = "cache", upstream = "127.0.0.1:" .. stack.redis.port, proto = "redis" } } })
    client = must(proxy.connect(served.url))
    row = must(client:proxies())
  end)

  after_each(function() served:close() end)

  local function connect()
    return must(mysql.connect { host = "127.0.0.1", port = row.db.port, user = stack.mysql.user,
      password = stack.mysql.password })
  end

  it("counts statements by their text, prepared ones by their parameter", function()
    local by_text = must(client:add_rule { proto = "mysql", statement = "select 40 +", action = "count" }).id
    local by_param = must(client:add_rule { proto = "mysql", param = "17", action = "count" }).id
    local db <close> = connect()
    must(db:query "SELECT 40 + 2")
    for _, id in ipairs { 16, 17, 17, 18 } do must(db:query("SELECT ? AS id", id)) end
    assert.equal(1, must(client:rule(by_text)).matched)
    assert.equal(2, must(client:rule(by_param)).matched)
  end)

  it("a commit whose answer is lost has happened", function()
    local table_name = unique("t"):gsub("-", "_")
    local direct <close> = must(mysql.connect { host = "127.0.0.1", port = stack.mysql.port,
      user = stack.mysql.user, password = stack.mysql.password,
      database = stack.mysql.database })
    must(direct:exec(("CREATE TABLE %s.%s (id INT PRIMARY KEY)"):format(stack.mysql.database, table_name)))
    local id = must(client:add_rule { proto = "mysql", statement = "COMMIT", action = "cut-after" }).id
    local db <close> = connect()
    must(db:exec "BEGIN")
    must(db:exec(("INSERT INTO %s.%s VALUES (1)"):format(stack.mysql.database, table_name)))
    local _, failure = db:exec "COMMIT"
    assert.is_truthy(failure)
    assert.equal(1, must(direct:value("SELECT COUNT(*) FROM " .. table_name)))
    assert.equal(1, must(client:rule(id)).fired)
    must(direct:exec("DROP TABLE " .. table_name))
  end)

  it("an error in MySQL's words leaves the connection usable", function()
    must(client:add_rule { proto = "mysql", statement = "INSERT", action = "error", code = 1213,
      error = "Deadlock found", times = 1, nth = 1 })
    local db <close> = connect()
    local _, failure = db:exec "INSERT INTO nowhere VALUES (1)"
    assert.same({ "ER_LOCK_DEADLOCK", true }, { failure.name, failure.retriable or failure.abortable })
    assert.equal(7, must(db:value "SELECT 7"))
  end)

  it("delays a statement, once", function()
    local id = must(client:add_rule { proto = "mysql", statement = "SELECT 1", nth = 1, action = "delay",
      delay = "300ms" }).id
    local db <close> = connect()
    assert.is_true(seconds(function() return must(db:query "SELECT 1") end) >= 0.3)
    must(db:query "SELECT 1")
    assert.equal(1, must(client:rule(id)).fired)
  end)

  it("acts on Redis commands inside a pipeline, one by one", function()
    local key = unique "proxy-spec"
    local r <close> = must(redis.connect { host = "127.0.0.1", port = row.cache.port, timeout = "20s" })
    must(client:add_rule { proto = "redis", api = "get", contains = key, nth = 2, action = "error",
      error = "BUSY made by a rule" })
    must(client:add_rule { proto = "redis", api = "INCR", contains = key, nth = 1, action = "duplicate" })
    assert.equal(1, must(r:call("INCR", key)))
    assert.equal("2", must(r:call("GET", key)))
    local _, failure = r:call("GET", key)
    assert.is_truthy(failure.message:find("made by a rule", 1, true))
    assert.equal("2", must(r:call("GET", key)))
    assert.equal(1, must(r:call("DEL", key)))
  end)

  local function through(more)
    local settings = { host = "127.0.0.1", port = row.cache.port, timeout = "20s" }
    for key, value in pairs(more or {}) do settings[key] = value end
    return must(redis.connect(settings))
  end

  local function beside()
    return must(redis.connect { host = "127.0.0.1", port = stack.redis.port, timeout = "20s" })
  end

  it("cut-before loses a Redis command, and no other", function()
    local key = unique "proxy-spec"
    local id = must(client:add_rule { proto = "redis", api = "INCR", contains = key, nth = 2,
      action = "cut-before" }).id
    local r <close> = through()
    local observer <close> = beside()
    assert.equal(1, must(r:call("INCR", key)))
    assert.is_nil((r:call("INCR", key)))
    local again <close> = through()
    assert.equal(2, must(again:call("INCR", key)))
    assert.equal("2", must(observer:call("GET", key)))
    assert.equal(1, must(client:rule(id)).fired)
    must(observer:call("DEL", key))
  end)

  it("black-hole swallows a Redis command and what follows it", function()
    local key = unique "proxy-spec"
    local id = must(client:add_rule { proto = "redis", api = "SET", contains = key, nth = 1,
      action = "black-hole" }).id
    local r <close> = through { timeout = "300ms" }
    local observer <close> = beside()
    assert.is_nil((r:call("SET", key, "1")))
    assert.equal(require "rlab.null", must(observer:call("GET", key)))
    local state = must(client:rule(id))
    assert.is_true(state.fired == 1 and state.bytes > 0)
  end)

  it("counts the requests that a rule names, each of them and no others, and logs them", function()
    local key, n = unique "proxy-spec", 40
    local id = must(client:add_rule { proto = "redis", api = "GET", contains = key, action = "count" }).id
    must(client:watch { proto = "redis", api = "GET", contains = key, owner = key })
    local r <close> = through()
    for i = 1, n do
      must(r:call("GET", key))
      must(r:call("GET", "other-" .. i))
    end
    assert.equal(n, must(client:rule(id)).matched)
    local rows, _, dropped = must(client:wire { owner = key })
    local requests = 0
    for _, one in ipairs(rows) do requests = requests + (one.direction == "request" and 1 or 0) end
    assert.same({ n, 2 * n, 0 }, { requests, #rows, dropped })
  end)

  it("lets the first rule that fits act; the others only count", function()
    local key, ids = unique "proxy-spec", {}
    for i, text in ipairs { "first", "second" } do
      ids[i] = must(client:add_rule { proto = "redis", api = "GET", contains = key, times = 1,
        action = "error", error = "ERR the " .. text }).id
    end
    local r <close> = must(redis.connect { host = "127.0.0.1", port = row.cache.port, timeout = "20s" })
    local _, failure = r:call("GET", key)
    assert.is_truthy(failure.message:find("the first", 1, true))
    local second = must(client:rule(ids[2]))
    assert.same({ 0, 1 }, { second.fired, second.matched })
    _, failure = r:call("GET", key)
    assert.is_truthy(failure.message:find("the second", 1, true))
    must(r:call("GET", key))
  end)

  it("draws chances from its seed, the same for the same requests", function()
    local function struck(seed)
      local own <close> = must(proxy.serve { seed = seed, proxies = {
        { name = "cache", upstream = "127.0.0.1:" .. stack.redis.port, proto = "redis" } } })
      local c = must(proxy.connect(own.url))
      must(c:add_rule { proto = "redis", api = "PING", action = "error", error = "ERR no", chance = 0.3 })
      local r <close> = must(redis.connect { host = "127.0.0.1", port = must(c:proxy "cache").port,
        timeout = "20s" })
      local list, n = {}, 0
      for i = 1, 60 do
        list[i] = r:call "PING" and "." or "x"
        n = n + (list[i] == "x" and 1 or 0)
      end
      return table.concat(list), n
    end
    local first, n = struck(5)
    assert.is_true(n >= 8 and n <= 30, n) -- 18 on average, with a deviation of 3.5
    assert.equal(first, (struck(5)))
    assert.is_not.equal(first, (struck(6)))
  end)

  it("loses the reply to a Redis command", function()
    local key = unique "proxy-spec"
    local id = must(client:add_rule { proto = "redis", api = "SET", contains = key, nth = 1,
      action = "cut-after" }).id
    local r <close> = must(redis.connect { host = "127.0.0.1", port = row.cache.port, timeout = "20s" })
    local answer = r:call("SET", key, "1")
    local direct <close> = must(redis.connect { host = "127.0.0.1", port = stack.redis.port })
    assert.equal("1", must(direct:call("GET", key)))
    assert.equal(1, must(client:rule(id)).fired)
    must(direct:call("DEL", key))
    assert.is_nil(answer)
  end)
end)
