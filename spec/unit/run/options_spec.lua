-- What --set gives to an experiment: told before anything starts.
local fs = require "rlab.fs"
local process = require "rlab.process"

local function complaint(word, experiment)
  local p <close> = assert(process.spawn { cmd = { assert(fs.self_exe()), "run", experiment or "E-014",
    "--set", word } })
  local ended = assert(p:wait "20s")
  local _, said = p:output()
  assert.equal(64, ended.code)
  return said
end

describe("--set", function()
  it("holds a number to the bounds that the experiment declares", function()
    for _, text in ipairs { "99", "10001", "150.5", "many", "nan" } do
      assert.matches("option a_day takes a whole number from 100 up to 10000, not '" .. text .. "'",
        complaint("a_day=" .. text), 1, true)
    end
  end)

  it("holds words to the list that the experiment declares", function()
    for _, word in ipairs { "late", "" } do
      assert.matches(", lost-answer, raced by commas, not '" .. word .. "'",
        complaint("rounds=raced," .. word, "clients/endtxn.lua"), 1, true)
    end
  end)

  it("names the nearest option", function()
    assert.matches("E-014 has no option 'aday', did you mean 'a_day'?", complaint "aday=3", 1, true)
  end)
end)
