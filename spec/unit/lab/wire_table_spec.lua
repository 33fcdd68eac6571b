-- A rule's row in the table of what the proxy saw says what the rule has done.
local wire_table = require "rlab.lab.wire_table".wire_table

describe("lab:wire_table", function()
  local function proxy_rows(actions)
    local rows, shown, told = {}, nil, {}
    for i, action in ipairs(actions) do
      rows[i] = { time = i, proxy = "kafka-1", conn = 7, correlation = i, api = "EndTxn", version = 5,
        direction = "rule", action = action }
    end
    wire_table({ table = function(_, t) shown = t end }, "title", rows, "tx")
    for i, row in ipairs(shown.rows) do told[i] = table.concat(row, " ", 3, 5) end
    return told
  end

  it("tells a request that was lost from one that is held back", function()
    assert.same({ "proxy EndTxn lost", "proxy EndTxn held back",
      "proxy EndTxn held back; the client's side is cut",
      "proxy EndTxn its answer is lost; the connection is cut", "proxy EndTxn delay" },
      proxy_rows { "drop", "hold", "late", "cut-after", "delay" })
  end)
end)
