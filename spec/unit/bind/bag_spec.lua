local bag = require "rlab.bag"
local fs = require "rlab.fs"
local null = require "rlab.null"
local process = require "rlab.process"

local function sorted(b)
  local ids = b:ids()
  table.sort(ids)
  return table.concat(ids, " ")
end

describe("bag", function()
  it("counts entries, ids and copies", function()
    local b = bag.from { "a", "b", "a", 7 }
    assert.are.equal(4, #b)
    assert.are.same({ "a", "b", "7" }, b:ids())
    assert.are.same({ "a" }, b:ids(1))
    assert.are.equal(2, b:count "a")
    assert.are.equal(1, b:count(7))
    assert.are.equal(0, b:count "none")
    assert.are.same({ { id = "a", count = 2 } }, b:duplicates())
    assert.are.same({}, b:duplicates(0))
    assert.are.equal(3, #b:distinct())
    assert.are.equal("bag (4 entries, 3 ids)", tostring(b))
    assert.are.equal(0, #bag.new {})
    assert.are.equal(b, bag.from(b))
  end)

  it("asks about ids, whatever their number", function()
    local acked, log = bag.from { "a", "b", "c", "c" }, bag.from { "b", "b", "d" }
    assert.are.equal("a c", sorted(acked - log))
    assert.are.equal(3, #(acked - log))
    assert.are.equal("b", sorted(acked & log))
    assert.are.equal(1, #(acked & log))
    assert.are.equal(2, #(log & acked))
    assert.are.equal(7, #(acked + log))
    assert.are.equal("a b c d", sorted(acked | log))
    assert.are.equal(5, #(acked | log))
    assert.are.equal(0, #(acked - acked))
    assert.are.equal(4, #(acked - bag.new()))
    assert.are.equal(0, #(bag.new() & acked))
  end)

  it("keeps any bytes, the empty id and long ids apart", function()
    local long = ("x"):rep(100000)
    local b = bag.from { "", "\0", "\0\0", "a\0b", long, long .. "y" }
    assert.are.equal(6, #b:ids())
    assert.are.equal(1, b:count "\0")
    assert.are.equal(1, b:count(long))
    assert.are.same({}, b:duplicates())
  end)

  it("holds columns of integers, strings and null", function()
    local b = bag.new { columns = { "key", "version" } }
    b:add("a", "k1", math.maxinteger):add("b", nil, 2):add("c", "k1", null):add("d")
    assert.are.same({ { id = "a", key = "k1", version = math.maxinteger },
      { id = "b", key = null, version = 2 },
      { id = "c", key = "k1", version = null }, { id = "d", key = null, version = null } }, b:rows())
    assert.are.same({ id = "b", key = null, version = 2 }, b:row "b")
    assert.is_nil(b:row "x")
    assert.are.same(b:rows(1), (b - bag.from { "b", "c", "d" }):rows())
    local rows = bag.from({ { event_id = "x", n = 5 }, { event_id = "y" } },
      { id = "event_id", columns = { "n" } })
    assert.are.same({ { id = "x", n = 5 }, { id = "y", n = null } }, rows:rows())
    assert.are.equal(5, rows:sum "n")
  end)

  it("sums without wrapping around", function()
    local b = bag.from({ { id = 1, n = -5 }, { id = 1, n = 7 }, { id = 2 } }, { columns = { "n" } })
    assert.are.equal(2, b:sum "n")
    assert.are.equal(-5, b:distinct():sum "n")
    assert.are.equal(0, bag.new({ columns = { "n" } }):sum "n")
    b:add("max", math.maxinteger)
    local ok, err = pcall(b.sum, b, "n")
    assert.is_false(ok)
    assert.are.equal("OVERFLOW", err.name)
  end)

  it("finds inversions by key, among first copies only", function()
    local b = bag.new { columns = { "key", "version" } }
    for _, row in ipairs { { "a1", "a", 1 }, { "b5", "b", 5 }, { "a3", "a", 3 }, { "a2", "a", 2 },
      { "a1", "a", 1 },
      { "b5", "b", 5 }, { "a4", "a", 4 }, { "b5b", "b", 5 }, { "n1", null, 0 }, { "a0", "a", null } } do
      b:add(table.unpack(row, 1, 3))
    end
    assert.are.same({ { id = "a2", key = "a", version = 2, after = 3, after_id = "a3" } },
      b:inversions { by = "key", of = "version" })
    local numbers = bag.new { columns = { "partition", "offset" } }
    numbers:add("x", 0, 10):add("y", 1, 5):add("z", 0, 9):add("w", 1, 6):add("v", 0, 8)
    assert.are.equal(2, #numbers:inversions { by = "partition", of = "offset" })
    numbers:add("n9", null, 9):add("n8", null, 8)
    assert.are.equal(2, #numbers:inversions { by = "partition", of = "offset" })
    assert.are.equal("z", numbers:inversions({ by = "partition", of = "offset", limit = 1 })[1].id)
  end)

  it("refuses to grow beyond its cap, and stays usable", function()
    local b = bag.new { cap = "1MiB" }
    local ok, err = pcall(function()
      for i = 1, 1000000 do b:add("event-" .. i) end
    end)
    assert.is_false(ok)
    assert.are.equal("LIMIT", err.name)
    assert.matches("beyond its cap of 1 MiB; raise it", err.message)
    assert.is_true(b:memory() <= 1024 * 1024)
    assert.is_true(#b > 10000)
    assert.are.equal(1, b:count "event-1")
    assert.are.equal(#b, #(b - bag.new()))
  end)

  it("says what is no size in RLAB_BAG_MEMORY", function()
    for _, text in ipairs { "much", "-1", "0" } do
      local child <close> = assert(process.spawn { stdout = "capture", stderr = "stdout",
        cmd = { fs.self_exe(), "verify", "--of", "file:README.md", "--in", "file:README.md" },
        env = { RLAB_BAG_MEMORY = text } })
      assert.are.equal(64, assert(child:wait "20s").code)
      assert.are.equal(("rlab: RLAB_BAG_MEMORY is a size, such as 512MiB, not '%s'\n"):format(text),
        (child:output()))
    end
  end)

  it("goes to disk beyond its memory, and answers the same", function()
    local function filled(memory, from, to)
      local b = bag.new { columns = { "key", "version" }, memory = memory }
      for i = from, to do b:add("event-" .. i // 2, "k" .. i % 7, i * 37 % 101) end
      return b
    end
    local order = { by = "key", of = "version" }
    local a, x, b, y = filled("2GiB", 1, 1000), filled("16KiB", 1, 1000), filled("2GiB", 500, 1700),
      filled("16KiB", 500, 1700)
    assert.are.equal("bag (1000 entries, on disk)", tostring(x))
    assert.are.equal(#a, #x)
    for _, pair in ipairs { { a - b, x - y }, { a & b, x & y }, { a + b, x + y }, { a | b, x | b },
      { b - a, b - x }, { a:distinct(), x:distinct() } } do
      assert.is_true(#pair[1] > 0)
      assert.are.same(pair[1]:rows(), pair[2]:rows())
    end
    assert.are.same(a:ids(), x:ids())
    assert.are.same(a:rows(5), x:rows(5))
    assert.are.same(a:duplicates(), x:duplicates())
    assert.are.same(a:inversions(order), x:inversions(order))
    assert.are.equal(a:sum "version", x:sum "version")
    assert.are.equal(2, x:count "event-7")
    assert.are.same(a:row "event-7", x:row "event-7")
    assert.is_nil(x:row "none")
    x:close()
    assert.error_matches(function() return #x end, "this bag is closed")
  end)

  it("raises on wrong use", function()
    local b = bag.new { columns = { "n" } }
    assert.error_matches(function() b:add({}) end, "an id is a string or an integer, not a table")
    assert.error_matches(function() b:add(1.5) end, "an id is")
    assert.error_matches(function() b:add("a", 1, 2) end, "2 values for 1 columns")
    assert.error_matches(function() b:add("a", 1.5) end, "column 'n' takes")
    assert.error_matches(function() b:add("a", true) end, "column 'n' takes")
    assert.error_matches(function() b:sum "m" end, "no column 'm'")
    assert.error_matches(function() bag.new { colums = {} } end, "did you mean 'columns'")
    assert.error_matches(function() return b - 1 end, "bag expected")
    b:add("a", 1)
    local ok, err = pcall(b.add, b, "b", "text")
    assert.is_false(ok)
    assert.are.equal("rlab TYPE: column 'n' holds integers, not strings", tostring(err))
    ok, err = pcall(b.add, b, "b", math.mininteger)
    assert.is_false(ok)
    assert.are.equal("TYPE", err.name)
    assert.are.equal(1, #b)
    ok, err = pcall(function() return b + bag.new() end)
    assert.is_false(ok)
    assert.matches("different columns", err.message)
    b:close()
    assert.error_matches(function() return #b end, "this bag is closed")
  end)
end)
