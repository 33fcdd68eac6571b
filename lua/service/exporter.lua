-- exporter: what the cluster's topics and groups stand at, for Prometheus, under the names of kafka_exporter,
-- and what nobody else tells: the lag in three definitions and in seconds, last stable offsets, and how long
-- the transaction is open that holds one back. A scrape is a survey of the whole cluster in a few round
-- trips; between scrapes only the ends of partitions are looked at.
local clock = require "rlab.clock"
local fail = require "rlab.fail"
local flow = require "rlab.service.flow"
local http = require "rlab.http"
local kafka = require "rlab.kafka"
local metrics = require "rlab.metrics"
local passed_on = require "service.exporter.passed_on"
local readable = require "service.exporter.readable"
local service = require "rlab.service"
local tables = require "rlab.tables"
local task = require "rlab.task"
local told = require "service.exporter.told"
local watermarks = require "service.exporter.watermarks"

local options = {
  { name = "limit", type = "duration", default = "5s", min = "50ms", max = "300s",
    help = "of a scrape; what was not told by then is absent and rlab_exporter_complete is 0" },
  { name = "sample", type = "duration", default = "1s", min = "100ms",
    help = "between two looks at the ends of partitions, from which a lag in seconds is reckoned" },
  { name = "count", type = "int", default = 1000, min = 0, max = 1000000,
    help = "offsets of a partition that are read, at most, to count the records among them for the lag \z
      readable, which is absent for a group that is further back; 0: none" },
  { name = "services", type = "string", default = "",
    help = "the folder where services that run note their ports; what they tell is passed on" },
}

local Exporter = {}
Exporter.__index = Exporter

local function new(ctx)
  local settings = tables.merged({ brokers = ctx.brokers }, ctx.config.consumer)
  local admin, failure = kafka.admin(tables.merged(settings, { at_most = ctx.config.limit }))
  if not admin then error(failure, 0) end
  local reader = tables.merged({ group = "rlab-exporter", isolation_level = "read_committed",
    enable_partition_eof = true, ["fetch.wait.max.ms"] = "20" }, settings)
  return setmetatable({ config = ctx.config, admin = admin, watermarks = watermarks.new(),
    readable = readable.new(reader, ctx.config.count), why = "not asked yet" }, Exporter)
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

function Exporter:metrics()
  local began = clock.ns()
  local survey = self:survey { at_most = self.config.limit }
  if not survey then return own({}, false, 1, seconds_since(began)) end
  local places = told.places(survey)
  local counted, whole = self.readable:read(survey, places, self.config.limit - seconds_since(began))
  local took = seconds_since(began)
  local list = told.metrics(survey, places,
    { now = clock.unix_ms() / 1000, watermarks = self.watermarks, counted = counted })
  return own(list, whole and #survey.failed == 0, #survey.failed, took)
end

-- One scrape at a time: they share the reader, and the cluster is asked no faster than it answers.
local function in_turn(f)
  local busy, freed = false, task.event()
  return function(...)
    while busy do freed:wait() end
    busy = true
    local results = table.pack(pcall(f, ...))
    busy = false
    freed:set(true)
    if not results[1] then error(results[2], 0) end
    return table.unpack(results, 2, results.n)
  end
end

-- Prometheus reads a label `instance` of ours as that of the service (honor_labels).
local function passed_on_by(folder)
  return function()
    if folder == "" then return http.problem(404, "nothing is passed on without --services FOLDER") end
    return { status = 200, headers = { ["content-type"] = metrics.content_type },
      body = passed_on.text(folder) }
  end
end

local function sample(exporter)
  while true do
    exporter:survey { groups = false, at_most = exporter.config.limit }
    task.sleep(exporter.config.sample)
  end
end

return service {
  name = "exporter", help = "tells Prometheus of the cluster's topics and groups, under the names of \z
    kafka_exporter and beyond them", port = 18085,
  options = options,
  uses = { consumer = true },
  start = function(ctx)
    local exporter = new(ctx)
    ctx:health("kafka", function() return exporter.why == nil, exporter.why end)
    ctx:metrics(in_turn(function() return exporter:metrics() end))
    ctx:route("GET", "/actuator/services", passed_on_by(ctx.config.services))
    ctx:spawn(sample, exporter)
    ctx:hold()
    exporter.readable:close()
    exporter.admin:close()
  end,
}
