-- The exporter's text from a survey, its clock of watermarks and its counting, without a cluster.
local metrics = require "rlab.metrics"
local promlint = dofile "spec/support/formats/promlint.lua"
local told = require "service.exporter.told"
local watermarks = require "service.exporter.watermarks"

local function none() return nil end

-- As admin:survey gave it of a real cluster: `orders` with an aborted transaction at the end of partition 0
-- and an open one in partition 1, whose leader is not the first replica; a group with a quotation mark.
local function survey()
  return {
    brokers = { { id = 1, host = "127.0.0.1", port = 19092 }, { id = 2, host = "127.0.0.1", port = 19093 } },
    topics = { { name = "orders", internal = false, partitions = {
      { partition = 0, leader = 1, replicas = { 1, 2 }, isr = { 1, 2 }, low = 5, lso = 104, hw = 104 },
      { partition = 1, leader = 2, replicas = { 1, 2 }, isr = { 2 }, low = 0, lso = 40, hw = 47,
        holder = 7000, open_since_ms = 970000 },
      { partition = 2, replicas = { 2, 1 }, isr = {} },
    } } },
    groups = {
      { id = 'bil"ling', type = "Consumer", coordinator = 1, members = 2,
        committed = { orders = { [0] = 100, [1] = 40, [2] = 9 } } },
      { id = "late", type = "Classic", coordinator = 2,
        committed = { orders = { [0] = 2 }, gone = { [0] = 3 } } },
    },
    failed = {},
  }
end

local function text_of(s, seen)
  seen = seen or {}
  return metrics.render(told.metrics(s, told.places(s), { now = seen.now or 1000,
    watermarks = seen.watermarks or watermarks.new(), counted = seen.counted or none }))
end

local function has(text, line) assert(text:find("\n" .. line .. "\n", 1, true), line) end
local function hasnt(text, part) assert(not text:find(part, 1, true), part) end

describe("the exporter's text", function()
  it("has kafka_exporter's names and labels", function()
    local text = text_of(survey())
    has(text, "kafka_brokers 2")
    has(text, 'kafka_broker_info{address="127.0.0.1:19093",id="2"} 1')
    has(text, 'kafka_topic_partitions{topic="orders"} 3')
    has(text, 'kafka_topic_partition_current_offset{partition="0",topic="orders"} 104')
    has(text, 'kafka_topic_partition_oldest_offset{partition="0",topic="orders"} 5')
    has(text, 'kafka_topic_partition_in_sync_replica{partition="1",topic="orders"} 1')
    has(text, 'kafka_topic_partition_replicas{partition="1",topic="orders"} 2')
    has(text, 'kafka_topic_partition_under_replicated_partition{partition="1",topic="orders"} 1')
    has(text, 'kafka_topic_partition_under_replicated_partition{partition="0",topic="orders"} 0')
    has(text, 'kafka_topic_partition_leader{partition="1",topic="orders"} 2')
    has(text, 'kafka_topic_partition_leader_is_preferred{partition="0",topic="orders"} 1')
    has(text, 'kafka_topic_partition_leader_is_preferred{partition="1",topic="orders"} 0')
    has(text, [[kafka_consumergroup_members{consumergroup="bil\"ling"} 2]])
    has(text,
      [[kafka_consumergroup_current_offset{consumergroup="bil\"ling",partition="0",topic="orders"} 100]])
    has(text, [[kafka_consumergroup_current_offset_sum{consumergroup="bil\"ling",topic="orders"} 149]])
    has(text, [[kafka_consumergroup_lag{consumergroup="bil\"ling",partition="1",topic="orders"} 7]])
  end)

  it("tells which broker did not answer, which refused, and which has left", function()
    local known, s = {}, survey()
    local function up() return metrics.render(told.up(known, s, 1000)) end
    s.failed = { { broker = 2, silent = true, err = {} }, { broker = 1, silent = false, err = {} } }
    has(up(), 'rlab_kafka_broker_up{id="1"} 1')
    has(up(), 'rlab_kafka_broker_up{id="2"} 0')
    s.failed = {}
    has(up(), 'rlab_kafka_broker_up{id="2"} 1')
    table.remove(s.brokers, 1)
    has(up(), 'rlab_kafka_broker_up{id="1"} 0')
    s = nil
    has(up(), 'rlab_kafka_broker_up{id="2"} 0')
    has(text_of(survey()), 'rlab_kafka_broker_up{id="2"} 1')
  end)

  it("misses a broker that a partition counts on, and forgets one that was taken out for good", function()
    local known, s = {}, survey()
    local function up(now) return metrics.render(told.up(known, s, now)) end
    table.remove(s.brokers, 2)
    s.topics[1].partitions[1].replicas = { 1, 3 } -- 3 was never seen
    has(up(1000), 'rlab_kafka_broker_up{id="3"} 0')
    has(up(9000), 'rlab_kafka_broker_up{id="3"} 0')
    for _, p in ipairs(s.topics[1].partitions) do p.replicas = { 1 } end
    has(up(9800), 'rlab_kafka_broker_up{id="2"} 0')
    hasnt(up(9901), 'rlab_kafka_broker_up{id="2"}')
    hasnt(up(9902), 'rlab_kafka_broker_up{id="3"}')
    has(up(9902), 'rlab_kafka_broker_up{id="1"} 1')
  end)

  it("tells the last stable offset and how long a transaction is open", function()
    local text = text_of(survey())
    has(text, 'rlab_kafka_topic_partition_last_stable_offset{partition="1",topic="orders"} 40')
    has(text, 'rlab_kafka_topic_partition_open_transaction_age_seconds{partition="1",topic="orders"} 30')
    hasnt(text, 'open_transaction_age_seconds{partition="0"')
  end)

  it("leaves out what nobody told: a partition without a leader, a sum that lacks a part", function()
    local text = text_of(survey())
    has(text, 'kafka_topic_partition_leader{partition="2",topic="orders"} -1')
    hasnt(text, 'kafka_topic_partition_current_offset{partition="2"')
    hasnt(text, [[kafka_consumergroup_lag{consumergroup="bil\"ling",partition="2"]])
    hasnt(text, [[kafka_consumergroup_lag_sum{consumergroup="bil\"ling"]])
    hasnt(text, 'kafka_consumergroup_members{consumergroup="late"}')
    has(text, 'kafka_consumergroup_current_offset{consumergroup="late",partition="0",topic="gone"} 3')
    hasnt(text, 'kafka_consumergroup_lag{consumergroup="late",partition="0",topic="gone"}')
    has(text, 'kafka_consumergroup_lag_sum{consumergroup="late",topic="orders"} 102')
  end)

  it("has the lag in three definitions, which differ where transactions are", function()
    local text = text_of(survey(), { counted = function(at, row)
      return at.hw == 104 and row.from == 100 and 0 or at.hw == 47 and 0 or nil
    end })
    local head = [[rlab_kafka_consumergroup_lag{definition="%s",consumergroup="bil\"ling",partition="%d",]]
      .. [[topic="orders"} %d]]
    has(text, head:format("watermark", 0, 4))
    has(text, head:format("lso", 0, 4))
    has(text, head:format("readable", 0, 0))
    has(text, head:format("watermark", 1, 7))
    has(text, head:format("lso", 1, 0))
    local late = 'rlab_kafka_consumergroup_lag{definition="%s",consumergroup="late",'
      .. 'partition="0",topic="orders"}'
    has(text, late:format "watermark" .. " 99") -- what was removed unread is not before it any more
    hasnt(text, late:format "readable")
  end)

  it("passes the rules of promtool check metrics", function()
    local seen = watermarks.new()
    seen:note(990, survey())
    local text = text_of(survey(), { watermarks = seen, counted = function() return 1 end })
    assert.same({}, promlint.problems(text))
  end)
end)

-- ---- seconds ----

local function ends(hw)
  return { topics = { { name = "t", partitions = { { partition = 0, hw = hw } } } } }
end

describe("a lag in seconds", function()
  it("is how long ago the end passed the offset, by the straight line between two looks", function()
    local seen = watermarks.new()
    seen:note(100, ends(50))
    seen:note(110, ends(60))
    seen:note(120, ends(60))
    seen:note(130, ends(61))
    assert.equal(0, seen:age(140, "t", 0, 61))
    assert.equal(10, seen:age(140, "t", 0, 60))
    assert.equal(35, seen:age(140, "t", 0, 54)) -- the fifth of ten that came from 100 to 110
    assert.equal(30, seen:age(140, "t", 0, 59))
  end)

  it("is at least as long as we have looked, and nothing where nobody has", function()
    local seen = watermarks.new()
    seen:note(100, ends(50))
    assert.equal(40, seen:age(140, "t", 0, 49))
    assert.equal(40, seen:age(140, "t", 0, 3))
    assert.is_nil(seen:age(140, "t", 1, 3))
    assert.is_nil(seen:age(140, "other", 0, 3))
  end)

  it("begins anew with a topic that was made anew, and forgets one that is gone", function()
    local seen = watermarks.new()
    seen:note(100, ends(50))
    seen:note(110, ends(3))
    assert.equal(30, seen:age(140, "t", 0, 0))
    seen:note(120, { topics = {} })
    assert.is_nil(seen:age(140, "t", 0, 0))
  end)

  it("keeps few looks of a long time, the old ones sparser", function()
    local seen = watermarks.new()
    for i = 1, 5000 do seen:note(i, ends(i * 10)) end
    local place = seen.topics.t[0]
    assert.is_true(#place.times <= 130 and #place.times == #place.ends)
    assert.equal(1, place.times[1])
    assert.is_true(math.abs(seen:age(5000, "t", 0, 49900) - 10) < 0.2)
    assert.is_true(math.abs(seen:age(5000, "t", 0, 25000) - 2500) < 1)
  end)

  it("is 0 where nothing is left to read, unless a transaction hides something", function()
    local seen = watermarks.new()
    seen:note(900, survey())
    local text = text_of(survey(), { now = 1000, watermarks = seen, counted = function() return 0 end })
    local head = [[rlab_kafka_consumergroup_lag_seconds{consumergroup="bil\"ling",partition="%d",]]
      .. [[topic="orders"} ]]
    has(text, head:format(0) .. "0")
    has(text, head:format(1) .. "100")
  end)
end)

-- ---- the rules ----

describe("the lint", function()
  local function problem(text) return promlint.problems(text)[1] end

  it("finds what promtool finds", function()
    for _, row in ipairs {
      { "# TYPE a gauge\na 1\n", "no help text" },
      { "# HELP a A.\n# TYPE a counter\na 1\n", "_total" },
      { "# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n", "_total" },
      { "# HELP a_sum A.\n# TYPE a_sum gauge\na_sum 1\n", "_sum" },
      { "# HELP a_milliseconds A.\n# TYPE a_milliseconds gauge\na_milliseconds 1\n", "base unit" },
      { "# HELP a_ms A.\n# TYPE a_ms gauge\na_ms 1\n", "abbreviated" },
      { "# HELP a_gauge A.\n# TYPE a_gauge gauge\na_gauge 1\n", "type" },
      { "# HELP aB A.\n# TYPE aB gauge\naB 1\n", "camelCase" },
      { '# HELP a A.\n# TYPE a gauge\na{le="1"} 1\n', '"le" label' },
      { '# HELP a A.\n# TYPE a gauge\na{x="1"} 1\na{x="1"} 2\n', "second sample" },
      { "# HELP a A.\n# TYPE a gauge\na one\n", "no sample" },
    } do
      assert.matches(row[2], problem(row[1]) or "nothing", 1, true)
    end
    assert.is_nil(problem "# HELP a_sum A.\n# TYPE a_sum untyped\na_sum 1\n")
    assert.is_nil(problem '# HELP a A.\n# TYPE a gauge\na{x="\\"}, {",y="\\\\"} NaN\n')
  end)
end)
