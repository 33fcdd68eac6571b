local feed = require "rlab.ui.feed"
local json = require "rlab.json"
local record = require "rlab.ui.record"
local report = require "rlab.report"
local task = require "rlab.task"

local function events(name)
  return record.events(assert(report.load("spec/fixtures/report/" .. name)), name)
end

local function of_kind(list, kind, arm)
  local out = {}
  for _, e in ipairs(list) do
    if e.kind == kind and (arm == nil or e.arm == arm) then out[#out + 1] = e end
  end
  return out
end

describe("a stored run as a stream of events", function()
  for _, name in ipairs { "fixture-E-007", "fixture-E-009", "fixture-E-012" } do
    local list, stored = events(name), assert(report.load("spec/fixtures/report/" .. name)).result

    it("tells of the run first and of its verdict last, in order: " .. name, function()
      assert.equal("run", list[1].kind)
      assert.same({ "verdict", stored.sentence }, { list[#list].kind, list[#list].sentence })
      for i = 2, #list do assert.is_true(list[i].at >= list[i - 1].at) end
    end)

    it("begins and ends each arm once, and nothing is told of it outside: " .. name, function()
      for _, arm in ipairs(stored.arms) do
        local begins, ends = of_kind(list, "begins", arm.name), of_kind(list, "ends", arm.name)
        assert.same({ 1, 1 }, { #begins, #ends })
        assert.equal(arm.outcome, ends[1].outcome)
        for _, e in ipairs(list) do
          if e.arm == arm.name then assert.is_true(e.at >= begins[1].at and e.kind ~= "verdict") end
        end
      end
    end)

    it("has every check and every event of an arm: " .. name, function()
      local checks = 0
      for _, e in ipairs(of_kind(list, "ends")) do checks = checks + #e.checks end
      assert.equal(#stored.checks, checks)
      local told = 0
      for _, e in ipairs(stored.events) do told = told + (e.arm and 1 or 0) end
      assert.is_true(#of_kind(list, "event") >= told)
      assert.is_true(#of_kind(list, "fault") >= #stored.faults)
    end)
  end
end)

it("an arm of which nothing was sampled has its begin, its end and its reason", function()
  local list = record.events({ samples = { { t = 0.1, ["p0.hw"] = 3 } }, result = { id = "E-1", title = "t",
    verdict = "inconclusive", sentence = "no", setup = { duration = 1 }, arms = { { name = "a",
      class = "wrong", started = 0, duration = 0, outcome = "inconclusive", reason = "late" } } } }, "E-1/x")
  assert.same({ "a", "a", "late" }, { list[1].arms[1].name, of_kind(list, "begins")[1].arm,
    of_kind(list, "ends")[1].reason })
end)

describe("a feed", function()
  local function numbers(from, to)
    local list = {}
    for i = from, to do list[#list + 1] = { n = i } end
    return list
  end

  it("gives what comes after a cursor, once", function()
    local f = feed.new()
    f:add(numbers(1, 3))
    local got, cursor, first = f:since(nil, "1s")
    assert.same({ 3, true }, { #got, first })
    f:add(numbers(4, 5))
    got, cursor, first = f:since(cursor, "1s")
    assert.same({ { { n = 4 }, { n = 5 } }, false }, { got, first })
    assert.same({}, (f:since(cursor, "1ms")))
  end)

  it("wakes a reader that waits", function()
    local f, got = feed.new(), nil
    f:add(numbers(1, 1))
    local _, cursor = f:since(nil, "1s")
    local reader = task.spawn(function() got = f:since(cursor, "30s") end)
    task.yield()
    f:add(numbers(2, 2))
    reader:join()
    assert.same({ { n = 2 } }, got)
  end)

  it("begins anew for a cursor of another story, and for one that is none", function()
    local f = feed.new()
    f:add(numbers(1, 9))
    local _, cursor = f:since(nil, "1s")
    f:reset()
    f:add(numbers(20, 21))
    for _, given in ipairs { cursor, "2:-1", "9:9", "nonsense", "\0", ("9"):rep(400) .. ":1" } do
      local got, _, first = f:since(given, "1s")
      assert.same({ { { n = 20 }, { n = 21 } }, true }, { got, first })
    end
  end)

  it("answers in pieces that are not without end", function()
    local f, sum, got, cursor = feed.new(), 0
    f:add(numbers(1, 1200))
    repeat
      got, cursor = f:since(cursor, "1ms")
      sum = sum + #got
      assert.is_true(#got <= 500)
    until #got == 0
    assert.equal(1200, sum)
  end)

  it("plays events at their pace, all of them", function()
    local f = feed.new()
    f:play({ { kind = "a", at = 0 }, { kind = "b", at = 20 }, { kind = "c", at = 21 } }, 100)
    local seen, got, cursor = {}
    repeat
      got, cursor = f:since(cursor, "5s")
      for _, e in ipairs(got) do
        if e.kind ~= "tick" and e.kind ~= "mode" then seen[#seen + 1] = e.kind end
      end
    until seen[#seen] == "c"
    assert.same({ "a", "b", "c" }, seen)
  end)

  it("writes one event of EventSource, whatever a text holds", function()
    local text = feed.sse({ { text = "a\nid: 9:9\n\ndata: x\r\n" } }, "1:1", true)
    assert.equal("retry: 50\nid: 1:1\ndata: ", text:match "^.-data: ")
    local data = text:match "data: ([^\n]*)\n\n$"
    assert.equal("a\nid: 9:9\n\ndata: x\r\n", json.decode(data).events[1].text)
  end)
end)
