-- Commands that rlab calls itself: the role of an experiment in a process of its own, and the test runner.
local exit = require "rlab.exit"

local busted = { name = "busted", help = "run busted specs inside rlab", hidden = true, raw = true }

-- busted's runner reads the global `arg` and ends by os.exit; the exit status is caught instead, so that
-- handles are closed.
function busted.run(words)
  local code
  package.path = "./?.lua;./?/init.lua;" .. package.path -- specs lie here
  local real_exit = os.exit
  _G.arg = table.move(words, 1, #words, 1, { [0] = "rlab busted" })
  local stop = {}
  os.exit = function(status) -- luacheck: ignore 122
    code = status == true and 0 or status == false and 1 or status or 0
    error(stop, 0)
  end
  local ok, failure = pcall(function()
    local chunk = assert(load("require('busted.runner')({ standalone = false })", "=busted"))
    chunk()
  end)
  os.exit = real_exit -- luacheck: ignore 122
  if not ok and failure ~= stop then error(failure, 0) end
  return code or exit.ok
end

local role = { name = "role", help = "run one role of an experiment file in this process", hidden = true,
  raw = true }

function role.run(words)
  return require("rlab.experiment.role").main(words)
end

return { busted, role }
