-- The headers of records that failed (docs/dlq.md says who writes which): their names, how they are read,
-- and what a replay makes of them.
local M = {}

-- In the order in which they are written; engine/flow/dlq.h has the same for C. Others' headers mean nothing
-- here, whatever they are called.
M.headers = { "rlab-original-topic", "rlab-original-partition", "rlab-original-offset",
  "rlab-original-timestamp", "rlab-original-group", "rlab-error-class", "rlab-error-message", "rlab-attempt",
  "rlab-first-failure", "rlab-due-at", "rlab-replay-count", "rlab-target-group", "rlab-cut" }

-- The largest number that each may hold; engine/flow/consume/event.h has the same for C.
local ATTEMPTS_MAX, TIME_MAX = 1000000, 4102444800000 -- the second is 2100-01-01 in ms
local numbers = { original_partition = 0x7fffffff, original_offset = math.maxinteger,
  original_timestamp = TIME_MAX, attempt = ATTEMPTS_MAX, first_failure = TIME_MAX, due_at = TIME_MAX,
  replay_count = ATTEMPTS_MAX, cut = 0x7fffffff }
local counts = { attempt = true, replay_count = true }
-- How many bytes a text may have; a topic's name is one that Kafka takes.
local texts = { original_topic = 249, original_group = 255, error_class = 64, error_message = 256,
  target_group = 255 }
local replaced = { ["rlab-attempt"] = true, ["rlab-due-at"] = true, ["rlab-replay-count"] = true,
  ["rlab-target-group"] = true }

-- "rlab-due-at" -> "due_at"
local keys = {}
for _, name in ipairs(M.headers) do keys[name] = name:gsub("^rlab%-", ""):gsub("-", "_") end

-- dlq_topic("orders") -> "orders.dlq"; retry_topic("orders", "5s") -> "orders.retry.5s";
--   replay_group("billing") -> "billing.replay"
function M.dlq_topic(topic) return topic .. ".dlq" end
function M.retry_topic(topic, delay) return ("%s.retry.%s"):format(topic, delay) end
function M.replay_group(group) return group .. ".replay" end

-- A whole number of decimal digits. A count beyond its bound is the bound, since whoever wrote it has counted
-- too often; a time or a place beyond it is none.
local function number_of(key, text)
  if not text:find "^%d+$" then return nil end
  local digits = text:gsub("^0+(%d)", "%1")
  local value = #digits <= 19 and math.tointeger(tonumber(digits)) or nil
  if value and value <= numbers[key] then return value end
  return counts[key] and numbers[key] or nil
end

local function text_of(key, text)
  if #text > texts[key] then return nil end
  return (key ~= "original_topic" or text:find "^[%w._-]+$") and text or nil
end

-- read(headers) -> { original_topic =, original_offset =, ..., replay_count = 0 and up }: of a list of {
--   name, value }; what is absent, malformed or beyond its bound is nil, a count is its bound then
function M.read(headers)
  local story = {}
  for _, pair in ipairs(headers or {}) do
    local key, value = keys[pair[1]], pair[2]
    if key and type(value) == "string" then
      story[key] = (numbers[key] and number_of or text_of)(key, value)
    end
  end
  story.replay_count = story.replay_count or 0
  return story
end

-- for_replay(headers, {count =, target_group =}) -> headers of the copy that goes back: what the record
--   brought, its attempts forgotten, and the two of a replay (nil leaves one out)
function M.for_replay(headers, about)
  about = about or {}
  local list = {}
  for _, pair in ipairs(headers or {}) do
    if not replaced[pair[1]] then list[#list + 1] = pair end
  end
  if about.count then list[#list + 1] = { "rlab-replay-count", tostring(about.count) } end
  if about.target_group then list[#list + 1] = { "rlab-target-group", about.target_group } end
  return list
end

return M
