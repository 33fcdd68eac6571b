-- Several relays on one outbox: they share its shards under leases, and one that is stale is fenced.
local flow_relay = require "rlab.flow_relay"
local lock_waits = require "spec.support.lock_waits"
local must = require "rlab.must"
local outbox = require "spec.support.outbox"

local await, doubles = outbox.await, outbox.doubles
local assert_ordered, assert_all = outbox.assert_ordered, outbox.assert_all

describe("the relay", function()
  local o

  before_each(function() o = outbox.open() end)
  after_each(function() o:close() end)

  local function open(more)
    return must(flow_relay.open(o:options(more)))
  end

  describe("in several instances", function()
    for _, mark in ipairs { "update", "cursor" } do
      it("shares the shards: " .. mark, function()
        local a <close> = open { name = "a", mark = mark, lease = "5s", batch = 50 }
        await("all", function() return a:stats().leases == 64 end)
        o:add(1000, { keys = 100 })
        local b <close> = open { name = "b", mark = mark, lease = "5s", batch = 50 }
        await("halves", function() return a:stats().leases == 32 and b:stats().leases == 32 end)
        o:add(2000, { keys = 100 })
        o:drained(mark)
        must(a:stop())
        o:add(1000, { keys = 100 })
        await("the rest", function() return b:stats().leases == 64 end)
        o:drained(mark)
        must(b:stop())
        local records = o:records()
        assert.are.equal(4000, #records)
        assert_all(o, records, 4000)
        assert_ordered(records)
        assert.is_true(a:stats().marked > 1000 and b:stats().marked > 1000)
      end)
    end

    it("keeps its leases while it lives", function()
      local flow <close> = open { lease = "1s" }
      await("all", function() return flow:stats().leases == 64 end)
      local over = o.db:value "SELECT CAST(MIN(expires_at) AS CHAR) FROM relay_lease"
      await("the end of the first lease", function() return o.db:value("SELECT NOW(3) > ?", over) == 1 end)
      assert.are.equal(64, o.db:value "SELECT COUNT(*) FROM relay_lease WHERE expires_at > NOW(3)")
    end)

    it("keeps its sessions while it has nothing to mark", function()
      local flow <close> = open { lease = "500ms" }
      o:add(1)
      o:drained()
      local connected = flow:stats().reconnects
      local over = o.db:value "SELECT CAST(NOW(3) + INTERVAL 3 SECOND AS CHAR)"
      await("silence for longer than the server suffers it",
        function() return o.db:value("SELECT NOW(3) > ?", over) == 1 end)
      o:add(1)
      o:drained()
      assert.are.equal(connected, flow:stats().reconnects)
    end)

    -- A stops for longer than its lease, between acknowledgement and mark, and B takes over.
    -- meanwhile(): before A goes on to its mark
    local function stale(settings, meanwhile)
      local set = { batch = 10, in_flight = 1, lease = "500ms" }
      for key, value in pairs(settings) do set[key] = value end
      o:add(10)
      local a = o:service(set, { ["relay.after_ack"] = "1*pause" })
      await("the pause", function() return #a:hits() == 1 end)
      must(a.process:stop())
      local b = o:service { batch = 10, in_flight = 1, lease = "500ms" }
      await("B's marks", function() return b:metric "marked_total" == 10 end)
      must(b.process:stop())
      local before = o.db:value "SELECT MAX(published_at) FROM outbox_event"
      must(a.process:cont())
      if meanwhile then meanwhile() end
      a:resume "relay.after_ack"
      return a, b, before
    end

    local function assert_refused(a, b, before)
      await("the mark or the fence",
        function() return a:metric "marked_total" + a:metric "fenced_total" == 10 end)
      assert.are.equal(10, a:metric "fenced_total")
      assert.are.equal(before, o.db:value "SELECT MAX(published_at) FROM outbox_event")
      a:close()
      b:close()
    end

    it("leaves its shards to others when it is frozen in the transactions that lock them", function()
      local a = o:service({ lease = "500ms" }, { ["relay.after_ack"] = "1*pause" })
      o:add(10)
      await("the pause", function() return #a:hits() == 1 end)
      local other <close> = o:connect()
      must(other:exec "START TRANSACTION")
      must(other:query "SELECT shard FROM relay_lease FOR UPDATE")
      a:resume "relay.after_ack"
      lock_waits.await(o.db, o.schema, 2) -- its keeper and its marker
      must(a.process:stop())
      must(other:exec "COMMIT")
      local b = o:service { lease = "500ms" }
      await("B's marks", function() return b:metric "marked_total" == 10 end)
      must(a.process:cont())
      await("the fence", function() return a:metric "fenced_total" == 10 end)
      a:close()
      b:close()
    end)

    it("refuses the mark of a stale one", function() assert_refused(stale {}) end)

    it("refuses the mark of one that has its shards again, under another token", function()
      assert_refused(stale({}, function()
        await("the leases of B, which stands still, to be A's", function()
          return o.db:value "SELECT COUNT(*) FROM relay_lease WHERE owner LIKE 'relay-1/%'" == 64
        end)
      end))
    end)

    it("lets a stale one mark rows that are no longer its own when the fence is off", function()
      local a, b, before = stale { fence = false }
      await("the mark", function() return a:metric "marked_total" == 10 end)
      assert.is_true(before < o.db:value "SELECT MAX(published_at) FROM outbox_event")
      a:close()
      b:close()
    end)
  end)

  describe("in transactions", function()
    it("publishes each row once; a stale one is fenced and nothing of it is seen", function()
      local set = { batch = 10, lease = "3s", transactional_id = "tx-" .. o.topic }
      o:add(10)
      local a <close> = o:service(set, { ["relay.after_claim"] = "1*pause" })
      await("the pause", function() return #a:hits() == 1 end)
      must(a.process:stop())
      local b <close> = o:service(set)
      await("B's marks", function() return b:metric "marked_total" == 10 end)
      must(a.process:cont())
      a:resume "relay.after_claim"
      await("the fence, by Kafka or by the lease",
        function() return a:metric "retries_total" == 10 or a:metric "resets_total" > 0 end)
      o:add(20)
      o:drained()
      local records = o:records()
      assert.are.equal(30, #records)
      assert.are.same({}, doubles(records))
      assert.are.equal(0, a:metric "leases")
      assert.are.equal(64, b:metric "leases")
    end)
  end)
end)
