-- Handlers of requests, each of which publishes one event: by a producer of its own, by one of its own with a
-- transactional.id of its own, or by the one that the process has. What that leaves is asked of the brokers
-- when the process is gone: the producers that the partitions know and the coordinators' transactional.ids.
local batch = require "rlab.story.batch"
local clock = require "rlab.clock"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local task = require "rlab.task"

local M = {}

local PARTITIONS, PATIENT = 3, "30s"

-- ---- the process ----

local function open(args, transactional_id)
  return must(kafka.producer { brokers = args.brokers, client_id = args.client_id, linger_ms = 0,
    enable_idempotence = true, transactional_id = transactional_id, message_timeout_ms = "20s" })
end

local function send(producer, args, i)
  local id = args.ids[i]
  must(producer:send { topic = args.topic, partition = i % PARTITIONS, value = id,
    headers = { { "event-id", id } } })
end

local publish = {}

function publish.fresh(args, i)
  local producer <close> = open(args)
  send(producer, args, i)
end

function publish.transactional(args, i)
  local producer <close> = open(args, args.prefix .. args.ids[i])
  must(producer:init_transactions(PATIENT))
  must(producer:begin())
  send(producer, args, i)
  must(producer:commit(PATIENT))
end

function publish.shared(args, i, shared) send(shared, args, i) end

-- role(ctx): the process, for roles = { handlers = per_request.role }. args: producer, handlers, ids, topic,
--   brokers, client_id, prefix (of transactional.ids). It says "closed" with the ms that each request took.
function M.role(ctx)
  local args, taken, times = ctx.args, 0, {}
  local shared = args.producer == "shared" and open(args) or nil
  local function handle_all()
    while taken < #args.ids do
      taken = taken + 1
      local i, began = taken, clock.ns()
      publish[args.producer](args, i, shared)
      times[i] = (clock.ns() - began) / 1e6
    end
  end
  task.group(function(group)
    for _ = 1, args.handlers do group:spawn(handle_all) end
  end)
  if shared then shared:close() end
  ctx.say("closed", { times = times })
end

-- ---- what is looked at ----

-- The distinct ids of the producers that the partitions know | nil, err
local function known(admin, topic)
  local met, list = {}, {}
  for partition = 0, PARTITIONS - 1 do
    local producers, failure = admin:producers(topic, partition)
    if not producers then return nil, failure end
    for _, one in ipairs(producers) do
      if not met[one.producer_id] then list[#list + 1] = tostring(one.producer_id) end
      met[one.producer_id] = true
    end
  end
  return list
end

local function granted(log)
  local list = {}
  for _, row in ipairs(log:rows { api = "InitProducerId", direction = "response" }) do
    if row.error == 0 then list[#list + 1] = tostring(row.producer_id) end
  end
  return list
end

local function transactional_ids(lab, prefix)
  local list = {}
  for _, one in ipairs(must(lab.run.admin:transactions())) do
    if one.id:sub(1, #prefix) == prefix then list[#list + 1] = one.id end
  end
  return list
end

-- day(lab, {producer =, events =, handlers =}) -> {ids, times, records, known, granted, transactional_ids}:
--   the process handles all requests and ends
function M.day(lab, opts)
  local topic, prefix, wire = lab:topic("events", { partitions = PARTITIONS }), lab:name "tx-", lab:wire()
  local log = lab:wire_log { api = "InitProducerId" }
  lab:gauge(function(row)
    local ids = known(lab.run:watcher(), topic)
    row["producers.known"] = ids and #ids
  end, 3)
  local seen = { ids = batch.ids("evt-", opts.events) }
  local work = lab:invoke("handlers", "publish", seen.ids)
  local process = lab:start("handlers", { producer = opts.producer, handlers = opts.handlers, ids = seen.ids,
    topic = topic, prefix = prefix, brokers = wire.brokers, client_id = wire.client_id })
  seen.times = process:expect("closed", "60s").times
  process:wait_exit { code = 0 }
  work:over "ok"
  lab:issued("requests", #seen.times, opts.events)
  for partition = 0, PARTITIONS - 1 do lab:settled(topic, partition) end
  seen.records, seen.known = lab:records(topic), must(known(lab.run.admin, topic))
  seen.granted, seen.transactional_ids = granted(log), transactional_ids(lab, prefix)
  return seen
end

return M
