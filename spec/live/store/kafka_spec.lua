-- The Kafka bindings on real brokers: what the mock cluster cannot show.
local clock = require "rlab.clock"
local kafka = require "rlab.kafka"
local task = require "rlab.task"
local err = require "rlab.err"
local host = require "rlab.core_host"
local must = require "rlab.must"

local brokers, admin
local run = ("spec-%d-%d"):format(os.time(), math.random(1 << 30))
local made = {}

local function find_brokers()
  local given = os.getenv "RLAB_TEST_BROKERS"
  if given then return given end
  return must(require("rlab.stack").open { needs = { "kafka" }, start = true }).kafka.brokers
end

local function poll_until(c, pred, what)
  return must(task.wait_until(function()
    local batch <close> = must(c:poll(100, "50ms"))
    return pred(batch)
  end, { at_most = "60s", every = "1ms", what = what }))
end

local function wait(...)
  return must(task.wait_until(...))
end

local function topic(name, partitions)
  name = run .. "-" .. name
  must(admin:create_topic { name = name, partitions = partitions or 1, replication_factor = 3 })
  made[#made + 1] = name
  wait(function()
    local t = admin:topic(name)
    if not t or #t.partitions < (partitions or 1) then return false end
    for _, p in ipairs(t.partitions) do
      if #p.isr < 3 then return false end
    end
    return true
  end, { at_most = "60s", what = name .. " in sync" })
  return name
end

local function producer(options)
  local o = { brokers = brokers, linger_ms = 0 }
  for k, v in pairs(options or {}) do o[k] = v end
  return must(kafka.producer(o))
end

local function transactional(id, options)
  local o = { transactional_id = run .. "-" .. id }
  for k, v in pairs(options or {}) do o[k] = v end
  local p = producer(o)
  must(p:init_transactions "60s")
  return p
end

local function consumer(options)
  local o = { brokers = brokers, auto_offset_reset = "earliest", fetch_wait_max_ms = 50,
    enable_partition_eof = true }
  for k, v in pairs(options or {}) do o[k] = v end
  return must(kafka.consumer(o))
end

-- every record of the partition up to its end, and the EOF event
local function read_all(name, isolation)
  local c <close> = consumer { isolation_level = isolation }
  must(c:assign { topic = name, partition = 0, offset = "earliest" })
  local values, eof = {}, nil
  wait(function()
    local batch <close> = must(c:poll(100, "200ms"))
    for r in batch:each() do
      assert(not r.err, tostring(r.err))
      if r.eof then eof = { offset = r.offset } else values[#values + 1] = r.value end
    end
    return eof
  end, { at_most = "60s", what = "the end of " .. name })
  return values, eof
end

-- the end offset that a reader of this isolation level is told
local function end_of(name, isolation)
  local c <close> = consumer { isolation_level = isolation }
  return select(2, must(c:watermarks { topic = name, partition = 0 }))
end

describe("rlab.kafka on brokers", function()
  local opened

  setup(function()
    brokers = find_brokers()
    admin = must(kafka.admin { brokers = brokers, at_most = "60s" })
  end)

  teardown(function()
    admin:delete_topics(made)
    admin:close()
  end)

  before_each(function() opened = host.open_handles() end)
  after_each(function() assert.equal(opened, host.open_handles()) end)

  it("sends and reads back, with timestamps and epochs", function()
    local name = topic "roundtrip"
    local p <close> = producer { acks = "all", enable_idempotence = true }
    local at = clock.unix_ms() - 60000 -- one older than a week is the retention's at its next look
    local report = must(p:send { topic = name, key = "k", value = "v", timestamp = at })
    assert.same({ name, 0, 0, at, "PERSISTED" },
      { report.topic, report.partition, report.offset, report.timestamp, report.status })
    local c <close> = consumer()
    must(c:assign { topic = name, partition = 0, offset = 0 })
    poll_until(c, function(batch)
      local r = batch[1]
      if not r then return false end
      assert.same({ at, "create", 0 }, { r.timestamp, r.timestamp_type, r.leader_epoch })
      return true
    end, "the record")
  end)

  it("acknowledges by the acks that were asked for", function()
    local name = topic "acks"
    local p <close> = producer { acks = 0 }
    local report = must(p:send { topic = name, value = "fire and forget" })
    assert.is_nil(report.offset)
  end)

  it("says that a topic does not exist", function()
    local p <close> = producer { message_timeout_ms = "60s", topic_metadata_propagation_max_ms = 500 }
    local ok, e = p:send { topic = run .. "-none", value = "x" }
    assert.is_nil(ok)
    assert.equal("UNKNOWN_TOPIC_OR_PART", e.name)
    assert.equal("NOT_PERSISTED", e.status)
  end)

  it("keeps list order with thousands in flight", function()
    local name = topic "order"
    local p <close> = producer { enable_idempotence = true, linger_ms = 2 }
    local list = {}
    for i = 1, 5000 do list[i] = { topic = name, key = "k", value = tostring(i) } end
    local deliveries = p:send_batch(list, "60s")
    assert.same({ 5000, 0, 0 }, { deliveries:counts() })
    for i = 1, 5000 do assert.equal(i - 1, deliveries[i].offset) end
    local values = read_all(name)
    for i = 1, 5000 do assert.equal(tostring(i), values[i]) end
  end)

  describe("transactions", function()
    it("are seen whole or not at all", function()
      local name = topic "txn"
      local p <close> = transactional "whole"
      assert.same({ true, "done", 2 }, { p:transaction(function()
        must(p:send { topic = name, value = "a1" })
        p:post { topic = name, value = "a2" }
        return "done", 2
      end) })
      local ok, e = p:transaction(function()
        must(p:send { topic = name, value = "b" })
        return nil, err.new { domain = "rlab", name = "MINE", message = "no", code = 0 }
      end)
      assert.same({ nil, "MINE" }, { ok, e.name })
      assert.error_matches(function()
        p:transaction(function()
          must(p:send { topic = name, value = "c" })
          error "a bug in the script"
        end)
      end, "a bug in the script")
      must(p:transaction(function() must(p:send { topic = name, value = "d" }) end))
      wait(function() return end_of(name, "read_committed") == end_of(name, "read_uncommitted") end,
        { at_most = "60s" })
      assert.same({ "a1", "a2", "d" }, (read_all(name, "read_committed")))
      local all, eof = read_all(name, "read_uncommitted")
      assert.same({ "a1", "a2", "b", "c", "d" }, all)
      assert.equal(5 + 4, eof.offset) -- four markers
    end)

    it("open, hold the last stable offset back", function()
      local name = topic "lso"
      local p <close> = transactional "lso"
      must(p:begin())
      must(p:send { topic = name, value = "open" })
      local plain <close> = producer()
      must(plain:send { topic = name, value = "behind" })
      wait(function() return end_of(name, "read_uncommitted") == 2 end, { at_most = "60s" })
      assert.equal(0, end_of(name, "read_committed"))
      assert.is_true(p:in_transaction())
      must(p:abort())
      assert.is_false(p:in_transaction())
      wait(function() return end_of(name, "read_committed") == 3 end, { at_most = "60s" })
      assert.same({ "behind" }, (read_all(name, "read_committed")))
    end)

    it("say that a failed record needs an abort, after which all is well", function()
      local name = topic "abortable"
      local p <close> = transactional("abortable",
        { message_timeout_ms = "20s", topic_metadata_propagation_max_ms = 100 })
      local ok, e = p:transaction(function()
        must(p:send { topic = name, value = "good" })
        must(p:send { topic = run .. "-none", value = "bad" })
      end)
      assert.is_nil(ok)
      assert.is_true(e.abortable, tostring(e))
      assert.is_false(e.fatal or e.retriable)
      must(p:begin())
      must(p:post { topic = run .. "-none-either", value = "bad" })
      ok, e = p:commit "60s"
      assert.is_nil(ok)
      assert.is_true(e.abortable, tostring(e))
      must(p:abort())
      must(p:transaction(function() must(p:send { topic = name, value = "better" }) end))
      wait(function() return end_of(name, "read_committed") == end_of(name, "read_uncommitted") end,
        { at_most = "60s" })
      assert.same({ "better" }, (read_all(name, "read_committed")))
    end)

    it("left open by a closed producer are aborted", function()
      local name = topic "left"
      local p = transactional "left"
      must(p:begin())
      must(p:send { topic = name, value = "x" })
      p:close()
      wait(function() return end_of(name, "read_committed") == 2 end, { at_most = "60s" })
    end)

    it("tell apart what is fatal", function()
      local name = topic "fenced"
      local old <close> = transactional "fenced"
      must(old:begin())
      must(old:send { topic = name, value = "old" })
      local new <close> = transactional "fenced"
      local ok, e = old:send { topic = name, value = "zombie" }
      if ok then ok, e = old:commit "60s" end
      assert.is_nil(ok)
      assert.is_true(e.fatal, tostring(e))
      for _, call in ipairs { function() return old:begin() end, function() return old:commit "1s" end,
        function() return old:post { topic = name, value = "again" } end } do
        ok, e = call()
        assert.is_nil(ok)
        assert.is_true(e.fatal, tostring(e))
        assert.matches("make a new one", e.message)
      end
      must(new:transaction(function() must(new:send { topic = name, value = "new" }) end))
      wait(function() return end_of(name, "read_committed") == end_of(name, "read_uncommitted") end,
        { at_most = "60s" })
      assert.same({ "new" }, (read_all(name, "read_committed")))
    end)

    it("ended by the coordinator leave a dead producer and a live successor", function()
      local name = topic "expired"
      local p <close> = transactional("expired", { transaction_timeout_ms = 4000, message_timeout_ms = 3500 })
      must(p:begin())
      must(p:send { topic = name, value = "late" })
      wait(function() return end_of(name, "read_committed") == 2 end,
        { at_most = "60s", what = "the coordinator's abort" })
      local ok, e = p:commit "60s"
      assert.is_nil(ok)
      assert.is_true(e.fatal or e.abortable, tostring(e))
      local again <close> = transactional "expired"
      must(again:transaction(function() must(again:send { topic = name, value = "again" }) end))
      wait(function() return end_of(name, "read_committed") == end_of(name, "read_uncommitted") end,
        { at_most = "60s" })
      assert.same({ "again" }, (read_all(name, "read_committed")))
    end)

    it("are refused out of order with a plain word", function()
      local p <close> = transactional "state"
      local ok, e = p:commit "1s"
      assert.same({ nil, "_STATE" }, { ok, e.name })
      ok, e = p:send { topic = "t", value = "x" }
      assert.same({ nil, "_STATE", "NOT_PERSISTED" }, { ok, e.name, e.status })
      local plain <close> = producer()
      ok, e = plain:begin()
      assert.same({ nil, "_NOT_CONFIGURED" }, { ok, e.name })
    end)

    it("carry consumer offsets", function()
      local from, to = topic "from", topic "to"
      local plain <close> = producer()
      for i = 1, 4 do must(plain:send { topic = from, value = tostring(i) }) end
      local c <close> = consumer { group = run .. "-eos", enable_auto_commit = false }
      must(c:subscribe(from))
      local place = { topic = from, partition = 0 }
      local function committed() return must(c:committed(place))[1].offset end
      local p <close> = transactional "eos"
      local seen = {}
      local function step(give_up)
        local batch = wait(function()
          local some = must(c:poll(2, "50ms"))
          return #some:values() > 0 and some
        end, { at_most = "60s", what = "records" })
        return p:transaction(function()
          for _, v in ipairs(batch:values()) do
            seen[#seen + 1] = v
            must(p:send { topic = to, value = "=" .. v })
          end
          must(p:send_offsets(c, batch))
          if give_up then return nil, err.new { domain = "rlab", name = "MINE", message = "no", code = 0 } end
        end)
      end
      assert.is_nil((step(true)))
      assert.is_nil(committed())
      must(c:seek { topic = from, partition = 0, offset = 0 })
      seen = {}
      while #seen < 4 do must(step()) end
      assert.equal(4, committed())
      wait(function() return end_of(to, "read_committed") == end_of(to, "read_uncommitted") end,
        { at_most = "60s" })
      assert.same({ "=1", "=2", "=3", "=4" }, (read_all(to, "read_committed")))
    end)

    it("can be caught up with by the EOF event's offset", function()
      local name = topic "eof"
      local p <close> = transactional "eof"
      must(p:transaction(function() must(p:send { topic = name, value = "seen" }) end))
      must(p:begin())
      must(p:send { topic = name, value = "never" })
      must(p:abort())
      wait(function() return end_of(name, "read_committed") == 4 end, { at_most = "60s" })
      local c <close> = consumer { group = run .. "-eof", enable_auto_offset_store = false,
        enable_auto_commit = false }
      must(c:assign { topic = name, partition = 0, offset = "earliest" })
      local eof
      poll_until(c, function(batch)
        for r in batch:each() do
          if r.eof then
            eof = r.offset
            must(c:store(r))
          else
            must(c:commit(r))
            assert.equal(1, must(c:committed())[1].offset)
          end
        end
        return eof == 4
      end, "the end")
      must(c:commit())
      assert.equal(4, must(c:committed())[1].offset)
    end)
  end)

  for _, protocol in ipairs { "classic", "consumer" } do
    it("shows the rebalances of the " .. protocol .. " protocol", function()
      local name = topic("group-" .. protocol, 4)
      local options = { group = run .. "-" .. protocol, group_protocol = protocol,
        enable_auto_commit = false }
      if protocol == "classic" then options.session_timeout_ms, options.heartbeat_interval_ms = 3000, 300 end
      local a <close> = consumer(options)
      must(a:subscribe { name })
      poll_until(a, function() return #a:assignment() == 4 end, "all four")
      local first = a:generation()
      assert.is_true(first >= 1)
      assert.is_string(a:member_id())
      local b = consumer(options)
      must(b:subscribe { name })
      poll_until(a, function()
        must(b:poll(10, "50ms")):close()
        return #a:assignment() == 2 and #b:assignment() == 2
      end, "two each")
      assert.is_true(a:generation() > first)
      local types, revoked = {}, 0
      for _, e in ipairs(a:events()) do
        types[e.type] = true
        if e.type == "revoke" then revoked = revoked + #e.partitions end
      end
      assert.is_true(types.assign and types.revoke)
      assert.equal(protocol == "classic" and 4 or 2, revoked) -- eager takes all, cooperative only what moves
      must(a:commit { topic = name, partition = a:assignment()[1].partition, offset = 0 })
      b:close()
      poll_until(a, function() return #a:assignment() == 4 end, "all four again")
    end)
  end

  it("refuses a commit for partitions that are not ours any more", function()
    local name = topic "stale"
    local options = { group = run .. "-stale", enable_auto_commit = false, session_timeout_ms = 6000 }
    local a <close> = consumer(options)
    must(a:subscribe { name })
    poll_until(a, function() return #a:assignment() == 1 end, "the partition")
    local outsider <close> = consumer(options)
    must(outsider:assign { topic = name, partition = 0 })
    local ok, e = outsider:commit({ topic = name, partition = 0, offset = 0 }, { at_most = "60s" })
    assert.is_nil(ok)
    assert.equal("UNKNOWN_MEMBER_ID", e.name)
  end)
end)
