-- The command service on the real stack: its answers, its one transaction, and its modes.
local cache = require "rlab.cache"
local http = require "rlab.http"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local lock_waits = require "spec.support.lock_waits"
local services = require "spec.support.services"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local process = require "rlab.process"
local redis = require "rlab.redis"
local task = require "rlab.task"
local uuid = require "rlab.uuid"

local lab

local function rows(sql, ...)
  local list = must(lab.db:query(sql, ...))
  for key in pairs(list) do
    if type(key) ~= "number" then list[key] = nil end
  end
  return list
end

local function entry(service, account, id, amount)
  return service:call("POST", ("/accounts/%d/entries"):format(account), { request_id = id, amount = amount })
end

local function count(word)
  return lab:value(("SELECT COUNT(*) FROM %s"):format(word))
end

describe("the command service", function()
  before_each(function() lab = services.new "command" end)
  after_each(function() lab:close() end)

  it("writes account, ledger and outbox in one transaction", function()
    local service <close> = lab:start "command"
    local status, made, answer = service:call("POST", "/accounts", { id = 17 })
    assert.same({ 201, { id = 17, balance = 0, version = 0 }, "/accounts/17" },
      { status, made, answer.headers.location })
    assert.equal(201, (entry(service, 17, "cmd-1", 1450)))
    local done, second = entry(service, 17, "cmd-2", -250)
    assert.equal(201, done)
    assert.same({ 17, -250, 1200, 2, "cmd-2" },
      { second.account_id, second.amount, second.balance, second.version, second.request_id })
    local _, now = service:call("GET", "/accounts/17")
    assert.same({ id = 17, balance = 1200, version = 2 }, now)
    local row = rows("SELECT BIN_TO_UUID(event_id) AS id, shard, message_key, payload, headers, \z
      published_at FROM outbox_event ORDER BY id")[2]
    assert.same({ second.event_id, "17", tostring(require "rlab.null") },
      { row.id, row.message_key, tostring(row.published_at) })
    assert.equal(lab:value "SELECT CRC32('17') % 64", row.shard)
    assert.same({ { "request-id", "cmd-2" } }, json.decode(row.headers))
    local event = json.decode(row.payload)
    assert.same({ 17, -250, 1200, 2, "cmd-2", "entry", second.event_id },
      { event.account_id, event.amount, event.balance, event.version, event.request_id, event.type,
        event.event_id })
    assert.equal(2, count "ledger_entry")
  end)

  it("gives the next free id to an account without one, also to many at once", function()
    local service <close> = lab:start "command"
    local ids = {}
    task.group(function(g)
      for _ = 1, 8 do
        g:spawn(function()
          local status, made = service:call("POST", "/accounts")
          assert.equal(201, status)
          ids[made.id] = true
        end)
      end
    end)
    for id = 1, 8 do assert.is_true(ids[id]) end
    assert.equal(409, (service:call("POST", "/accounts", { id = 3 })))
    assert.equal(201, (service:call("POST", "/accounts", { id = math.maxinteger })))
    local status, problem = service:call("POST", "/accounts")
    assert.equal(409, status)
    assert.matches("highest id", problem.detail)
  end)

  it("gives the same request id the same answer, also to twenty at once, and refuses it for another \z
    command", function()
    local service <close> = lab:start "command"
    service:call("POST", "/accounts", { id = 1 })
    local bodies, replayed = {}, 0
    task.group(function(g)
      for i = 1, 20 do
        g:spawn(function()
          local answer = must(http.post(service.url .. "/accounts/1/entries", { amount = 5 },
            { headers = { ["Idempotency-Key"] = "once" } }))
          assert.equal(201, answer.status)
          bodies[i] = answer.body
          replayed = replayed + (answer.headers["idempotent-replayed"] == "true" and 1 or 0)
        end)
      end
    end)
    for i = 2, 20 do assert.equal(bodies[1], bodies[i]) end
    assert.equal(19, replayed)
    assert.same({ 1, 1, 5 }, { count "ledger_entry", count "outbox_event",
      lab:value "SELECT balance FROM account WHERE id = 1" })
    assert.equal(422, (entry(service, 1, "once", 6)))
    service:call("POST", "/accounts", { id = 2 })
    assert.equal(422, (entry(service, 2, "once", 5)))
    assert.equal(19, service:metric 'rlab_command_entries_total{outcome="replayed"}')
  end)

  it("refuses what is wrong, as a problem, and changes nothing", function()
    local service <close> = lab:start "command"
    service:call("POST", "/accounts", { id = 1 })
    local function refused(status, method, path, body, headers)
      local got, problem, answer = service:call(method, path, body, headers)
      assert.equal(status, got, tostring(body))
      assert.equal("application/problem+json", answer.headers["content-type"])
      assert.equal(status, problem.status)
      assert.is_true(#problem.detail > 10)
      return answer
    end
    local path = "/accounts/1/entries"
    for _, body in ipairs { "{", "[]", "7", "", '{"amount":1}', '{"amount":"1","request_id":"a"}',
      '{"amount":1.5,"request_id":"a"}', '{"amount":0,"request_id":"a"}',
      '{"amount":9223372036854775808,"request_id":"a"}', '{"amount":1,"request_id":7}',
      '{"amount":1,"request_id":""}', '{"amount":1,"requestid":"a"}',
      '{"request_id":"a"}', ('{"amount":1,"request_id":"%s"}'):format(("x"):rep(129)) } do
      refused(400, "POST", path, body)
    end
    refused(400, "POST", path, { amount = 1, request_id = "a" }, { ["idempotency-key"] = "b" })
    for _, id in ipairs { '"\\udc80"', '"\\ud83d"', '"\255"' } do
      refused(400, "POST", path, '{"amount":1,"request_id":' .. id .. "}")
    end
    refused(400, "POST", path, { amount = 1 }, { ["idempotency-key"] = "\255" })
    refused(404, "POST", "/accounts/2/entries", { amount = 1, request_id = "a" })
    refused(404, "GET", "/accounts/2")
    for _, id in ipairs { "x", "+1", "0x1", "1e0", "%201", "0", "-1", "9223372036854775808" } do
      refused(400, "GET", "/accounts/" .. id)
    end
    refused(404, "GET", "/nowhere")
    for _, body in ipairs { '{"id":0}', '{"id":"2"}', '{"id":1.5}', "[]" } do
      refused(400, "POST", "/accounts", body)
    end
    for _, id in ipairs { '"\xff"', '"\\ud83d"' } do
      refused(400, "POST", path, ('{"amount":1,"request_id":%s}'):format(id))
    end
    refused(400, "POST", path, { amount = 1 }, { ["idempotency-key"] = "\xff" })
    assert.equal(201, (service:call("POST", "/accounts", { id = math.maxinteger })))
    refused(409, "POST", "/accounts")
    refused(415, "POST", path, { amount = 1, request_id = "a" }, { ["Content-Type"] = "text/plain" })
    assert.equal("POST", refused(405, "GET", path).headers.allow)
    refused(405, "DELETE", "/accounts/1")
    refused(413, "POST", path, (" "):rep(1 << 20) .. "{}")
    assert.equal(201, (entry(service, 1, "most", math.maxinteger)))
    refused(422, "POST", path, { amount = 1, request_id = "over" })
    service:call("POST", "/accounts", { id = 3 })
    assert.equal(201, (entry(service, 3, "least", math.mininteger)))
    refused(422, "POST", "/accounts/3/entries", { amount = -1, request_id = "under" })
    assert.same({ 2, 2 }, { count "ledger_entry", count "outbox_event" })
  end)

  it("runs side by side on one account without losing an entry", function()
    local service <close> = lab:start("command", { pool = 8 })
    local other <close> = lab:start("command", { pool = 8 })
    service:call("POST", "/accounts", { id = 1 })
    task.group(function(g)
      for k = 1, 8 do
        g:spawn(function()
          for i = 1, 20 do
            assert.equal(201, (entry(k % 2 == 0 and service or other, 1, ("r-%d-%d"):format(k, i), 1)))
          end
        end)
      end
    end)
    assert.same({ 160, 160 }, { lab:value "SELECT balance FROM account",
      lab:value "SELECT version FROM account" })
    assert.same({ 160, 160 }, { count "ledger_entry", count "outbox_event" })
  end)

  it("rolls back by an error at before_commit, and keeps what was committed when it dies after", function()
    local service <close> = lab:start("command", {}, { RLAB_FAILPOINTS =
      "cmd.before_commit=#1 error(SPEC);cmd.after_commit=#2 kill" })
    service:call("POST", "/accounts", { id = 1 })
    assert.equal(500, (entry(service, 1, "a", 1)))
    assert.equal(0, count "ledger_entry")
    local made, _, first = entry(service, 1, "a", 1)
    assert.same({ 201, nil }, { made, first.headers["idempotent-replayed"] })
    local _, lost = entry(service, 1, "b", 2)
    assert.equal("CONNECTION_LOST", lost.name)
    assert.same({ signal = "KILL" }, service.child:wait "60s")
    assert.equal(2, count "ledger_entry")
    local again <close> = lab:start "command"
    local status, stored, answer = entry(again, 1, "b", 2)
    assert.same({ 201, 3, "true" }, { status, stored.balance, answer.headers["idempotent-replayed"] })
    assert.equal(2, count "outbox_event")
  end)

  it("reaches after_reply only when the answer is with the client", function()
    local service <close> = lab:start("command", {}, { RLAB_FAILPOINTS = "cmd.after_reply=#3 kill" })
    service:call("POST", "/accounts", { id = 1 })
    for i = 1, 3 do assert.equal(201, (entry(service, 1, "r" .. i, 1))) end
    assert.same({ signal = "KILL" }, service.child:wait "60s")
    assert.equal(3, count "ledger_entry")
  end)

  it("waits for a lock that another holds, then says 503", function()
    local service <close> = lab:start("command", { retries = 0 })
    service:call("POST", "/accounts", { id = 1 })
    must(lab.db:exec "BEGIN")
    must(lab.db:query "SELECT * FROM account WHERE id = 1 FOR UPDATE")
    local status, problem, answer = entry(service, 1, "locked", 1)
    must(lab.db:exec "ROLLBACK")
    assert.same({ 503, "1" }, { status, answer.headers["retry-after"] })
    assert.matches("Lock wait timeout", problem.detail)
    assert.equal(201, (entry(service, 1, "locked", 1)))
  end)

  -- The service holds the account and wants the ledger's key, which we hold; we want the account: it has
  -- written less and is the victim.
  local function deadlock_with(service, id)
    must(lab.db:exec "BEGIN")
    for i = 1, 20 do
      must(lab.db:exec([[INSERT INTO ledger_entry (event_id, request_id, account_id, amount, balance, version)
        VALUES (UUID_TO_BIN(UUID()), ?, 9, 1, 1, ?)]], i == 1 and id or id .. i, i))
    end
    local command = task.spawn(function() return entry(service, 1, id, 1) end)
    local observer <close> = must(mysql.connect(lab.stack:mysql_opts()))
    lock_waits.await(observer, lab.schema, 1, function()
      if command:done() then error("it did not wait: " .. json.encode { command:join() }) end
    end)
    must(lab.db:query "SELECT * FROM account WHERE id = 1 FOR UPDATE") -- we are not the victim
    must(lab.db:exec "ROLLBACK")
    return command
  end

  it("runs again after a deadlock, as often as it may", function()
    local once <close> = lab:start("command", { retries = 0, lock_wait = 10, deadline = "20s" })
    once:call("POST", "/accounts", { id = 1 })
    local status, problem = deadlock_with(once, "a"):join()
    assert.equal(503, status)
    assert.matches("Deadlock found", problem.detail)
    local again <close> = lab:start("command", { lock_wait = 10, deadline = "20s" })
    assert.equal(201, (deadlock_with(again, "b"):join()))
    assert.same({ 1, 1 }, { count "ledger_entry", lab:value "SELECT balance FROM account WHERE id = 1" })
  end)

  it("with reserve = redis changes the cached balance although the transaction fails", function()
    local prefix = lab.schema .. ":"
    local r <close> = must(redis.connect { host = lab.stack.redis.host, port = lab.stack.redis.port })
    must(cache.fill(r, prefix, 1, { balance = 100, version = 0 }, {}))
    local service <close> = lab:start("command", { reserve = "redis", prefix = prefix },
      { RLAB_FAILPOINTS = "cmd.before_commit=#2 error(SPEC)" })
    service:call("POST", "/accounts", { id = 1 })
    assert.equal(201, (entry(service, 1, "a", -30)))
    assert.equal(500, (entry(service, 1, "b", -20)))
    assert.equal(50, must(cache.read(r, prefix, 1)).balance)
    assert.equal(-30, lab:value "SELECT balance FROM account WHERE id = 1")
    must(r:call("DEL", cache.key(prefix, 1)))
  end)

  it("with cache = versioned leaves a newer entry as it is, else it writes over it", function()
    local prefix = lab.schema .. ":"
    local r <close> = must(redis.connect { host = lab.stack.redis.host, port = lab.stack.redis.port })
    for i, how in ipairs { "versioned", "plain", "queued" } do
      local account, version = 10 + i, how == "versioned" and 5 or 1
      must(cache.fill(r, prefix, account, { balance = 7, version = 5 }, {}))
      local service <close> = lab:start("command", { cache = how, prefix = prefix })
      service:call("POST", "/accounts", { id = account })
      assert.equal(201, (entry(service, account, how, 30)))
      assert.equal(version, must(cache.read(r, prefix, account)).version)
      must(r:call("DEL", cache.key(prefix, account)))
    end
  end)

  it("with versions = clock counts by a clock, which may go back", function()
    local service <close> = lab:start("command", { versions = "clock" },
      { RLAB_FAILPOINTS = "cmd.clock=1*return(60000)" })
    service:call("POST", "/accounts", { id = 1 })
    local _, first = entry(service, 1, "ahead", 1)
    local _, second = entry(service, 1, "back", 1)
    assert.is_true(first.version > second.version and second.version > 1700000000000)
    assert.equal(second.version, lab:value "SELECT version FROM account WHERE id = 1")
  end)

  it("finishes what is under way on SIGTERM and exits 0", function()
    local service <close> = lab:start("command", {}, { RLAB_FAILPOINTS = "cmd.before_commit=sleep(2s)" })
    service:call("POST", "/accounts", { id = 1 })
    local under_way = task.spawn(function() return entry(service, 1, "last", 1) end)
    must(task.wait_until(function()
      return select(2, service:call("GET", "/failpoints/cmd.before_commit")).hits == 1 end,
      { at_most = "60s" }))
    service.child:kill "TERM"
    assert.equal(201, (under_way:join()))
    assert.same({ code = 0 }, service.child:wait "60s")
    assert.equal(1, count "ledger_entry")
  end)
end)

describe("the command service without MySQL", function()
  it("starts, says so in its health, answers 503 at once, and works when MySQL is there", function()
    lab = services.new "away"
    local port = process.free_ports(1, 21000)[1]
    local away = setmetatable({ mysql = lab.mysql:gsub(":%d+/", (":%d/"):format(port)) }, { __index = lab })
    local service <close> = away:start "command"
    must(task.wait_until(function()
      local status, health = service:call("GET", "/actuator/health/readiness")
      return status == 503 and health.components.mysql.details.why:find "CR_CONN"
    end, { at_most = "60s" }))
    assert.equal(200, (service:call("GET", "/actuator/health/liveness")))
    local status, problem, answer = entry(service, 1, "a", 1)
    assert.same({ 503, "1" }, { status, answer.headers["retry-after"] })
    -- what MySQL's port says, not what a deadline does
    assert.matches("MySQL does not serve now: [^\n]*connect", problem.detail)
    lab:close()
  end)
end)

describe("the command service's direct modes", function()
  local topic, consumer

  before_each(function()
    lab = services.new "direct"
    topic = "spec-command-" .. uuid.v7()
    local admin <close> = must(kafka.admin { brokers = lab.stack.kafka.brokers, at_most = "60s" })
    must(admin:create_topic { name = topic, partitions = 1, replication_factor = 3 })
    consumer = must(kafka.consumer { brokers = lab.stack.kafka.brokers, group = topic,
      auto_offset_reset = "earliest", enable_partition_eof = true,
      isolation_level = "read_uncommitted" })
    must(consumer:assign { { topic = topic, partition = 0, offset = 0 } })
  end)
  after_each(function()
    consumer:close()
    local admin <close> = must(kafka.admin { brokers = lab.stack.kafka.brokers, at_most = "60s" })
    must(admin:delete_topics { topic })
    lab:close()
  end)

  local function start(mode, points, more)
    local options = { mode = mode, topic = topic }
    for key, value in pairs(more or {}) do options[key] = value end
    local service = lab:start("command", options, { RLAB_FAILPOINTS = points or "" })
    service:call("POST", "/accounts", { id = 1 })
    return service
  end

  -- the request ids in the topic, once there are n or its end has been seen
  local function published(n)
    local ids, ended = {}, false
    must(task.wait_until(function()
      local batch <close> = must(consumer:poll(100, "100ms"))
      for _, record in ipairs(batch) do
        ended = ended or record.eof
        for _, header in ipairs(not record.eof and record.headers or {}) do
          if header[1] == "request-id" then ids[#ids + 1] = header[2] end
        end
      end
      if n then return #ids >= n end
      return ended
    end, { at_most = "60s" }))
    return ids
  end

  it("after the commit: loses the event when it dies between reply and send", function()
    local service <close> = start("direct-after-commit", "cmd.after_reply=#3 kill")
    for i = 1, 3 do assert.equal(201, (entry(service, 1, "r" .. i, 1))) end
    assert.same({ signal = "KILL" }, service.child:wait "60s")
    assert.same({ "r1", "r2" }, published(2))
    assert.same({ 3, 0 }, { count "ledger_entry", count "outbox_event" })
    assert.same({}, published())
  end)

  it("after the commit: ends when what follows the last reply is done", function()
    local service <close> = start("direct-after-commit", "cmd.after_reply=1*pause")
    assert.equal(201, (entry(service, 1, "r1", 1)))
    must(task.wait_until(function()
      return select(2, service:call("GET", "/failpoints/cmd.after_reply")).hits == 1 end,
      { at_most = "60s", what = "the pause" }))
    service.child:kill "TERM"
    must(task.wait_until(function() return service:metric "rlab_draining" == 1 end,
      { at_most = "60s", what = "the drain" }))
    service:call("POST", "/failpoints/cmd.after_reply/resume")
    assert.same({ code = 0 }, service.child:wait "60s")
    assert.same({ "r1" }, published())
  end)

  it("queued: loses all that linger when it dies, but none when it ends well", function()
    -- longer than three commands take
    local lingers = { producer = "linger.ms=120000,message.timeout.ms=240000" }
    local service <close> = start("direct-queued", "cmd.after_reply=#3 kill", lingers)
    for i = 1, 3 do assert.equal(201, (entry(service, 1, "r" .. i, 1))) end
    assert.same({ signal = "KILL" }, service.child:wait "60s")
    local whole <close> = start "direct-queued"
    for i = 4, 5 do assert.equal(201, (entry(whole, 1, "r" .. i, 1))) end
    whole.child:kill "TERM"
    assert.same({ code = 0 }, whole.child:wait "60s")
    assert.same({ "r4", "r5" }, published(2))
  end)

  it("before the commit: leaves a ghost when the commit does not follow", function()
    local service <close> = start("direct-before-commit", "cmd.before_commit=#2 error(SPEC)")
    assert.equal(201, (entry(service, 1, "r1", 1)))
    assert.equal(500, (entry(service, 1, "ghost", 1)))
    assert.equal(201, (entry(service, 1, "r3", 1)))
    assert.same({ "r1", "ghost", "r3" }, published(3))
    assert.equal(2, count "ledger_entry")
  end)

  it("unwatched: answers 201 while nothing gets through", function()
    local port = process.free_ports(1, 21000)[1]
    local service <close> = start("direct-unwatched", "",
      { brokers = "127.0.0.1:" .. port, producer = "message.timeout.ms=300,log_level=0" })
    assert.equal(201, (entry(service, 1, "r1", 1)))
    must(task.wait_until(function()
      return service:metric 'rlab_command_reports_total{code="-192",status="NOT_PERSISTED"}' == 1 end,
      { at_most = "60s" }))
    assert.equal(503, (service:call("GET", "/actuator/health/readiness")))
    assert.equal(1, count "ledger_entry")
  end)
end)
