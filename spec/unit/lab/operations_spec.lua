-- How an operation of a history ends goes by what its error says of the work, whichever client it is of.
local err = require "rlab.err"
local operations = require "rlab.lab.operations"

local function ended(...)
  local results, how = table.pack(...), nil
  local history = { invoke = function() return 1 end }
  for _, kind in ipairs { "ok", "fail", "info" } do
    history[kind] = function(_, _, _, why)
      how = { kind, why }
      return true
    end
  end
  local lab = { run = { history = history }, invoke = operations.invoke }
  operations.op(lab, "a", "f", 1, function() return table.unpack(results, 1, results.n) end)
  return table.unpack(how, 1, 2)
end

local function failed(domain, name, more)
  local failure = { domain = domain, name = name, code = 0, message = "x" }
  for key, value in pairs(more or {}) do failure[key] = value end
  return (ended(nil, err.new(failure)))
end

describe("an operation", function()
  it("of which nobody knows is info, for every client", function()
    for _, one in ipairs { { "mysql", "TIMEOUT" }, { "mysql", "CR_SERVER_LOST" }, { "redis", "TIMEOUT" },
      { "redis", "CONNECTION_LOST" }, { "http", "TIMEOUT" }, { "http", "CONNECTION_LOST" },
      { "kafka", "_MSG_TIMED_OUT" }, { "kafka", "REQUEST_TIMED_OUT" }, { "kafka", "_TRANSPORT" },
      { "rlab", "TIMEOUT" }, { "rlab", "CANCELLED" } } do
      assert.equal("info", failed(one[1], one[2]), table.concat(one, " "))
    end
  end)

  it("that was refused is fail", function()
    for _, one in ipairs { { "mysql", "ER_DUP_ENTRY" }, { "mysql", "ER_LOCK_DEADLOCK" },
      { "mysql", "BROKEN" }, { "redis", "OOM" }, { "redis", "READONLY" }, { "redis", "WRONGTYPE" },
      { "http", "CONNECT" }, { "kafka", "MSG_SIZE_TOO_LARGE" }, { "kafka", "NOT_ENOUGH_REPLICAS" } } do
      assert.equal("fail", failed(one[1], one[2]), table.concat(one, " "))
    end
    assert.equal("fail", (ended(nil, "no error of a client")))
    assert.same({ "fail", "nil" }, { ended(nil) })
  end)

  it("goes by the error's own word where it has one", function()
    assert.equal("fail", failed("kafka", "_MSG_TIMED_OUT", { happened = "no" }))
    assert.equal("ok", failed("kafka", "DUPLICATE_SEQUENCE_NUMBER"))
    assert.equal("ok", (ended(true)))
  end)
end)
