-- The Prometheus of the observed stack, asked as Grafana asks it for a panel.
local http = require "rlab.http"
local json = require "rlab.json"
local must = require "rlab.must"

local M = {}

local STEP = 1

local function encoded(text)
  return (text:gsub("[^%w._~-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function get(url, path, fields)
  local parts = {}
  for name, value in pairs(fields) do parts[#parts + 1] = name .. "=" .. encoded(tostring(value)) end
  local answer = must(http.get(("%s/api/v1/%s?%s"):format(url, path, table.concat(parts, "&")),
    { timeout = "30s" }))
  local decoded = json.decode(answer.body)
  if answer.status ~= 200 then
    error(("%s: %s"):format(fields.query or path, decoded and decoded.error or answer.body), 2)
  end
  return decoded.data
end

-- series(url, query, {from =, to =}) -> how many series have at least one number in that time
function M.series(url, query, span)
  local data = get(url, "query_range", { query = query, start = span.from, ["end"] = span.to, step = STEP })
  local count = 0
  for _, series in ipairs(data.result) do
    for _, value in ipairs(series.values) do
      if value[2] ~= "NaN" then
        count = count + 1
        break
      end
    end
  end
  return count
end

-- values(url, "instance", "redis_up", span) -> the values that the label had, as a dashboard's label_values()
function M.values(url, label, selector, span)
  return get(url, "label/" .. label .. "/values", { ["match[]"] = selector, start = span.from,
    ["end"] = span.to })
end

return M
