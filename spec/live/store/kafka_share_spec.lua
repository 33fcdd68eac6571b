-- Share groups on real brokers: what the three words do, and what a group's settings say.
local clock = require "rlab.clock"
local defer = require "rlab.defer"
local kafka = require "rlab.kafka"
local must = require "rlab.must"

local brokers = assert(os.getenv "RLAB_TEST_BROKERS", "RLAB_TEST_BROKERS is not set")
local name = ("spec-share-%x-%x"):format(clock.unix_ms(), clock.ns() % 0xffff)

local function values_of(list)
  local values = {}
  for i, record in ipairs(list) do values[i] = ("%s %d"):format(record.value, record.delivery_count) end
  return values
end

-- What has come when there are so many.
local function poll(share, n)
  local list = {}
  local until_ns = clock.ns() + 30e9
  while #list < n and clock.ns() < until_ns do
    for _, record in ipairs(must(share:poll "1s")) do list[#list + 1] = record end
  end
  return list
end

describe("kafka.share_consumer", function()
  it("delivers again what is released, and never what is accepted or rejected", function()
    local admin <close> = must(kafka.admin { brokers = brokers })
    must(admin:create_topic { name = name, partitions = 1, replication_factor = 3 })
    local _ <close> = defer(function()
      admin:delete_topics { name }
      admin:alter_configs { group = name,
        delete = { "share.auto.offset.reset", "share.heartbeat.interval.ms" } }
    end)
    must(admin:alter_configs { group = name, set = { ["share.auto.offset.reset"] = "earliest" } })
    -- Faster where the brokers allow it.
    admin:alter_configs { group = name, set = { ["share.heartbeat.interval.ms"] = "300" } }
    assert.are.equal("earliest", must(admin:configs { group = name })["share.auto.offset.reset"])

    local producer <close> = must(kafka.producer { brokers = brokers, linger_ms = 200 }) -- one batch
    must(producer:send_batch { { topic = name, value = "a" }, { topic = name, value = "b" },
      { topic = name, value = "c" } })
    local share <close> = must(kafka.share_consumer { brokers = brokers, group = name })
    must(share:subscribe(name))
    local first = poll(share, 1)
    assert.are.same({ "a 1", "b 1", "c 1" }, values_of(first))
    local none, state = share:poll "100ms"
    assert.is_nil(none)
    assert.are.equal("_STATE", state.name) -- they are in our hands still
    for i, word in ipairs { "accept", "release", "reject" } do must(share:acknowledge(first[i], word)) end
    must(share:commit())

    local again = poll(share, 1)
    assert.are.same({ "b 2" }, values_of(again))
    local done, failure = share:acknowledge(first[1])
    assert.is_nil(done)
    assert.are.equal("_STATE", failure.name)
    must(share:acknowledge(again[1]))
    must(share:commit())
    must(producer:send { topic = name, value = "d" })
    assert.are.same({ "d 1" }, values_of(poll(share, 1)))
  end)
end)
