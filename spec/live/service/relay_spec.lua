-- flow.relay and its service on the running stack: what is published, in which order, marked by whom.
local flow_relay = require "rlab.flow_relay"
local http = require "rlab.http"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local null = require "rlab.null"
local outbox = require "spec.support.outbox"
local task = require "rlab.task"

local function all_events(flow, what)
  local list = {}
  for _, event in ipairs(flow:events(0) or {}) do
    if event.what == what then list[#list + 1] = event end
  end
  return list
end

local await, tally, doubles = outbox.await, outbox.tally, outbox.doubles
local assert_ordered, assert_all = outbox.assert_ordered, outbox.assert_all

describe("the relay", function()
  local o

  before_each(function() o = outbox.open() end)
  after_each(function() o:close() end)

  local function open(more)
    return must(flow_relay.open(o:options(more)))
  end

  for _, mark in ipairs { "update", "delete", "cursor" } do
    it("publishes each row once, in the order of its key, and marks it: " .. mark, function()
      o:add(3000)
      local flow <close> = open { mark = mark, batch = 200, in_flight = 3 }
      o:drained(mark)
      must(flow:stop())
      local records = o:records()
      assert.are.equal(3000, #records)
      assert_all(o, records, 3000)
      assert_ordered(records)
      assert.are.equal(3000, flow:stats().marked)
      assert.are.equal(mark == "delete" and 0 or 3000, o:count "TRUE")
      assert.are.equal(mark == "update" and 3000 or 0, o:count "published_at IS NOT NULL")
      assert.are.equal(0, o.db:value "SELECT COUNT(*) FROM relay_lease WHERE owner IS NOT NULL")
    end)
  end

  it("begins where the last one ended, also with a cursor", function()
    for i = 1, 2 do
      o:add(100)
      local flow <close> = open { mark = "cursor", batch = 30 }
      o:drained "cursor"
      must(flow:stop())
      assert.are.equal(i * 100, #o:records())
    end
  end)

  it("sends a row that names a topic to that one", function()
    local other = o.topic .. ".v2"
    must(o.admin:create_topic { name = other, partitions = 3, replication_factor = 3 })
    o:add(20)
    must(o.db:exec("UPDATE outbox_event SET topic = ? WHERE id % 4 = 0", other))
    local flow <close> = open { batch = 7 }
    o:drained "update"
    must(flow:stop())
    local counts = {}
    for _, topic in ipairs { o.topic, other } do
      counts[#counts + 1] = 0
      for p = 0, 2 do counts[#counts] = counts[#counts] + must(o.admin:offsets(topic, p)).hw end
    end
    assert.are.same({ 15, 5 }, counts)
    o.admin:delete_topics { other }
  end)

  it("writes the event's id and its headers", function()
    o:add(1, { headers = [=['[["request-id","cmd-1"],["note",null]]']=] })
    local flow <close> = open() -- luacheck: ignore 211
    o:drained()
    local record = o:records()[1]
    assert.are.same({ "event-id", o.event_id(1) }, record.headers[1])
    assert.are.same({ "request-id", "cmd-1" }, record.headers[2])
    assert.are.same({ "note", null }, record.headers[3])
  end)

  it("tells its backlog and the age of the oldest row, and cleans up what is old", function()
    o:add(300)
    local flow <close> = open { figures = "20ms", cleanup_age = 0, cleanup_chunk = 100 }
    await("the clean-up", function() return flow:stats().cleaned == 300 end)
    await("no backlog", function() return flow:stats().backlog == 0 end)
    await("no oldest row", function() return flow:stats().oldest_unsent_us == 0 end)
    assert.are.equal(0, o:count "TRUE")
  end)

  -- The second batch is acknowledged and not marked.
  for _, mark in ipairs { "update", "cursor" } do
    it("cleans up what was sent, not what waits or was parked: " .. mark, function()
      o:add(15)
      must(o.db:exec [[UPDATE outbox_event SET created_at = NOW(6) - INTERVAL 1 HOUR, parked_reason =
        IF(id = 1, 'a spec', NULL), published_at = NOW(6) - INTERVAL ELT(id, 120, 120, 120, 30, 30) SECOND]])
      local service <close> = o:service({ mark = mark, batch = 5, in_flight = 1, cleanup_age = "1m" },
        { ["relay.after_ack"] = "#2 pause" })
      local left = mark == "cursor" and 6 or 13 -- by a cursor a row is as old as it was made
      await("the clean-up", function() return service:hits()[1] and o:count "TRUE" == left end)
      assert.are.equal(1, o:count "parked_reason IS NOT NULL")
      service:resume "relay.after_ack"
      o:drained(mark)
      assert.are.equal(10, #o:records())
    end)
  end

  it("sends nothing twice that is in flight while it looks for rows with a lower id", function()
    local late <close> = o:connect()
    local service <close> = o:service({ in_flight = 3 }, { ["relay.after_ack"] = "1*pause" })
    await("its first look", function() return service:metric "polls_total" > 2 end)
    must(late:exec "BEGIN")
    o:add(1, { db = late })
    o:add(5)
    await("the pause", function() return #service:hits() == 1 end)
    local polls = service:metric "polls_total"
    await("twenty more looks", function() return service:metric "polls_total" > polls + 20 end)
    assert.are.equal(5, #o:records())
    must(late:exec "COMMIT")
    service:resume "relay.after_ack"
    o:drained()
    assert.are.equal(6, #o:records())
  end)

  it("sends a key to the partition to which other clients send it", function()
    o:add(20, { keys = 20 })
    local flow <close> = open() -- luacheck: ignore 211
    o:drained()
    local other <close> = must(kafka.producer { brokers = o.brokers, partitioner = "murmur2_random" })
    for _, record in ipairs(o:records()) do
      local report = must(other:send { topic = o.topic, key = record.key, value = "other" })
      assert.are.equal(report.partition, record.partition)
    end
  end)

  it("finds rows that commit behind a later id", function()
    local late = o:connect()
    local flow <close> = open()
    must(late:exec "BEGIN")
    o:add(1, { db = late })
    o:add(5)
    await("the five", function() return flow:stats().marked == 5 end)
    must(late:exec "COMMIT")
    o:drained()
    must(flow:stop())
    assert.are.equal(6, #o:records())
    assert.are.equal(1, flow:stats().late)
    late:close()
  end)

  it("finds them too without the privilege PROCESS, which a cursor says that it needs", function()
    local user, own = "relay_" .. require("rlab.process").self(), {}
    must(o.db:exec(("CREATE USER %s@'%%' IDENTIFIED BY 'secret'"):format(user)))
    must(o.db:exec(("GRANT ALL ON %s.* TO %s@'%%'"):format(o.schema, user)))
    for key, value in pairs(o.mysql) do own[key] = value end
    own.user, own.password = user, "secret"
    local late = o:connect()
    local flow <close> = open { mysql = own }
    must(late:exec "BEGIN")
    o:add(1, { db = late })
    o:add(5)
    await("the five", function() return flow:stats().marked == 5 end)
    must(late:exec "COMMIT")
    o:drained()
    must(flow:stop())
    assert.are.equal(6, #o:records())
    must(late:exec "BEGIN")
    o:add(1, { db = late })
    o:add(1)
    local cursor <close> = open { mysql = own, mark = "cursor" }
    await("the word", function()
      local ok, why = cursor:health()
      return not ok and why:find("PROCESS", 1, true)
    end)
    late:close()
    must(o.db:exec(("DROP USER %s@'%%'"):format(user)))
  end)

  describe("with a cursor, at a hole in the ids", function()
    local function with_hole(opts, then_)
      local late = o:connect()
      opts.mark = "cursor"
      local flow <close> = open(opts)
      o:add(2)
      o:drained "cursor"
      must(late:exec "BEGIN")
      o:add(1, { db = late })
      o:add(3)
      then_(flow, late)
      late:close()
    end

    it("waits for the transaction that may fill it", function()
      with_hole({}, function(flow, late)
        await("the hole", function() return flow:stats().gap_waits > 20 end)
        assert.are.equal(2, flow:stats().acked)
        must(late:exec "COMMIT")
        o:drained "cursor"
        local records = o:records()
        assert.are.equal(6, #records)
        assert_ordered(records)
      end)
    end)

    it("waits for none that only reads, or that began later", function()
      local reading <close> = o:connect()
      local later <close> = o:connect()
      must(reading:exec "START TRANSACTION WITH CONSISTENT SNAPSHOT")
      with_hole({}, function(flow, late)
        await("the hole", function() return flow:stats().gap_waits > 20 end)
        must(later:exec "BEGIN")
        o:add(1, { db = later })
        must(late:exec "ROLLBACK")
        o:drained "cursor"
        assert.are.equal(5, #o:records())
      end)
    end)

    -- A list that somebody reads more often than every 100 ms is never made anew.
    it("waits while the server's list of transactions is an old one", function()
      local other <close>, reading = o:connect(), true
      local function read() must(other:query "SELECT COUNT(*) FROM information_schema.innodb_trx") end
      read()
      local reader = task.spawn(function()
        while reading do
          read()
          task.sleep "10ms"
        end
      end)
      with_hole({}, function(flow, late)
        await("the hole", function() return flow:stats().gap_waits > 40 end)
        assert.are.equal(2, flow:stats().acked)
        reading = false
        reader:join()
        must(late:exec "COMMIT")
        o:drained "cursor"
        assert.are.equal(6, #o:records())
      end)
    end)

    it("passes when it was rolled back", function()
      with_hole({}, function(_, late)
        must(late:exec "ROLLBACK")
        o:drained "cursor"
        assert.are.equal(5, #o:records())
      end)
    end)

    it("loses the row when gaps are ignored", function()
      with_hole({ gaps = "ignore" }, function(_, late)
        o:drained "cursor"
        must(late:exec "COMMIT")
        o:add(1)
        o:drained "cursor"
        assert.is_nil(tally(o:records())[o.event_id(3)])
      end)
    end)

    it("loses the row that comes after the wait", function()
      with_hole({ gaps = "wait", gap_wait = "50ms" }, function(_, late)
        o:drained "cursor"
        must(late:exec "COMMIT")
        o:add(1)
        o:drained "cursor"
        local counts = tally(o:records())
        assert.is_nil(counts[o.event_id(3)])
        assert.is_truthy(counts[o.event_id(7)])
      end)
    end)
  end)

  describe("with a row that can never be sent", function()
    local function parks(mark, producer, batch)
      local flow <close> = open { mark = mark, batch = batch or 10, producer = producer }
      o:drained(mark)
      must(flow:stop())
      local records = o:records()
      assert_ordered(records)
      return records, all_events(flow, "parked"), flow:stats()
    end

    for _, mark in ipairs { "update", "delete", "cursor" } do
      it("parks one with wrong headers: " .. mark, function()
        o:add(15)
        o:add(1, { headers = [['{"not":"a list"}']], key = "k3" })
        o:add(15)
        local records, parked, stats = parks(mark)
        assert.are.equal(30, #records)
        assert.are.equal(1, stats.parked)
        assert.are.equal(o.event_id(16), parked[1].id)
        assert.are.equal("k3", parked[1].key)
        assert.are.equal(1, o:count "parked_reason LIKE 'headers: %' AND published_at IS NOT NULL")
      end)
    end

    it("parks one that the client refuses as too large", function()
      o:add(5)
      o:add(1, { payload = ("x"):rep(5000) })
      o:add(5)
      local records = parks("update", { message_max_bytes = 2000 })
      assert.are.equal(10, #records)
      assert.are.equal(1, o:count "parked_reason LIKE 'MSG_SIZE_TOO_LARGE: %'")
    end)

    it("sends what its topic takes, by the topic's own limit", function()
      o:add(3)
      for _, bytes in ipairs { 1000000, 1000100, 1048000 } do o:add(1, { payload = ("x"):rep(bytes) }) end
      o:add(1, { payload = ("x"):rep(1048600) })
      o:add(3)
      local records = parks "update"
      assert.are.equal(9, #records)
      assert.are.equal(1, o:count "parked_reason LIKE 'MSG_SIZE_TOO_LARGE: %'")
    end)

    it("parks one that names a topic which is not there, or cannot be", function()
      o:add(8)
      for n, topic in pairs { [4] = o.topic .. "-gone", [5] = "no such/topic" } do
        must(o.db:exec("UPDATE outbox_event SET topic = ? WHERE event_id = UUID_TO_BIN(?)", topic,
          o.event_id(n)))
      end
      local records, parked = parks("update", { topic_metadata_propagation_max_ms = 1000 })
      assert.are.equal(6, #records)
      assert.are.equal(2, #parked)
      assert.are.equal(1, o:count "parked_reason LIKE '_UNKNOWN_TOPIC: %'")
      assert.are.equal(1, o:count "parked_reason LIKE 'topic: %'")
    end)

    it("asks again for the limit before it parks: a topic that takes more by now", function()
      local large <close> = must(kafka.producer { brokers = o.brokers, message_max_bytes = 3000000 })
      local function takes(bytes)
        return large:send { topic = o.topic, partition = 0, value = ("x"):rep(bytes),
          headers = { { "event-id", "probe" } } } ~= nil
      end
      must(o.admin:alter_configs { topic = o.topic, set = { ["max.message.bytes"] = "1000" } })
      must(task.wait_until(function() return not takes(1500) end, { at_most = "60s", what = "the limit" }))
      local flow <close> = open { mark = "update" }
      o:add(2)
      o:drained "update"
      must(o.admin:alter_configs { topic = o.topic, set = { ["max.message.bytes"] = "3000000" } })
      must(task.wait_until(function() return takes(2000000) end, { at_most = "60s", what = "the new limit" }))
      o:add(1, { payload = ("x"):rep(2000000) })
      o:drained "update"
      local seen = tally(o:records())
      for n = 1, 3 do assert.are.equal(1, seen[o.event_id(n)]) end
      assert.are.equal(0, o:count "parked_reason IS NOT NULL")
      must(flow:stop())
    end)

    local function small_topic()
      must(o.admin:delete_topics { o.topic })
      o.topic = o.topic .. "-small"
      must(o.admin:create_topic { name = o.topic, partitions = 3, replication_factor = 3,
        configs = { ["max.message.bytes"] = "3000" } })
    end

    for _, mark in ipairs { "update", "cursor" } do
      it("parks one that the topic does not take, and no other: " .. mark, function()
        small_topic()
        o:add(12)
        o:add(1, { payload = ("x"):rep(5000) })
        o:add(12)
        local records, parked = parks(mark)
        assert_all(o, records, 12)
        assert.are.equal(24, #records)
        assert.are.equal(1, #parked)
        assert.are.equal(o.event_id(13), parked[1].id)
      end)

      -- The client cannot tell the size of what it compresses: it is the broker that refuses, and a whole
      -- batch of the client's, which lingers until all are in it, of however many of ours.
      for batch = 1, 10, 9 do
        local name = "parks none that was refused for a neighbour's sake: %s, batch = %d"
        it(name:format(mark, batch), function()
          small_topic()
          local noise = {}
          for i = 1, 1000 do noise[i] = ("%08x"):format(math.random(0, 0xffffffff)) end
          o:add(4, { key = "k" })
          o:add(1, { key = "k", payload = table.concat(noise) })
          o:add(3, { key = "k" })
          local records, parked = parks(mark, { compression_codec = "gzip", linger_ms = 200 }, batch)
          assert.are.equal(7, #records)
          assert.are.equal(1, #parked)
          assert.are.equal(o.event_id(5), parked[1].id)
        end)
      end
    end
  end)

  describe("in a process that dies", function()
    local function killed_at(point, mark)
      o:add(100)
      local first <close> = o:service({ mark = mark, batch = 10, in_flight = 1, lease = "3s" },
        { [point] = "#3 kill" })
      assert.are.same({ signal = "KILL" }, must(first.process:wait "60s"))
      local hits = first:hits()
      assert.are.equal(1, #hits)
      -- luacheck: ignore 211
      local second <close> = o:service { mark = mark, batch = 10, in_flight = 1, lease = "3s" }
      o:drained(mark)
      local ids = {}
      for id in hits[1].ctx.ids:gmatch "[^,]+" do ids[#ids + 1] = id end
      return o:records(), ids, hits[1]
    end

    for _, mark in ipairs { "update", "delete", "cursor" } do
      it("after the acknowledgement of a batch, doubles that batch and no more: " .. mark, function()
        local records, ids, hit = killed_at("relay.after_ack", mark)
        assert.are.equal(3, hit.ctx.batch)
        assert.are.equal(10, #ids)
        assert.are.same(ids, doubles(records))
        assert_all(o, records, 100)
        assert_ordered(records)
      end)
    end

    it("before a batch is sent, doubles nothing", function()
      local records, ids = killed_at("relay.after_claim", "update")
      assert.are.equal(10, #ids)
      assert.are.same({}, doubles(records))
      assert_all(o, records, 100)
    end)

    for _, mark in ipairs { "update", "delete", "cursor" } do
      it("sends again what an armed error keeps from its mark: " .. mark, function()
        o:add(50)
        local service <close> = o:service({ mark = mark, batch = 10, in_flight = 3 },
          { ["relay.after_claim"] = "#2 error(NO)", ["relay.after_ack"] = "#4 error(NO)" })
        o:drained(mark)
        local records, hits = o:records(), service:hits()
        assert_all(o, records, 50)
        assert_ordered(records)
        assert.are.equal(2, #hits)
        assert.are.equal(10, #doubles(records))
      end)
    end

    it("passes nothing with its cursor that was not sent", function()
      o:add(30)
      local first <close> = o:service({ mark = "cursor", batch = 10, in_flight = 1, lease = "2s" },
        { ["relay.after_claim"] = "1*error(NO) -> kill" })
      assert.are.same({ signal = "KILL" }, must(first.process:wait "60s"))
      -- luacheck: ignore 211
      local second <close> = o:service { mark = "cursor", batch = 10 }
      o:drained "cursor"
      assert_all(o, o:records(), 30)
    end)

    it("finishes what it has on SIGTERM", function()
      o:add(5000)
      local service <close> = o:service({ in_flight = 1 }, { ["relay.after_claim"] = "#2 sleep(1s)" })
      await("a batch that is not sent yet", function() return service:hits()[1] end)
      must(service.process:kill "TERM")
      assert.are.same({ code = 0 }, must(service.process:wait "60s"))
      assert.are.equal(#o:records(), o:count "published_at IS NOT NULL")
      assert.are.equal(0, o.db:value "SELECT COUNT(*) FROM relay_lease WHERE owner IS NOT NULL")
    end)
  end)

  it("goes on when MySQL ends its connections, and tells of what it cannot reach", function()
    local flow <close> = open { batch = 50 }
    o:add(500)
    await("some", function() return flow:stats().marked > 0 end)
    for _, row in ipairs(must(o.db:query(
      "SELECT id FROM information_schema.processlist WHERE db = ? AND id <> CONNECTION_ID()", o.schema))) do
      o.db:kill(row.id, { connection = true })
    end
    o:add(500)
    o:drained()
    assert_all(o, o:records(), 1000)
    await("each to connect again", function() return flow:stats().reconnects > 3 end)
    await("health", function() return flow:health() end)
  end)

  it("starts without its servers, says so in health, and refuses wrong settings", function()
    local flow <close> = must(flow_relay.open { topic = "t", brokers = "127.0.0.1:1", mysql = { port = 1 } })
    await("both are down", function()
      local ok, why = flow:health()
      return not ok and why:find "mysql: " and why:find "kafka: "
    end)
    assert.has_error(function()
      flow_relay.open { topic = "t", mysql = {}, brokers = "x:1", marks = "update" } end,
      "flow_relay.open: unknown option 'marks', did you mean 'mark'?")
    assert.has_error(function()
      flow_relay.open { topic = "t", mysql = {}, brokers = "x:1", mark = "updates" } end,
      "flow_relay.open: mark: 'updates' is none of update, delete, cursor; did you mean 'update'?")
    local _, why = pcall(flow_relay.open, { topic = "t", mysql = { port = 1 }, brokers = "x:1",
      mark = "cursor", leader = "lock" })
    assert.are.equal("leader: a cursor's position is kept with the leases", why.message)
  end)

  it("answers health and metrics as a service", function()
    local service <close> = o:service()
    await("health", function() return (service:health()) end)
    assert.matches("rlab_relay_mark_seconds_count 0",
      must(http.get(service.url .. "/actuator/prometheus")).body)
  end)
end)
