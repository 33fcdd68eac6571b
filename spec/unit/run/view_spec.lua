-- What a run shows on a terminal while it goes.
local view = require "rlab.run.view"

describe("the line of an arm that has ended", function()
  it("keeps class, name and outcome apart, whatever the class is called", function()
    local lines = {}
    local shown = view.new { live = { clear = function() end,
      above = function(_, line) lines[#lines + 1] = line end } }
    shown.names = 12
    for _, class in ipairs { "wrong", "right", "observe" } do
      shown:arm_ends { class = class, name = "twelve-chars", sentence = "said", outcome = "measured" }
    end
    assert.matches("^  wrong +twelve%-chars  said +measured$", lines[1])
    assert.matches("^  observed twelve%-chars said +measured$", lines[3])
    for _, line in ipairs(lines) do assert.equal(lines[2]:find "said", line:find "said") end
  end)
end)
