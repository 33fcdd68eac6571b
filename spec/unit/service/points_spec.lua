-- The failpoints by service: what is listed is what the code reaches.
local away = dofile "spec/support/away.lua"
local fs = require "rlab.fs"
local http = require "rlab.http"
local options = require "rlab.service.options"
local points = require "rlab.failpoint.points"
local service = require "rlab.service"
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
    for _, name in ipairs { "command", "exporter", "replay", "backfill" } do
      for _, point in ipairs(points.list(name)) do
        if point.service == name then listed[point.name] = true end
      end
    end
    assert.same(tables.sorted_keys(found), tables.sorted_keys(listed))
  end)

  it("are found by service", function()
    assert.same({ "backfill", "command", "consumer", "exporter", "query", "relay", "replay" },
      points.services())
    assert.same({ "cmd.after_commit", "cmd.after_reply", "cmd.before_commit", "cmd.before_replay",
      "cmd.clock", "rlab.selftest" },
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

  local function refused(p)
    local _ <close> = p
    local status = assert(p:wait "60s")
    return { status.code, (p:output()) }
  end

  it("of no service are refused at its start, in one line, with 64", function()
    assert.same(service.names(), tables.sorted_keys(away.words))
    for _, name in ipairs(service.names()) do
      local said = refused(away.service(name, {}, name .. ".after_akc=#2 kill"))
      assert.equal(64, said[1], name)
      local line = "^rlab: RLAB_FAILPOINTS: NAME has no failpoint 'NAME.after_akc'; [^\n]+\n$"
      assert.matches(line:gsub("NAME", name), said[2])
    end
    assert.same({ 64, "rlab: RLAB_FAILPOINTS: relay has no failpoint 'relay.after_akc'; did you mean \z
      'relay.after_ack'?\n" }, refused(away.service("relay", {}, "rlab.selftest=off;relay.after_akc=off")))
    assert.matches("backfill has no failpoint 'x.y'",
      refused(away.run({ "replay", "backfill", "none.json" }, "x.y=off"))[2], 1, true)
    assert.matches("replay has no failpoint 'x.y'", refused(away.run({ "replay", "run", "t" }, "x.y=off"))[2],
      1, true)
  end)

  it("with a wrong action or count are refused in one line, with 64", function()
    for expr, why in pairs { ["kil"] = "no action 'kil', did you mean 'kill'? (column 1)",
      ["0*kill"] = "the N of N* is a whole number from 1 up (column 1)",
      ["-1*kill"] = "the N of N* is a whole number from 1 up (column 1)",
      ["#0 kill"] = "hits are counted from #1 (column 1)",
      ["#99999999999999999999 kill"] = "the K of #K is a whole number (column 2)" } do
      assert.same({ 64, ("rlab: RLAB_FAILPOINTS: failpoint relay.after_ack: %s\n"):format(why) },
        refused(away.service("relay", {}, "relay.after_ack=" .. expr)))
    end
  end)

  it("are refused over HTTP, too, by every service", function()
    for _, name in ipairs(service.names()) do
      local p <close> = away.service(name)
      local url = away.ready(p) .. "/failpoints/"
      local own = points.list(name)[1].name
      assert.equal(200, assert(http.put(url .. own, "off")).status, name)
      local answer = assert(http.put(url .. own .. "x", "off"))
      assert.same({ 404, true }, { answer.status, answer.body:find("did you mean", 1, true) ~= nil })
      for _, expr in ipairs { "kil", "0*kill", "" } do
        assert.equal(400, assert(http.put(url .. own, expr)).status, name .. expr)
      end
    end
  end)

  it("of a handler are its own", function()
    local own = options.resolve(service.load "consumer", { "--handler", "x.lua" }, function() end)
    assert.is_nil(points.closed("consumer", own))
    assert.equal("consumer", points.closed("consumer", {}))
    assert.is_nil(points.closed("hello", {}))
  end)
end)
