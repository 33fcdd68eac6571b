-- Roles: functions of an experiment file that run in processes of their own, so that a crash is a real
-- SIGKILL.
-- The child is this same program (`rlab role FILE ROLE`); see rlab.lab.children for what can be done to it.
local children = require "rlab.lab.children"
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"

local M = {}

local Role = children.class()

-- start(role, args, {must_fire = {point = expr}, failpoints = {point = expr}}) -> Role. Failpoints are
--   armed before the process runs.
function M.start(lab, name, args, opts)
  local exp = lab.run.experiment
  if not (exp.roles and exp.roles[name]) then error(("%s has no role '%s'"):format(exp.id, name), 2) end
  return children.spawn(lab, Role, lab.run:child_name(name), {
    cmd = { fs.self_exe(), "role", exp.path, name, tostring(process.self()) },
    env = {
      RLAB_ROLE_ARGS = json.encode { args = args or {},
        brokers = lab.stack.kafka and lab.stack.kafka.brokers, mysql = lab.stack.mysql,
        redis = lab.stack.redis, seed = lab.seed, arm = lab.label },
    },
  }, opts or {})
end

return M
