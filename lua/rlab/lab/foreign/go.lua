-- What a story asks of client libraries in Go.
local clients = require "rlab.lab.foreign.client"
local programs = require "rlab.lab.foreign.programs"

local M = {}

-- The arm's process of that program, started when it is first asked for.
local function client(lab, name)
  local kept = lab.go_clients or {}
  lab.go_clients = kept
  kept[name] = kept[name] or programs.start(lab, name)
  return kept[name]
end

-- go_producer(program, {["transactional.id"] =, ["bootstrap.servers"] =, ...}) -> a transactional producer of
--   that client library; .version of its module.
-- Inconclusive, with what is missing, where the program was not built.
function M.go_producer(lab, program, settings)
  return clients.producer(client(lab, program), settings)
end

return M
