-- What the services over a flow (consumer, relay, query) have in common: a flow is opened from the settings,
-- its events become log lines, its counters metrics.
local err = require "rlab.err"
local must = require "rlab.must"
local tables = require "rlab.tables"

local M = {}

-- What the flow refuses is a mistake in the settings: the front that names the flow's call is of no use to
-- who reads it.
local function reason_of(failure, name)
  if err.is(failure) then return failure.message end
  return (tostring(failure):gsub("^.-" .. name .. "%.open: ", ""):gsub("^.-bad argument #1 to '.-' ", ""))
end

-- open(service, "flow_relay", options) -> the flow, open; raises USAGE for options that it refuses
function M.open(service, name, options)
  local ok, flow, failure = pcall(require("rlab." .. name).open, options)
  if ok then return must(flow, failure) end
  error(err.new { domain = "rlab", code = 0, name = "USAGE",
    message = ("service %s: %s"):format(service, reason_of(flow, name)) }, 0)
end

-- log(ctx, event, warnings): one event as a line; those that `warnings` names are warnings
function M.log(ctx, event, warnings)
  local fields = tables.merged(event)
  fields.what, fields.err = nil, nil
  if event.err then fields.error, fields.reason = event.err.name, event.err.message end
  ctx.log[warnings[event.what] and "warn" or "info"](event.what, fields)
end

-- follow(ctx, flow, {warnings = set, ends = "the relay has ended", silent = set, after = f}): logs the
-- flow's events until it ends, which is an error with `ends` unless the service drains. Events that
-- `silent` names are not logged; after() is called behind each handful.
function M.follow(ctx, flow, how)
  local silent = how.silent or {}
  local events = flow:events()
  while events do
    for _, event in ipairs(events) do
      if not silent[event.what] then M.log(ctx, event, how.warnings) end
    end
    if how.after then how.after() end
    events = flow:events()
  end
  if how.ends and not ctx.draining then error(how.ends, 0) end
end

-- counters(list, "rlab_relay", {{name =, help =}, ...}, stats): a metric of each, at the end of the list
function M.counters(list, prefix, counters, stats)
  for _, counter in ipairs(counters) do
    list[#list + 1] = { name = ("%s_%s_total"):format(prefix, counter.name), type = "counter",
      help = counter.help:gsub("^%l", string.upper) .. ".", value = stats[counter.name] }
  end
end

-- gauge(list, name, help, value[, labels])
function M.gauge(list, name, help, value, labels)
  list[#list + 1] = { name = name, type = "gauge", help = help .. ".", value = value, labels = labels }
end

-- seconds(list, name, help, hdr[, {type = "histogram", labels =}]): durations in ns
function M.seconds(list, name, help, hdr, more)
  list[#list + 1] = tables.merged({ name = name, type = "histogram", help = help .. ".", hdr = hdr,
    scale = 1e-9 }, more)
end

-- drain(ctx, flow): the flow is stopped when the service drains
function M.drain(ctx, flow)
  ctx:on_drain(function() must(flow:stop(ctx.config.drain_timeout)) end)
end

return M
