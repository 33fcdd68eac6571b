-- A topic that gets a second version beside it: for a while the producer writes both, and each has a
-- consumer. What decides is whether an event has one identity and one place where it is remembered.
local evolution = require "rlab.story.evolution"
local must = require "rlab.must"
local schemas = require "rlab.story.schemas"
local tables = require "rlab.tables"

local M = {}

local CHANGE = "renamed" -- what no mode but NONE lets through, so that it gets a topic of its own
local AMOUNT = { "amount", "amount_minor" }

-- value(event, topic): the event as the version of that topic has it
local function writer(lab, topics)
  local registry, version_of, ids = lab:registry(), {}, {}
  for version, topic in ipairs(topics) do
    version_of[topic] = version
    ids[topic] = must(registry:register(topic .. "-value", evolution.text(CHANGE, version)))
  end
  return function(event, topic)
    return must(registry:encode(ids[topic], evolution.value(CHANGE, version_of[topic], event)))
  end
end

local function start_consumers(lab, arm, topics, partitions)
  local groups, dedup = {}, arm.settings.dedup
  for version, topic in ipairs(topics) do
    groups[version] = lab:name("reader-" .. version)
    lab:service("consumer", { topic = topic, group = groups[version], dlq = "-", dedup = dedup,
      consumer_name = dedup and "reader-" .. version or "ledger", payload = "avro",
      amount = AMOUNT[version], reader_schema = evolution.text(CHANGE, version), workers = partitions })
  end
  return groups
end

local function times(records)
  local first, last = math.maxinteger, 0
  for _, record in ipairs(records) do
    first, last = math.min(first, record.timestamp), math.max(last, record.timestamp)
  end
  return (last - first) / 1000
end

-- run(lab, arm, {events =, before =, accounts =, partitions =}) -> seen: the first events go to the old topic
--   alone, the others to both
function M.run(lab, arm, opts)
  local topics = { lab:event_topic { partitions = opts.partitions },
    lab:topic("events.v2", { partitions = opts.partitions }) }
  local list = schemas.plan(lab, opts.events, opts.accounts, opts.partitions)
  local value, outbox = writer(lab, topics), arm.settings.outbox
  local groups = start_consumers(lab, arm, topics, opts.partitions)
  if outbox then lab:service("relay", {}) end
  local function write(from, to, where)
    lab:publish { list = table.move(list, from, to, 1, {}), topics = where, value = value, outbox = outbox }
  end
  local function drain()
    for version, topic in ipairs(topics) do
      lab:drain { topic = topic, group = groups[version], outbox = outbox or false, at_most = "20s" }
    end
  end
  write(1, opts.before, { topics[1] })
  drain()
  local fault = lab:fault "both topics are written"
  write(opts.before + 1, opts.events, topics)
  drain()
  fault:fired(lab.proof.records("records in the second topic", { topic = topics[2], headers = {},
    want = opts.events - opts.before })):over()
  local stores, second = lab:stores(), lab:records(topics[2])
  local seen = { ids = schemas.ids(list, 1, opts.events), effects = tables.ids_of(stores.effects),
    both = schemas.ids(list, opts.before + 1, opts.events), sums = stores.sums,
    both_money = schemas.sum(list, opts.before + 1, opts.events), second = tables.ids_of(second),
    outbox = outbox and stores.outbox, log = tables.append(lab:records(topics[1]), second) }
  seen.says = ("%d written twice, %d effects of %d events"):format(#seen.both, #seen.effects, #seen.ids)
  lab:number("dual-written records", #seen.second)
  lab:number("dual writing took", times(second), "s")
  lab:number("wrong money", stores.sums.view - stores.sums.ledger, "cents")
  if arm.class == "wrong" then lab:anomaly(seen.says) end
  return seen
end

-- check(lab, seen, arm): each once, or what was written twice is applied twice
function M.check(lab, seen, arm)
  lab.check.same { name = "dual-written", got = seen.second, want = seen.both,
    what = "ids in the second topic" }:expect "holds"
  lab.check.lost { name = "unapplied", of = seen.ids, in_ = seen.effects }:expect "holds"
  if arm.settings.outbox then
    lab.check.stranger { of = seen.log, outbox = seen.outbox }:expect "holds"
  end
  lab.check.duplicate_effect { of = seen.effects }:expect { wrong = seen.both, right = "holds" }
  lab.check.conservation { ledger = seen.sums.ledger, view = seen.sums.view, unit = "cents" }
    :expect { wrong = seen.both_money, right = 0 }
end

return M
