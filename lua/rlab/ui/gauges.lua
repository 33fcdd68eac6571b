-- Lags, backlogs and the marks of a log in a sample: those that changed, as the console is told them.
local series = require "rlab.report.series"

local M = {}

local KINDS = { lag = true, backlog = true, hw = true, lso = true, leo = true }

-- changed(row, seen) -> {[name] = value, false: nobody knows it now} | nil; seen: kept by the caller
function M.changed(row, seen)
  local out
  for name, value in pairs(row) do
    if type(value) == "number" and KINDS[series.parse(name).kind] and seen[name] ~= value then
      out = out or {}
      out[name], seen[name] = value, value
    end
  end
  for name, value in pairs(seen) do
    if value and row[name] == nil then
      out = out or {}
      out[name], seen[name] = false, false
    end
  end
  return out
end

return M
