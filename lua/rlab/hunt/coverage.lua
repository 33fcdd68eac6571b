-- What a hunt has covered: of each place that was reached how often, and how many trials did what there.
local schedule = require "rlab.hunt.schedule"
local tables = require "rlab.tables"
local term = require "rlab.term"

local M = {}

local Coverage = {}
Coverage.__index = Coverage

-- new(census) -> coverage of an arm
function M.new(census)
  local self = setmetatable({ not_reached = census.not_reached or {}, rows = {}, by_place = {}, acts = {},
    trials = 0, judged = 0 }, Coverage)
  for _, list in ipairs { census.points, census.requests } do
    for _, one in ipairs(list) do
      local row = { place = schedule.place(one), times = one.hits or one.matched, tried = {} }
      self.rows[#self.rows + 1], self.by_place[row.place] = row, row
    end
  end
  return self
end

-- coverage:note(faults, judged): a trial; judged: it could be told whether it breaks the arm
function Coverage:note(faults, judged)
  self.trials = self.trials + 1
  if not judged then return end
  self.judged = self.judged + 1
  for _, one in ipairs(faults) do
    local row, act = self.by_place[schedule.place(one)], schedule.action(one)
    if row then
      row.tried[act], self.acts[act] = (row.tried[act] or 0) + 1, true
    end
  end
end

-- coverage:counted() -> cells that were tried, places that were tried, places that were reached
function Coverage:counted()
  local cells, places = 0, 0
  for _, row in ipairs(self.rows) do
    for _ in pairs(row.tried) do cells = cells + 1 end
    places = places + (next(row.tried) and 1 or 0)
  end
  return cells, places, #self.rows
end

-- coverage:says() -> one line
function Coverage:says()
  local cells, places, reached = self:counted()
  return ("%d trials, %d judged: %d of %d places, %d pairs of place and act"):format(self.trials,
    self.judged, places, reached, cells)
end

-- coverage:rows_of() -> list of {place, reached, tried = {act = trials}}
function Coverage:rows_of()
  local list = {}
  for i, row in ipairs(self.rows) do
    list[i] = { place = row.place, reached = row.times, tried = row.tried }
  end
  return list
end

-- coverage:grid(indent) -> the table: places by acts, each with the number of its trials
function Coverage:grid(indent)
  local acts, rows = tables.sorted_keys(self.acts), {}
  local columns = { "place", { name = "reached", align = "right" } }
  for _, act in ipairs(acts) do columns[#columns + 1] = { name = act, align = "right" } end
  for i, row in ipairs(self.rows) do
    rows[i] = { row.place, row.times }
    for k, act in ipairs(acts) do rows[i][k + 2] = row.tried[act] or "-" end
  end
  return term.grid(columns, rows, { indent = indent })
end

return M
