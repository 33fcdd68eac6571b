-- Where a topic ends and where a group stands. What nobody could tell is an error here, never 0: a replay
-- that begins at 0 repeats everything.
local task = require "rlab.task"

local M = {}

local PATIENCE = "2s" -- a leader that is busy may be late with one of its answers

-- ends(admin, topic, partition) -> {low, lso, hw, ...}, these three known | nil, err
function M.ends(admin, topic, partition)
  local at, failure
  task.wait_until(function()
    at, failure = admin:offsets(topic, partition)
    return not at or at.low and at.lso and at.hw
  end, { at_most = PATIENCE })
  if not at then return nil, failure end
  if at.low and at.lso and at.hw then return at end
  return nil, at.why
end

-- committed(admin, group, topic) -> offsets by partition | nil, err
function M.committed(admin, group, topic)
  local rows, failure = admin:group_offsets(group)
  if not rows then return nil, failure end
  local at = {}
  for _, row in ipairs(rows) do
    if row.topic == topic and row.offset then at[row.partition] = row.offset end
  end
  return at
end

return M
