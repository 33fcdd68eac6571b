-- What becomes of a record of a dead-letter topic in a replay: whether it is sent, where to and for which
-- group. Who replays and who only says what would be (rlab.replay.preview) ask the same.
local M = {}

-- of(o, id, story) -> "replay", or why not: "skipped", "parked" (at its limit), "partial" (only the beginning
--   of its value is there). o: what rlab.replay.new takes; story: rlab.dlq.read's
function M.of(o, id, story)
  if o.skip and o.skip[id] then return "skipped" end
  if o.guard ~= false and story.replay_count >= o.max then return "parked" end
  return story.cut and "partial" or "replay"
end

-- group(o, story) -> the only group that processes the copy | nil when every group gets it
function M.group(o, story)
  if o.target == "none" then return nil end
  if o.target == "original" then return story.original_group end
  return o.target
end

-- topic(o, story) -> where the copy goes
function M.topic(o, story) return o.to or story.original_topic or o.topic end

return M
