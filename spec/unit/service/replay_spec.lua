-- What nobody can tell of a topic or a group must not pass for 0, or for a group without members: a replay
-- would repeat everything, a move be undone.
local err = require "rlab.err"
local null = require "rlab.null"
local offsets = require "rlab.replay.offsets"
local places = require "rlab.replay.places"
local reader = require "rlab.replay.reader"

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
    assert.same({ nil, silent, n = 2 },
      table.pack(places.ends({ offsets = says { hw = 3, why = silent } }, "t", 4)))
  end)

  it("whether a group has members, moves nothing", function()
    assert.same({ nil, silent, n = 2 }, table.pack(offsets.guard({ group = says(nil, silent) }, "g")))
    assert.is_true(offsets.guard({ group = says { members = {} } }, "g"))
    local _, busy = offsets.guard(
      { group = says { members = { { client_id = "c", host = "/127.0.0.1" } } } }, "g")
    assert.equal("GROUP_HAS_MEMBERS", busy.name)
  end)
end)

describe("a move of offsets", function()
  it("names a partition that there is not", function()
    local admin = { topic = says { partitions = { { partition = 0 }, { partition = 1 } } },
      group_offsets = says {}, offsets = says { hw = 9, lso = 9, low = 0 } }
    for only, where in pairs { [5] = "latest", [false] = { [0] = 3, [5] = 1 } } do
      local rows, failure = offsets.plan(admin, "g", "t", offsets.target(where), only or nil)
      assert.is_nil(rows)
      assert.equal("kafka NO_SUCH_PARTITION: t has no partition 5", tostring(failure))
    end
    local rows = assert(offsets.plan(admin, "g", "t", offsets.target { [1] = 3 }))
    assert.same({ 1, 3, 1 }, { rows[1].partition, rows[1].offset, #rows })
  end)
end)

describe("a dead letter that is shown", function()
  it("steers no terminal", function()
    local text = require("rlab.replay.reader").described { partition = 0, offset = 7, key = "\27[2J",
      timestamp = 1783008000000, headers = { { "error-message", "\27]0;title\a\255" }, { "키", null } },
      value = "{\n\t\"a\": \"\u{202e}\u{9b}\"\27[2J" }
    assert.equal([[
  0/7  key \x1b[2J  2026-07-02T16:00:00.000Z
    error-message  \x1b]0;title\x07\xff
    키             null
  {
	"a": "\u{202e}\u{9b}"\x1b[2J]], text)
  end)

  it("may have no key, no value and no time", function()
    assert.equal("  0/7  key null  no time\n  null",
      require("rlab.replay.reader").described { partition = 0, offset = 7 })
  end)
end)

describe("where a group is moved to", function()
  local function at(where) return assert(offsets.target(where)).of(0, 5) end

  it("is an instant, whatever its offset from UTC", function()
    for _, text in ipairs { "2026-07-02T16:00:00Z", "2026-07-02T16:00:00+00:00",
      "2026-07-02T18:00:00+02:00" } do
      assert.equal(1783008000000, at(text))
    end
    local back = require("rlab.clock").unix_ms() - at "-1m30s"
    assert.is_true(back >= 90000 and back < 100000)
  end)

  it("is told why it is none", function()
    for text, why in pairs { ["2026-02-30T00:00:00Z"] = "no such day", ["2026-07-02T25:00Z"] = "such a time",
      soon = "ISO 8601", ["-5x"] = "no duration", ["2026-07-02T16:00:00+2"] = "offset" } do
      local target, message = offsets.target(text)
      assert.is_nil(target)
      assert.matches(why, message)
    end
    assert.is_nil(offsets.target(1.5))
  end)

  it("does not wrap where it is moved by very much", function()
    assert.equal(math.maxinteger, offsets.target({ shift = math.maxinteger }).of(0, 5))
    assert.equal(0, offsets.target({ shift = math.mininteger }).of(0, -1))
    assert.equal(3, offsets.target({ shift = -2 }).of(0, 5))
  end)

  local function admin_of(committed)
    return { topic = says { partitions = { { partition = 0 } } },
      group_offsets = says { { topic = "t", partition = 0, offset = committed } },
      offsets = says { partition = 0, low = 2, lso = 7, hw = 9 } }
  end

  it("stays within the log", function()
    for shift, offset in pairs { [-100] = 2, [-1] = 4, [100] = 9 } do
      assert.equal(offset, offsets.plan(admin_of(5), "g", "t", offsets.target { shift = shift })[1].offset)
    end
  end)

  it("behind the last record is the end", function()
    local admin = admin_of()
    for found, offset in pairs { [-1] = 9, [4] = 4 } do
      admin.list_offsets = says { { offset = found } }
      assert.equal(offset, offsets.plan(admin, "g", "t", offsets.target "-5m")[1].offset)
    end
  end)
end)

describe("a filter", function()
  local function record_of(key, class, trace)
    local headers = { ["event-id"] = "e1", ["rlab-error-class"] = class, trace = trace }
    return { key = key, partition = 2, offset = 7, header = function(_, name) return headers[name] end }
  end

  it("wants all that it names", function()
    local wanted = reader.filter { ids = { "e1" }, key = "k", class = "handler", headers = { trace = "t" } }
    assert.is_true(wanted(record_of("k", "handler", "t")))
    assert.is_false(wanted(record_of("other", "handler", "t")))
    assert.is_false(wanted(record_of("k", "database", "t")))
    assert.is_false(wanted(record_of("k", "handler", nil)))
    assert.is_false(reader.filter { ids = { "e2" } }(record_of "k"))
    assert.is_true(reader.filter { ids = { "2/7" } }(record_of "k"))
    assert.is_nil(reader.filter {})
  end)
end)

describe("a record that is replayed", function()
  local fate, refailed = require "rlab.replay.fate", require "rlab.replay.refailed"

  it("is sent as often as it may, whole, and to the group that failed", function()
    for count, what in pairs { [0] = "replay", [2] = "replay", [3] = "parked", [4] = "parked" } do
      assert.equal(what, fate.of({ max = 3 }, "e1", { replay_count = count }))
    end
    assert.equal("partial", fate.of({ max = 3 }, "e1", { replay_count = 0, cut = 9 }))
    assert.equal("skipped", fate.of({ max = 3, skip = { e1 = true } }, "e1", { replay_count = 0, cut = 9 }))
    local story = { original_group = "billing", original_topic = "orders" }
    assert.same({ "billing", nil, "mine", n = 3 }, table.pack(fate.group({ target = "original" }, story),
      fate.group({ target = "none" }, story), fate.group({ target = "mine" }, story)))
  end)

  it("has failed again when the copy that was sent did", function()
    local function failed(count)
      return refailed.of({ e1 = 2 }, { partition = 0, offset = 5, header = function() return "e1" end,
        headers = { { "rlab-replay-count", tostring(count) } } })
    end
    assert.is_nil(failed(1)) -- an older one
    assert.equal("e1", failed(2).id)
    assert.equal("e1", failed(3).id)
  end)
end)

describe("a replay service", function()
  it("sends nothing back to where it reads", function()
    local away = dofile "spec/support/away.lua"
    for _, words in ipairs { { "--dlq", "t" }, { "--to", "t.dlq" } } do
      local p <close> = away.service("replay", words)
      assert.equal(64, p:wait("60s").code)
      assert.matches("what failed goes to a topic of its own", (p:output()), 1, true)
    end
  end)
end)
