local uuid = require "rlab.uuid"

describe("uuid", function()
  it("has version and variant, and the time in front", function()
    local text = uuid.new(1):next(0x0123456789ab)
    assert.matches("^01234567%-89ab%-7%x%x%x%-[89ab]%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$", text)
  end)

  it("grows within a millisecond, past 4096 of them, and when the clock goes back", function()
    local g, last = uuid.new(7), ""
    for i = 1, 10000 do
      local text = g:next(i < 9000 and 1700000000000 or 1600000000000)
      assert.is_true(text > last)
      last = text
    end
  end)

  it("is the same for the same seed and times, and different for another", function()
    assert.equal(uuid.new(3):next(5), uuid.new(3):next(5))
    assert.not_equal(uuid.new(3):next(5), uuid.new(4):next(5))
    assert.not_equal(uuid.v7(), uuid.v7())
  end)

  it("goes into 16 bytes and back", function()
    local text = uuid.v7()
    assert.equal(16, #uuid.bytes(text))
    assert.equal(text, uuid.text(uuid.bytes(text)))
    for _, wrong in ipairs { "", "x", text .. "0", text:gsub("-", ":"), 7 } do
      assert.is_nil(uuid.bytes(wrong))
    end
    assert.is_nil(uuid.text "short")
  end)
end)
