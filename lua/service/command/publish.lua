-- command: the direct modes, which send the event to Kafka themselves. Each is wrong in its own way (E-002).
local defer = require "rlab.defer"
local err = require "rlab.err"
local kafka = require "rlab.kafka"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local profile = {
  acks = "all", ["enable.idempotence"] = "true", partitioner = "murmur2_random", ["linger.ms"] = "5",
  ["message.timeout.ms"] = "5000",
  ["reconnect.backoff.max.ms"] = "500",
}
local by_mode = {
  ["direct-queued"] = { ["linger.ms"] = "1000" },
  ["direct-unwatched"] = { ["message.timeout.ms"] = "2000" },
}

local function settings(ctx)
  return tables.merged({ brokers = ctx.brokers }, profile, by_mode[ctx.config.mode], ctx.config.producer)
end

local Publisher = {}
Publisher.__index = Publisher

-- new(ctx) -> publisher of the mode; its reports are counted, and told by health
function M.new(ctx)
  local producer, failure = kafka.producer(settings(ctx))
  if not producer then error(failure, 0) end
  local self = setmetatable({ ctx = ctx, producer = producer, reports = {}, watchers = 0,
    seen = task.event() }, Publisher)
  ctx:health("kafka", function() return self.failure == nil, self.failure end)
  ctx:on_drain(function()
    while self.watchers > 0 do self.seen:wait() end
    producer:close()
  end)
  return self
end

function Publisher:message(event)
  return { topic = self.ctx.config.topic, key = tostring(event.account_id), value = event.payload,
    headers = { { "event-id", event.event_id }, { "request-id", event.request_id } } }
end

function Publisher:count(report, failure)
  local status = report and report.status or failure.status or failure.name
  local code = failure and failure.code or 0
  local key = status .. " " .. code
  self.reports[key] = self.reports[key] or { labels = { status = status, code = tostring(code) }, value = 0 }
  self.reports[key].value = self.reports[key].value + 1
  self.failure = failure and tostring(failure) or nil
end

-- publisher:send(event) -> report | nil, err: waits for the delivery report
function Publisher:send(event)
  local report, failure = self.producer:send(self:message(event))
  self:count(report, failure)
  return report, failure
end

-- publisher:queue(event): nobody waits; the report is counted when it comes, and that is all
function Publisher:queue(event)
  local deliveries = self.producer:submit { self:message(event) }
  self.watchers = self.watchers + 1
  task.spawn(function()
    local _ <close> = defer(function()
      self.watchers = self.watchers - 1
      self.seen:set(true)
    end)
    deliveries:wait()
    local report = deliveries[1]
    if err.is(report) then self:count(nil, report) else self:count(report) end
  end)
end

-- publisher:metrics() -> list
function Publisher:metrics()
  local list = {}
  for _, row in pairs(self.reports) do
    list[#list + 1] = { name = "rlab_command_reports_total", type = "counter",
      help = "Delivery reports of the direct modes.", labels = row.labels,
      value = row.value }
  end
  table.sort(list, function(a, b) return a.labels.status .. a.labels.code < b.labels.status .. b.labels.code
    end)
  return list
end

return M
