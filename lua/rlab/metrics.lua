-- rlab.metrics: the Prometheus text format 0.0.4. A metric is a table:
--   {name =, type = "counter" | "gauge" | "summary" | "histogram" | "untyped", help =, labels = {name =
--     text}, value = number}
-- A summary or histogram has hdr = (a histogram of rlab.hdr, or its summary() table for a summary) instead
-- of a value; `scale` turns its integers into the unit of the metric (1e-9: ns into seconds), `bounds` are
-- a histogram's upper bounds in that unit. Metrics of one name share one HELP and TYPE.
-- For very many values of one name `series` stands instead of `value`: a flat list {labels, value, labels,
-- value, ...} where labels are such as M.labels gives; those of `labels` stand before them.
local core = require "rlab.core_metrics"
local tables = require "rlab.tables"

local M = { content_type = "text/plain; version=0.0.4; charset=utf-8" }

local types = { counter = true, gauge = true, summary = true, histogram = true, untyped = true }
local known = { name = true, type = true, help = true, labels = true, value = true, hdr = true,
  scale = true, bounds = true, series = true }
local reserved = { histogram = "le", summary = "quantile" }
local quantiles = { { "0.5", "p50" }, { "0.9", "p90" }, { "0.99", "p99" }, { "0.999", "p999" } }
local default_bounds = { 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 }

local number = core.number

local escapes = { ["\\"] = "\\\\", ["\n"] = "\\n", ['"'] = '\\"' }

local function escape_help(text) return (text:gsub("[\\\n]", escapes)) end
local function escape_label(text) return (tostring(text):gsub('[\\\n"]', escapes)) end

local function check(metric)
  local name = metric.name
  if type(name) ~= "string" or not name:find "^[%a_:][%w_:]*$" then
    error("metrics: '" .. tostring(name) .. "' is no name of a metric", 4)
  end
  if not types[metric.type or "untyped"] then
    error(("metrics: %s: '%s' is no type of a metric"):format(name, metric.type), 4)
  end
  for key in pairs(metric) do
    if not known[key] then error(("metrics: %s: unknown key '%s'"):format(name, tostring(key)), 4) end
  end
  for label in pairs(metric.labels or {}) do
    if type(label) ~= "string" or not label:find "^[%a_][%w_]*$" or label:find "^__" then
      error(("metrics: %s: '%s' is no name of a label"):format(name, tostring(label)), 4)
    end
  end
  local own = reserved[metric.type]
  if own and metric.labels and metric.labels[own] ~= nil then
    error(("metrics: %s: the label '%s' is the %s's own"):format(name, own, metric.type), 4)
  end
  if metric.hdr == nil and metric.series == nil and type(metric.value) ~= "number" then
    error(("metrics: %s: value is a number"):format(name), 4)
  end
end

local function labels_text(labels, extra, extra_value)
  local parts = {}
  for _, name in ipairs(tables.sorted_keys(labels or {})) do
    parts[#parts + 1] = ('%s="%s"'):format(name, escape_label(labels[name]))
  end
  if extra then parts[#parts + 1] = ('%s="%s"'):format(extra, extra_value) end
  return #parts > 0 and "{" .. table.concat(parts, ",") .. "}" or ""
end

-- labels{topic = "orders", partition = 0} -> 'partition="0",topic="orders"', for `series`
function M.labels(labels) return labels_text(labels):sub(2, -2) end

local function put(out, name, labels, value)
  out[#out + 1] = ("%s%s %s"):format(name, labels, number(value))
end

local function put_ends(out, metric, summary, scale)
  put(out, metric.name .. "_sum", labels_text(metric.labels), summary.mean * summary.count * scale)
  put(out, metric.name .. "_count", labels_text(metric.labels), summary.count)
end

local function put_summary(out, metric)
  local summary = type(metric.hdr) == "table" and metric.hdr or metric.hdr:summary()
  local scale = metric.scale or 1
  for _, q in ipairs(quantiles) do
    if summary[q[2]] then
      put(out, metric.name, labels_text(metric.labels, "quantile", q[1]),
        summary.count > 0 and summary[q[2]] * scale or 0 / 0)
    end
  end
  put_ends(out, metric, summary, scale)
end

local function put_histogram(out, metric)
  local scale, buckets, at, below = metric.scale or 1, metric.hdr:buckets(), 1, 0
  for _, bound in ipairs(metric.bounds or default_bounds) do
    while buckets[at] and buckets[at].value * scale <= bound do
      below = below + buckets[at].count
      at = at + 1
    end
    put(out, metric.name .. "_bucket", labels_text(metric.labels, "le", number(bound)), below)
  end
  local summary = metric.hdr:summary()
  put(out, metric.name .. "_bucket", labels_text(metric.labels, "le", "+Inf"), summary.count)
  put_ends(out, metric, summary, scale)
end

local function put_series(out, metric)
  local head = metric.name .. "{"
  if metric.labels then head = head .. M.labels(metric.labels) .. "," end
  if #metric.series > 0 then out[#out + 1] = core.series(head, metric.series) end
end

local function put_metric(out, metric)
  if metric.series then return put_series(out, metric) end
  if metric.type == "histogram" and type(metric.hdr) == "userdata" then return put_histogram(out, metric) end
  if metric.hdr ~= nil then return put_summary(out, metric) end
  put(out, metric.name, labels_text(metric.labels), metric.value)
end

-- Metrics of one name stand together, in the order in which the names first came.
local function families(list)
  local order, by_name = {}, {}
  for _, metric in ipairs(list) do
    check(metric)
    local family = by_name[metric.name]
    if not family then
      family = {}
      by_name[metric.name] = family
      order[#order + 1] = family
    end
    family[#family + 1] = metric
  end
  return order
end

-- A snapshot of a histogram has no buckets any more: it is told as the summary that it is.
local function type_of(metric)
  if metric.type == "histogram" and type(metric.hdr) ~= "userdata" then return "summary" end
  return metric.type or (metric.hdr ~= nil and "summary") or "untyped"
end

-- render{metric, ...} -> text
function M.render(list)
  local out = {}
  for _, family in ipairs(families(list)) do
    local first = family[1]
    if first.help then out[#out + 1] = ("# HELP %s %s"):format(first.name, escape_help(first.help)) end
    out[#out + 1] = ("# TYPE %s %s"):format(first.name, type_of(first))
    for _, metric in ipairs(family) do put_metric(out, metric) end
  end
  out[#out + 1] = ""
  return table.concat(out, "\n")
end

return M
