-- rlab service NAME: one of the services under test, or one of your own, in this process.
local exit = require "rlab.exit"

local service = { name = "service", help = "run a service: command, relay, consumer, query, replay",
  raw = true }

function service.children()
  local list, options = {}, require "rlab.service.options"
  for i, name in ipairs(require("rlab.service").names()) do
    local description = require("rlab.service").load(name)
    list[i] = { name = name, help = description.help,
      args = function(parser) options.declare(description, parser) end }
  end
  return list
end

local function wants_help(words)
  for _, word in ipairs(words) do
    if word == "--help" or word == "-h" then return true end
  end
  return #words == 0
end

function service.run(words)
  local name = words[1] and not words[1]:find "^%-" and words[1] or nil
  local run = require "rlab.service.run"
  if wants_help(words) then
    print(run.describe(name))
    return #words == 0 and exit.usage or exit.ok
  end
  if not name then
    io.stderr:write("rlab: service: its name comes first: rlab service NAME [options]\n")
    return exit.usage
  end
  return run.main(require("rlab.service").load(name), table.move(words, 2, #words, 1, {}))
end

return service
