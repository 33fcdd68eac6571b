-- The headers of failed records: one set of names in Lua, C and the docs, and what a replay makes of them.
local dlq = require "rlab.dlq"

local function words(path, pattern)
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  local list = {}
  for word in text:gmatch(pattern) do list[#list + 1] = word end
  return list
end

describe("dlq", function()
  it("has the same names in C and in the docs", function()
    assert.same(dlq.headers, words("engine/flow/dlq.h", '#define DLQ_%u[%u_]+ "([^"]+)"'))
    assert.same(dlq.headers, words("docs/dlq.md", "\n| `([%w-]+)` |"))
  end)

  it("reads a record's story", function()
    local story = dlq.read { { "event-id", "e1" }, { "rlab-original-topic", "orders" },
      { "rlab-original-offset", "41" }, { "rlab-attempt", "x" } }
    assert.same({ original_topic = "orders", original_offset = 41, replay_count = 0 }, story)
    local twice = dlq.read { { "rlab-attempt", "1" }, { "rlab-attempt", "2" } } -- the last counts, as in C
    assert.same({ attempt = 2, replay_count = 0 }, twice)
  end)

  it("takes no number beyond its bound", function()
    local none = { "", "-1000", "-2", "+1", "0x10", "1e3", "1.0", " 1", "x" }
    for _, text in ipairs(none) do
      local story = dlq.read { { "rlab-attempt", text }, { "rlab-replay-count", text },
        { "rlab-due-at", text } }
      assert.same({ replay_count = 0 }, story, text)
    end
    for text, count in pairs { ["0"] = 0, ["007"] = 7, ["1000000"] = 1000000, ["1000001"] = 1000000,
      ["4294967297"] = 1000000, ["9223372036854775808"] = 1000000, [("9"):rep(40)] = 1000000 } do
      local story = dlq.read { { "rlab-attempt", text }, { "rlab-replay-count", text } }
      assert.same({ attempt = count, replay_count = count }, story, text)
    end
    for text, due in pairs { ["4102444800000"] = 4102444800000, ["4102444800001"] = false,
      ["1700000000000000000"] = false, [("9"):rep(40)] = false } do
      assert.same({ due_at = due or nil, replay_count = 0 }, dlq.read { { "rlab-due-at", text } }, text)
    end
    assert.same({ original_offset = math.maxinteger, replay_count = 0 },
      dlq.read { { "rlab-original-offset", "9223372036854775807" },
        { "rlab-original-partition", "2147483648" } })
  end)

  it("takes no header of somebody else's", function()
    local foreign = { { "attempt", "7" }, { "due-at", "4102444800000" }, { "replay-count", "9" },
      { "target-group", "them" }, { "original-topic", "x" }, { "Rlab-attempt", "7" }, { "cut", "1" } }
    assert.same({ replay_count = 0 }, dlq.read(foreign))
    assert.same(foreign, dlq.for_replay(foreign, {}))
  end)

  it("takes no text beyond its bound, and no topic that cannot be", function()
    for _, topic in ipairs { "", "a b", "a/b", "a\n", ("x"):rep(250) } do
      assert.is_nil(dlq.read({ { "rlab-original-topic", topic } }).original_topic)
    end
    assert.equal(("x"):rep(249), dlq.read({ { "rlab-original-topic", ("x"):rep(249) } }).original_topic)
    assert.is_nil(dlq.read({ { "rlab-target-group", ("x"):rep(256) } }).target_group)
  end)

  it("reads what is there when there is nothing", function()
    assert.same({ replay_count = 0 }, dlq.read(nil))
  end)

  it("makes the headers of a replay: once each, the attempts forgotten", function()
    local failed = { { "event-id", "e1" }, { "rlab-attempt", "3" }, { "rlab-due-at", "9" },
      { "rlab-replay-count", "1" }, { "rlab-error-class", "handler" } }
    assert.same({ { "event-id", "e1" }, { "rlab-error-class", "handler" }, { "rlab-replay-count", "2" },
      { "rlab-target-group", "billing" } },
      dlq.for_replay(failed, { count = 2, target_group = "billing" }))
    assert.same({ { "event-id", "e1" }, { "rlab-error-class", "handler" } }, dlq.for_replay(failed, {}))
  end)

  it("names the topics and the group", function()
    assert.same({ "orders.dlq", "orders.retry.5s", "billing.replay" },
      { dlq.dlq_topic "orders", dlq.retry_topic("orders", "5s"), dlq.replay_group "billing" })
  end)
end)
