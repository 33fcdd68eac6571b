-- The exporter on the running stack: what it says of a group and its partition, against what the admin says
-- and what is known to have been done.
local clock = require "rlab.clock"
local http = require "rlab.http"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local process = require "rlab.process"
local promlint = dofile "spec/support/formats/promlint.lua"
local services = dofile "spec/support/services.lua"
local task = require "rlab.task"

local brokers = assert(os.getenv "RLAB_TEST_BROKERS", "RLAB_TEST_BROKERS is not set")
local name = ("exporter-spec-%d-%x"):format(process.self(), clock.ns() % 0xffffff)
local admin, producer, exporter

local function send(n)
  for i = 1, n do must(producer:send { topic = name, partition = 0, value = "v" .. i }) end
end

-- Markers are written after the end of a transaction was acknowledged.
local function until_at(lso, hw)
  must(task.wait_until(function()
    local at = must(admin:offsets(name, 0))
    return at.lso == lso and at.hw == hw
  end, { at_most = "60s", every = "20ms", what = ("LSO %d, HW %d"):format(lso, hw) }))
end

local function text()
  return must(http.get(exporter.url .. "/actuator/prometheus", { timeout = "60s" })).body
end

local function reader(body)
  return function(metric, labels)
    local line = ('%s{%spartition="0",topic="%s"} '):format(metric, labels or "", name)
    local from, to = ("\n" .. body):find("\n" .. line, 1, true)
    return from and tonumber(body:match("^%S+", to))
  end
end

local function lags(read)
  local group, all = ('consumergroup="%s",'):format(name), {}
  for _, definition in ipairs { "watermark", "lso", "readable" } do
    all[definition] = read("rlab_kafka_consumergroup_lag", ('definition="%s",%s'):format(definition, group))
  end
  return all, read("kafka_consumergroup_lag", group), read("rlab_kafka_consumergroup_lag_seconds", group)
end

describe("the exporter", function()
  setup(function()
    admin = must(kafka.admin { brokers = brokers, at_most = "60s" })
    must(admin:create_topic { name = name, partitions = 1, replication_factor = 3 })
    producer = must(kafka.producer { brokers = brokers, transactional_id = name })
    must(producer:init_transactions "60s")
    exporter = services.spawn("exporter", { brokers = brokers, limit = "60s" })
  end)

  teardown(function()
    exporter:close()
    producer:close()
    admin:delete_groups { name }
    admin:delete_topics { name }
    admin:close()
  end)

  it("has three lags behind an aborted transaction, and tells for how long an open one holds them", function()
    must(producer:begin())
    send(5)
    must(producer:commit "30s")
    must(producer:begin())
    send(3)
    must(producer:abort "30s")
    until_at(10, 10)
    must(admin:alter_group_offsets(name, { { topic = name, partition = 0, offset = 6 } }))
    local body = text()
    local read = reader(body)
    local all, known, seconds = lags(read)
    assert.same({ watermark = 4, lso = 4, readable = 0 }, all)
    assert.same({ 4, 0 }, { known, seconds })
    assert.is_nil(read "rlab_kafka_topic_partition_open_transaction_age_seconds")
    assert.same({}, promlint.problems(body))
    assert.equal("", promlint.promtool(body) or "")

    local began = clock.unix_ms()
    must(producer:begin())
    send(2)
    until_at(10, 12)
    task.sleep "20ms" -- so that an age of 0 is told from none
    read = reader(text())
    local at = must(admin:offsets(name, 0))
    assert.same({ watermark = 6, lso = 4, readable = 0 }, (lags(read)))
    assert.same({ at.low, at.lso, at.hw, at.leader, #at.isr }, { read "kafka_topic_partition_oldest_offset",
      read "rlab_kafka_topic_partition_last_stable_offset", read "kafka_topic_partition_current_offset",
      read "kafka_topic_partition_leader", read "kafka_topic_partition_in_sync_replica" })
    local age = read "rlab_kafka_topic_partition_open_transaction_age_seconds"
    assert.is_true(age >= 0.02 and age <= (clock.unix_ms() - began) / 1000 + 0.001, age)

    must(producer:commit "30s")
    until_at(13, 13)
    read = reader(text())
    all, known, seconds = lags(read)
    assert.same({ watermark = 7, lso = 7, readable = 2 }, all)
    assert.equal(7, known)
    assert.is_true(seconds >= 0)
    assert.is_nil(read "rlab_kafka_topic_partition_open_transaction_age_seconds")
  end)

  it("tells of a broker that is frozen, waits for it a little, and keeps what the others tell", function()
    local stack <close> = must(require("rlab.stack").open { needs = { "kafka" } })
    local topic = name .. "-three"
    must(admin:create_topic { name = topic, assignment = { { 1 }, { 2 }, { 3 } } })
    must(admin:alter_group_offsets(name, { { topic = topic, partition = 0, offset = 0 } }))
    local function told(body, metric, labels)
      return tonumber(body:match("\n" .. metric .. "{" .. labels .. "} (%S+)"))
    end
    local function ends(body)
      local list = {}
      for p = 0, 2 do
        local labels = ('partition="%d",topic="%s"'):format(p, (topic:gsub("%-", "%%-")))
        list[p + 1] = told(body, "kafka_topic_partition_current_offset", labels) ~= nil
      end
      return list
    end
    local whole = text()
    assert.same({ true, true, true }, ends(whole))
    local frozen = stack:server "kafka-3"
    must(frozen:freeze())
    local ok, failure = pcall(function()
      local body = text()
      assert.same({ 1, 1, 0 }, { told(body, "rlab_kafka_broker_up", 'id="1"'),
        told(body, "rlab_kafka_broker_up", 'id="2"'), told(body, "rlab_kafka_broker_up", 'id="3"') })
      assert.same({ true, true, false }, ends(body))
      assert.matches("\nrlab_exporter_complete 0\n", body, 1, true)
      local took = tonumber(body:match "\nrlab_exporter_scrape_seconds (%S+)")
      assert.is_true(took < 60 / 4, took) -- of the limit that it was given
    end)
    must(frozen:thaw())
    must(stack:heal())
    if not ok then error(failure, 0) end
    must(task.wait_until(function() return told(text(), "rlab_kafka_broker_up", 'id="3"') == 1 end,
      { at_most = "60s", what = "a broker that is up again" }))
    must(admin:delete_topics { topic })
  end)

  it("knows each group and topic that the admin knows", function()
    local body = text()
    assert.matches("\nrlab_exporter_complete 1\n", body, 1, true)
    assert.matches("\nkafka_brokers 3\n", body, 1, true)
    for _, group in ipairs(must(admin:groups())) do
      local line = ('\nkafka_consumergroup_members{consumergroup="%s"} '):format(group.id)
      local told = body:find(line, 1, true) ~= nil
      assert.equal(group.type == "Consumer" or group.type == "Classic", told, group.id)
    end
    for _, topic in ipairs(must(admin:topics { internal = true })) do
      assert.is_truthy(body:find(('\nkafka_topic_partitions{topic="%s"} '):format(topic), 1, true), topic)
    end
  end)

  it("is part of what rlab ui tells at /metrics", function()
    local console <close> = must(require("rlab.ui").serve { port = 0, runs = "no-runs" })
    local body = must(http.get(console.url .. "/metrics", { timeout = "60s" })).body
    assert.matches("\nrlab_run_under_way 0\n", body, 1, true)
    assert.matches("\nkafka_brokers 3\n", body, 1, true)
    assert.is_truthy(body:find(('\nkafka_topic_partitions{topic="%s"} 1\n'):format(name), 1, true))
    assert.equal("", promlint.promtool(body) or "")
  end)
end)
