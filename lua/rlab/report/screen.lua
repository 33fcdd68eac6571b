-- screen.text(experiment, result): what the terminal showed of a stored run when it was over.
local clock = require "rlab.clock"
local tables = require "rlab.tables"
local view = require "rlab.run.view"

local M = {}

-- What the view asks of a run that goes on.
local function run_of(exp, result)
  local stored = result.stack
  local stack = { versions = stored.versions, reused = stored.reused, since = stored.since,
    parts = exp.needs }
  for _, part in ipairs(exp.needs) do stack[part] = { nodes = {} } end
  for i = 1, stored.brokers or 0 do stack.kafka.nodes[i] = i end
  return { experiment = exp, dir = result.run.name, seed = result.run.seed, stack = stack,
    at = clock.parse(result.run.started) / 1000 }
end

function M.text(exp, result)
  local lines = {}
  local shown = view.new { live = { clear = function() end,
    above = function(_, line) lines[#lines + 1] = line:gsub("%s+$", "") end } }
  shown:header(exp)
  shown:stack_ready(run_of(exp, result))
  if result.setup then
    shown:setup_ends { duration = result.setup.duration, facts = tables.append({}, result.setup.facts) }
  end
  for _, row in ipairs(result.arms) do shown:arm_ends(row) end
  shown:finish(tables.merged(result, { dir = "runs/" .. result.run.name }))
  return table.concat(lines, "\n")
end

return M
