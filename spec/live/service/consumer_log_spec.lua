-- The consumer and what it may find in a log: an event twice in one batch, a record of an older version,
-- what a transaction took back; and a log that does not take what it sends on.
local dlq = require "rlab.dlq"
local kafka = require "rlab.kafka"
local ledger = require "spec.support.ledger"
local must = require "rlab.must"
local reader = require "rlab.replay.reader"

local function quick(settings)
  settings.consumer = { ["session.timeout.ms"] = "3000", ["heartbeat.interval.ms"] = "300" }
  return settings
end

describe("the consumer", function()
  local l

  before_each(function() l = ledger.open("log", { partitions = 1, topics = { "dlq" } }) end)
  after_each(function() l:close() end)

  local function send(...)
    for _, event in ipairs { ... } do must(l.producer:send(l:record(event))) end
  end

  local function at_end(service, n)
    ledger.until_("the group is at the end", function() return l:committed() == n end)
    assert.equal(0, service:stop().code)
  end

  it("applies an event once that comes twice in one batch", function()
    local events = l:publish(5)
    send(table.unpack(events))
    local service <close> = l:service("consumer", quick { batch = 25 })
    at_end(service, 10)
    assert.equal(5, l:count "effect_log")
  end)

  it("does not take a view back to an older version", function()
    local older, newer = l:event(1, 1, 10), l:event(2, 1, 20)
    send(newer, older)
    local service <close> = l:service("consumer", quick { batch = 1 })
    at_end(service, 2)
    assert.same({ 30, 2 }, { must(l.db:value "SELECT balance FROM account_view"),
      must(l.db:value "SELECT version FROM account_view") })
  end)

  it("applies nothing that a transaction took back, and comes to the end behind its marker", function()
    local writer <close> = must(kafka.producer { brokers = l.brokers, transactional_id = l.topic })
    must(writer:init_transactions "20s")
    for n, ending in ipairs { "commit", "abort" } do
      must(writer:begin())
      must(writer:submit { l:record(l:event(n, 1, 10)) })
      must(writer:flush "20s")
      must(writer[ending](writer, "20s"))
    end
    local service <close> = l:service("consumer", quick {})
    at_end(service, 4)
    assert.equal(1, l:count "effect_log")
  end)

  -- Of these sizes the record itself fits, but its copy does not: it has more headers.
  it("parks the beginning of a record that is too large for the DLQ, and goes on", function()
    local sizes = { 999500, 1000200, 1048000, 1048480 }
    local large <close> = must(kafka.producer { brokers = l.brokers, message_max_bytes = 2000000 })
    for i, size in ipairs(sizes) do
      must(large:send { topic = l.topic, value = ("x"):rep(size), headers = { { "event-id", "e" .. i } } })
    end
    local events = l:publish(2)
    local service <close> = l:service("consumer", quick { batch = 10 })
    at_end(service, #sizes + 2)
    assert.equal(2, l:count "effect_log")
    local parked = {}
    must(reader.each(l.brokers, must(reader.bounds(l.admin, l.topic .. ".dlq")), function(record)
      parked[#parked + 1] = { size = #record.value, story = dlq.read(record.headers) }
    end))
    assert.equal(#sizes, #parked)
    for i, size in ipairs(sizes) do
      local one = parked[i]
      assert.same({ l.topic, 0, i - 1, "undecodable" }, { one.story.original_topic,
        one.story.original_partition, one.story.original_offset, one.story.error_class })
      if one.size ~= size then assert.same({ 4096, size }, { one.size, one.story.cut }) end
    end
    assert.equal(1048480, parked[#sizes].story.cut)
    assert.is_truthy(events)
  end)

  it("sends a record that is too large for its retry topic to the DLQ", function()
    local retry = l.topic .. ".retry.5s"
    must(l.admin:create_topic { name = retry, partitions = 1, replication_factor = 3,
      configs = { ["max.message.bytes"] = "200" } })
    local events = l:publish(3)
    local service <close> = l:service("consumer", quick { retry = "5s:" .. retry, batch = 3 },
      { ["consumer.handle"] = ("error(always) if id=%s"):format(events[2].id) })
    at_end(service, 3)
    assert.equal(1, must(l.admin:offsets(l.topic .. ".dlq", 0)).hw)
    assert.equal(0, must(l.admin:offsets(retry, 0)).hw)
    must(l.admin:delete_topics { retry })
  end)

  -- The DLQ takes only what is small, until it takes all.
  it("does not pass a record whose copy was refused", function()
    local parked = l.topic .. ".dlq"
    must(l.admin:alter_configs { topic = parked, set = { ["max.message.bytes"] = "100" } })
    ledger.until_("the brokers know", function()
      local _, failure = l.producer:send { topic = parked, value = ("x"):rep(200) }
      return failure and failure.name == "MSG_SIZE_TOO_LARGE"
    end)
    local before = must(l.admin:offsets(parked, 0)).hw
    local events = l:publish(3)
    local service <close> = l:service("consumer", quick { batch = 1 },
      { ["consumer.handle"] = ("error(always) if id=%s"):format(events[2].id) })
    ledger.until_("it says that it cannot, or goes on", function()
      local ok, body = service:health()
      return not ok and body:find("kafka-produce", 1, true) or l:committed() == 3
    end)
    assert.is_true(l:committed() < 2)
    must(l.admin:alter_configs { topic = parked, set = { ["max.message.bytes"] = "1000000" } })
    at_end(service, 3)
    assert.equal(before + 1, must(l.admin:offsets(parked, 0)).hw)
    assert.equal(2, l:count "effect_log")
  end)
end)
