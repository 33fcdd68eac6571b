-- The Kafka bindings against librdkafka's in-process mock cluster: our own code only. What brokers do is in
-- spec/live/store/kafka_spec.lua.
local cluster = require "spec.support.kafka_mock"
local host = require "rlab.core_host"
local kafka = require "rlab.kafka"
local null = require "rlab.null"
local task = require "rlab.task"

local consumer, producer, reader, read, wait = cluster.consumer, cluster.producer, cluster.reader,
  cluster.read, cluster.wait
local brokers

describe("rlab.kafka", function()
  local mock, opened

  setup(function()
    mock = cluster.open()
    brokers = cluster.brokers
  end)

  teardown(function() mock:close() end)

  local function while_others_run(call)
    local others = false
    task.spawn(function() others = true end)
    assert(call())
    assert.is_true(others)
  end

  it("lets other tasks run while librdkafka is asked to subscribe or to begin", function()
    local c <close> = consumer { group = "g-others" }
    while_others_run(function() return c:subscribe "others" end)
    assert.same({ "others" }, c:subscription())
    while_others_run(function() return c:unsubscribe() end)
    assert.same({}, c:subscription())
    local p <close> = producer { transactional_id = "t-others" }
    assert(p:init_transactions "60s")
    while_others_run(function() return p:begin() end)
    assert.is_true(p:in_transaction())
    assert(p:abort "60s")
  end)

  before_each(function() opened = host.open_handles() end)
  after_each(function() assert.equal(opened, host.open_handles()) end)

  describe("options", function()
    it("of rights are strict and helpful", function()
      local admin <close> = assert(kafka.admin { brokers = brokers })
      local function refused(acl, why)
        assert.error_matches(function() admin:create_acls { acl } end, why, 1, true)
      end
      refused({ principal = "User:a", name = "t" }, "option 'operation' must be a string, got nil")
      refused({ principal = "User:a", name = "t", operation = "reed" }, "did you mean 'read'?")
      refused({ principal = "User:a", name = "t", operation = "read", resource = "cluter" }, "'cluster'?")
      refused({ principal = "User:a", operation = "read" }, "option 'name' must be a string")
      refused({ name = "t", operation = "read" }, "option 'principal' must be a string")
      assert.error_matches(function() admin:set_scram { user = "u", password = "" } end,
        "neither user nor password may be empty")
      assert.is_true(admin:create_acls {})
    end)

    it("are strict and helpful", function()
      assert.error_matches(function() kafka.producer { brokers = "x", linger_m = 5 } end,
        "unknown option 'linger_m', did you mean 'linger.ms'")
      assert.error_matches(function() kafka.producer { brokers = "x", group = "g" } end,
        "'group.id' is a property of consumers")
      assert.error_matches(function() kafka.consumer { brokers = "x", ["linger.ms"] = 5 } end,
        "'linger.ms' is a property of producers")
      assert.error_matches(function() kafka.producer { brokers = "x", acks = "most" } end, "acks")
      assert.error_matches(function() kafka.producer { brokers = "x", linger_ms = "5 parsecs" } end,
        "no duration")
      assert.error_matches(function() kafka.producer { brokers = "x", linger_ms = print } end, "got function")
      assert.error_matches(function() kafka.producer { brokers = "x", dr_msg_cb = 1 } end,
        "unknown option 'dr_msg_cb'")
      assert.error_matches(function() kafka.producer { "x" } end, "name = value")
      assert.error_matches(function() kafka.producer {} end, "no brokers")
    end)

    it("take dots, underscores, durations, sizes, booleans and lists", function()
      local p <close> = producer { ["queue.buffering.max.messages"] = 1000, message_timeout_ms = "3s",
        socket_send_buffer_bytes = "64KiB",
        enable_idempotence = true, brokers = { brokers, "localhost:1" }, acks = "all",
        compression_codec = "lz4" }
      assert.is_true(p:is_open())
    end)

    it("that contradict each other are an error, not a crash", function()
      local p, e = kafka.producer { brokers = brokers, transactional_id = "x", enable_idempotence = false }
      assert.is_nil(p)
      assert.equal("_INVALID_ARG", e.name)
    end)

    it("have defaults that a script can set", function()
      kafka.defaults.brokers, kafka.defaults.linger_ms, kafka.defaults.group = brokers, 1, "g"
      local p = assert(kafka.producer {})
      local c = assert(kafka.consumer {})
      for k in pairs(kafka.defaults) do kafka.defaults[k] = nil end
      p:close()
      c:close()
    end)
  end)

  describe("a share consumer", function()
    it("needs a group and a subscription, and takes three words", function()
      local none, missing = kafka.share_consumer { brokers = "127.0.0.1:1" }
      assert.is_nil(none)
      assert.matches("needs a group", missing.message)
      local s <close> = assert(kafka.share_consumer { brokers = "127.0.0.1:1", group = "g" })
      local list, failure = s:poll "10ms"
      assert.is_nil(list)
      assert.equal("_STATE", failure.name)
      assert.error_matches(function() s:subscribe {} end, "a list of topics")
      local record = { topic = "t", partition = 0, offset = 3 }
      assert.error_matches(function() s:acknowledge(record, "acept") end, "acept")
      assert.error_matches(function() s:acknowledge { topic = "t", partition = 0 } end, "a record of a poll")
      assert.error_matches(function() s:acknowledge { partition = 0, offset = 3 } end, "a record of a poll")
      local done, unknown = s:acknowledge(record, "release")
      assert.is_nil(done)
      assert.equal("_STATE", unknown.name)
      assert.matches("acknowledge t%[0%]@3", unknown.message)
    end)

    it("can be cancelled while it waits", function()
      local s <close> = assert(kafka.share_consumer { brokers = brokers, group = "g" })
      assert(s:subscribe "t")
      assert.is_nil((task.timeout("50ms", function() return s:poll "30s" end)))
      assert.same({}, assert(s:poll "10ms"))
    end)
  end)

  describe("a record", function()
    it("is checked before it is sent", function()
      local p <close> = producer()
      local function wrong(record, pattern)
        assert.error_matches(function() p:post(record) end, pattern)
        assert.error_matches(function() p:submit { record } end, pattern)
      end
      wrong({ topic = "r", valu = "x" }, "unknown field 'valu'")
      wrong({ value = "x" }, "topic is missing")
      wrong({ topic = "r", value = 12 }, "record.value: a string or null expected, got number")
      wrong({ topic = "r", key = {} }, "record.key: a string or null")
      wrong({ topic = "r", partition = -1 }, "record.partition")
      wrong({ topic = "r", timestamp = 1.5 }, "record.timestamp")
      wrong({ topic = "r", timestamp = 0 }, "record.timestamp: .* from 1 on, not 0")
      wrong({ topic = "r", timestamp = -1 }, "record.timestamp")
      wrong({ topic = "r", headers = { a = "b" } }, "their order counts")
      wrong({ topic = "r", headers = { { "a", 1 } } }, "the value of 'a' must be")
      wrong("text", "record table")
      assert.equal(0, p:stats().sent)
    end)

    it("keeps null and empty apart, and every byte of its headers", function()
      local p <close> = producer()
      local all = string.char(0, 255, 10, 0)
      assert(p:send { topic = "nulls", partition = 0, value = null, key = "k" })
      assert(p:send { topic = "nulls", partition = 0, key = null })
      assert(p:send { topic = "nulls", partition = 0, value = "", key = "", timestamp = 1234567890123 })
      assert(p:send { topic = "nulls", partition = 0, value = all,
        headers = { { "h", all }, { "h", null }, { "h", "" }, { "g", "1" }, { "h", "last" } } })
      local c <close> = reader "nulls"
      local seen = {}
      wait(function()
        for r in assert(c:poll(10, "200ms")):each() do seen[#seen + 1] = r end
        return #seen == 4
      end, { at_most = "60s" })
      assert.same({ "k", null }, { seen[1].key, seen[1].value })
      assert.same({ null, null }, { seen[2].key, seen[2].value })
      assert.same({ "", "" }, { seen[3].key, seen[3].value })
      assert.equal(1234567890123, seen[3].timestamp)
      assert.equal("create", seen[3].timestamp_type)
      assert.equal(all, seen[4].value)
      assert.same({ { "h", all }, { "h", null }, { "h", "" }, { "g", "1" }, { "h", "last" } },
        seen[4].headers)
      assert.equal("last", seen[4]:header "h")
      assert.is_nil(seen[4]:header "none")
      assert.is_nil(seen[1].headers)
      assert.error_matches(function() return seen[1].ofset end, "no field 'ofset'")
    end)
  end)

  describe("a producer", function()
    it("reports partition, offset, timestamp and status", function()
      local p <close> = producer()
      local first = assert(p:send { topic = "reports", partition = 2, value = "a" })
      local second = assert(p:send { topic = "reports", partition = 2, value = "b" })
      assert.equal("reports", first.topic)
      assert.equal(2, second.partition)
      assert.equal(first.offset + 1, second.offset)
      assert.is_true(math.type(second.timestamp) == "integer")
      assert.equal("PERSISTED", second.status)
      local n = p:stats()
      assert.same({ 2, 2, 0, 0, 2 }, { n.sent, n.acked, n.failed, n.pending, n.bytes })
    end)

    it("says what failed and whether it may be in the log", function()
      local p <close> = assert(kafka.producer { brokers = "127.0.0.1:1", message_timeout_ms = 150,
        linger_ms = 0 })
      local ok, e = p:send { topic = "t", value = "x" }
      assert.is_nil(ok)
      assert.equal("_MSG_TIMED_OUT", e.name)
      assert.equal("NOT_PERSISTED", e.status)
      local n = p:stats()
      assert.same({ 1, 0, 1 }, { n.sent, n.acked, n.failed })
      ok, e = p:post { topic = "t", value = ("x"):rep(2000000) }
      assert.is_nil(ok)
      assert.equal("MSG_SIZE_TOO_LARGE", e.name)
      wait(function() return #p:errors() > 0 end, { at_most = "60s", what = "an error event" })
    end)

    it("serves ten thousand sends at once", function()
      local p <close> = producer { linger_ms = 5 }
      local done = 0
      task.group(function(g)
        for i = 1, 10000 do
          g:spawn(function()
            assert(p:send { topic = "many", key = tostring(i), value = "v" })
            done = done + 1
          end)
        end
      end)
      assert.equal(10000, done)
      assert.equal(10000, p:stats().acked)
    end)

    it("waits for room instead of failing", function()
      local p <close> = producer { queue_buffering_max_messages = 10, linger_ms = 0 }
      local values, list = {}, {}
      for i = 1, 500 do values[i], list[i] = "v" .. i, { topic = "room", partition = 0, value = "s" .. i } end
      assert.equal(500, p:post_batch { topic = "room", partition = 0, values = values })
      local deliveries = p:send_batch(list)
      assert.same({ 500, 0, 0 }, { deliveries:counts() })
      task.group(function(g)
        for i = 1, 100 do
          g:spawn(function() assert(p:send { topic = "room", partition = 0, value = "x" .. i }) end)
        end
      end)
      local c <close> = reader "room"
      local seen = read(c, 1100)
      for i = 1, 500 do
        assert.equal("v" .. i, seen[i].value)
        assert.equal("s" .. i, seen[500 + i].value)
      end
      -- one that keeps what it has: else the broker may take it as fast as it comes
      local full <close> = producer { queue_buffering_max_messages = 10, linger_ms = 50000 }
      for _ = 1, 10 do assert(full:post { topic = "room", value = "y" }) end
      local ok, e = full:post { topic = "room", value = "y" }
      assert.is_nil(ok)
      assert.equal("_QUEUE_FULL", e.name)
      assert.is_true(e.retriable)
    end)

    it("submits in order and tells each fate", function()
      local p <close> = producer { message_max_bytes = 2000 }
      local deliveries = p:submit { { topic = "fates", partition = 0, value = "a" },
        { topic = "fates", partition = 0, value = ("b"):rep(5000) },
        { topic = "fates", partition = 0, value = "c" } }
      assert.is_nil(deliveries[1])
      assert.is_true(deliveries:wait "60s")
      assert.equal(3, #deliveries)
      assert.equal(deliveries[1].offset + 1, deliveries[3].offset)
      assert.equal("MSG_SIZE_TOO_LARGE", deliveries[2].name)
      assert.same({ 2, 1, 0 }, { deliveries:counts() })
      assert.equal(3, deliveries:acked()[2].index)
      assert.same({ 2, "NOT_PERSISTED" }, { deliveries:failed()[1].index, deliveries:failed()[1].status })
      assert.is_nil(deliveries[4])
      assert.is_true(p:submit({}):wait())
    end)

    it("posts batches with keys, nulls and a partition", function()
      local p <close> = producer()
      assert.equal(3, p:post_batch { topic = "batch", partition = 0, keys = { "a", null, "" },
        values = { null, "x", "" } })
      assert(p:flush "60s")
      assert.error_matches(function() p:post_batch { topic = "batch", values = { "a" }, keys = {} } end,
        "as many keys")
      assert.error_matches(function() p:post_batch { topic = "batch", values = { 1 } } end, "values%[1%]")
      assert.error_matches(function() p:post_batch { topic = "batch", value = {} } end,
        "did you mean 'values'")
      local c <close> = reader "batch"
      assert.same({ { key = "a", value = null, offset = 0, eof = false },
        { key = null, value = "x", offset = 1, eof = false },
        { key = "", value = "", offset = 2, eof = false } }, read(c, 3))
    end)

    it("stops a batch at the record that is refused", function()
      local p <close> = producer { message_max_bytes = 2000 }
      local values = { "a", ("b"):rep(1700), ("c"):rep(1900), ("d"):rep(5000), "e" }
      local sent, e = p:post_batch { topic = "refused", partition = 0, values = values }
      assert.is_nil(sent)
      assert.same({ "MSG_SIZE_TOO_LARGE", 4 }, { e.name, e.index })
      assert(p:flush "60s") -- now the partitions are known
      sent, e = p:post_batch { topic = "refused", partition = 99, values = { "f", "g" } }
      assert.is_nil(sent)
      assert.same({ "_UNKNOWN_PARTITION", 1 }, { e.name, e.index })
      assert.equal(3, p:stats().acked)
      sent, e = p:post_batch { topic = "refused", partition = 0, keys = { "k", ("k"):rep(200), "k" },
        values = { "f", ("g"):rep(1900), "h" } }
      assert.is_nil(sent)
      assert.same({ "MSG_SIZE_TOO_LARGE", 2 }, { e.name, e.index })
      assert(p:flush "60s")
      assert.equal(4, p:stats().acked)
    end)

    it("purges, and a cancelled send does not hurt", function()
      local p <close> = assert(kafka.producer { brokers = "127.0.0.1:1", linger_ms = 0 })
      local lost = task.spawn(function() return p:send { topic = "t", value = "x" } end)
      local left = task.spawn(function() return p:send { topic = "t", value = "y" } end)
      task.yield()
      left:cancel()
      local ok, e = left:join()
      assert.same({ nil, "CANCELLED" }, { ok, e.name })
      assert.is_nil(p:flush "20ms")
      assert.equal(2, p:pending())
      p:purge()
      ok, e = lost:join()
      assert.is_nil(ok)
      assert.equal("_PURGE_QUEUE", e.name)
      assert.equal("NOT_PERSISTED", e.status)
      assert(p:flush "60s")
    end)

    it("closed, ends every wait and says that it is closed", function()
      local p = assert(kafka.producer { brokers = "127.0.0.1:1", linger_ms = 0,
        queue_buffering_max_messages = 3 })
      local sent = task.spawn(function() return p:send { topic = "t", value = "x" } end)
      local set = p:submit { { topic = "t", value = "y" }, { topic = "t", value = "z" } }
      local waiting = task.spawn(function() return set:wait() end)
      local stuck = task.spawn(function() return p:send { topic = "t", value = "w" } end)
      local flushing = task.spawn(function() return p:flush() end)
      task.sleep "20ms"
      p:close { at_most = "50ms" }
      local ok, e = sent:join()
      assert.same({ nil, "CLOSED", "POSSIBLY_PERSISTED" }, { ok, e.name, e.status })
      assert.is_true(waiting:join())
      assert.equal("CLOSED", set[1].name)
      ok, e = stuck:join()
      assert.is_nil(ok)
      assert.matches("is closed", tostring(e))
      ok, e = flushing:join()
      assert.same({ nil, "CANCELLED" }, { ok, e.name })
      assert.error_matches(function() p:send { topic = "t", value = "x" } end,
        "this kafka.producer is closed")
      p:close()
    end)

    it("cannot wait outside a task", function()
      local p <close> = producer()
      local co = coroutine.wrap(function() return p:send { topic = "t", value = "x" } end)
      assert.error_matches(co, "cannot wait here")
    end)
  end)
end)
