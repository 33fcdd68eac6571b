-- The relay behind the stack's proxy: what it asks of the brokers, and what it makes of a record that they
-- refuse, an answer that is lost, a transaction that they do not commit.
local flow_relay = require "rlab.flow_relay"
local must = require "rlab.must"
local outbox = require "spec.support.outbox"
local proxy = require "rlab.proxy"

local REFUSAL = 44 -- POLICY_VIOLATION, after which the client goes on with the next record
local NO_TRANSACTION = 53 -- TRANSACTIONAL_ID_AUTHORIZATION_FAILED

describe("the relay, on the wire,", function()
  local stack, wire, o

  setup(function()
    stack = must(require("rlab.stack").open { needs = { "kafka", "mysql", "proxy" }, start = true })
    wire = must(proxy.connect(stack.proxy.url))
  end)
  teardown(function() stack:close() end)
  before_each(function() o = outbox.open { partitions = 1 } end)
  after_each(function()
    wire:sweep(o.topic)
    o:close()
  end)

  local function rule(what)
    what.owner = o.topic
    if not what.contains then what.topic = o.topic end
    return must(wire:add_rule(what)).id
  end

  local function send_all(more)
    more.brokers = stack.proxy.brokers
    local flow <close> = must(flow_relay.open(o:options(more)))
    o:drained()
    must(flow:stop())
    return o:records()
  end

  local function assert_each_once(n, records)
    assert.are.equal(n, #records)
    outbox.assert_all(o, records, n)
    outbox.assert_ordered(records)
  end

  it("asks for the acknowledgement of all replicas, and what was appended is not appended again", function()
    must(wire:watch { api = "Produce", topic = o.topic, owner = o.topic })
    local lost = rule { api = "Produce", nth = 2, action = "cut-after" }
    o:add(40)
    assert_each_once(40, send_all { batch = 10, in_flight = 1 })
    assert.are.equal(1, must(wire:rule(lost)).fired)
    for _, row in ipairs(must(wire:wire { owner = o.topic })) do
      if row.direction == "request" then assert.are.equal(-1, row.acks) end
    end
  end)

  -- A request for each record: the first one is refused while the relay waits for room for the second.
  it("lets nothing overtake a record that was refused", function()
    local refused = rule { api = "Produce", nth = 1, action = "error", code = REFUSAL }
    o:add(10, { key = "k" })
    assert_each_once(10, send_all { producer = { ["queue.buffering.max.messages"] = 1, linger_ms = 0 } })
    assert.are.equal(1, must(wire:rule(refused)).fired)
  end)

  it("takes nothing for sent that is in a transaction without a commit", function()
    local id = "tx-" .. o.topic
    local refused = rule { api = "EndTxn", contains = id, nth = 1, action = "error", code = NO_TRANSACTION }
    o:add(10, { key = "k" })
    assert_each_once(10, send_all { batch = 5, producer = { transactional_id = id } })
    assert.are.equal(1, must(wire:rule(refused)).fired)
  end)

  -- Held is the look behind the last row, once the one below found nothing.
  it("lets no row overtake one that comes between its two looks", function()
    local db <close> = must(proxy.serve { proxies = {
      { name = "db", upstream = ("127.0.0.1:%d"):format(o.mysql.port), proto = "mysql" } } })
    local gate, late <close> = must(proxy.connect(db.url)), o:connect()
    local options = o:options { poll = "1ms" }
    options.mysql.host, options.mysql.port = "127.0.0.1", must(gate:proxies()).db.port
    local flow <close> = must(flow_relay.open(options))
    o:add(1, { key = "k" })
    o:drained()
    must(late:exec "BEGIN")
    o:add(1, { db = late, key = "k" })
    o:add(1, { key = "other" })
    o:drained()
    local held = must(gate:add_rule { proto = "mysql", statement = "SELECT id, shard", action = "hold" }).id
    outbox.await("the look", function() return must(gate:rule(held)).held == 1 end)
    must(late:exec "COMMIT")
    o:add(1, { key = "k" })
    must(gate:remove_rule(held))
    o:drained()
    must(flow:stop())
    assert_each_once(4, o:records())
  end)
end)
