-- A member's client: its settings under both protocols, what its rebalances say, and its end.
local children = require "rlab.lab.children"
local exit = require "rlab.exit"
local must = require "rlab.must"

local M = {}

-- With KIP-848 the broker knows these.
local BROKERS_OWN = { "session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy" }
local OWN = { "session_timeout_ms", "heartbeat_interval_ms", "max_poll_interval_ms",
  "partition_assignment_strategy", "group_protocol", "enable_auto_commit", "enable_auto_offset_store" }

-- settings(lab, arm_settings) -> the settings of a consumer of the arm's group, with those that the arm names
function M.settings(lab, arm_settings)
  local given = { ["enable.partition.eof"] = false, group = lab:group() }
  for _, name in ipairs(OWN) do
    given[name] = arm_settings[name]
  end
  local all = lab:settings("consumer", given)
  if given.group_protocol == "consumer" then
    for _, name in ipairs(BROKERS_OWN) do all[name] = nil end
  end
  lab.run.ledger:add("group", given.group)
  lab:note_client("consumer", all)
  return all
end

-- partitions_of(event) -> the numbers of a rebalance's partitions
function M.partitions_of(event)
  local list = {}
  for i, place in ipairs(event.partitions or {}) do list[i] = place.partition end
  return list
end

-- held_by(told) -> {[partition] = true} of a member that was told so
function M.held_by(told)
  local held = {}
  for _, event in ipairs(told) do
    for _, partition in ipairs(event.partitions) do
      held[partition] = event.type == "assign" or nil
    end
  end
  return held
end

-- changes(told, since) -> how often it was given partitions, or they were taken away, since then (ms):
--   whichever is more. That nothing changes is told, too, by the cooperative protocols.
function M.changes(told, since)
  local given, taken = 0, 0
  for _, event in ipairs(told) do
    local later = event.at > since and event.partitions[1] and 1 or 0
    if event.type == "assign" then given = given + later else taken = taken + later end
  end
  return math.max(given, taken)
end

-- idle(told, from, till) -> the seconds between (ms) in which it had no partition
function M.idle(told, from, till)
  local held, since, sum = {}, nil, 0
  for _, event in ipairs(told) do
    for _, partition in ipairs(event.partitions) do held[partition] = event.type == "assign" or nil end
    local at = math.max(event.at, from)
    if next(held) and since then
      sum, since = sum + at - since, nil
    elseif not next(held) then
      since = since or at
    end
  end
  return (sum + (since and math.max(0, till - since) or 0)) / 1000
end

-- stop(lab, role, name) -> fault: SIGTERM, which lets it close its consumer, and so leave the group unless
--   its membership is static; proved by how it ended
function M.stop(lab, role, name)
  local fault = lab:fault("SIGTERM " .. name):started()
  children.means(role, "gone")
  must(role.process:kill "TERM")
  role:wait_exit { code = exit.interrupted }
  return fault:fired(lab.proof.exit(role, { code = exit.interrupted }))
end

return M
