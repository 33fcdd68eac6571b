-- A dashboard of Grafana as its JSON is: each query of each panel, with the dashboard's variables as Grafana
-- would fill them in.
local fs = require "rlab.fs"
local json = require "rlab.json"
local prometheus = dofile "spec/observe/support/prometheus.lua"

local M = {}

local INTERVAL = "15s" -- four times and more what lies between two looks, as Grafana reckons $__rate_interval

-- A variable is filled in where its value stands: of several values all, as "All" means.
local function fill(text, values)
  text = text:gsub("%$__rate_interval", INTERVAL):gsub("%$__interval", INTERVAL)
  return (text:gsub("%$([%a_][%w_]*)", function(name) return values[name] or "" end))
end

local function values_of(dashboard, url, span)
  local values = {}
  for _, variable in ipairs(dashboard.templating and dashboard.templating.list or {}) do
    local query = type(variable.query) == "table" and variable.query.query or variable.query
    local selector, label = tostring(query):match "^label_values%((.*), *([%w_]+)%)$"
    if selector then
      local list = prometheus.values(url, label, fill(selector, values), span)
      local all = variable.includeAll or variable.multi
      values[variable.name] = all and table.concat(list, "|") or list[1] or ""
    end
  end
  return values
end

local function each(panels, found)
  for _, panel in ipairs(panels or {}) do
    for _, target in ipairs(panel.targets or {}) do
      if target.expr and target.expr ~= "" then
        found[#found + 1] = { title = panel.title, query = target.expr }
      end
    end
    each(panel.panels, found)
  end
end

-- queries(path, url, span) -> {{title =, query =, told =}}: of its panels and annotations; told is the query
--   as it stands in the file
function M.queries(path, url, span)
  local dashboard = assert(json.decode(assert(fs.read(path))))
  local values, found = values_of(dashboard, url, span), {}
  each(dashboard.panels, found)
  for _, row in ipairs(dashboard.rows or {}) do each(row.panels, found) end
  for _, row in ipairs(dashboard.annotations and dashboard.annotations.list or {}) do
    if row.expr then found[#found + 1] = { title = "annotation: " .. row.name, query = row.expr } end
  end
  for _, one in ipairs(found) do one.told, one.query = one.query, fill(one.query, values) end
  return found
end

return M
