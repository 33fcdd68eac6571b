local fs = require "rlab.fs"
local http = require "rlab.http"
local json = require "rlab.json"
local options = require "rlab.service.options"
local process = require "rlab.process"
local service = require "rlab.service"
local task = require "rlab.task"

local HELLO = "spec/fixtures/services/hello.lua"

local function started(words, env)
  local cmd = { fs.self_exe(), "service", HELLO, "--port", "0" }
  table.move(words or {}, 1, #(words or {}), #cmd + 1, cmd)
  local p = assert(process.spawn { cmd = cmd, env = env, stdout = "capture", stderr = "capture" })
  local line = p:lines()()
  local ready = line and json.decode(line)
  return p, ready and ("http://127.0.0.1:%d"):format(ready.port), ready
end

local function resolve(words, env)
  return options.resolve(service.load(HELLO), words, function(name) return (env or {})[name] end)
end

local function failure_of(...)
  local ok, failure = pcall(resolve, ...)
  assert.is_false(ok)
  assert.equal("USAGE", failure.name)
  return failure.message
end

describe("a store that is away", function()
  local err = require "rlab.err"
  local store = require "rlab.service.store"

  local function away(fields)
    fields.domain, fields.code, fields.message = "mysql", 1, "x"
    return store.away(err.new(fields))
  end

  it("is told from one that says no", function()
    for _, name in ipairs { "TIMEOUT", "CANCELLED", "CLOSED" } do
      assert.is_truthy(away { name = name }, name)
    end
    assert.is_truthy(away { name = "DEADLOCK", retriable = true })
    assert.is_truthy(away { name = "CONNECTION_LOST", fatal = true })
    assert.is_falsy(away { name = "DUPLICATE_KEY" })
    assert.is_falsy(store.away "TIMEOUT")
    assert.is_falsy(store.away(nil))
  end)
end)

describe("service options", function()
  it("come from flags before the environment before the file before the default", function()
    local path = assert(fs.tmpdir "spec") .. "/c.json"
    assert(fs.write(path, '{"greeting": "file", "times": 2, "work": "1s", "mood": "bad"}'))
    local config = resolve({ "--config", path, "--greeting=flag" },
      { RLAB_GREETING = "env", RLAB_TIMES = "3" })
    assert.same({ "flag", 3, 1.0, "bad", "hello-1" },
      { config.greeting, config.times, config.work, config.mood, config.name })
    assert.same({ "set", 9 }, { resolve({ "--set", "greeting=set", "--set=times=9" }).greeting,
      resolve({ "--set=times=9" }).times })
    assert.equal("true", resolve({ "--greeting", "true" }).greeting)
    fs.remove(path)
  end)

  it("know switches with and without a value", function()
    assert.is_false(resolve({}).failpoints)
    assert.is_true(resolve({ "--failpoints" }).failpoints)
    assert.is_true(resolve({ "--failpoints", "--times", "2" }).failpoints)
    assert.is_false(resolve({ "--failpoints=false" }).failpoints)
    assert.is_false(resolve({ "--no-failpoints" }).failpoints)
    assert.is_false(resolve({ "--failpoints", "off" }).failpoints)
    assert.is_false(resolve({}, { RLAB_FAILPOINTS = "a=kill" }).failpoints)
  end)

  it("of the shipped services are right practices unless wrong ones are asked for", function()
    local shipped = require "rlab.service"
    for name, wanted in pairs {
      consumer = { cache = "versioned", dedup = "processed-event", commit = "after-work",
        transactional = true, on_deadlock = "retry", on_lock_wait = "retry", invalidate_seen = true },
      query = { fill = "versioned", single = "lease", redis_timeout = 0.05, db_timeout = 0.2 },
      command = { mode = "outbox", reserve = "none", fallback = "none" },
    } do
      local config = options.resolve(shipped.load(name), name == "consumer" and { "--topic", "t" } or {},
        function() end)
      for key, value in pairs(wanted) do assert.equal(value, config[key], name .. "." .. key) end
    end
  end)

  it("know the words for yes and no, and no others", function()
    for word, want in pairs { ["true"] = true, yes = true, on = true, ["1"] = true, YES = true,
      ["false"] = false, no = false, off = false, ["0"] = false, Off = false } do
      assert.equal(want, resolve({ "--failpoints=" .. word }).failpoints, word)
    end
    for _, word in ipairs { "", "2", "y", "oui" } do
      assert.matches("failpoints", failure_of { "--failpoints=" .. word })
    end
  end)

  it("take addresses apart", function()
    local config = resolve { "--mysql", "mysql://u:p%w@db:3307/s1", "--redis", "redis://:pw@cache:6380/2" }
    assert.same({ host = "db", port = 3307, user = "u", password = "p%w", database = "s1" }, config.mysql)
    assert.same({ host = "cache", port = 6380, db = 2, password = "pw" }, config.redis)
    assert.equal(3306, resolve({ "--mysql", "mysql://u@db" }).mysql.port)
    config = resolve { "--mysql", "mysql://o%40d%3a:p%2F%25ss@[::1]:3307/%ED%95%9C", "--redis",
      "redis://odd:p%40ss%2F1@[fe80::1]/3" }
    assert.same({ host = "::1", port = 3307, user = "o@d:", password = "p/%ss", database = "한" },
      config.mysql)
    assert.same({ host = "fe80::1", port = 6379, db = 3, user = "odd", password = "p@ss/1" }, config.redis)
    assert.same({ nodes = "[::1]:1,b:2" }, resolve({ "--redis", "redis-cluster://[::1]:1,b:2" }).redis)
    for _, wrong in ipairs { "mysql://db", "mysql://u@", "mysql://u@db:x", "mysql://u@db:70000",
      "mysql://u@db:0", "mysql://u@::1", "mysql://u@[::1", "mysql://u:%00@db", "mysql://u@db/s?x" } do
      assert.matches("mysql://user:password", failure_of { "--mysql", wrong }, 1, true)
    end
    assert.same({ nodes = "a:1,b:2" }, resolve({ "--redis", "redis-cluster://a:1,b:2" }).redis)
    assert.same({ nodes = "a:1", user = "u", password = "p,@" },
      resolve({ "--redis", "redis-cluster://u:p,@@a:1" }).redis)
    for _, rest in ipairs { "-cluster://", "-cluster://a", "-cluster://a:1,", "-cluster://a:1/0",
      "-cluster://a:1,,b:2", "-clstr://a:1", "s://a?b" } do
      assert.matches("redis://host:port/db", failure_of { "--redis", "redis" .. rest }, 1, true)
    end
  end)

  it("say what is wrong, where, and what was meant", function()
    assert.equal("service hello: unknown option '--greetng', did you mean '--greeting'?",
      failure_of { "--greetng", "x" })
    assert.equal("service hello: RLAB_TIMES: a whole number expected, got 'two'",
      failure_of({}, { RLAB_TIMES = "two" }))
    assert.equal("service hello: --times: 10 is above 9", failure_of { "--times", "10" })
    assert.matches("'god' is none of good, bad; did you mean 'good'?", failure_of { "--mood", "god" }, 1,
      true)
    assert.equal("service hello: --times needs a value", failure_of { "--times" })
    assert.matches("no option 'timse'; did you mean 'times'?", failure_of { "--set", "timse=1" }, 1, true)
    assert.matches("mysql://user:password@host:port/schema", failure_of { "--mysql", "localhost" }, 1, true)
    for name, value in pairs { mysql = "mysql://u:s3cret@h:0/d", redis = "redis://u:s3cret@h:x/0" } do
      assert.matches("got '" .. name .. "://u:***@h", failure_of { "--" .. name, value }, 1, true)
    end
    local consumer = require("rlab.service").load "consumer"
    local ok, failure = pcall(options.resolve, consumer, { "--consumer", "sasl.password=s3cret,x" },
      function() end)
    assert.is_false(ok)
    assert.matches("got 'sasl.password=***,x'", tostring(failure), 1, true)
    assert.matches("no such file", failure_of({ "--config", "/none.json" }):lower())
    assert.equal("service hello: unknown option 'stray'; rlab service hello --help lists them",
      failure_of { "stray" })
  end)

  it("of a service are held to what the table may say", function()
    assert.error_matches(function() service { name = "x", strat = 1 } end, "did you mean 'start'")
    for _, wrong in ipairs { { name = "A", type = "int", help = "" },
      { name = "a", type = "integer", help = "" }, { name = "a", type = "int" },
      { name = "port", type = "int", help = "" }, { name = "a", type = "int", help = "", defualt = 1 } } do
      assert.has_error(function() options.all { name = "x", options = { wrong } } end)
    end
  end)
end)

describe("a service", function()
  it("says ready, serves, tells its health and metrics, and drains on SIGTERM", function()
    local p <close>, url, ready = started { "--name", "h-7" }
    assert.same({ "ready", "hello", "h-7", p.pid }, { ready.say, ready.service, ready.name, ready.pid })
    assert.equal("hello bob\n", assert(http.get(url .. "/hello/bob")).body)
    assert.equal("hello a/b%\n", assert(http.get(url .. "/hello/a%2Fb%25")).body)
    assert.equal(404, assert(http.get(url .. "/hello/a/b")).status)
    assert.equal(404, assert(http.get(url .. "/nothing")).status)
    local refused = assert(http.post(url .. "/hello/bob", ""))
    assert.same({ 405, "GET, HEAD" }, { refused.status, refused.headers.allow })
    local health = json.decode(assert(http.get(url .. "/actuator/health")).body)
    assert.same({ "UP", "UP" }, { health.status, health.components.mood.status })
    local text = assert(http.get(url .. "/actuator/prometheus")).body
    assert.matches("hello_greeted_total 2\n", text, 1, true)
    assert.matches('http_server_requests_seconds_count{application="hello",exception="none",method="GET",'
      .. 'outcome="SUCCESS",status="200",uri="/hello/{who}"} 2\n', text, 1, true)
    assert.equal(404, assert(http.get(url .. "/failpoints")).status)
    p:kill "TERM"
    assert.same({ code = 0 }, p:wait "60s")
    assert.matches('"say":"drained"', (p:output()), 1, true)
  end)

  -- Beside the least that a process of ours takes: how fast the machine is, and how busy, is in both.
  it("starts in a few times what rlab --version takes", function()
    local clock = require "rlab.clock"
    local function quickest(best, f)
      local began = clock.ns()
      f()
      return math.min(best, (clock.ns() - began) / 1e6)
    end
    local service_ms, version_ms = math.huge, math.huge
    for _ = 1, 10 do
      service_ms = quickest(service_ms, function() local p <close> = started() end) -- luacheck: ignore 211
      version_ms = quickest(version_ms, function()
        local p <close> = assert(process.spawn { cmd = { fs.self_exe(), "--version" }, stdout = "capture" })
        p:wait "60s"
      end)
    end
    assert.is_true(service_ms < 10 * version_ms,
      ("%.0f ms, --version %.0f ms"):format(service_ms, version_ms))
  end)

  it("says what is wrong with its health", function()
    local p <close>, url = started { "--mood", "bad" }
    local answer = assert(http.get(url .. "/actuator/health/readiness"))
    assert.equal(503, answer.status)
    assert.same({ status = "DOWN", details = { why = "the mood is bad" } },
      json.decode(answer.body).components.mood)
    assert.equal(200, assert(http.get(url .. "/actuator/health/liveness")).status)
    assert.is_nil(p:status())
  end)

  it("answers what is under way when it ends, and refuses what comes then", function()
    local p <close>, url = started({ "--failpoints", "--drain-timeout", "10m" },
      { RLAB_FAILPOINTS = "hello.before_reply=pause" })
    local function point()
      return json.decode(assert(http.get(url .. "/failpoints/hello.before_reply")).body)
    end
    local under_way = task.spawn(function() return http.get(url .. "/hello/bob", { timeout = "10m" }) end)
    assert(task.wait_until(function() return point().hits == 1 end, { at_most = "60s" }))
    p:kill "TERM"
    assert(task.wait_until(function() return assert(http.get(url .. "/actuator/health")).status == 503 end,
      { at_most = "60s" }))
    assert.equal(503, assert(http.get(url .. "/hello/late")).status)
    assert.equal(204, assert(http.post(url .. "/failpoints/hello.before_reply/resume", "")).status)
    assert.equal("hello bob\n", assert(under_way:join()).body)
    assert.same({ code = 0 }, p:wait "60s")
  end)

  it("says that it is not complete when something could not be drained, or not in time", function()
    local dir = assert(fs.tmpdir "spec")
    for drain, complete in pairs { ['error "stuck"'] = "false", ['require "rlab.task".sleep "10m"'] = "false",
      ["return nil"] = "true" } do
      assert(fs.write(dir .. "/x.lua", ([[return require "rlab.service" { name = "x", start = function(ctx)
        ctx:on_drain(function() %s end)
        ctx:hold()
      end }]]):format(drain)))
      local p <close> = assert(process.spawn { stdout = "capture", stderr = "stdout",
        cmd = { fs.self_exe(), "service", dir .. "/x.lua", "--port", "0", "--drain-timeout", "100ms" } })
      assert(p:lines()())
      p:kill "TERM"
      assert.same({ code = 0 }, p:wait "60s")
      local said = json.decode((p:output():match "[^\n]*drained[^\n]*"))
      assert.equal(complete, tostring(said.complete), drain)
    end
    fs.remove(dir)
  end)

  it("arms failpoints over HTTP where that is allowed", function()
    local p <close>, url = started { "--failpoints" }
    local wrong = assert(http.put(url .. "/failpoints/hello.before_reply", "kil"))
    assert.equal(400, wrong.status)
    assert.matches("did you mean", wrong.body)
    for _, name in ipairs { "a%20b", "%ED%95%9C", ("a"):rep(5000) } do
      local refused = assert(http.put(url .. "/failpoints/" .. name, "off"))
      assert.same({ 400, "application/problem+json" }, { refused.status, refused.headers["content-type"] })
    end
    local armed = json.decode(assert(http.put(url .. "/failpoints/hello.before_reply",
      "#2 return(armed)")).body)
    assert.equal("#2 return(armed)", armed.expr)
    assert.equal("hello a\n", assert(http.get(url .. "/hello/a")).body)
    assert.equal("armed", assert(http.get(url .. "/hello/a")).body)
    assert.equal(2, json.decode(assert(http.get(url .. "/failpoints/hello.before_reply")).body).hits)
    assert.equal(204, assert(http.delete(url .. "/failpoints/hello.before_reply")).status)
    assert.equal(404, assert(http.get(url .. "/failpoints/hello.never")).status)
    assert.equal(200, assert(http.put(url .. "/failpoints/hello.before_reply", "pause")).status)
    local held = task.spawn(function() return http.get(url .. "/hello/held") end)
    assert(task.wait_until(function()
      return json.decode(assert(http.get(url .. "/failpoints/hello.before_reply")).body).hits == 1
    end, { at_most = "60s" }))
    assert.is_false(held:done())
    assert.equal(204, assert(http.post(url .. "/failpoints/hello.before_reply/resume", "")).status)
    assert.equal("hello held\n", assert(held:join()).body)
    assert.equal(200, assert(http.put(url .. "/failpoints/hello.before_reply", "kill")).status)
    local _, lost = http.get(url .. "/hello/last")
    assert.equal("CONNECTION_LOST", lost.name)
    assert.same({ signal = "KILL" }, p:wait "60s")
  end)

  it("says who has its port, and what it does not know", function()
    local p <close>, _, ready = started()
    local q <close> = assert(process.spawn {
      cmd = { fs.self_exe(), "service", HELLO, "--port", tostring(ready.port) } })
    assert.same({ code = 69 }, q:wait "60s")
    local _, said = q:output()
    assert.matches(("rlab: port %d is taken by .* %%(pid %d%%)"):format(ready.port, p.pid), said)
    local r <close> = assert(process.spawn { cmd = { fs.self_exe(), "service", "comand" } })
    assert.same({ code = 64 }, r:wait "60s")
  end)

  it("ends with the error of its work in the background, and of its start", function()
    local dir = assert(fs.tmpdir "spec")
    local function ended(body)
      assert(fs.write(dir .. "/x.lua", (
        'return require "rlab.service" { name = "x", start = function(ctx) %s end }'):format(body)))
      local p <close> = assert(process.spawn { cmd = { fs.self_exe(), "service", dir .. "/x.lua" } })
      local status = assert(p:wait "60s")
      return status.code, select(2, p:output())
    end
    local code, said = ended 'ctx:spawn(function() error(require "rlab.err".new { name = "GONE", domain = \z
      "rlab", message = "it is gone" }) end) ctx:hold()'
    assert.equal(69, code)
    assert.matches("rlab: it is gone\n", said, 1, true)
    code, said = ended "local t = nil; t.x = 1"
    assert.equal(65, code)
    assert.matches("x.lua:1: attempt to index a nil value", said, 1, true)
    fs.remove(dir)
  end)

  it("dies with the process that started it, when told so", function()
    local outer <close> = assert(process.spawn {
      cmd = { "sh", "-c", '"$0" service "$1" --port 0 --die-with-parent $$ & wait', fs.self_exe(), HELLO } })
    local ready = json.decode(outer:lines()())
    assert.is_true(process.alive(ready.pid))
    outer:kill "KILL"
    outer:wait "60s"
    assert(process.wait_gone(ready.pid, nil, "60s"))
  end)
end)

describe("a service that ends", function()
  it("says so to whom it leaves without an answer", function()
    local ctx = require("rlab.service.context").new({ name = "x" }, { name = "x" })
    ctx:route("GET", "/slow", function()
      error(require("rlab.err").new { domain = "rlab", code = 0, name = "CANCELLED", message = "stopped" }, 0)
    end)
    assert.are.equal(503, ctx:handle({ method = "GET", path = "/slow", raw_path = "/slow" }).status)
  end)
end)

describe("a service that gives up", function()
  it("ends by what failed first", function()
    local ctx = require("rlab.service.context").new({ name = "x" }, { name = "x" })
    ctx:give_up "the first"
    ctx:give_up "what followed"
    assert.are.equal("the first", ctx.failure)
  end)
end)

describe("a service file with a mistake", function()
  -- What `rlab service FILE ...` says and ends with; in the text FILE stands for the path.
  local function said(text, words)
    local path = assert(fs.tmpdir "spec") .. "/mine.lua"
    assert(fs.write(path, text))
    local cmd = table.move(words or { "--port", "0" }, 1, #(words or { 1, 2 }), 4,
      { fs.self_exe(), "service", path })
    local p <close> = assert(process.spawn { cmd = cmd, stdout = "capture", stderr = "stdout" })
    local status, out = assert(p:wait "60s"), p:output()
    return { status.code, (out:gsub("[^\n]+\"event\"[^\n]*\n", ""):gsub("[^%s]*/mine%.lua", "FILE")) }
  end

  local HEAD = 'local service = require "rlab.service"\nreturn service '

  it("ends with 65 and the line that is wrong", function()
    assert.same({ 65, "rlab: FILE:2: unexpected symbol near <eof>\n" }, said "return service {\n")
    assert.same({ 65, "rlab: FILE:2: unexpected symbol near <eof>\n" }, said("return service {\n",
      { "--help" }))
    assert.same({ 65, "rlab: FILE: the file must return service { ... }\n" }, said "return 3")
    assert.same({ 65, "rlab: FILE:2: attempt to index a nil value (local 'y')\n" },
      said "local y = nil\ny.x = 1")
    assert.same({ 65, "rlab: FILE: service: unknown key 'strat', did you mean 'start'?\n" },
      said(HEAD .. '{ name = "x", strat = 1 }'))
    assert.same({ 65, "rlab: FILE: service x: option 'A': a name is lower case, digits and _\n" },
      said(HEAD .. '{ name = "x", start = function() end, options = { { name = "A" } } }'))
  end)

  it("ends with 65 where its start raises", function()
    local found = said(HEAD .. '{ name = "x", start = function()\n  error "boom"\nend }')
    assert.same({ 65, "rlab: FILE:3: boom\n" }, { found[1], found[2]:match "[^\n]*\n$" })
  end)

  it("is told from one that is not there, which ends with 64", function()
    local p <close> = assert(process.spawn { cmd = { fs.self_exe(), "service", "no/such.lua" },
      stdout = "capture", stderr = "stdout" })
    assert.equal(64, assert(p:wait "60s").code)
    assert.equal("rlab: no/such.lua: there is no such file\n", (p:output()))
  end)

  it("is told of a handler in the same way", function()
    local path = assert(fs.tmpdir "spec") .. "/mine.lua"
    for text, wrong in pairs { ["return function(record"] = ":1: .+ expected near <eof>",
      ["return 3"] = ": the file must return function%(record%) or { batch = function%(records%) }" } do
      assert(fs.write(path, text))
      local p <close> = assert(process.spawn { stdout = "capture", stderr = "stdout",
        cmd = { fs.self_exe(), "service", "consumer", "--port", "0", "--handler", path } })
      assert.equal(65, assert(p:wait "60s").code)
      local line = p:output():match "rlab: [^\n]*"
      assert.matches("^rlab: FILE" .. wrong .. "$", (line:gsub("[^%s]*/mine%.lua", "FILE")))
    end
  end)
end)
