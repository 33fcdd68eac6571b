-- Copies that failed again: what comes into a dead-letter topic behind its end while a replay runs, of those
-- that the replay has sent.
local dlq = require "rlab.dlq"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local reader = require "rlab.replay.reader"

local M = {}

local function starts_of(bounds)
  local starts = {}
  for i, b in ipairs(bounds) do
    starts[i] = { topic = b.topic, partition = b.partition, offset = b.high }
  end
  return starts
end

-- of(sent, record) -> {id, class, message, partition, offset} when that record is a copy of `sent`
--   (replays by id) that failed
function M.of(sent, record)
  local story, id = dlq.read(record.headers), reader.identity(record)
  if not sent[id] or story.replay_count < sent[id] then return nil end
  return { id = id, class = story.error_class, message = story.error_message, partition = record.partition,
    offset = record.offset }
end

-- watch(brokers, bounds, sent, found): reads on from the ends in bounds (rlab.replay.reader) until it is
--   cancelled, and calls found(failed) for the first one
function M.watch(brokers, bounds, sent, found)
  local consumer <close> = must(kafka.consumer { brokers = brokers, group = "rlab-replay-watcher",
    enable_auto_commit = false, auto_offset_reset = "latest", fetch_wait_max_ms = 100 })
  must(consumer:assign(starts_of(bounds)))
  while true do
    local batch = must(consumer:poll(100, "100ms"))
    for record in batch:each() do
      local failed = not record.err and M.of(sent, record)
      if failed then return found(failed) end
    end
  end
end

return M
