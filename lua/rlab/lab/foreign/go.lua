-- Client libraries in Go as child processes: programs that `make clients` builds of the modules that
-- clients/go.mod and clients/old.mod pin.
local clients = require "rlab.lab.foreign.client"
local tools = require "rlab.stack.tools"

local M = {}

-- The arm's process of that program, started when it is first asked for.
local function client(lab, name)
  local kept = lab.go_clients or {}
  lab.go_clients = kept
  if kept[name] then return kept[name] end
  local path, failure = tools.client(name)
  if not path then lab:give_up("not run: %s", failure.message) end
  kept[name] = clients.start(lab, { tag = name, says = name, cmd = { path } })
  return kept[name]
end

-- go_producer(program, {["transactional.id"] =, ["bootstrap.servers"] =, ...}) -> a transactional producer of
--   that client library; .version of its module.
-- Inconclusive, with what is missing, where the program was not built.
function M.go_producer(lab, program, settings)
  return clients.producer(client(lab, program), settings)
end

return M
