-- Samples ten times a second: watermarks of watched partitions and gauges, one JSON line each, for the
-- report's time axis.
local json = require "rlab.json"
local must = require "rlab.must"
local task = require "rlab.task"

local M = {}

-- watch(topic, partition, label): low, lso, hw, leo of the partition become series "<label>.hw" ... `topic`
-- may be a function that returns the name once it is known.
function M.watch(lab, topic, partition, label)
  label = label or ("p" .. partition)
  lab:gauge(function(row)
    local name = type(topic) == "function" and topic() or topic
    local now = name and type(name) == "string" and lab.run:watcher():offsets(name, partition)
    if not now then return end
    for _, mark in ipairs { "low", "lso", "hw", "leo" } do row[label .. "." .. mark] = now[mark] end
  end)
end

local function connect(lab)
  return lab:own(must(require("rlab.mysql").connect(lab.stack:mysql_opts { database = lab:schema(),
    read_timeout = "1s" })))
end

local counts = {
  backlog = "SELECT COUNT(*) AS n FROM outbox_event WHERE published_at IS NULL",
  duplicates = "SELECT COUNT(*) - COUNT(DISTINCT event_id) AS n FROM effect_log",
  applied = "SELECT COUNT(*) AS n FROM effect_log",
}

-- How many cached accounts are behind the view just now; nothing where a store does not answer.
local function stale_of(lab, db, redis)
  local cached, views = require("rlab.cache").all(redis, lab:prefix()),
    db:query "SELECT account_id AS k, version AS v FROM account_view"
  if not (cached and views) then return nil end
  local stale = 0
  for _, row in ipairs(views) do
    local entry = cached[row.k]
    if entry and entry.state == "value" and entry.version < row.v then stale = stale + 1 end
  end
  return stale
end

local function connect_redis(lab)
  return lab:own(must(require("rlab.redis").connect(lab.stack:redis_opts { timeout = "1s" })))
end

-- watch_pipeline{"backlog", "lag", "duplicates", "applied", "stale", topic =, group =}: series of the
-- outbox's unsent rows, the group's lag, effects that are there twice, all effects, and cached accounts
-- that are behind the view, for the report's time axis
function M.watch_pipeline(lab, opts)
  local db, names = connect(lab), {}
  for _, name in ipairs(opts) do
    if not counts[name] and name ~= "lag" and name ~= "stale" then
      error(("lab:watch_pipeline: there is no series '%s'"):format(name), 2)
    end
    names[name] = true
  end
  local redis = names.stale and connect_redis(lab)
  lab:gauge(function(row)
    for name, sql in pairs(counts) do
      if names[name] then row[name] = db:value(sql) end
    end
    if names.lag and (opts.topic or lab.topic_of_events) then
      row.lag = lab:lag { admin = lab.run:watcher(), topic = opts.topic, group = opts.group }
    end
    if redis then row.stale = stale_of(lab, db, redis) end
  end)
end

-- watch_metric(service, "rlab_query_db_loads_total", "reads"): a metric of a service as a series; nothing
-- while it does not answer
function M.watch_metric(lab, service, metric, series)
  lab:gauge(function(row) row[series] = service:metric(metric) end)
end

-- The last sample, which is taken when the sampler has ended, asks whatever its turn.
local function now_and_then(lab, f, nth)
  local turn, held = 0, {}
  return function(row)
    if turn % nth == 0 or not lab.sampler then
      held = {}
      f(held)
    end
    turn = turn + 1
    for name, value in pairs(held) do row[name] = value end
  end
end

-- gauge(f, nth = 1): f(row) adds fields to each sample; asked for every nth only, they hold until the next
--   time: many arms beside each other would ask the servers more than they do otherwise
function M.gauge(lab, f, nth)
  lab.gauges[#lab.gauges + 1] = nth and now_and_then(lab, f, nth) or f
  lab:start_sampler()
end

local function sample(lab)
  local row = { t = lab:now(), arm = lab.label }
  for _, gauge in ipairs(lab.gauges) do gauge(row) end
  lab.run.samples:write(json.encode(row, { gaps = true }), "\n")
  lab.run.view:sample(lab, row)
end

-- The event wakes who waits at that moment; that it is over must not be missed by who samples meanwhile.
function M.start_sampler(lab)
  if lab.sampler then return end
  lab.sampled_out, lab.sampling = task.event(), true
  lab.sampler = task.spawn(function()
    while lab.sampling do
      sample(lab)
      if lab.sampling then task.timeout("100ms", function() lab.sampled_out:wait() end) end
    end
  end)
end

-- The last sample sees how it ended, so it comes before anything is closed. A sample under way is let
-- finish: a query that is cancelled breaks its connection. One that hangs (a server is frozen) is not
-- waited for.
function M.stop_sampler(lab)
  local sampler = lab.sampler
  if not sampler then return end
  lab.sampler, lab.sampling = nil, false
  lab.sampled_out:set(true)
  local ended = task.timeout("2s", function()
    sampler:join()
    return true
  end)
  sampler:cancel()
  sampler:join()
  if ended then pcall(sample, lab) end
end

return M
