-- What Prometheus is told, as YAML: deploy/prometheus/prometheus.yml for the containers (`make deploy`), and
-- the file of the local stack's. Plain Lua reads this file, too.
local settings = require "rlab.stack.settings"

local M = {}

local CONTAINERS = [[
# Made by make deploy from lua/rlab/stack/settings.lua: what Prometheus asks in docker-compose.yml. The jobs'
# names are those that rules.yml and the dashboards know.
]]

local function head(seconds, timeout)
  return ([[
global:
  scrape_interval: %ds
  scrape_timeout: %ds
  evaluation_interval: %ds

rule_files: [rules.yml]

scrape_configs:
]]):format(seconds, timeout, seconds)
end

local function job(row, path, targets, honest, every)
  local lines = { "  - job_name: " .. row.job }
  if every then
    lines[#lines + 1] = ("    scrape_interval: %ds"):format(every)
    lines[#lines + 1] = ("    scrape_timeout: %ds"):format(every)
  end
  if path then lines[#lines + 1] = "    metrics_path: " .. path end
  if honest then lines[#lines + 1] = "    honor_labels: true" end
  lines[#lines + 1] = "    static_configs:"
  lines[#lines + 1] = ('      - targets: ["%s"]'):format(table.concat(targets, '", "'))
  return table.concat(lines, "\n") .. "\n"
end

-- containers() -> text
function M.containers()
  local jobs = {}
  for i, row in ipairs(settings.scrape) do
    local targets = {}
    for k, target in ipairs(row) do targets[k] = target[2] end
    jobs[i] = job(row, row.path, targets)
  end
  return CONTAINERS .. head(5, 4) .. table.concat(jobs, "\n")
end

-- on_loopback(ports[, hurried]) -> text, for the servers of the port map. hurried: each is asked every
--   second, until all have answered once.
function M.on_loopback(ports, hurried)
  local jobs, seconds = {}, hurried and 1 or 3
  for i, row in ipairs(settings.scrape) do
    local targets, passed_on = {}, row.passed_on
    for k, target in ipairs(passed_on and { passed_on } or row) do
      targets[k] = ("127.0.0.1:%d"):format(ports[target[1]])
    end
    jobs[i] = job(row, passed_on and passed_on[2] or row.path, targets, passed_on, row.every)
  end
  return head(seconds, seconds) .. table.concat(jobs, "\n")
end

return M
