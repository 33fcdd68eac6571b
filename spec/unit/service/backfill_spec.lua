local backfill = require "rlab.replay.backfill"

-- How many of the shards hold the key: behind `position`, up to `upper`.
local function holders(shards, key)
  local n = 0
  for _, s in ipairs(shards) do
    if key > s.position and key <= s.upper then n = n + 1 end
  end
  return n
end

describe("the shards of a backfill", function()
  it("hold each key once, wherever the keys lie in 64 bits", function()
    local snowflake = 7300000000000000000
    local tables = { { 1, 2, 3, snowflake, snowflake + 1, snowflake + 2 }, { -5, math.maxinteger },
      { math.mininteger + 1, 0, math.maxinteger }, { 7 }, { 1, 2, 3 } }
    for _, keys in ipairs(tables) do
      for _, n in ipairs { 1, 2, 3, 4, 7, 8, 64 } do
        local shards = assert(backfill.ranges(keys[1], keys[#keys], n))
        assert.equal(n, #shards)
        assert.equal(keys[#keys], shards[n].upper)
        for _, key in ipairs(keys) do assert.equal(1, holders(shards, key), key .. " in " .. n) end
      end
    end
  end)

  it("have equal widths", function()
    local uppers = {}
    for i, s in ipairs(assert(backfill.ranges(1, 100, 4))) do uppers[i] = s.upper end
    assert.same({ 25, 50, 75, 100 }, uppers)
  end)

  it("are refused for keys that cannot be walked", function()
    for _, range in ipairs { { "a", "b" }, { 1, "18446744073709551615" }, { 1.5, 2.5 },
      { math.mininteger, 0 } } do
      local shards, failure = backfill.ranges(range[1], range[2], 4)
      assert.is_nil(shards)
      assert.equal("USAGE", failure.name)
    end
  end)

  it("are a number from 1, and so are the rows of a chunk", function()
    for _, wrong in ipairs { { shards = 0 }, { shards = -1 }, { shards = 1 << 40 }, { chunk = 0 },
      { chunk = 1.5 }, { chunk = math.maxinteger } } do
      wrong.read = "SELECT 1"
      local ok, failure = pcall(backfill.new, wrong)
      assert.is_false(ok)
      assert.equal("USAGE", failure.name)
    end
  end)
end)
