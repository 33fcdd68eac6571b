local defer = require "rlab.defer"
local kafka = require "rlab.kafka"
local task = require "rlab.task"
local clock = require "rlab.clock"
local process = require "rlab.process"

local brokers = assert(os.getenv "RLAB_TEST_BROKERS", "RLAB_TEST_BROKERS is not set")
local run = ("spec-admin-%x-%x"):format(clock.unix_ms(), clock.ns() % 0xffff)
local count = 0

local function fresh(what)
  count = count + 1
  return ("%s-%s-%d"):format(run, what, count)
end

local function ok(value, failure)
  assert.is_nil(failure and tostring(failure))
  return value
end

local function failed(name, value, failure)
  assert.is_nil(value)
  assert.are.equal(name, failure and failure.name, failure and tostring(failure))
  return failure
end

local function until_true(what, pred)
  return ok(task.wait_until(pred, { at_most = "60s", every = "20ms", what = what }))
end

describe("kafka.admin where nobody is refused anything", function()
  it("says that there is no authorizer to tell", function()
    local admin <close> = ok(kafka.admin { brokers = brokers })
    local acl = { principal = "User:spec", name = "spec", operation = "read" }
    failed("SECURITY_DISABLED", admin:create_acls { acl })
    failed("SECURITY_DISABLED", admin:delete_acls { acl })
    assert.is_true(admin:create_acls {})
  end)
end)

describe("kafka.admin", function()
  local admin
  local topics = {}

  local function topic(options)
    options.name = fresh(options.name or "topic")
    ok(admin:create_topic(options))
    topics[#topics + 1] = options.name
    return options.name
  end

  local function producer(options)
    options.brokers = brokers
    return ok(kafka.producer(options))
  end

  setup(function() admin = ok(kafka.admin { brokers = brokers, at_most = "60s" }) end)

  teardown(function()
    if #topics > 0 then admin:delete_topics(topics) end
    admin:close()
  end)

  it("describes the cluster and its quorum", function()
    local c = ok(admin:cluster())
    assert.are.equal("string", type(c.id))
    assert.are.equal(3, #c.brokers)
    assert.are.equal("number", type(c.brokers[1].port))
    assert.are.equal(c.controller, c.quorum.leader)
    assert.is_true(c.quorum.hw > 0)
  end)

  it("lowers a feature of the cluster, raises it again, and is refused a level that is not there", function()
    local level = ok(admin:features())["transaction.version"]
    assert.is_true(level >= 1)
    failed("INVALID_UPDATE_VERSION", admin:set_feature("transaction.version", 99))
    local other = level == 2 and 1 or 2
    local _ <close> = defer(function() ok(admin:set_feature("transaction.version", level)) end)
    ok(admin:set_feature("transaction.version", other))
    for _, broker in ipairs(ok(admin:cluster()).brokers) do
      until_true("the level at broker " .. broker.id, function()
        return ok(admin:features { broker = broker.id })["transaction.version"] == other
      end)
    end
  end)

  describe("topics", function()
    it("are there, whole, when create_topic returns", function()
      local name = topic { partitions = 3, replication_factor = 3 }
      local t = ok(admin:topic(name))
      assert.are.equal(3, #t.partitions)
      for i, p in ipairs(t.partitions) do
        assert.are.equal(i - 1, p.partition)
        assert.are.equal(3, #p.isr)
        assert.are.equal(0, p.epoch)
      end
      local found = false
      for _, other in ipairs(ok(admin:topics())) do found = found or other == name end
      assert.is_true(found)
      failed("TOPIC_ALREADY_EXISTS", admin:create_topic { name = name })
    end)

    it("are placed where the script says", function()
      local name = topic { assignment = { { 1, 2 }, { 3, 1 } } }
      local t = ok(admin:topic(name))
      assert.are.same({ 1, 2 }, t.partitions[1].replicas)
      assert.are.same({ 3, 1 }, t.partitions[2].replicas)
      assert.are.equal(3, t.partitions[2].leader)
    end)

    it("grow", function()
      local name = topic { partitions = 1, replication_factor = 3 }
      ok(admin:create_partitions { topic = name, count = 3 })
      assert.are.equal(0, ok(admin:offsets(name, 2)).hw)
      failed("INVALID_PARTITIONS", admin:create_partitions { topic = name, count = 2 })
    end)

    it("are gone when delete_topics returns, and the failed ones are named", function()
      local a, b = topic { partitions = 1 }, topic { partitions = 1 }
      local nowhere = fresh "nowhere"
      local r = ok(admin:delete_topics { a, nowhere, b })
      table.sort(r.deleted)
      local both = { a, b }
      table.sort(both)
      assert.are.same(both, r.deleted)
      assert.are.equal(nowhere, r.failed[1].name)
      assert.are.equal("UNKNOWN_TOPIC_OR_PART", r.failed[1].err.name)
      failed("UNKNOWN_TOPIC_OR_PART", admin:topic(a))
      failed("UNKNOWN_TOPIC_OR_PART", admin:offsets(b, 0))
      failed("UNKNOWN_TOPIC_OR_PART", admin:delete_topics { a })
    end)

    it("have configurations that are set and go back", function()
      local name = topic { partitions = 1,
        configs = { ["min.insync.replicas"] = 1, ["cleanup.policy"] = "compact" } }
      local before = ok(admin:configs { topic = name })
      assert.are.equal("1", before["min.insync.replicas"])
      assert.are.equal("compact", before["cleanup.policy"])
      ok(admin:alter_configs { topic = name, set = { ["min.insync.replicas"] = 3 },
        delete = { "cleanup.policy" } })
      local after = until_true("the change", function()
        local now = ok(admin:configs { topic = name, details = true })
        return now["cleanup.policy"].value == "delete" and now
      end)
      assert.are.equal("3", after["min.insync.replicas"].value)
      assert.are.equal("topic", after["min.insync.replicas"].source)
      assert.are.equal("default", after["cleanup.policy"].source)
      failed("INVALID_CONFIG", admin:alter_configs { topic = name, set = { ["no.such.thing"] = 1 } })
      assert.is_string(ok(admin:configs { broker = 1 })["log.dirs"])
    end)

    it("elect leaders", function()
      local name = topic { assignment = { { 2, 3, 1 } } }
      local r = ok(admin:elect_leaders { type = "preferred",
        partitions = { { topic = name, partition = 0 } } })
      assert.are.same({ { topic = name, partition = 0 } }, r.elected)
      failed("UNKNOWN_TOPIC_OR_PART",
        admin:elect_leaders { partitions = { { topic = fresh "nowhere", partition = 0 } } })
    end)
  end)

  describe("positions", function()
    it("stand side by side", function()
      local name = topic { partitions = 1, replication_factor = 3 }
      local p <close> = producer { acks = "all" }
      for i = 1, 7 do ok(p:send { topic = name, partition = 0, value = "v" .. i }) end
      local o = until_true("all replicas at 7", function()
        local now = ok(admin:offsets(name, 0))
        return now.hw == 7 and now.leo_by[1] == 7 and now.leo_by[2] == 7 and now.leo_by[3] == 7 and now
      end)
      assert.are.same({ 0, 7, 7, 7 }, { o.low, o.lso, o.hw, o.leo })
      assert.are.equal(3, #o.isr)
      assert.is_nil(o.failed)
      assert.are.equal(4, ok(admin:delete_records { topic = name, partition = 0, before = 4 }))
      assert.are.equal(4, ok(admin:offsets(name, 0)).low)
      assert.are.equal(7, ok(admin:delete_records { topic = name, partition = 0, before = "end" }))
      failed("OFFSET_OUT_OF_RANGE", admin:delete_records { topic = name, partition = 0, before = 100 })
    end)

    it("come for many partitions at once, in the order of the question", function()
      local name = topic { partitions = 2, replication_factor = 3 }
      local p <close> = producer { acks = "all" }
      local at = clock.unix_ms() - 60000 -- one older than a week is the retention's at its next look
      local sent = ok(p:send { topic = name, partition = 1, value = "v", timestamp = at })
      local list = ok(admin:list_offsets {
        { topic = name, partition = 1 },
        { topic = name, partition = 0, at = "earliest" },
        { topic = fresh "nowhere", partition = 0 },
        isolation = "read_committed",
      })
      assert.are.equal(sent.offset + 1, list[1].offset)
      assert.are.equal(0, list[2].offset)
      assert.are.equal("UNKNOWN_TOPIC_OR_PART", list[3].err.name)
      list = ok(admin:list_offsets { { topic = name, partition = 1, at = at } })
      assert.are.same({ 0, at }, { list[1].offset, list[1].timestamp })
    end)

    it("are sampled in a few round trips", function()
      local name = topic { partitions = 1, replication_factor = 3 }
      local function fastest(f)
        local best = math.huge
        for _ = 1, 80 do
          local began = clock.ns()
          ok(f())
          best = math.min(best, (clock.ns() - began) / 1e6)
        end
        return best
      end
      local sample, one = fastest(function() return admin:offsets(name, 0) end),
        fastest(function() return admin:list_offsets { { topic = name, partition = 0 } } end)
      assert.is_true(sample < 10 * one, ("%.2f ms, one list of offsets %.2f ms"):format(sample, one))
    end)
  end)

  it("shows which open transaction holds the LSO back", function()
    local name = topic { partitions = 1, replication_factor = 3 }
    local id = fresh "txn"
    local plain <close> = producer { acks = "all" }
    local p <close> = producer { transactional_id = id, transaction_timeout_ms = "30s" }
    ok(plain:send { topic = name, partition = 0, value = "before" })
    ok(p:init_transactions "30s")
    ok(p:begin())
    ok(p:send { topic = name, partition = 0, value = "inside" })
    ok(plain:send { topic = name, partition = 0, value = "behind" })

    local o = ok(admin:offsets(name, 0))
    assert.are.same({ 1, 3 }, { o.lso, o.hw })
    local holder
    for _, each in ipairs(ok(admin:producers(name, 0))) do
      if each.holds_lso then holder = each end
    end
    assert.are.equal(1, holder.txn_start)
    assert.are.equal(id, holder.transaction)

    local info = ok(admin:transaction(id))
    assert.are.equal("Ongoing", info.state)
    assert.are.equal(30000, info.timeout_ms)
    assert.are.equal(holder.producer_id, info.producer_id)
    assert.are.same({ { topic = name, partition = 0 } }, info.partitions)
    assert.is_true(math.abs(info.start_ms - clock.unix_ms()) < 60000)
    local listed
    for _, each in ipairs(ok(admin:transactions { states = { "Ongoing" } })) do
      if each.id == id then listed = each end
    end
    assert.are.equal(info.coordinator, listed.coordinator)
    assert.are.same({}, ok(admin:abort_hanging(name, 0))) -- its coordinator has it open
    assert.are.equal(1, ok(admin:offsets(name, 0)).lso)

    ok(p:abort "10s")
    until_true("the LSO at the end", function()
      local now = ok(admin:offsets(name, 0))
      return now.lso == now.hw and now.hw == 4
    end)
    for _, each in ipairs(ok(admin:producers(name, 0))) do
      assert.is_nil(each.txn_start)
      assert.is_false(each.holds_lso)
    end
    failed("TRANSACTIONAL_ID_NOT_FOUND", admin:transaction(fresh "nowhere"))
    failed("USAGE", admin:transactions { states = { "Sleeping" } })
  end)

  describe("groups", function()
    local function joined(protocol)
      local name = topic { partitions = 2, replication_factor = 3 }
      local group = fresh(protocol)
      local c = ok(kafka.consumer {
        brokers = brokers, group = group, ["group.protocol"] = protocol, ["auto.offset.reset"] = "earliest",
        ["enable.auto.commit"] = false, ["client.id"] = "member-of-" .. protocol,
      })
      ok(c:subscribe { name })
      local described = until_true("a stable group", function()
        c:poll(1, "100ms")
        local g = ok(admin:group(group))
        return g.state == "Stable" and #g.members == 1 and #g.members[1].assignment == 2 and g
      end)
      return c, name, group, described
    end

    for protocol, kind in pairs { classic = "Classic", consumer = "Consumer" } do
      it("of the " .. protocol .. " protocol are described, and their offsets moved", function()
        local c, name, group, g = joined(protocol)
        assert.are.equal(kind, g.type)
        assert.are.equal("member-of-" .. protocol, g.members[1].client_id)
        assert.are.equal(name, g.members[1].assignment[1].topic)
        assert.is_number(g.coordinator.id)
        ok(c:commit({ { topic = name, partition = 1, offset = 5 } }, { sync = true }))
        local place = ok(admin:group_offsets(group, { partitions = { { topic = name, partition = 1 } } }))[1]
        assert.are.equal(5, place.offset)
        local busy = failed("NON_EMPTY_GROUP", admin:delete_groups { group })
        assert.are.equal(group, busy.failed[1].name)
        local _, refused = admin:alter_group_offsets(group, { { topic = name, partition = 1, offset = 2 } })
        assert.is_table(refused)
        c:close()

        until_true("an empty group", function() return ok(admin:group(group)).state == "Empty" end)
        local list = { { topic = name, partition = 0, offset = 3 },
          { topic = name, partition = 1, offset = 2 } }
        assert.are.same(list, ok(admin:alter_group_offsets(group, list)).altered)
        local offsets = ok(admin:group_offsets(group))
        assert.are.same({ 0, 3, 1, 2 },
          { offsets[1].partition, offsets[1].offset, offsets[2].partition, offsets[2].offset })
        ok(admin:delete_group_offsets(group, { { topic = name, partition = 0 } }))
        assert.are.equal(1, #ok(admin:group_offsets(group)))
        local listed = false
        for _, each in ipairs(ok(admin:groups())) do
          listed = listed or each.id == group and each.type == kind
        end
        assert.is_true(listed)
        assert.are.same({ group }, ok(admin:delete_groups { group }).deleted)
        failed("GROUP_ID_NOT_FOUND", admin:delete_groups { group })
      end)
    end
  end)

  describe("a frozen broker", function()
    local frozen

    local function freeze(broker)
      for _, b in ipairs(ok(admin:cluster()).brokers) do
        if b.id == broker then frozen = assert(process.port_owner(b.port), "whose is the port?") end
      end
      process.signal(frozen, "STOP")
    end

    local function thaw()
      if frozen then process.signal(frozen, "CONT") end
      frozen = nil
    end

    after_each(thaw)

    local function timed(f)
      local began = clock.ns()
      local value = ok(f())
      return (clock.ns() - began) / 1e6, value
    end

    local function speaks_again(name)
      until_true("an answer", function() return #(admin:producers(name, 0) or { false }) == 0 end)
    end

    it("costs only what it alone knows", function()
      local name = topic { assignment = { { 1, 2, 3 } } }
      ok(admin:offsets(name, 0))
      local p <close> = producer { acks = 1 }
      freeze(2)
      for i = 1, 3 do ok(p:send { topic = name, partition = 0, value = "v" .. i }) end
      local waited, first = timed(function() return admin:offsets(name, 0) end)
      local again, o = math.huge, nil
      for _ = 1, 5 do
        local took
        took, o = timed(function() return admin:offsets(name, 0) end)
        again = math.min(again, took)
      end
      assert.is_nil(o.leo_by[2])
      assert.are.equal("TIMEOUT", o.failed[2].name)
      assert.are.equal(3, o.leo)
      assert.is_true(o.hw == 0 or #o.isr < 3) -- a busy machine may take so long that the follower is out
      -- who was silent is not waited for as long again
      assert.is_true(again < waited, ("%.0f ms, at first %.0f ms"):format(again, waited))
      thaw()
      until_true("HW at the end", function()
        local now = ok(admin:offsets(name, 0))
        return now.hw == 3 and now.leo_by[2] == 3
      end)
      assert.is_nil(first.leo_by[2])
    end)

    it("times out what only it can tell, and nothing else", function()
      local name = topic { assignment = { { 3, 1 } } }
      ok(admin:producers(name, 0))
      freeze(3)
      failed("TIMEOUT", admin:producers(name, 0, { at_most = "200ms" }))
      local o = ok(admin:offsets(name, 0))
      assert.are.equal(0, o.leo_by[1])
      -- on a busy machine the other one may lead by now
      assert.is_true(o.leader == 3 and not o.hw and o.why ~= nil or o.leader == 1)
      ok(admin:cluster())
      thaw()
      speaks_again(name)
    end)

    it("does not hold a cancelled call", function()
      local name = topic { assignment = { { 3, 1 } } }
      freeze(3)
      local quickest = math.huge -- a busy machine adds time, but not to each
      for _ = 1, 10 do
        local began = clock.ns()
        -- another one leads
        if task.timeout("100ms", function() return admin:producers(name, 0) end) then break end
        quickest = math.min(quickest, (clock.ns() - began) / 1e6)
        if quickest < 400 then break end
      end
      assert.is_true(quickest < 400, ("%.0f ms"):format(quickest))
      thaw()
      speaks_again(name)
    end)
  end)

  it("says which broker cannot be reached", function()
    local lost <close> = ok(kafka.admin { brokers = "127.0.0.1:1", at_most = "500ms" })
    local failure = failed("_TRANSPORT", lost:topics())
    assert.is_truthy(failure.message:find("127.0.0.1:1", 1, true))
    failed("TIMEOUT", lost:groups())
  end)

  it("refuses wrong usage with a helping word", function()
    local function wrong(text, f, ...)
      local good, failure = pcall(f, ...)
      assert.is_false(good)
      assert.is_truthy(tostring(failure):find(text, 1, true), tostring(failure))
    end
    wrong("did you mean 'partitions'", admin.create_topic, admin, { name = "x", partition = 3 })
    wrong("'name' must be a string", admin.create_topic, admin, { partitions = 3 })
    wrong("a partition counts from 0", admin.offsets, admin, "x", -1)
    wrong("one of 'topic', 'group' and 'broker'", admin.configs, admin, {})
    wrong("nothing to change", admin.alter_configs, admin, { topic = "x" })
    wrong("no partitions are named", admin.alter_group_offsets, admin, "g", {})
    wrong("an assignment of 1 partitions for a topic of 2", admin.create_topic, admin,
      { name = "x", partitions = 2, assignment = { { 1 } } })
    wrong("host:port", error, select(2, kafka.admin { brokers = "nowhere" }))
  end)
end)
