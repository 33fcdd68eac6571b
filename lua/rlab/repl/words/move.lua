-- Changing Kafka from the prompt: create, produce, and seek with a guard against members that are alive.
local err = require "rlab.err"
local offsets = require "rlab.replay.offsets"
local show = require "rlab.repl.show"
local options = require "rlab.options"
local tables = require "rlab.tables"
local task = require "rlab.task"

local KNOWN_WITHIN, FENCED_WITHIN = "10s", "20s"
local RECORD = { "key", "value", "headers", "partition", "timestamp" }

local function record_of(topic, what)
  local record = { topic = topic }
  if type(what) ~= "table" then
    record.value = what
    return record
  end
  for key, value in pairs(what) do
    if not tables.contains(RECORD, key) then
      error(("produce: a record has no '%s'%s"):format(tostring(key), options.hint(key, RECORD)), 3)
    end
    record[key] = value
  end
  return record
end

local function seek(admin, group, topic, where)
  local target, why = offsets.target(where)
  if not target then error(("seek: where is %s%s"):format(offsets.WHERE, why and "; " .. why or ""), 3) end
  local free, failure = offsets.guard(admin, group)
  if not free then return nil, failure end
  local rows, done
  rows, failure = offsets.plan(admin, group, topic, target)
  if not rows then return nil, failure end
  done, failure = offsets.apply(admin, group, rows)
  if not done then return nil, failure end
  return show.listing(rows, { "topic", "partition", "before", { name = "now", key = "offset" } })
end

-- The coordinator aborts what is open under an id when another producer of that id begins, and refuses what
-- the first one sends from then on.
local function fence(clients, admin, id)
  local before, failure = admin:transaction(id)
  if not before then return nil, failure end
  if before.state ~= "Ongoing" then
    return nil, err.new { domain = "kafka", code = 0, name = "INVALID_TXN_STATE",
      message = ("'%s' has no open transaction: its state is %s"):format(id, before.state) }
  end
  local ok, after
  local producer <close>, why = clients:producer { transactional_id = id,
    transaction_timeout_ms = before.timeout_ms }
  if not producer then return nil, why end
  ok, failure = producer:init_transactions(FENCED_WITHIN)
  if not ok then return nil, failure end
  after, failure = admin:transaction(id)
  if not after then return nil, failure end
  return show.listing({ { id = id, before = before.state, now = after.state, epoch = after.epoch } },
    { "id", "before", "now", "epoch" })
end

local function notes_in(rows)
  for _, row in ipairs(rows) do
    if row.note then return true end
  end
  return false
end

return function(session, words)
  local clients = session.clients

  function words.produce(topic, what, ...)
    if type(topic) ~= "string" or select("#", ...) > 0 then
      error('produce takes a topic and a value: produce("orders", { key = "k", value = "v" })', 2)
    end
    local record = record_of(topic, what)
    if record.value == nil then
      error("produce: the record has no value; value = null says so on purpose (a tombstone)", 2)
    end
    local producer, failure = clients:open "producer"
    if not producer then return nil, failure end
    local report
    report, failure = producer:send(record)
    if not report and failure.name:find "UNKNOWN_TOPIC" then
      clients:forget "producer" -- it remembers for a while that the topic does not exist
      failure.message = ('%s; create "%s" makes the topic'):format(failure.message, topic)
    end
    return report, failure
  end

  function words.create(topic, opts)
    if type(topic) ~= "string" then
      error('create takes a name: create "orders", or create("orders", { partitions = 3 })', 2)
    end
    local admin, failure = clients:open "admin"
    if not admin then return nil, failure end
    local what = { name = topic }
    for key, value in pairs(type(opts) == "number" and { partitions = opts } or opts or {}) do
      what[key] = value
    end
    local done
    done, failure = admin:create_topic(what)
    if not done then return nil, failure end
    local rows
    task.wait_until(function() -- its brokers know of it a moment later
      rows, failure = words.offsets(topic)
      return not rows or not notes_in(rows)
    end, { at_most = KNOWN_WITHIN })
    return rows, failure
  end

  function words.fence(id)
    if type(id) ~= "string" or id == "" then
      error('fence takes a transactional id: fence "orders-tx-7"; txns() shows them', 2)
    end
    local admin, failure = clients:open "admin"
    if not admin then return nil, failure end
    return fence(clients, admin, id)
  end

  function words.admin()
    return clients:open "admin"
  end

  function words.seek(group, topic, where)
    if type(group) ~= "string" or type(topic) ~= "string" then
      error("seek(group, topic, where): where is " .. offsets.WHERE, 2)
    end
    local admin, failure = clients:open "admin"
    if not admin then return nil, failure end
    return seek(admin, group, topic, where)
  end
end
