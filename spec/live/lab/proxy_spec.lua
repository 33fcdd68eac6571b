-- The proxy before real brokers: every action of a rule, its counters, and the wire log. Nothing here touches
-- what others do: each spec has names of its own on the stack's proxy.
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local proxy = require "rlab.proxy"
local seconds = require "spec.support.timed"
local task = require "rlab.task"
local unique = require "spec.support.unique"

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
