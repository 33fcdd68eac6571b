-- exporter: one look at a cluster as metrics, and the looks in between from which a lag in seconds is
-- reckoned. For the service exporter and for the console's /metrics.
local clock = require "rlab.clock"
local fail = require "rlab.fail"
local flow = require "rlab.service.flow"
local kafka = require "rlab.kafka"
local readable = require "service.exporter.readable"
local tables = require "rlab.tables"
local task = require "rlab.task"
local told = require "service.exporter.told"
local watermarks = require "service.exporter.watermarks"

local M = {}

local Exporter = {}
Exporter.__index = Exporter

-- new(settings, {limit =, sample =, count =}) -> exporter: settings of a client; the rest as the service's
--   options of these names
function M.new(settings, config)
  local admin, failure = kafka.admin(tables.merged(settings, { at_most = config.limit }))
  if not admin then error(failure, 0) end
  local reader = tables.merged({ group = "rlab-exporter", isolation_level = "read_committed",
    enable_partition_eof = true, ["fetch.wait.max.ms"] = "20" }, settings)
  return setmetatable({ config = config, admin = admin, watermarks = watermarks.new(), known = {},
    freed = task.event(), readable = readable.new(reader, config.count), why = "not asked yet" }, Exporter)
end

local function seconds_since(began) return (clock.ns() - began) / 1e9 end

local function why_of(survey, failure)
  local first = survey and survey.failed[1]
  return not survey and tostring(failure) or first and tostring(first.err) or nil
end

function Exporter:survey(how)
  local survey
  local _, failure = fail.point("exporter.before_survey", {})
  if not failure then survey, failure = self.admin:survey(how) end
  self.why = why_of(survey, failure)
  if survey then self.watermarks:note(clock.unix_ms() / 1000, survey) end
  return survey
end

local function own(list, complete, failed, took)
  flow.gauge(list, "rlab_exporter_complete",
    "1 when this scrape has all, 0 when something was not told in time", complete and 1 or 0)
  flow.gauge(list, "rlab_exporter_failures", "Questions of this scrape that a broker did not answer", failed)
  flow.gauge(list, "rlab_exporter_scrape_seconds", "How long this scrape took to ask", took)
  return list
end

local function taken(self)
  local began = clock.ns()
  local survey = self:survey { at_most = self.config.limit }
  if not survey then return own(told.up(self.known), false, 1, seconds_since(began)) end
  local places = told.places(survey)
  local counted, whole = self.readable:read(survey, places, self.config.limit - seconds_since(began))
  local took = seconds_since(began)
  local list = told.metrics(survey, places,
    { now = clock.unix_ms() / 1000, watermarks = self.watermarks, counted = counted,
      known = self.known })
  return own(list, whole and #survey.failed == 0, #survey.failed, took)
end

-- exporter:metrics() -> list, as rlab.metrics takes it. One scrape at a time: they share the reader, and the
--   cluster is asked no faster than it answers.
function Exporter:metrics()
  while self.busy do self.freed:wait() end
  self.busy = true
  local results = table.pack(pcall(taken, self))
  self.busy = false
  self.freed:set(true)
  if not results[1] then error(results[2], 0) end
  return results[2]
end

-- exporter:sample(): looks at the ends of all partitions, again and again
function Exporter:sample()
  while true do
    self:survey { groups = false, at_most = self.config.limit }
    task.sleep(self.config.sample)
  end
end

function Exporter:close()
  self.readable:close()
  self.admin:close()
end

return M
