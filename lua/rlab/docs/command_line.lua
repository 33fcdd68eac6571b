-- The whole command line as one parser of argparse, for the man page and the shells' completion: it is made
-- of the tables that --help of each command is made of.
local experiment = require "rlab.experiment"

local M = {}

local function add(parent, command)
  local parser = parent:command(command.name, command.help)
  if command.args then command.args(parser) end
  for _, child in ipairs(command.children and command.children() or {}) do add(parser, child) end
end

-- tree(commands) -> a parser of all of them; a command's own words that are commands again are its children()
function M.tree(commands)
  local root = require "argparse"("rlab", "a reliability lab for Kafka, MySQL and Redis")
  root:flag("-V --version", "print the version; with -v also those of the libraries")
  root:option("--stack", "local, compose for the containers of docker-compose.yml, or external FILE for "
    .. "servers of your own"):choices { "local", "compose", "external" }
  for _, command in ipairs(commands) do add(root, command) end
  return root
end

-- completion(commands, "bash" | "zsh" | "fish") -> the script; experiments are words of it, too
function M.completion(commands, shell)
  local root = M.tree(commands)
  for _, path in ipairs(experiment.names()) do
    root:command(path:match "([^/]+)%.lua$", "run this experiment")
  end
  return root[("get_%s_complete"):format(shell)](root)
end

return M
