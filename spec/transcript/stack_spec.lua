-- The words of the prompt on the real stack, by pipe and on a terminal.
local pty = dofile "spec/transcript/support/pty.lua"
local compare = dofile "spec/transcript/support/compare.lua"
local clock = require "rlab.clock"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local redis = require "rlab.redis"
local tables = require "rlab.tables"
local task = require "rlab.task"

local home = os.getenv "RLAB_HOME" or ".rlab"

describe("the words of the prompt", function()
  local stack, admin, topic, group, minute_ago

  local function env()
    return { RLAB_PORT_BASE = os.getenv "RLAB_PORT_BASE" }
  end

  local function absolute()
    return must(require("rlab.fs").realpath(home))
  end

  local function check(script, expected, code)
    local seen, status = pty.run("cat <<'END_OF_SCRIPT' | rlab\n" .. script .. "\nEND_OF_SCRIPT",
      { home = absolute(), env = env() })
    local difference = compare.difference(expected, seen)
    assert(not difference, difference)
    assert.equal(code or 0, status)
  end

  setup(function()
    stack = must(require("rlab.stack").open { needs = { "kafka", "mysql", "redis", "proxy" }, start = true })
    admin = must(kafka.admin { brokers = stack.kafka.brokers, at_most = "60s" })
    local id = require("rlab.rng").new(clock.ns()):id(6)
    topic, group = "words-" .. id, "words-group-" .. id
    must(admin:create_topic { name = topic, partitions = 2, replication_factor = 3 })
    local p <close> = must(kafka.producer { brokers = stack.kafka.brokers })
    minute_ago = (clock.unix_ms() // 1000 - 60) * 1000
    for i = 1, 3 do
      must(p:send { topic = topic, partition = 0, key = "k" .. i, value = "v" .. i,
        timestamp = minute_ago + 1000 * i })
    end
    must(p:send { topic = topic, partition = 1, key = "한글", value = require "rlab.null",
      timestamp = minute_ago + 4000 })
    must(p:send { topic = topic, partition = 1, value = "", timestamp = minute_ago + 5000 })
    must(admin:alter_group_offsets(group,
      { { topic = topic, partition = 0, offset = 1 }, { topic = topic, partition = 1, offset = 2 } }))
    local r <close> = must(redis.connect { host = stack.redis.host, port = stack.redis.port })
    must(r:call("SET", topic, "two words"))
  end)

  teardown(function()
    if not admin then return end
    admin:delete_groups { group }
    admin:delete_topics { topic }
    admin:close()
    local r <close> = must(redis.connect { host = stack.redis.host, port = stack.redis.port })
    r:call("DEL", topic)
    stack:close()
  end)

  it("offsets shows the watermarks side by side", function()
    check(('offsets "%s"'):format(topic), [[
partition  low  LSO  HW  LEO  leader  epoch  ISR    replicas  note
        0    0    3   3    3       <n>      <n>  <n> <n> <n>  <n> <n> <n>
        1    0    2   2    2       <n>      <n>  <n> <n> <n>  <n> <n> <n>]])
  end)

  it("tail tells a tombstone from an empty value and from no key", function()
    check(('tail("%s", 3)'):format(topic), [[
partition  offset                      time  key   value
        0       2  <time>  k3    v3
        1       0  <time>  한글  tombstone
        1       1  <time>  null  ""]])
  end)

  it("tail refuses an option that it does not know", function()
    check(('tail("%s", { folow = true })'):format(topic),
      "rlab: tail: unknown option 'folow', did you mean 'follow'?", 65)
  end)

  it("lag counts to the high watermark and to the LSO", function()
    check(('lag "%s"'):format(group), ([[
topic<any>partition  committed  LSO  HW  lag  readable  note
<t>          0          1    3   3    2         2
<t>          1          2    2   2    0         0]]):gsub("<t>", topic), 0)
  end)

  it("seek moves a group without members, by word, time and offset", function()
    check(('print(seek("%s", "%s", "earliest"))\nprint(seek("%s", "%s", { [0] = 2 }))\nprint(seek("%s", \z
      "%s", 77))'):format(group, topic, group, topic,
      group, topic), ([[
topic<any>partition  before  now
<t>          0       1    0
<t>          1       2    0
topic<any>partition  before  now
<t>          0       0    2
nil	kafka OFFSET_OUT_OF_RANGE: <t>-0 has offsets 0 to 3, not 77]]):gsub("<t>", topic), 0)
    check(('seek("%s", "%s", "%s")'):format(group, topic, clock.iso(minute_ago + 2000)), ([[
topic<any>partition  before  now
<t>          0       2    1
<t>          1       0    0]]):gsub("<t>", topic), 0)
  end)

  it("seek is refused while a member is alive", function()
    local c <close> = must(kafka.consumer { brokers = stack.kafka.brokers, group = group })
    must(c:subscribe { topic })
    assert(task.wait_until(function()
      must(c:poll(1, "50ms"))
      return #must(c:assignment()) == 2
    end, { at_most = "20s" }))
    check(('seek("%s", "%s", "latest")'):format(group, topic),
      ("rlab: kafka GROUP_HAS_MEMBERS: group '%s' has 1 live member (<any>); stop them first, their next \z
        commit would undo the move"):format(group), 65)
  end)

  it("create makes a topic and produce sends to it; a topic that is not there is said", function()
    local name = topic .. "-new"
    check(('create("%s", 2)'):format(name), [[
partition  low  LSO  HW  LEO  leader  epoch  ISR    replicas  note
        0    0    0   0    0       <n>      <n>  <n> <n> <n>  <n> <n> <n>
        1    0    0   0    0       <n>      <n>  <n> <n> <n>  <n> <n> <n>]])
    check(('produce("%s", { key = "k", value = "v", partition = 1 }).offset'):format(name), "0")
    check(('create "%s"'):format(name), "rlab: kafka TOPIC_ALREADY_EXISTS (36): <any>", 65)
    check(('produce("%s-not", "v")'):format(name),
      ('rlab: kafka <any>; create "%s-not" makes the topic'):format(name), 65)
    must(admin:delete_topics { name })
  end)

  it("txns names the transaction that holds the LSO back", function()
    local p <close> = must(kafka.producer { brokers = stack.kafka.brokers,
      transactional_id = topic .. "-txn" })
    must(p:init_transactions())
    must(p:begin())
    must(p:send { topic = topic, partition = 1, value = "open" })
    check("txns()", ("...\n%s-txn<any>Ongoing<any>%s-1: LSO 2 < HW 3\n..."):format(topic, topic))
    must(p:abort())
  end)

  it("sql and redis answer in one line", function()
    check([[sql "select 1 as n, null as nothing, '' as blank, x'00ff' as bytes, 1.50 as price"]], [[
n  nothing  blank  bytes             price
1  null     ""     0x00ff (2 bytes)  1.50]])
    check('sql "selec"', "rlab: mysql ER_PARSE_ERROR (1064): <any>", 65)
    check(('redis "GET %s"'):format(topic), '"two words"')
    check('redis "GET no such key"', "rlab: redis ERR: <any>", 65)
    check('redis "GET nokey"', "null")
  end)

  -- a service of its own for one test, ended with it
  local function started(...)
    local process = require "rlab.process"
    local child = must(process.spawn {
      cmd = { pty.program(), "service", "spec/fixtures/services/sum.lua", "--port", "0", ... },
      stdout = "capture", stderr = "null" })
    for line in child:lines() do
      local ready = require("rlab.json").decode(line)
      if ready.say == "ready" then return child, ready.port end
    end
    error "the service is not ready"
  end

  it("failpoints and failpoint show, arm, resume and clear the points of a running service", function()
    local _ <close>, port = started "--failpoints"
    check(("failpoints(%d)"):format(port), [[
point                       expression  hits  fired  where
backfill.after_chunk                                 <any>
...
rlab.selftest                                        <any>]])
    check(('failpoint("127.0.0.1:%d", "sum.before", "pause")'):format(port), [[
point       expression  hits  fired  where
sum.before  pause          0      0]])
    local waiting = task.spawn(function()
      return must(require("rlab.http").post(("http://127.0.0.1:%d/accounts/a/entries"):format(port),
        { amount = 1, request_id = "r" }))
    end)
    assert(task.wait_until(function()
      return pty.run(("echo 'failpoint(%d, \"sum.before\")[1].fired' | rlab"):format(port),
        { home = absolute(), env = env() }) == "1"
    end, { at_most = "60s" }))
    check(('failpoint("http://127.0.0.1:%d", "sum.before", "resume")'):format(port), [[
point       expression  hits  fired  where
sum.before  pause          1      1]])
    local answer = waiting:join()
    assert.equal(200, answer.status, answer.body)
    check(('failpoint(%d, "sum.before", "off")'):format(port), [[
point       expression  hits  fired  where
sum.before                 1      1]])
    check(('failpoint(%d, "sum.before", "#3 kil")'):format(port),
      ("rlab: rlab REFUSED: http://127.0.0.1:%d/failpoints/sum.before: no action 'kil', did you mean \z
        'kill'? (column 4)\n..."):format(port), 65)
    check(('failpoint(%d, "sum.nowhere")'):format(port),
      "rlab: rlab NO_POINT: nothing is called sum.nowhere at <any>", 65)
  end)

  it("failpoints says what is wrong with the service that it was given", function()
    local _ <close>, port = started()
    check(("failpoints(%d)"):format(port),
      ("rlab: rlab NO_FAILPOINTS: what answers at http://127.0.0.1:%d has no failpoints; start the \z
        service with --failpoints"):format(port), 65)
    check('failpoints "comand"', "rlab: rlab USAGE: no service 'comand'; did you mean 'command'?", 65)
    check('failpoints "relay"', "rlab: relay takes any port that is free; say the one that it names when \z
      it is ready: failpoints(43121)", 65)
    check("failpoints()",
      'rlab: failpoints takes a URL, a port, or a service with a port of its own: "command"', 65)
  end)

  it("proxies, rules, rule and unrule show the proxy and change what it does", function()
    check("proxies()", [[
name<any>proto  listen<any>upstream<any>state  open  bytes up  bytes down  toxics
kafka-1<any>kafka  127.0.0.1:<n>  127.0.0.1:<n>  up<any>
...
mysql<any>mysql  127.0.0.1:<n>  127.0.0.1:<n>  up<any>
redis<any>redis  127.0.0.1:<n>  127.0.0.1:<n>  up<any>]])
    local text = ('rule { api = "Produce", topic = "%s", nth = 2, action = "cut-after", owner = "%s" }')
      :format(topic, topic)
    local shown = (
      "<any><n>  kafka  cut-after  api=Produce topic=%s nth=2 times=1        <n>      <n>     0  %s"):format(
      topic, topic)
    check(text, "<any>id  proto  action     on<any>matched  fired  held  owner\n" .. shown)
    local p <close> = must(kafka.producer { brokers = stack.proxy.brokers, ["linger.ms"] = 0,
      enable_idempotence = true })
    for i = 1, 3 do must(p:send { topic = topic, partition = 0, value = "through the proxy " .. i }) end
    local client = must(require("rlab.proxy").connect(stack.proxy.url))
    local id
    for _, rule in ipairs(must(client:rules())) do
      if rule.owner == topic then id = rule.id end
    end
    check(("for _, r in ipairs(rules()) do if r.id == %d then print(r.on, r.matched, r.fired) end end")
      :format(id),
      ("api=Produce topic=%s nth=2 times=1<any>2<any>1"):format(topic))
    check(("for _, r in ipairs(unrule(%d)) do assert(r.id ~= %d) end print 'gone'"):format(id, id), "gone")
    check(("unrule(%d)"):format(id),
      ("rlab: rlab NOT_FOUND (404): the proxy: there is no rule %d"):format(id), 65)
    check('rule { actio = "delay" }',
      "rlab: rlab PROXY (400): the proxy: proxy:rule: unknown option 'actio', did you mean 'action'?", 65)
    check('unrule "x"', "rlab: unrule takes the number of a rule; rules() shows them", 65)
  end)

  -- names come from a cache that a background task fills, so Tab is pressed until they are there
  local function complete(s, typed, whole)
    s:wait "rlab>"
    s:send(typed)
    for _ = 1, 200 do
      s:send "\t"
      task.sleep(0.1)
      if s:text():match "[^\n]*$" == "rlab> " .. whole then return end
    end
    error(("'%s' was not completed to '%s'; the screen shows:\n%s"):format(typed, whole, s:text()))
  end

  it("has the tables that there are for completion, less those that runs are copied from", function()
    local names = require("rlab.repl.names").new()
    local _ <close> = require "rlab.defer"(function() names:close() end)
    local db <close> = must(require("rlab.mysql").connect(stack:mysql_opts()))
    local mine, template = topic:gsub("%W", "_"), "rlab_template_of_the_words"
    for _, schema in ipairs { mine, template } do
      must(db:exec(("create schema if not exists %s"):format(schema)))
      must(db:exec(("create table if not exists %s.t (n int)"):format(schema)))
    end
    names:refresh()
    names.working:join()
    for _, schema in ipairs { mine, template } do must(db:exec(("drop schema %s"):format(schema))) end
    local templates = 0
    for _, name in ipairs(names.tables) do
      if name:find "^rlab_template_" then templates = templates + 1 end
    end
    assert.equal(0, templates)
    assert.is_true(tables.contains(names.tables, mine .. ".t"))
  end)

  it("completes live topics, groups and keys at the prompt", function()
    local s = pty.start { home = absolute(), env = env(), columns = 120 }
    local ok, failure = pcall(function()
      complete(s, 'lag "' .. group:sub(1, -3), ('lag "%s"'):format(group))
      s:send "\r"
      s:wait_text(("%s          1"):format(topic))
      complete(s, 'offsets "' .. topic:sub(1, -3), ('offsets "%s"'):format(topic))
      s:send "\r"
      s:wait_text "ISR"
      complete(s, 'redis "GET ' .. topic:sub(1, -3), ('redis "GET %s'):format(topic))
      s:send '"\r'
      s:wait_text '"two words"'
      s:line("watch(0.01, 'redis \"GET " .. topic .. "\"', 3)")
      s:wait "rlab>"
      s:send "\4"
    end)
    local code, seen = s:finish()
    assert(ok, failure)
    assert.equal(0, code)
    assert.truthy(seen:find("two words\"\nevery 10 ms, round 3, Ctrl-C ends\nrlab>", 1, true), seen)
  end)
end)
