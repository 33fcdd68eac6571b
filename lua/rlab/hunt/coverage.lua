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
  local noted = {}
  for _, one in ipairs(faults) do
    local row, act = self.by_place[schedule.place(one)], schedule.action(one)
    local cell = schedule.place(one) .. act
    if row and not noted[cell] then
      row.tried[act], self.acts[act], noted[cell] = (row.tried[act] or 0) + 1, true, true
    end
  end
end

local function add_row(self, row)
  local sum = self.by_place[row.place]
  if not sum then
    sum = { place = row.place, times = 0, tried = {} }
    self.rows[#self.rows + 1], self.by_place[row.place] = sum, sum
  end
  sum.times = math.max(sum.times, row.reached)
  for act, times in pairs(row.tried) do
    sum.tried[act], self.acts[act] = (sum.tried[act] or 0) + times, true
  end
end

-- What none of them reached: a place that stands among the rows was reached by one.
local function reached_by_none(self, records)
  local points, list = {}, {}
  for place in pairs(self.by_place) do points[place:match "%S+$"] = true end
  for _, record in ipairs(records) do
    for _, point in ipairs(record.not_reached or {}) do
      if not points[point] then
        points[point], list[#list + 1] = true, point
      end
    end
  end
  return list
end

-- merged(records) -> coverage of several hunts of one arm together, by what each wrote down
function M.merged(records)
  local self = M.new { points = {}, requests = {} }
  for _, record in ipairs(records) do
    for _, row in ipairs(record.covered or {}) do add_row(self, row) end
    local search = record.search or { trials = 0, judged = 0 }
    self.trials, self.judged = self.trials + search.trials, self.judged + search.judged
  end
  self.not_reached = reached_by_none(self, records)
  return self
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
