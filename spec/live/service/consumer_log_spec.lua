-- The consumer and what it may find in a log: an event twice in one batch, a record of an older version,
-- what a transaction took back; and a log that does not take what it sends on.
local kafka = require "rlab.kafka"
local ledger = require "spec.support.ledger"
local must = require "rlab.must"

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

  -- The DLQ takes only what is small, until it takes all.
  it("does not pass a record whose copy was refused", function()
    local dlq = l.topic .. ".dlq"
    must(l.admin:alter_configs { topic = dlq, set = { ["max.message.bytes"] = "100" } })
    ledger.until_("the brokers know", function()
      local _, failure = l.producer:send { topic = dlq, value = ("x"):rep(200) }
      return failure and failure.name == "MSG_SIZE_TOO_LARGE"
    end)
    local before = must(l.admin:offsets(dlq, 0)).hw
    local events = l:publish(3)
    local service <close> = l:service("consumer", quick { batch = 1 },
      { ["consumer.handle"] = ("error(always) if id=%s"):format(events[2].id) })
    ledger.until_("it says that it cannot, or goes on", function()
      local ok, body = service:health()
      return not ok and body:find("kafka-produce", 1, true) or l:committed() == 3
    end)
    assert.is_true(l:committed() < 2)
    must(l.admin:alter_configs { topic = dlq, set = { ["max.message.bytes"] = "1000000" } })
    at_end(service, 3)
    assert.equal(before + 1, must(l.admin:offsets(dlq, 0)).hw)
    assert.equal(2, l:count "effect_log")
  end)
end)
