local rng = require "rlab.rng"

describe("rng", function()
  it("gives the same sequence for ever", function()
    local r = rng.new(7)
    assert.are.same({ 995, 675, 639 }, { r:int(1000), r:int(1000), r:int(1000) })
    assert.are.equal("s1gtv49iilm0y5g4", r:split("keys"):id())
    assert.are.equal(rng.new("words"):seed(), rng.new("words"):seed())
  end)

  it("splits by label, whatever was drawn before", function()
    local a, b = rng.new(7), rng.new(7)
    a:int(10)
    assert.are.equal(a:split("keys"):id(), b:split("keys"):id())
    assert.are_not.equal(a:split("keys"):id(), a:split("values"):id())
  end)

  it("covers ranges to their ends", function()
    local r, seen = rng.new(1), {}
    for _ = 1, 1000 do seen[r:int(-1, 1)] = true end
    assert.are.same({ [-1] = true, [0] = true, [1] = true }, seen)
    assert.are.equal("integer", math.type(r:int(math.mininteger, math.maxinteger)))
    for _ = 1, 1000 do
      local x = r:float(2, 3)
      assert.is_true(x >= 2 and x < 3)
    end
    assert.has_error(function() r:int(3, 2) end)
    assert.has_error(function() r:int(0) end)
    assert.is_false(r:chance(0))
    assert.is_true(r:chance(1))
  end)

  it("shuffles and samples without repeating or changing the list", function()
    local r, list = rng.new(3), { 1, 2, 3, 4, 5 }
    local shuffled = r:shuffle(list)
    assert.are.same({ 1, 2, 3, 4, 5 }, list)
    table.sort(shuffled)
    assert.are.same(list, shuffled)
    local sample = r:sample(list, 3)
    assert.are.equal(3, #sample)
    table.sort(sample)
    assert.is_true(sample[1] < sample[2] and sample[2] < sample[3])
    assert.is_number(r:pick(list))
    assert.has_error(function() r:sample(list, 6) end)
    local numbers = r:sample(3, 3)
    table.sort(numbers)
    assert.are.same({ 1, 2, 3 }, numbers)
  end)

  it("makes bytes and ids", function()
    local r = rng.new(5)
    assert.are.equal(13, #r:bytes(13))
    assert.are.equal("", r:bytes(0))
    assert.matches("^%l[%l%d]+$", r:id())
    assert.are.equal(16, #r:id())
    assert.are.equal(6, #r:id(6))
  end)
end)
