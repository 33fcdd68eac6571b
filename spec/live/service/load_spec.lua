-- flow.load on the running stack: Kafka records, each with its report, and the history of what was done.
local flow_load = require "rlab.flow_load"
local fs = require "rlab.fs"
local history = require "rlab.history"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local proxy = require "rlab.proxy"
local task = require "rlab.task"

local brokers = os.getenv "RLAB_TEST_BROKERS"

local function topic_of(admin, word)
  local name = ("load-spec-%s-%d"):format(word, require("rlab.process").self())
  must(admin:create_topic { name = name, partitions = 3, replication_factor = 3 })
  return name
end

local function record_of(topic)
  return { topic = topic, key = "${range:1:20}", value = [[{"n":${n}}]], id = "${uuid}",
    headers = { { "event-id", "${id}" } } }
end

local function lines_of(path)
  local list = {}
  for line in must(fs.read(path)):gmatch "[^\n]+" do list[#list + 1] = json.decode(line) end
  return list
end

describe("flow.load on Kafka", function()
  local admin, topic

  setup(function()
    admin = must(kafka.admin { brokers = brokers, at_most = "60s" })
    topic = topic_of(admin, "records")
  end)

  teardown(function()
    admin:delete_topics { topic }
    admin:close()
  end)

  it("sends at its rate, each record once, with its offset", function()
    local path = os.tmpname()
    local log = must(history.open(path))
    local load <close> = must(flow_load.open {
      kafka = { brokers = brokers, acks = "all", enable_idempotence = true, linger_ms = 0 },
      request = record_of(topic), rate = "500/s", arrivals = "poisson", count = 500, rows = 1000, seed = 7,
      history = log, timeout = "10s" })
    must(load:wait "60s")
    local stats, places, ids = load:stats(), {}, {}
    assert.same({ 500, 500, 0, 0, 0 },
      { stats.planned, stats.ok, stats.failed, stats.unknown, stats.dropped })
    assert.equal(500, stats.latency:count())
    for _, row in ipairs(load:take()) do
      local place = row.partition .. "/" .. row.offset
      assert.is_nil(places[place])
      places[place], ids[row.id] = true, true
    end
    log:close()
    local kinds = {}
    for _, op in ipairs(lines_of(path)) do kinds[op.type] = (kinds[op.type] or 0) + 1 end
    assert.same({ invoke = 500, ok = 500 }, kinds)
    os.remove(path)
    local consumer <close> = must(kafka.consumer { brokers = brokers, group = topic,
      auto_offset_reset = "earliest" })
    must(consumer:subscribe { topic })
    local seen = 0
    must(task.wait_until(function()
      for record in must(consumer:poll(500, "200ms")):each() do
        assert.is_true(ids[record:header "event-id"])
        seen = seen + 1
      end
      return seen >= 500
    end, { at_most = "60s", every = "10ms" }))
    assert.equal(500, seen)
  end)

  it("says what it does not know when it is closed in the middle, and its history survives", function()
    local path = os.tmpname()
    local log = must(history.open(path))
    local load = must(flow_load.open {
      kafka = { brokers = brokers, linger_ms = 60000, message_timeout_ms = 300000 },
      request = record_of(topic), rate = "2000/s", duration = "60s", history = log })
    must(task.wait_until(function() return load:stats().started > 100 end,
      { at_most = "60s" }))
    load:close()
    log:close()
    local kinds = {}
    for _, op in ipairs(lines_of(path)) do kinds[op.type] = (kinds[op.type] or 0) + 1 end
    assert.equal(kinds.invoke, (kinds.ok or 0) + (kinds.fail or 0) + (kinds.info or 0))
    os.remove(path)
  end)

  it("does not know of what was sent and not answered when it is closed", function()
    local stack <close> = must(require("rlab.stack").open { needs = { "kafka", "proxy" }, start = true })
    local client = must(proxy.connect(stack.proxy.url))
    local rule = must(client:add_rule { owner = topic, topic = topic, api = "Produce",
      action = "black-hole" }).id
    local path = os.tmpname()
    local log = must(history.open(path))
    local load = must(flow_load.open { kafka = { brokers = stack.proxy.brokers, linger_ms = 0,
      message_timeout_ms = 300000, socket_timeout_ms = 60000 }, request = record_of(topic), rate = "100/s",
      duration = "60s", history = log })
    must(task.wait_until(function() return must(client:rule(rule)).fired > 0 end, { at_most = "60s" }))
    load:close()
    log:close()
    client:sweep(topic)
    local unknown = 0
    for _, op in ipairs(lines_of(path)) do unknown = unknown + (op.type == "info" and 1 or 0) end
    assert.is_true(unknown > 0)
    os.remove(path)
  end)

  it("ends with an error when no broker is there", function()
    local load <close> = must(flow_load.open { kafka = { brokers = "127.0.0.1:1" },
      request = record_of(topic), rate = 10, count = 1,
      timeout = "700ms" })
    local ok, failure = load:wait "60s"
    assert.is_nil(ok)
    assert.truthy(failure.message:find "do not answer")
  end)

  it("refuses brokers of other machines", function()
    assert.has_error(function()
      flow_load.open { kafka = { brokers = "127.0.0.1:19092,kafka.example:9092" },
        request = record_of(topic), rate = 10, count = 1 }
    end, "flow_load.open: load is sent to this machine only (127.x.x.x, localhost, ::1), not to \z
      'kafka.example'")
  end)
end)
