-- A relay that has rows in its hands and stands still; another takes its place and publishes them and the
-- next ones of their keys; then the first goes on, which has not heard of it yet: the beat by which it would
-- is held on the wire until it is through. It is held before the relay is frozen, for one that is frozen in
-- the middle of a beat keeps the leases locked.
local must = require "rlab.must"
local null = require "rlab.null"
local tables = require "rlab.tables"

local M = {}

local CLAIMED, LEASE = "relay.after_claim", "1s"
local COUNTED = { "acked", "marked", "fenced", "retries", "resets", "polls" }

-- start(lab, s, must_fire, via_proxy) -> service: a relay as in the arm's settings
function M.start(lab, s, must_fire, via_proxy)
  return lab:service("relay", { batch = 50, in_flight = 1, lease = LEASE, figures = "100ms",
    mysql_timeout = "60s", leader = s.leader, fence = s.fence,
    transactional_id = s.transactional and lab:name "relay" or nil },
    { must_fire = must_fire, via_proxy = via_proxy and { "mysql" } or nil })
end

-- counts(service) -> {acked =, marked =, fenced =, retries =, resets =, polls =, in_flight =}
function M.counts(service)
  local now, seen = service:metrics(), {}
  for _, name in ipairs(COUNTED) do seen[name] = now[("rlab_relay_%s_total"):format(name)] end
  seen.in_flight = now.rlab_relay_in_flight
  return seen
end

local function hold_beats(lab)
  local beats = lab:rule { proto = "mysql", statement = "INSERT INTO relay_member", action = "hold",
    name = "its next beat is held" }
  beats:await()
  return beats
end

-- It is frozen for longer than its lease, and goes on before its next beat gets through.
local function frozen_relay(lab, service, hurry)
  local beats, polls = hold_beats(lab), M.counts(service).polls
  local frozen = service:freeze()
  return { service = service, polls = polls, frozen = frozen, go_on = function(first)
    frozen.thaw()
    hurry(first)
    beats:remove()
  end }
end

local ways = {}

-- Frozen between claim and send.
ways["after-claim"] = function(lab, s)
  local service = M.start(lab, s, { [CLAIMED] = "1*pause" }, true)
  service:await_hit(CLAIMED)
  return frozen_relay(lab, service, function(first)
    service:resume(CLAIMED)
    M.await_fate(lab, first)
  end)
end

-- Frozen while it waits for the answer of its poll, which comes at once and is read when it goes on.
ways["before-answer"] = function(lab, s)
  local poll = lab:rule { proto = "mysql", statement = "SELECT id, shard, published_at", action = "hold",
    nth = 1, name = "its poll is held" }
  local service = M.start(lab, s, nil, true)
  poll:await()
  local first = frozen_relay(lab, service, function() M.counts(service) end)
  poll:release()
  return first
end

-- It lives, and its session in MySQL, which has the lock, is cut.
ways["session-cut"] = function(lab, s)
  local service = M.start(lab, s, { [CLAIMED] = "1*pause" }, true)
  service:await_hit(CLAIMED)
  local first = { service = service, polls = M.counts(service).polls, holder = M.holder(lab) }
  lab:rule({ proto = "mysql", statement = "SELECT id, TIMESTAMPDIFF", action = "cut-before", nth = 1,
    name = "the session that has the lock is cut" }):await()
  function first.go_on() service:resume(CLAIMED) end
  return first
end

-- stop(lab, s) -> first: its rows are claimed, or asked for, and it stands still
function M.stop(lab, s) return ways[s.stopped](lab, s) end

-- holder(lab) -> the session that has the lock of GET_LOCK | nil
function M.holder(lab)
  local id = must(lab:db():value "SELECT IS_USED_LOCK(SHA2(CONCAT(DATABASE(), '.relay'), 224))")
  return id ~= null and id or nil
end

-- await_fate(lab, first): nothing is in its hands any more, and it has counted what became of that
function M.await_fate(lab, first)
  lab:owed("first-is-through", "the first relay is through with what it had", function()
    local now = M.counts(first.service)
    local known = now.marked + now.fenced + now.retries + now.resets
    return now.in_flight == 0 and (known > 0 or now.polls > first.polls)
  end)
end

-- go_on(lab, first) -> what it counted until it was through
function M.go_on(lab, first)
  first:go_on()
  M.await_fate(lab, first)
  return M.counts(first.service)
end

-- marks(lab) -> rows {id =, at =} of the outbox, id of the request
function M.marks(lab)
  local rows = lab:rows("outbox_event.event_id", { with = { "published_at" } })
  local request = lab:stores().request
  for i, row in ipairs(rows) do rows[i] = { id = request[row.id], at = tostring(row.published_at) } end
  return rows
end

-- changed(before, after) -> ids of rows whose mark is another one than before
function M.changed(before, after)
  local at, ids = {}, {}
  for _, row in ipairs(before) do at[row.id] = row.at end
  for _, row in ipairs(after) do
    if at[row.id] and at[row.id] ~= row.at then ids[#ids + 1] = row.id end
  end
  return ids
end

-- copies(records) -> the records as rows of their own: the second of an id is "evt-0001 again"
function M.copies(records)
  local met, rows = {}, {}
  for i, record in ipairs(records) do
    rows[i] = tables.merged(record, { id = met[record.id] and record.id .. " again" or record.id })
    met[record.id] = true
  end
  return rows
end

-- twice(records) -> the ids of those that come again
function M.twice(records)
  local count, ids = {}, {}
  for _, record in ipairs(records) do
    count[record.id] = (count[record.id] or 0) + 1
    if count[record.id] == 2 then ids[#ids + 1] = record.id end
  end
  return ids
end

-- left_old(records) -> the keys whose last record is not their newest, for a reader that keeps the last
function M.left_old(records)
  local last, newest, keys = {}, {}, {}
  for _, record in ipairs(records) do
    last[record.key], newest[record.key] = record.version, math.max(newest[record.key] or 0, record.version)
  end
  for key, version in pairs(last) do
    if version < newest[key] then keys[#keys + 1] = key end
  end
  table.sort(keys)
  return keys
end

return M
