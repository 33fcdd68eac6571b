-- rlab completion SHELL and rlab man: what a shell and man(1) are told of the command line; `make install`
-- puts both where they belong.
local exit = require "rlab.exit"

local function commands() return require("rlab.cli").commands() end

local completion = { name = "completion",
  help = 'words of the command line for a shell: eval "$(rlab completion bash)"' }

function completion.args(parser)
  parser:argument("shell", "which one"):choices { "bash", "zsh", "fish" }
end

function completion.run(args)
  io.write(require("rlab.docs.command_line").completion(commands(), args.shell))
  return exit.ok
end

local man = { name = "man", help = "the man page: rlab man | man -l -" }

function man.run()
  io.write(require("rlab.docs.man").page(commands()))
  return exit.ok
end

return { completion, man }
