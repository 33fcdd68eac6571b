-- Histograms that a run keeps with its arms, by every count (HdrHistogram's V2 text): those of several runs
-- are added exactly, which no percentile of percentiles is.
local fs = require "rlab.fs"
local hdr = require "rlab.hdr"
local json = require "rlab.json"
local must = require "rlab.must"
local tables = require "rlab.tables"
local units = require "rlab.units"

local M = {}

local KEPT = { "count", "p50", "p90", "p99", "p999", "max", "clamped" }

-- plain(name, h, unit) -> the row of result.json
function M.plain(name, h, unit)
  return tables.merged(tables.picked(h:summary(), KEPT), { name = name, unit = unit, hdr = h:encode() })
end

-- add(rows, name, h, unit): what is measured again under a name of the arm is added
function M.add(rows, name, h, unit)
  for i, row in ipairs(rows) do
    if row.name == name and row.unit == unit then
      rows[i] = M.sum({ row, M.plain(name, h, unit) })
      return
    end
  end
  rows[#rows + 1] = M.plain(name, h, unit)
end

-- sum(rows) -> one row: every count of all of them
function M.sum(rows)
  local sum <close> = must(hdr.decode(rows[1].hdr))
  local clamped = rows[1].clamped or 0
  for i = 2, #rows do
    local other <close> = must(hdr.decode(rows[i].hdr))
    sum:merge(other)
    clamped = clamped + (rows[i].clamped or 0)
  end
  local row = M.plain(rows[1].name, sum, rows[1].unit)
  row.clamped = row.clamped + clamped
  return row
end

-- One run that is given twice is counted once.
local function by_name(results)
  local groups, order, seen = {}, {}, {}
  for _, result in ipairs(results) do
    local run = result.run or {}
    local itself = ("%s %s %s"):format(result.id, run.seed, run.started)
    for _, arm in ipairs(seen[itself] and {} or result.arms or {}) do
      for _, row in ipairs(arm.histograms or {}) do
        local key = ("%s\0%s\0%s\0%s"):format(result.id, arm.name, row.name, row.unit)
        if not groups[key] then
          groups[key] = { id = result.id, arm = arm.name }
          order[#order + 1] = key
        end
        table.insert(groups[key], row)
      end
    end
    seen[itself] = true
  end
  table.sort(order)
  return groups, order
end

-- joined(results) -> list of {id, arm, runs, and what a row has}: of each arm's histograms the sum over all
--   runs
function M.joined(results)
  local groups, order = by_name(results)
  local list = {}
  for i, key in ipairs(order) do
    local group = groups[key]
    list[i] = tables.merged(M.sum(group), { id = group.id, arm = group.arm, runs = #group })
  end
  return list
end

local function shown(value, unit)
  return unit == "ns" and units.print_duration(value / 1e9) or ("%d %s"):format(value, unit)
end

-- grid(list, indent) -> the table of joined histograms, for a terminal
function M.grid(list, indent)
  local columns, rows = { "", "arm", "what" }, {}
  for _, name in ipairs { "runs", "values", "p50", "p99", "p99.9", "most" } do
    columns[#columns + 1] = { name = name, align = "right" }
  end
  for i, one in ipairs(list) do
    rows[i] = { one.id, one.arm, one.name, one.runs, one.count, shown(one.p50, one.unit),
      shown(one.p99, one.unit), shown(one.p999, one.unit), shown(one.max, one.unit) }
  end
  return require("rlab.term").grid(columns, rows, { indent = indent })
end

-- write(list, into): into/histograms.json
function M.write(list, into)
  if #list == 0 then return end
  must(fs.write(into .. "/histograms.json", json.encode(json.array(list), { pretty = true }) .. "\n"))
end

return M
