-- The child's side of a role: `rlab role FILE ROLE PARENT_PID`. The role function gets a context: args,
-- brokers, mysql, redis, seed, arm, say(word, fields) for a message to the lab, producer{} and consumer{} in
-- the standard right profile, and failpoints through rlab.fail. It dies with the rlab that started it.
local err = require "rlab.err"
local exit = require "rlab.exit"
local host = require "rlab.core_host"
local json = require "rlab.json"
local must = require "rlab.must"
local tables = require "rlab.tables"

local M = {}

local function context()
  local ctx = json.decode(os.getenv "RLAB_ROLE_ARGS" or "{}")
  function ctx.say(word, fields)
    io.stdout:write(json.encode(tables.merged({ say = word }, fields)), "\n")
    io.stdout:flush()
  end
  local lab = { stack = { kafka = { brokers = ctx.brokers } } }
  for _, kind in ipairs { "producer", "consumer" } do
    ctx[kind] = function(overrides)
      return must(require("rlab.kafka")[kind](require("rlab.lab.clients").settings(lab, kind, overrides)))
    end
  end
  return ctx
end

function M.main(words)
  local path, name, parent = words[1], words[2], tonumber(words[3])
  if not host.die_with_parent(parent or 0) then return exit.interrupted end
  local exp = require("rlab.experiment").load(path, true)
  local role = exp.roles and exp.roles[name]
  if not role then
    error(err.new { domain = "rlab", code = 0, name = "USAGE",
      message = path .. " has no role " .. tostring(name) }, 0)
  end
  role(context())
  return exit.ok
end

return M
