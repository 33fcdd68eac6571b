-- The headers of records that failed (docs/dlq.md says who writes which): their names, how they are read,
-- and what a replay makes of them.
local M = {}

-- In the order in which they are written; engine/flow/dlq.h has the same for C.
M.headers = { "original-topic", "original-partition", "original-offset", "original-timestamp",
  "original-group", "error-class",
  "error-message", "attempt", "first-failure", "due-at", "replay-count", "target-group", "cut" }

-- The largest number that each may hold; engine/flow/consume/event.h has the same for C.
local ATTEMPTS_MAX, TIME_MAX = 1000000, 4102444800000 -- the second is 2100-01-01 in ms
local numbers = { ["original-partition"] = 0x7fffffff, ["original-offset"] = math.maxinteger,
  ["original-timestamp"] = TIME_MAX, attempt = ATTEMPTS_MAX, ["first-failure"] = TIME_MAX,
  ["due-at"] = TIME_MAX, ["replay-count"] = ATTEMPTS_MAX, cut = 0x7fffffff }
local counts = { attempt = true, ["replay-count"] = true }
local replaced = { attempt = true, ["due-at"] = true, ["replay-count"] = true, ["target-group"] = true }

local own = {}
for _, name in ipairs(M.headers) do own[name] = true end

-- dlq_topic("orders") -> "orders.dlq"; retry_topic("orders", "5s") -> "orders.retry.5s";
--   replay_group("billing") -> "billing.replay"
function M.dlq_topic(topic) return topic .. ".dlq" end
function M.retry_topic(topic, delay) return ("%s.retry.%s"):format(topic, delay) end
function M.replay_group(group) return group .. ".replay" end

-- A whole number of decimal digits. A count beyond its bound is the bound, since whoever wrote it has counted
-- too often; a time or a place beyond it is none.
local function number_of(name, text)
  if not text:find "^%d+$" then return nil end
  local digits = text:gsub("^0+(%d)", "%1")
  local value = #digits <= 19 and math.tointeger(tonumber(digits)) or nil
  if value and value <= numbers[name] then return value end
  return counts[name] and numbers[name] or nil
end

-- read(headers) -> { original_topic =, original_offset =, ..., replay_count = 0 and up }: of a list of {
--   name, value }; what is absent, no number or beyond its bound is nil, a count is its bound then
function M.read(headers)
  local story = {}
  for _, pair in ipairs(headers or {}) do
    local name, value = pair[1], pair[2]
    if own[name] and type(value) == "string" then
      local key = name:gsub("-", "_")
      if numbers[name] then story[key] = number_of(name, value) else story[key] = value end
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
  if about.count then list[#list + 1] = { "replay-count", tostring(about.count) } end
  if about.target_group then list[#list + 1] = { "target-group", about.target_group } end
  return list
end

return M
