-- The replay service: sends the records of a dead-letter topic back to where they came from, at a rate, as
-- long as it runs. See docs/dlq.md for the headers and rlab.replay for how a copy is acknowledged,
-- committed and kept from going round for ever.
local dlq = require "rlab.dlq"
local http = require "rlab.http"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local reader = require "rlab.replay.reader"
local replay = require "rlab.replay"
local service = require "rlab.service"
local usage = require "rlab.usage" "service replay: "

local LIST_LIMIT = 100
local COUNTERS = { { "replayed", "Copies acknowledged." }, { "parked", "Records at their limit of replays." },
  { "skipped", "Records on the skip list." }, { "passed", "Records that were not asked for." },
  { "unsendable", "Records that their topic will never take, or that are there in part only." },
  { "failures", "Copies that failed and were sent again." } }

local warnings = { down = true, unsendable = true }

local function text_or_nil(text) return text ~= "" and text or nil end

-- The settings as rlab.replay takes them.
local function options_of(ctx)
  local c = ctx.config
  if c.topic == "" then usage "--topic is needed: the topic whose records failed" end
  if not c.guard and c.budget == 0 then
    usage "without --guard a record that always fails goes round for ever: say --budget N, copies in all"
  end
  local from = text_or_nil(c.dlq) or dlq.dlq_topic(c.topic)
  if from == c.topic or from == c.to then
    usage("copies from '%s' would go back to '%s': what failed goes to a topic of its own", from, from)
  end
  return {
    brokers = ctx.brokers, topic = c.topic, dlq = from,
    to = text_or_nil(c.to),
    group = text_or_nil(c.group) or dlq.replay_group(c.topic), target = c.target, guard = c.guard,
    max = c.max_replays,
    budget = c.budget > 0 and c.budget or nil, rate = c.rate, batch = c.batch, follow = c.follow,
    skip = reader.set_of(c.skip),
    filter = reader.filter { ids = c.ids, key = text_or_nil(c.key), class = text_or_nil(c.class),
      headers = c.headers },
    producer = c.producer, consumer = c.consumer,
    notice = function(what, fields) ctx.log[warnings[what] and "warn" or "info"](what, fields) end,
  }
end

local function summary(work, lag)
  local counts = work:counts()
  counts.lag = lag
  return counts
end

-- ---- over HTTP ----

local function shown(row)
  return { id = row.id, partition = row.partition, offset = row.offset, key = row.key, value = row.value,
    headers = json.array(row.headers or {}),
    story = row.story, waiting = row.waiting }
end

local function list(admin, o, filter)
  return reader.list { admin = admin, brokers = o.brokers, topic = o.dlq, group = o.group, filter = filter,
    limit = LIST_LIMIT }
end

local function get_all(admin, o)
  return function()
    local rows, total = list(admin, o)
    if not rows then return http.problem(503, tostring(total)) end
    local out = {}
    for i, row in ipairs(rows) do out[i] = shown(row) end
    return http.json { topic = o.dlq, total = total, records = json.array(out) }
  end
end

local function get_one(admin, o)
  return function(req)
    local rows, failure = list(admin, o, reader.filter { ids = { req.params.id } })
    if not rows then return http.problem(503, tostring(failure)) end
    if #rows == 0 then return http.problem(404, ("%s holds no record %s"):format(o.dlq, req.params.id)) end
    local out = {}
    for i, row in ipairs(rows) do out[i] = shown(row) end
    return http.json { topic = o.dlq, records = json.array(out) }
  end
end

local function routes(ctx, admin, o, work)
  ctx:route("GET", "/dlq", get_all(admin, o))
  ctx:route("GET", "/dlq/{id}", get_one(admin, o))
  ctx:route("GET", "/replay",
    function() return http.json(summary(work, (replay.lag(admin, o.dlq, o.group)))) end)
  ctx:route("POST", "/replay/pause", function()
    work:pause()
    return http.json(summary(work))
  end)
  ctx:route("POST", "/replay/resume", function()
    work:resume()
    return http.json(summary(work))
  end)
end

-- ---- health and metrics ----

local function health(work)
  if work.ill then return false, work.ill end
  if work.state == "out of budget" then
    return false, ("its budget of %d copies is spent: a record may be going round"):format(work.replayed)
  end
  return work.state ~= "failed", "it has ended"
end

local function metrics(admin, o, work)
  return function()
    local counts, list_of = work:counts(), {}
    for _, what in ipairs(COUNTERS) do
      list_of[#list_of + 1] = { name = "rlab_replay_" .. what[1] .. "_total", type = "counter",
        help = what[2], value = counts[what[1]] }
    end
    local lag = replay.lag(admin, o.dlq, o.group)
    if lag then
      list_of[#list_of + 1] = { name = "rlab_replay_lag", type = "gauge",
        help = "Records still to be replayed.", value = lag }
    end
    return list_of
  end
end

return service {
  name = "replay", help = "sends the records of a dead-letter topic back, at a rate", port = 18083,
  uses = { producer = true, consumer = true },
  options = {
    { name = "topic", type = "string", default = "", help = "the topic whose records failed; also where a \z
      record goes that does not say" },
    { name = "dlq", type = "string", default = "", shown = "TOPIC.dlq", help = "the dead-letter topic" },
    { name = "to", type = "string", default = "", shown = "the original topic",
      help = "where all copies go" },
    { name = "group", type = "string", default = "", shown = "TOPIC.replay",
      help = "the replayer's own group: its lag is what is still to be replayed" },
    { name = "target", type = "string", default = "original",
      help = "the group that processes a copy: original (the one that failed), a name, or none, by which \z
        every group gets it again" },
    { name = "guard", type = "bool", default = true, help = "count replays in a header and leave a record \z
      alone that has reached its limit" },
    { name = "max_replays", type = "int", default = 3, min = 0, help = "that limit" },
    { name = "budget", type = "int", default = 0, min = 0, shown = "none",
      help = "copies in all, after which it stops" },
    { name = "rate", type = "rate", default = "50/s", help = "copies a second" },
    { name = "batch", type = "int", default = 1, min = 1, max = 10000,
      help = "copies under way at once: so many a crash may repeat" },
    { name = "follow", type = "bool", default = true,
      help = "go on with what comes in; else end with what is there at the start" },
    { name = "ids", type = "list", default = "", help = "only these event ids (or PARTITION/OFFSET)" },
    { name = "skip", type = "list", default = "", help = "never these event ids" },
    { name = "key", type = "string", default = "", help = "only records of this key" },
    { name = "class", type = "string", default = "", help = "only records of this error class" },
    { name = "headers", type = "pairs", default = "",
      help = "only records with these headers, as name=value,name=value" },
  },
  start = function(ctx)
    local o = options_of(ctx)
    local admin = assert(kafka.admin { brokers = o.brokers, at_most = "900ms" })
    local work = replay.new(o)
    ctx:health("kafka", function() return health(work) end)
    ctx:metrics(metrics(admin, o, work))
    routes(ctx, admin, o, work)
    local worker = ctx:spawn(function()
      local ok, failure = work:run()
      if not ok and not ctx.draining then error(failure, 0) end
      ctx:say("done", work:counts())
    end)
    ctx:on_drain(function()
      work:stop()
      worker:join()
    end)
    ctx:hold()
    admin:close()
  end,
}
