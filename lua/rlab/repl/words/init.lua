-- The one-line helpers of the prompt, by what they work on.
local M = {}

--- puts every helper into the session's words
function M.install(session)
  for _, name in ipairs { "kafka", "move", "stores", "faults", "session" } do
    require("rlab.repl.words." .. name)(session, session.words)
  end
  require("rlab.repl.words.registry").install(session, session.words)
end

return M
