local json = require "rlab.json"
local null = require "rlab.null"

describe("json", function()
  local function round(text)
    return json.encode(assert(json.decode(text)))
  end

  it("keeps every 64-bit integer, and the digits of larger ones", function()
    for _, text in ipairs { "9223372036854775807", "-9223372036854775808", "9007199254740993", "0", "-1" } do
      assert.are.equal(text, round(text))
      assert.are.equal("integer", math.type(json.decode(text)))
    end
    assert.are.equal("18446744073709551615", json.decode "18446744073709551615")
  end)

  it("keeps floats floats", function()
    assert.are.equal("3.0", round "3.0")
    assert.are.equal("0.1", json.encode(0.1))
    assert.are.equal(1 / 3, json.decode(json.encode(1 / 3)))
    assert.are.equal("1e+300", json.encode(1e300))
    assert.are.equal("[null,null]", json.encode({ 0 / 0, -1 / 0 }, { gaps = true }))
    assert.are.equal("1.7976931348623157e+308", round "1.7976931348623157e308")
    assert.are.equal("0.0", round "1e-400")
  end)

  it("tells null, empty arrays and empty objects apart", function()
    local text = '{"a":null,"b":[],"c":{},"d":[null],"e":[[],{}]}'
    assert.are.equal(text, round(text))
    assert.are.equal(null, json.decode(text).a)
    assert.are.equal("[]", json.encode(json.array {}))
    assert.are.equal("{}", json.encode {})
    assert.is_true(json.is_array(json.decode "[]"))
    assert.is_false(json.is_array(json.decode "{}"))
  end)

  it("writes equal values as equal text", function()
    assert.are.equal('{"a":1,"b":[true,false],"c":{"10":"x","9":"y"}}',
      json.encode { c = { [9] = "y", [10] = "x" }, b = { true, false }, a = 1 })
    assert.are.equal('{\n  "a": [\n    1\n  ],\n  "b": {}\n}',
      json.encode({ a = { 1 }, b = {} }, { pretty = true }))
  end)

  it("carries any bytes", function()
    local all = {}
    for byte = 0, 255 do all[#all + 1] = string.char(byte) end
    local text = table.concat(all)
    assert.are.equal(text, json.decode(json.encode(text)))
    assert.are.equal("한국어 😀", json.decode(json.encode "한국어 😀"))
    assert.are.equal('"한"', json.encode "한")
    assert.are.equal("😀", json.decode '"\\ud83d\\ude00"')
    assert.are.equal('"\\u0000\\n\\\\\\""', json.encode "\0\n\\\"")
  end)

  it("says where a text is wrong", function()
    local function message(text)
      local value, err = json.decode(text)
      assert.is_nil(value)
      assert.are.equal("JSON", err.name)
      return err.message
    end
    assert.are.equal("line 2, column 8: ',' or '}' is expected, found '\"'", message '{\n "a":1 "b":2}')
    assert.are.equal("line 1, column 1: the text ends where a value is expected", message "")
    assert.are.equal("line 1, column 4: a value is expected, found ']'", message "[1,]")
    assert.are.equal("line 1, column 3: a number cannot begin with 0", message "[ 01]")
    assert.are.equal("line 1, column 2: this string has no end", message '["a')
    assert.are.equal("line 1, column 5: no such escape", message '"abc\\x"')
    assert.matches("control character", message '"a\nb"')
    assert.are.equal("line 1, column 2: a number beyond what a double holds", message "[1e400]")
    assert.matches("beyond", message "-1.5e999")
    for _, text in ipairs { '"\\ud83d"', '"\\ud83dx"', '"\\ud83d\\u0041"', '"\\ude00"', '"\\udc00\\ud83d"',
      '"\\ud83d\\ud83d"', '{"\\udfff":1}' } do
      assert.matches("half of a surrogate pair", message(text))
    end
    assert.matches("the end of the text is expected", message "1 2")
    assert.matches("nested deeper than 256", message(("["):rep(1000000)))
    local wrong = { "tru", "nul", "-", "1.", "1e", "+1", "'a'", "{1:2}", '{"a"}', "[1", '{"a":1', "NaN",
      '"\\ud8', "\xff" }
    for _, text in ipairs(wrong) do message(text) end
  end)

  it("refuses what JSON cannot say, naming the place", function()
    assert.error_matches(function() json.encode { a = { b = { 1, print } } } end, "a function at a%.b%[2%]")
    assert.error_matches(function() json.encode { [true] = 1 } end, "a key is a boolean")
    assert.error_matches(function() json.encode { a = { [1] = "int", ["1"] = "text", x = 1 } } end,
      "the number and the text 1 are the same key at a")
    for _, number in ipairs { 0 / 0, 1 / 0, -1 / 0 } do
      assert.error_matches(function() json.encode { a = { 1, number } } end, "not finite at a%[2%]")
    end
    local loop = {}
    loop.x = loop
    assert.error_matches(function() json.encode(loop) end, "inside itself")
    assert.error_matches(function() json.encode({}, { prety = true }) end, "did you mean 'pretty'")
  end)

  it("has no byte order mark before it, and one in it is a character", function()
    assert.same({ 1 }, json.decode "\u{feff}[1]")
    assert.equal("\u{feff}", json.decode '"\u{feff}"')
    assert.matches("line 1, column 1: ", tostring(select(2, json.decode "\u{feff}\u{feff}[1]")), 1, true)
    assert.matches("line 1, column 1: ", tostring(select(2, json.decode "\u{feff}")), 1, true)
  end)

  it("takes the last of two equal keys, or refuses them", function()
    local text = '{"a": {"b": 1, "b": null}, "c": 2}'
    assert.equal(json.null, json.decode(text).a.b)
    local value, failure = json.decode(text, { unique = true })
    assert.is_nil(value)
    assert.matches("the key 'b' is there twice", tostring(failure), 1, true)
    assert.same({ { b = 1 }, { b = 2 } }, json.decode('[{"b": 1}, {"b": 2}]', { unique = true }))
    assert.has_error(function() json.decode(text, { uniq = true }) end)
  end)

  it("reads nesting down to its limit", function()
    local text = ("["):rep(256) .. ("]"):rep(256)
    assert.are.equal(text, round(text))
  end)
end)
