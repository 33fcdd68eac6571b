-- Load on an arm's services: rlab.flow_load with the run's seed, and each operation in the run's history.
local flow_load = require "rlab.flow_load"
local must = require "rlab.must"
local tables = require "rlab.tables"

local M = {}

local Load = {}
Load.__index = Load

local ROWS_MAX = 100000

local function rows_of(opts)
  if opts.rows then return opts.rows end
  if not opts.count then return ROWS_MAX end
  return math.min(ROWS_MAX, opts.count * (opts.readers or 1))
end

-- load{to = service, accepted = 0.9, ...} -> Load, under way: options as of flow_load.open; `to` is a service
--   or process of the arm instead of url. Unless they say otherwise, the seed is the run's, a row is kept of
--   each request, and the history gets each operation. accepted: the share of the requests that must be
--   answered with success (2xx), else the arm is inconclusive. A run's rate cap counts before `rate`, and in
--   place of `readers`.
function M.load(lab, opts)
  local all = tables.merged(opts)
  all.accepted = nil
  if opts.to then all.to, all.url = nil, opts.to.url end
  all.seed, all.rows, all.history = opts.seed or lab.seed, rows_of(opts), opts.history or lab.run.history
  if lab.run.rate_cap then lab.run.rate_cap:load(all) end
  all.name = (lab.label and lab.label .. "/" or "") .. (opts.name or "load")
  local handle = lab:own(must(flow_load.open(all)))
  return setmetatable({ lab = lab, handle = handle, name = opts.name or "load", share = opts.accepted }, Load)
end

-- load:stats() -> counters and histograms so far
function Load:stats()
  return self.handle:stats()
end

local function demand_accepted(load, rows)
  local good = 0
  for _, row in ipairs(rows) do
    if row.status and row.status >= 200 and row.status < 300 then good = good + 1 end
  end
  load.lab:accepted(load.name, good, math.max(1, math.ceil(load.share * #rows)))
end

local function take_all(load)
  local rows = {}
  repeat
    local some = load.handle:take()
    table.move(some, 1, #some, #rows + 1, rows)
  until #some == 0
  if load.share then demand_accepted(load, rows) end
  return rows
end

-- How long they took, from when each was to start.
local function keep_latency(load, stats)
  if not load.kept then load.lab:histogram(load.name .. " latency", stats.latency, "ns") end
  load.kept = true
end

-- load:finish([at_most]) -> stats with rows, oldest first: waits for its end. One that could not begin, or
--   rows that had no room, prove nothing.
function Load:finish(at_most)
  local ok, failure = self.handle:wait(at_most or "60s")
  if not ok then self.lab:give_up("%s: %s", self.name, failure.message) end
  local stats = self.handle:stats()
  if stats.rows_lost > 0 then
    self.lab:give_up("%s: there was no room for %d rows; say rows = N", self.name, stats.rows_lost)
  end
  keep_latency(self, stats)
  stats.rows = take_all(self)
  return stats
end

-- load:stop() -> rows of requests that have ended: starts nothing more and waits for what is in flight
function Load:stop()
  must(self.handle:stop())
  keep_latency(self, self.handle:stats())
  return take_all(self)
end

return M
