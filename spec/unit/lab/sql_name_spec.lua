-- What goes into a statement passes one quoting home, or holds nothing that needs one.
local flow_consume = require "rlab.flow_consume"
local flow_relay = require "rlab.flow_relay"
local kafka = require "rlab.kafka"
local migrate = require "rlab.stack.migrate"
local sql_name = require "rlab.sql_name"

local LONG = ("x"):rep(65536)
local HOSTILE = { "a'b", 'a"b', "a`b", "a\\b", "a;b", "a b", "a\0b", "", LONG, "\255" }

describe("a name in a statement", function()
  it("stands in backticks, and its own are doubled", function()
    for name, quoted in pairs { ["a"] = "`a`", ["a'b"] = "`a'b`", ["a\"b"] = '`a"b`', ["a`b"] = "`a``b`",
      ["`"] = "````", ["`; DROP TABLE t; --"] = "```; DROP TABLE t; --`", ["a%sb"] = "`a%sb`",
      [("한"):rep(64)] = "`" .. ("한"):rep(64) .. "`" } do
      assert.equal(quoted, sql_name(name))
    end
  end)

  it("is refused where MySQL could have none", function()
    for _, name in ipairs { "", "a\0b", LONG, ("a"):rep(65), "\255" } do
      assert.error_matches(function() sql_name(name) end, "can be no name in MySQL")
    end
  end)
end)

-- a connection that notes what it is asked
local function recorder()
  local seen = {}
  return { seen = seen, exec = function(_, sql)
    seen[#seen + 1] = sql
    return {}
  end }
end

describe("schemas of runs", function()
  it("are quoted where they are made", function()
    local db = recorder()
    assert(migrate.copy(db, { "CREATE TABLE t (a INT)" }, "a`b'c"))
    assert.are.same({ "CREATE DATABASE `a``b'c`", "USE `a``b'c`" }, { db.seen[1], db.seen[2] })
    assert.has_error(function() migrate.copy(db, {}, "a\0b") end)
  end)
end)

-- Flows write these names into their statements as they are.
describe("a flow", function()
  local function relay(more)
    local o = { name = "relay-1", topic = "orders", brokers = "127.0.0.1:1",
      mysql = { port = 1, database = "d" } }
    for key, value in pairs(more) do o[key] = value end
    return pcall(function()
      local flow <close>, failure = flow_relay.open(o)
      if not flow then error(tostring(failure), 0) end
    end)
  end

  local function consume(more)
    local o = { topic = "orders", group = "view", brokers = "127.0.0.1:1",
      mysql = { port = 1, database = "d" } }
    for key, value in pairs(more) do o[key] = value end
    return pcall(function()
      local flow <close>, failure = flow_consume.open(o)
      if not flow then error(tostring(failure), 0) end
    end)
  end

  it("refuses a name, an owner or a topic that a quote, a NUL or 64 KiB are in", function()
    for _, name in ipairs(HOSTILE) do
      assert.is_false((relay { name = name }), ("relay %q"):format(name:sub(1, 9)))
      assert.is_false((relay { topic = name }), ("topic %q"):format(name:sub(1, 9)))
      assert.is_false((consume { topic = name }), ("topic %q"):format(name:sub(1, 9)))
      assert.is_false((consume { consumer_name = name }), ("consumer %q"):format(name:sub(1, 9)))
      assert.is_false((consume { member = name }), ("member %q"):format(name:sub(1, 9)))
    end
  end)

  it("does not cut an option at a NUL", function()
    assert.error_matches(function() kafka.producer { brokers = "127.0.0.1:1\0,evil:1" } end, "NUL")
    local ok, failure = relay { name = "relay-1\0'; DROP TABLE outbox_event; --" }
    assert.is_false(ok)
    assert.matches("option 'name': there is a NUL in it", tostring(failure))
  end)
end)
