-- Roles: functions of an experiment file that run in processes of their own, so that a crash is a real
-- SIGKILL.
-- The child is this same program (`rlab role FILE ROLE`); see rlab.lab.children for what can be done to it.
local children = require "rlab.lab.children"
local fs = require "rlab.fs"
local json = require "rlab.json"
local options = require "rlab.options"
local points = require "rlab.failpoint.points"
local process = require "rlab.process"
local tables = require "rlab.tables"

local M = {}

local Role = children.class()

-- start(role, args, {must_fire = {point = expr}, failpoints = {point = expr}}) -> Role. Failpoints are
--   armed before the process runs.
function M.start(lab, name, args, opts)
  local exp = lab.run.experiment
  if not (exp.roles and exp.roles[name]) then
    error(("%s has no role '%s'; %s"):format(exp.id, name,
      options.advice(name, tables.sorted_keys(exp.roles or {}))), 2)
  end
  for _, list in ipairs { opts and opts.failpoints or {}, opts and opts.must_fire or {} } do
    for point, expr in pairs(list) do
      local wrong = points.malformed(point, expr)
      if wrong then error("lab:start: " .. wrong, 2) end
    end
  end
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
