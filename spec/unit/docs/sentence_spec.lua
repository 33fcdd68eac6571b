local sentence = require "rlab.experiment.sentence"

describe("a sentence", function()
  it("is what string.format makes of it", function()
    assert.are.equal("3 of 4: 7.50 %, 'x'", sentence.of("%d of %d: %.2f %%, '%s'", 3, 4, 7.5, "x"))
    assert.are.equal("+05 of 100 %", sentence.of("%+03d of 100 %%", 5))
  end)

  it("is the format where there are no values", function()
    assert.are.equal("100 % of all", sentence.of "100 % of all")
  end)

  it("does not fail by what was measured", function()
    assert.are.equal("only 49 % of the reads", sentence.of("only %d %% of the reads", 48.7))
    assert.are.equal("nil records", sentence.of("%d records", nil))
    assert.are.equal("inf s, many", sentence.of("%d s, %d", math.huge, "many"))
    assert.matches("nan", sentence.of("%d", 0 / 0))
    assert.are.equal("one and nil", sentence.of("%s and %d", "one"))
  end)
end)
