-- exporter: what the cluster's topics and groups stand at, for Prometheus, under the names of kafka_exporter,
-- and what nobody else tells: the lag in three definitions and in seconds, last stable offsets, and how long
-- the transaction is open that holds one back. A scrape is a survey of the whole cluster in a few round
-- trips; between scrapes only the ends of partitions are looked at.
local http = require "rlab.http"
local metrics = require "rlab.metrics"
local passed_on = require "service.exporter.passed_on"
local scrape = require "service.exporter.scrape"
local service = require "rlab.service"
local tables = require "rlab.tables"

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

-- Prometheus reads a label `instance` of ours as that of the service (honor_labels).
local function passed_on_by(folder)
  return function()
    if folder == "" then return http.problem(404, "nothing is passed on without --services FOLDER") end
    return { status = 200, headers = { ["content-type"] = metrics.content_type },
      body = passed_on.text(folder) }
  end
end

return service {
  name = "exporter", help = "tells Prometheus of the cluster's topics and groups, under the names of \z
    kafka_exporter and beyond them", port = 18085,
  options = options,
  uses = { consumer = true },
  start = function(ctx)
    local exporter = scrape.new(tables.merged({ brokers = ctx.brokers }, ctx.config.consumer), ctx.config)
    ctx:health("kafka", function() return exporter.why == nil, exporter.why end)
    ctx:metrics(function() return exporter:metrics() end)
    ctx:route("GET", "/actuator/services", passed_on_by(ctx.config.services))
    ctx:spawn(exporter.sample, exporter)
    ctx:hold()
    exporter:close()
  end,
}
