-- What nobody can tell of a topic or a group must not pass for 0, or for a group without members: a replay
-- would repeat everything, a move be undone.
local err = require "rlab.err"
local offsets = require "rlab.replay.offsets"
local places = require "rlab.replay.places"

local silent = err.new { domain = "rlab", code = 0, name = "TIMEOUT", message = "no answer in time" }

local function says(value, failure) return function() return value, failure end end

describe("a replay that cannot be told", function()
  it("how far a group is, does not begin at 0", function()
    assert.same({ nil, silent, n = 2 },
      table.pack(places.committed({ group_offsets = says(nil, silent) }, "g", "t")))
    local rows = { { topic = "t", partition = 1, offset = 7 },
      { topic = "other", partition = 0, offset = 9 }, { topic = "t", partition = 2 } }
    assert.same({ [1] = 7 }, places.committed({ group_offsets = says(rows) }, "g", "t"))
  end)

  it("where a partition ends, waits for the answer, and then says so", function()
    local answers = { { hw = 3 }, { hw = 3, lso = 2 }, { hw = 3, lso = 2, low = 1 } }
    local at = places.ends({ offsets = function() return table.remove(answers, 1) end }, "t", 0)
    assert.same({ hw = 3, lso = 2, low = 1 }, at)
    assert.same({ nil, silent, n = 2 }, table.pack(places.ends({ offsets = says(nil, silent) }, "t", 0)))
    local nothing, failure = places.ends({ offsets = says { hw = 3 } }, "t", 4)
    assert.is_nil(nothing)
    assert.same({ "UNKNOWN", true, "t [4]: its ends are not known at the moment" },
      { failure.name, failure.retriable, failure.message })
  end)

  it("whether a group has members, moves nothing", function()
    assert.same({ nil, silent, n = 2 }, table.pack(offsets.guard({ group = says(nil, silent) }, "g")))
    assert.is_true(offsets.guard({ group = says { members = {} } }, "g"))
    local _, busy = offsets.guard(
      { group = says { members = { { client_id = "c", host = "/127.0.0.1" } } } }, "g")
    assert.equal("GROUP_HAS_MEMBERS", busy.name)
  end)
end)
