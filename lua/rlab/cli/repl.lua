-- rlab (without arguments): the interactive lab on a terminal, a script on a pipe.
local repl = { name = "repl", help = "the interactive lab; on a pipe, a script" }

function repl.run()
  return require("rlab.repl").run()
end

return repl
