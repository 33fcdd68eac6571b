-- The failpoints by service: what is listed is what the code reaches.
local fs = require "rlab.fs"
local points = require "rlab.failpoint.points"
local tables = require "rlab.tables"

-- The names that Lua code gives to fail.point, or to a local function of that name.
local function reached(folder, found)
  for _, entry in ipairs(assert(fs.list(folder))) do
    local name = type(entry) == "table" and entry.name or entry
    local path = folder .. "/" .. name
    if not name:find "%.lua$" then
      if fs.list(path) then reached(path, found) end
    else
      local text = assert(fs.read(path))
      if text:find("fail.point(", 1, true) then
        for word in text:gmatch 'point%([%w_, ]-"([%w_]+%.[%w_]+)"' do found[word] = true end
      end
    end
  end
  return found
end

describe("the failpoints", function()
  it("that are listed for Lua code are those that it reaches", function()
    local found = reached("lua/service", reached("lua/rlab/replay", {}))
    local listed = {}
    for _, service in ipairs { "command", "replay", "backfill" } do
      for _, point in ipairs(points.list(service)) do
        if point.service == service then listed[point.name] = true end
      end
    end
    assert.same(tables.sorted_keys(found), tables.sorted_keys(listed))
  end)

  it("are found by service", function()
    assert.same({ "backfill", "command", "consumer", "query", "relay", "replay" }, points.services())
    assert.same({ "cmd.after_commit", "cmd.after_reply", "cmd.before_commit", "cmd.before_replay",
      "rlab.selftest" },
      tables.names_of(points.list "command"))
  end)

  it("that are not are refused with the one that was meant", function()
    assert.is_nil(points.wrong("relay.after_ack", "#2 kill", "relay"))
    assert.equal("relay has no failpoint 'relay.after_akc'; did you mean 'relay.after_ack'?",
      points.wrong("relay.after_akc", "kill", "relay"))
    assert.matches("^relay has no failpoint 'consumer.in_tx'; ",
      points.wrong("consumer.in_tx", "kill", "relay"))
    assert.is_nil(points.wrong("consumer.in_tx", "kill"))
    assert.is_nil(points.wrong("mine.own", "kill", nil, { "mine.own" }))
    assert.matches("^failpoint relay.after_ack: no action 'kil'", points.wrong("relay.after_ack", "kil"))
  end)
end)
