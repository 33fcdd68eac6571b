-- The consumer's bindings against librdkafka's in-process mock cluster, as in kafka_spec.lua.
local cluster = require "spec.support.kafka_mock"
local host = require "rlab.core_host"
local must = require "rlab.must"
local task = require "rlab.task"

local consumer, producer, reader, read, wait = cluster.consumer, cluster.producer, cluster.reader,
  cluster.read, cluster.wait

describe("rlab.kafka", function()
  local mock, opened

  setup(function()
    mock = cluster.open()
  end)

  teardown(function() mock:close() end)

  before_each(function() opened = host.open_handles() end)
  after_each(function() assert.equal(opened, host.open_handles()) end)

  describe("a consumer", function()
    setup(function()
      local p <close> = producer()
      for i = 0, 9 do
        assert(p:send { topic = "ten", partition = 0, key = "k" .. i, value = ("v"):rep(i) })
      end
    end)

    it("polls batches with lazy records and columns", function()
      local c <close> = reader("ten", { enable_partition_eof = true })
      local batch
      wait(function()
        batch = assert(c:poll(100, "1s"))
        return #batch > 0
      end, { at_most = "60s" })
      local records, eof = {}, nil
      for r in batch:each() do
        if r.eof then eof = r else records[#records + 1] = r end
      end
      while #records < 10 or not eof do
        for r in assert(c:poll(100, "1s")):each() do
          if r.eof then eof = r else records[#records + 1] = r end
        end
      end
      assert.equal(10, eof.offset)
      assert.is_nil(eof.value)
      assert.is_nil(eof.err)
      assert.same({ "k3", "vvv", 3, 0, "ten" },
        { records[4].key, records[4].value, records[4].offset, records[4].partition, records[4].topic })
      assert.equal(c:generation(), records[4].generation)
      assert.equal(c:generation(), batch:generation())
      assert.equal(#batch:offsets(), #batch:values())
      assert.equal(#batch:keys(), select(2, batch:bytes()))
      assert.same({ 0, "k0", "" }, { batch:offsets()[1], batch:keys()[1], batch:values()[1] })
      assert.is_nil(batch[#batch + 1])
      assert.error_matches(function() return batch:vlaues() end, "no method 'vlaues'")
      batch:close()
      assert.equal(0, #batch)
      assert.error_matches(function() return records[1].value end, "batch of this record is closed")
      local empty <close> = assert(c:poll(10, "20ms"))
      assert.equal(0, #empty)
    end)

    it("keeps the client alive for its batches", function()
      local c = reader "ten"
      local record = wait(function() return assert(c:poll(10, "1s"))[1] end, { at_most = "60s" })
      c:close()
      collectgarbage()
      assert.equal("k0", record.key)
      assert.error_matches(function() c:poll() end, "closed")
    end)

    it("seeks, pauses and knows its position", function()
      local c <close> = reader "ten"
      read(c, 10)
      assert.equal(10, c:position()[1].offset)
      assert(c:seek { topic = "ten", partition = 0, offset = 7 })
      assert.equal(7, read(c, 1)[1].offset)
      assert(c:seek({ topic = "ten", partition = 0, offset = "earliest" }, "60s"))
      assert.equal(0, read(c, 1)[1].offset)
      assert(c:pause())
      assert(c:seek { topic = "ten", partition = 0, offset = 5 })
      assert.equal(0, #assert(c:poll(10, "100ms")))
      assert(c:resume { topic = "ten", partition = 0 })
      assert.equal(5, read(c, 1)[1].offset)
      assert.same({ 1, "ten", 0 }, { #c:assignment(), c:assignment()[1].topic, c:assignment()[1].partition })
      assert.same({ 0, 10 }, { c:watermarks { topic = "ten", partition = 0 } })
    end)

    it("stores and commits positions, also of EOF events", function()
      local c <close> = reader("ten",
        { group = "commits", enable_auto_offset_store = false, enable_auto_commit = false,
        enable_partition_eof = true })
      local place = { topic = "ten", partition = 0 }
      local function committed() return assert(c:committed(place))[1].offset end
      assert.is_nil(committed())
      local batch, eof
      repeat
        batch = assert(c:poll(100, "1s"))
        for r in batch:each() do
          if r.eof then eof = r elseif r.offset == 3 then assert(c:commit(r)) assert.equal(4, committed()) end
        end
      until eof
      local ok, e = c:store { { topic = "ten", partition = 0, offset = 5 },
        { topic = "ten", partition = 9, offset = 1 } }
      assert.is_nil(ok)
      assert.matches("store of ten%[9%]", e.message)
      assert(c:store { topic = "ten", partition = 0, offset = 6 })
      assert(c:commit())
      assert.equal(6, committed())
      assert(c:commit(batch, { sync = true, at_most = "60s" }))
      assert.equal(10, committed())
      assert(c:commit({ { topic = "ten", partition = 0, offset = 2, metadata = "why" } }))
      assert.same({ 2, "why" }, { committed(), assert(c:committed(place))[1].metadata })
      assert(c:commit(eof, { sync = false }))
      wait(function() return committed() == 10 end, { at_most = "60s" })
      assert(c:commit(assert(c:poll(1, 0))))
      assert.error_matches(function() c:commit({ topic = "ten", partition = 0 }) end, "offset is missing")
      assert.error_matches(function() c:store { topic = "ten", offset = 1 } end, "partition is missing")
      assert.error_matches(function() c:commit({ topic = "ten", partition = 0, ofset = 1 }) end,
        "unknown field 'ofset'")
      assert.error_matches(function() c:assign { topic = "ten", partition = 0, offset = "soon" } end,
        "\"earliest\"")
    end)

    it("says why store cannot work", function()
      local c <close> = reader "ten"
      local ok, e = c:store { topic = "ten", partition = 0, offset = 1 }
      assert.is_nil(ok)
      assert.matches("enable_auto_offset_store", e.message)
    end)

    it("gives what a cancelled poll fetched to the next one", function()
      local c <close> = reader "ten"
      local polling = task.spawn(function() return c:poll(100, "30s") end)
      polling:cancel()
      polling:join()
      for delay = 1, 40 do
        polling = task.spawn(function() return c:poll(1, "30s") end)
        task.sleep(delay / 4000)
        polling:cancel()
        local batch = polling:join()
        if batch then assert(c:seek { topic = "ten", partition = 0, offset = batch[1].offset }) end
      end
      local seen = read(c, 10)
      for i = 1, 10 do assert.equal(i - 1, seen[i].offset) end
    end)

    it("lets other tasks run although records lie there", function()
      local p <close> = producer()
      local values = {}
      for i = 1, 200 do values[i] = "v" .. i end
      must(p:post_batch { topic = "fair", partition = 0, values = values })
      must(p:flush "60s")
      local c <close> = reader "fair"
      read(c, 1)
      local turns, done = 0, false
      local other = task.spawn(function()
        while not done do
          turns = turns + 1
          task.yield()
        end
      end)
      for i = 2, 100 do assert.equal("v" .. i, must(c:poll(1, "60s"))[1].value) end
      done = true
      other:join()
      assert.is_true(turns > 10, turns .. " turns")
      local cancelled = task.spawn(function() return c:poll(1, "5s") end)
      task.spawn(function() cancelled:cancel() end):join()
      local _, e = cancelled:join()
      assert.equal("CANCELLED", e.name)
      assert.equal("v101", must(c:poll(1, "60s"))[1].value)
    end)

    it("ends a poll when it is closed", function()
      local c = reader "ten"
      read(c, 10)
      local polling = task.spawn(function() return c:poll(1, "60s") end)
      task.sleep "20ms"
      c:close()
      local ok, e = polling:join()
      assert.same({ nil, "CANCELLED" }, { ok, e.name })
    end)

    it("shows assignments as events", function()
      local c = consumer { group = "events", partition_assignment_strategy = "roundrobin" }
      assert(c:subscribe "ten")
      assert.same({ "ten" }, c:subscription())
      wait(function()
        c:poll(10, "50ms")
        return #c:assignment() > 0
      end, { at_most = "60s" })
      local events = c:events()
      assert.equal("assign", events[1].type)
      assert.equal("ten", events[1].partitions[1].topic)
      assert.equal(c:generation(), events[#events].generation)
      assert.is_true(math.abs(events[1].at / 1000 - os.time()) < 60)
      assert.same({}, c:events())
      assert(c:unsubscribe())
      wait(function()
        c:poll(10, "50ms")
        return #c:assignment() == 0
      end, { at_most = "60s" })
      assert.equal("revoke", c:events()[1].type)
      c:close "1s"
    end)
  end)

  it("does not block the collector", function()
    local before = host.open_handles()
    do
      local p = producer()
      p:post { topic = "dropped", value = "x" }
      local c = reader "ten"
      c:poll(1, "10ms")
    end
    collectgarbage()
    collectgarbage()
    assert.equal(before, host.open_handles())
  end)
end)
