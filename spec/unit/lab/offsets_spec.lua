-- Offsets are places and no counts: what a group has before it, and the last records of a partition that
-- holds markers, aborted and removed ones.
local err = require "rlab.err"
local left = require "rlab.kafka.left"
local span = require "rlab.kafka.span"

-- A consumer of partitions that hold records at these offsets and nothing at the others below `stop`.
local function consumer_of(logs)
  local at, said, asked = {}, {}, {}
  local self = { asked = asked }
  function self.assign(_, list)
    at, said = {}, {}
    for _, place in ipairs(list) do
      at[place.partition] = place.offset
      asked[#asked + 1] = ("%d@%d"):format(place.partition, place.offset)
    end
    return true
  end
  function self.poll()
    local batch = {}
    for partition, from in pairs(at) do
      local log = logs[partition]
      for _, offset in ipairs(log) do
        if offset >= from then batch[#batch + 1] = { topic = "t", partition = partition, offset = offset } end
      end
      at[partition] = log.stop
      if not said[partition] then
        said[partition] = true
        batch[#batch + 1] = { topic = "t", partition = partition, offset = log.stop, eof = true }
      end
    end
    function batch.each()
      local i = 0
      return function()
        i = i + 1
        return batch[i]
      end
    end
    return batch
  end
  return self
end

local function last(logs, n)
  local places, found = {}, {}
  for partition, log in pairs(logs) do
    places[#places + 1] = { topic = "t", partition = partition, low = log.low or 0, stop = log.stop }
  end
  local consumer = consumer_of(logs)
  assert(span.last(consumer, places, n, function(r) found[#found + 1] = r.offset end))
  table.sort(found)
  return found, consumer.asked
end

describe("the last records of a partition", function()
  it("are found behind aborted ones and markers", function()
    assert.same({ 0, 1, 2, 3, 4 }, (last({ [0] = { 0, 1, 2, 3, 4, stop = 29 } }, 10)))
    local found, asked = last({ [0] = { 1, 2, 3, stop = 1000 } }, 2)
    assert.same({ 1, 2, 3 }, found)
    assert.same({ "0@998", "0@990", "0@958", "0@830", "0@318", "0@0" }, asked)
  end)

  it("are read once, also where the first look is enough", function()
    local found, asked = last({ [0] = { 5, 6, 7, 8, 9, stop = 10 } }, 3)
    assert.same({ 7, 8, 9 }, found)
    assert.same({ "0@7" }, asked)
  end)

  it("are those that are left, of a partition that begins later, and none of an empty one", function()
    assert.same({ 8, 9 }, (last({ [0] = { 8, 9, low = 8, stop = 12 } }, 10)))
    local found, asked = last({ [0] = { low = 10, stop = 10 } }, 10)
    assert.same({ {}, {} }, { found, asked })
  end)

  it("come from each partition, and what came after the question does not count", function()
    local logs = { [0] = { 1, stop = 50 }, [1] = { 47, 48, 49, stop = 50 } }
    assert.same({ 1, 48, 49 }, (last(logs, 2)))
    local found = {}
    assert(span.read(consumer_of { [0] = { 3, 4, 5, 6, stop = 7 } },
      { { topic = "t", partition = 0, from = 4, to = 6 } }, function(r) found[#found + 1] = r.offset end))
    assert.same({ 4, 5 }, found)
  end)

  it("are not taken for all when the end does not come", function()
    local silent = { assign = function() return true end,
      poll = function() return { each = function() return function() end end } end }
    local spans = { { topic = "t", partition = 0, from = 0, to = 3 } }
    local none, failure = span.read(silent, spans, error, "20ms")
    assert.is_nil(none)
    assert.equal("TIMEOUT", failure.name)
    local gone = err.new { domain = "kafka", code = 3, name = "X", message = "gone" }
    assert.same({ nil, gone, n = 2 }, table.pack(span.read({ assign = silent.assign,
      poll = function() return nil, gone end }, spans, error)))
  end)
end)

describe("what a group has before it", function()
  local at = { low = 5, lso = 8, hw = 10 }

  it("goes up to the watermarks from where it stands", function()
    assert.same({ from = 7, lag = 3, readable = 1 }, left.of(at, 7))
    assert.same({ from = 10, lag = 0, readable = 0 }, left.of(at, 10))
    assert.same({ from = 9, lag = 1, readable = 0 }, left.of(at, 9))
  end)

  it("is nothing beyond the end, which is said", function()
    assert.same({ from = 100, lag = 0, readable = 0, note = "committed beyond the end, 10" },
      left.of({ low = 0, lso = 10, hw = 10 }, 100))
  end)

  it("begins where the log does, where that is later", function()
    assert.same({ from = 10, lag = 0, readable = 0, note = "2 to 9 were removed unread" },
      left.of({ low = 10, lso = 10, hw = 10 }, 2))
    assert.same({ from = 5, lag = 5, readable = 3, note = "0 to 4 were removed unread" }, left.of(at, 0))
  end)

  it("is all where nothing was committed", function()
    assert.same({ from = 5, lag = 5, readable = 3, note = "nothing committed" }, left.of(at))
  end)

  it("is not known where the broker does not say", function()
    assert.same({}, left.of({}, 7))
    assert.same({ from = 7, lag = 3 }, left.of({ hw = 10 }, 7))
    assert.same({ note = "nothing committed" }, left.of { hw = 10 })
  end)
end)

describe("the partitions of a group", function()
  local function admin_of(committed, members, why)
    return { group_offsets = function() return committed end,
      group = function() return members and { members = members }, why end,
      topic = function(_, name)
        if name == "gone" then return nil, { name = "UNKNOWN_TOPIC_OR_PART" } end
        return { partitions = { { partition = 0 }, { partition = 1 }, { partition = 2 } } }
      end }
  end

  local function places(...)
    local words = {}
    for i, p in ipairs(assert(left.places(admin_of(...), "g"))) do
      words[i] = ("%s-%d=%s%s"):format(p.topic, p.partition, p.committed or "",
        p.note and " " .. p.note or "")
    end
    return table.concat(words, ", ")
  end

  it("are those of every topic that it has committed or holds one of", function()
    assert.equal("a-0=4, a-1=, a-2=", places({ { topic = "a", partition = 0, offset = 4 } }, {}))
    assert.equal("a-0=, a-1=, a-2=, b-0=, b-1=, b-2=2", places({ { topic = "b", partition = 2, offset = 2 },
      { topic = "b", partition = 1 } }, { { assignment = { { topic = "a", partition = 1 } } } }))
    assert.equal("", places({}, nil, { name = "GROUP_ID_NOT_FOUND" }))
  end)

  it("are there for a topic that is gone, which is said", function()
    assert.equal("gone-0=4 UNKNOWN_TOPIC_OR_PART", places({ { topic = "gone", partition = 0, offset = 4 } },
      {}))
  end)

  it("are not half of them where the coordinator does not say who holds what", function()
    local silent = { name = "TIMEOUT" }
    assert.same({ nil, silent, n = 2 }, table.pack(left.places(
      admin_of({ { topic = "a", partition = 0, offset = 4 } }, nil, silent), "g")))
  end)
end)
