-- The failpoints by service: what is listed is what the code reaches.
local fs = require "rlab.fs"
local http = require "rlab.http"
local json = require "rlab.json"
local options = require "rlab.service.options"
local points = require "rlab.failpoint.points"
local process = require "rlab.process"
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
    for _, name in ipairs { "command", "replay", "backfill" } do
      for _, point in ipairs(points.list(name)) do
        if point.service == name then listed[point.name] = true end
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

  local AWAY = { "--port", "0", "--mysql", "mysql://a:b@127.0.0.1:1/c", "--redis", "redis://127.0.0.1:1/0",
    "--brokers", "127.0.0.1:1", "--failpoints", "--drain-timeout", "1s" }

  -- `rlab WORDS` with servers that are not there and RLAB_FAILPOINTS
  local function started(words, armed)
    local cmd = { fs.self_exe() }
    for _, list in ipairs { words, words[1] == "service" and AWAY or {} } do tables.append(cmd, list) end
    return assert(process.spawn { cmd = cmd, env = { RLAB_FAILPOINTS = armed }, stdout = "capture",
      stderr = "stdout" })
  end

  local function refused(words, armed)
    local p <close> = started(words, armed)
    local status = assert(p:wait "60s")
    return { status.code, (p:output()) }
  end

  local SERVICES = { command = {}, relay = {}, consumer = {}, query = {}, replay = { "--topic", "t" } }

  it("of no service are refused at its start, in one line, with 64", function()
    assert.same(service.names(), tables.sorted_keys(SERVICES))
    for name, words in pairs(SERVICES) do
      local said = refused(tables.append({ "service", name }, words), name .. ".after_akc=#2 kill")
      assert.equal(64, said[1], name)
      local line = "^rlab: RLAB_FAILPOINTS: NAME has no failpoint 'NAME.after_akc'; [^\n]+\n$"
      assert.matches(line:gsub("NAME", name), said[2])
    end
    assert.same({ 64, "rlab: RLAB_FAILPOINTS: relay has no failpoint 'relay.after_akc'; did you mean \z
      'relay.after_ack'?\n" }, refused({ "service", "relay" }, "rlab.selftest=off;relay.after_akc=off"))
    assert.matches("backfill has no failpoint 'x.y'",
      refused({ "replay", "backfill", "none.json" }, "x.y=off")[2], 1, true)
    assert.matches("replay has no failpoint 'x.y'", refused({ "replay", "run", "t" }, "x.y=off")[2], 1, true)
  end)

  it("with a wrong action or count are refused in one line, with 64", function()
    for expr, why in pairs { ["kil"] = "no action 'kil', did you mean 'kill'? (column 1)",
      ["0*kill"] = "the N of N* is a whole number from 1 up (column 1)",
      ["-1*kill"] = "the N of N* is a whole number from 1 up (column 1)",
      ["#0 kill"] = "hits are counted from #1 (column 1)",
      ["#99999999999999999999 kill"] = "the K of #K is a whole number (column 2)" } do
      assert.same({ 64, ("rlab: RLAB_FAILPOINTS: failpoint relay.after_ack: %s\n"):format(why) },
        refused({ "service", "relay" }, "relay.after_ack=" .. expr))
    end
  end)

  it("are refused over HTTP, too, by every service", function()
    for name, words in pairs(SERVICES) do
      local p <close> = started(tables.append({ "service", name }, words), "rlab.selftest=off")
      local url
      for line in p:lines() do
        local said = json.decode(line)
        if said and said.say == "ready" then
          url = ("http://127.0.0.1:%d/failpoints/"):format(said.port)
          break
        end
      end
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
