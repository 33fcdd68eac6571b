-- What the console says of records, groups and transactions, on real brokers.
local clock = require "rlab.clock"
local console_kafka = require "rlab.ui.kafka"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local task = require "rlab.task"

local brokers = assert(os.getenv "RLAB_TEST_BROKERS", "RLAB_TEST_BROKERS is not set")
local name = ("spec-console-%x"):format(clock.ns())

describe("the console on Kafka", function()
  local admin, console

  setup(function()
    admin, console = must(kafka.admin { brokers = brokers, at_most = "60s" }), console_kafka.new()
    console.clients.stack = function() return { kafka = { brokers = brokers } } end
    must(admin:create_topic { name = name, partitions = 1, wait = true })
  end)

  teardown(function()
    console:close()
    admin:delete_topics { name }
    admin:close()
  end)

  local function fates()
    local words = {}
    for i, r in ipairs(console:records(name, 0, 0, 50).records) do words[i] = r.fate end
    return table.concat(words, " ")
  end

  local function sees(words)
    assert.truthy(task.wait_until(function() return fates() == words end, { at_most = "30s" }), fates())
  end

  it("tells committed, aborted and open records apart, and names what holds the LSO back", function()
    local p <close> = must(kafka.producer { brokers = brokers, transactional_id = name .. "-tx",
      transaction_timeout_ms = "60s" })
    must(p:init_transactions "60s")
    for i, finish in ipairs { "commit", "abort" } do
      must(p:begin())
      must(p:send { topic = name, partition = 0, key = "k" .. i, value = "<b>" .. i .. "</b>",
        headers = { { "id", "\0\255" } } })
      must(p[finish](p))
    end
    local written = "committed control aborted control"
    sees(written)
    must(p:begin())
    must(p:send { topic = name, partition = 0, value = "open" })
    sees(written .. " open")

    local row = console:topic(name).partitions[1]
    assert.same({ 0, 4, 5 }, { row.low, row.lso, row.hw })
    assert.same({ name .. "-tx", 4, true }, { row.open[1].id, row.open[1].from, row.open[1].holds_lso })
    local first = console:records(name, 0, 0, 1).records[1]
    assert.same({ "<b>1</b>", 8, "bytes", "00 ff " }, { first.value.text, first.value.size,
      first.headers[1].value.kind, first.headers[1].value.text })
    must(p:abort())
    sees(written .. " aborted control")
  end)

  it("has the three lags of a group, and moves it after a plan that changes nothing", function()
    local group = name .. "-group"
    must(admin:alter_group_offsets(group, { { topic = name, partition = 0, offset = 1 } }))
    local lag = console:group(group).lag[1]
    assert.same({ 1, 5, 5, 0 }, { lag.committed, lag.lag, lag.stable, lag.readable })
    assert.same({ before = 1, offset = 0 }, (function(row)
      return { before = row.before, offset = row.offset }
    end)(console:plan(group, name, "earliest").rows[1]))
    assert.equal(1, console:group(group).lag[1].committed)
    console:seek(group, name, 0)
    lag = console:group(group).lag[1]
    assert.same({ 0, 6, 1 }, { lag.committed, lag.lag, lag.readable })
    must(admin:delete_groups { group })
  end)

  it("writes a record that it then shows, and refuses what is not there", function()
    local at = console:produce(name, { key = "again", value = "" })
    local shown = console:records(name, at.partition, at.offset, 1).records[1]
    assert.same({ "again", "text", 0 }, { shown.key.text, shown.value.kind, shown.value.size })
    assert.is_false((pcall(console.topic, console, name .. "-none")))
    assert.equal(0, #console:records(name, 0, 10 ^ 9 // 1 | 0, 5).records)
  end)
end)
