-- The proxy before a real MySQL and a real Redis: every action of a rule, and its counters. Each spec has a
-- proxy of its own in this process.
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local proxy = require "rlab.proxy"
local redis = require "rlab.redis"
local seconds = require "spec.support.timed"
local unique = require "spec.support.unique"

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
