-- A static member that another one of the same name has shut out: librdkafka's client is dead for ever
-- then, the service is not.
local kafka = require "rlab.kafka"
local ledger = require "spec.support.ledger"
local must = require "rlab.must"

describe("a consumer that was fenced", function()
  it("opens another client and goes on, each event once", function()
    local l <close> = ledger.open("fenced", { partitions = 1 })
    local static = { ["group.instance.id"] = "one", ["session.timeout.ms"] = "6000" }
    local service <close> = l:service("consumer", { topic = l.topic, group = l.group, consumer = static }, {})
    l:publish(20)
    ledger.until_("the first events", function() return l:count "effect_log" == 20 end)
    do
      local other <close> = must(kafka.consumer { brokers = l.brokers, group = l.group,
        group_instance_id = "one", session_timeout_ms = 6000,
        enable_auto_commit = false })
      must(other:subscribe { l.topic })
      ledger.until_("the other one has the partition", function()
        other:poll(1, "50ms")
        return #must(other:assignment()) == 1
      end)
    end
    l:publish(20)
    ledger.until_("the events behind", function() return l:count "effect_log" == 40 end)
    assert.equal(0, service:stop().code)
  end)
end)
