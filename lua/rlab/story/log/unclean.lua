-- A replica that was out of the ISR is elected: the partition goes on with a log that is shorter than what
-- was acknowledged, and than what readers have been given. They write what they got to MySQL, as a service
-- does with its effects.
local must = require "rlab.must"
local proof = require "rlab.proof"
local task = require "rlab.task"

local M = {}

-- ---- readers ----

local Readers = {}
Readers.__index = Readers

local function apply(readers, reader, record)
  if record.err and not record.eof then
    reader.errors[#reader.errors + 1] = record.err.name
  elseif not record.eof then
    must(readers.db:exec("INSERT INTO effect_log (reader, id) VALUES (?, ?)", reader.name, record.value))
  end
end

local function read_on(lab, readers, topic, reset)
  local reader = { name = reset, errors = {} }
  local consumer = lab:consumer { group = lab:name("reader-" .. reset), auto_offset_reset = reset,
    enable_auto_commit = false, fetch_wait_max_ms = 50 }
  must(consumer:assign { { topic = topic, partition = 0, offset = 0 } })
  lab:background("the reader with " .. reset, function()
    while true do
      for record in must(consumer:poll(100, "50ms")):each() do apply(readers, reader, record) end
    end
  end)
  readers.by_reset[reset] = reader
end

-- readers(lab, topic, {"latest", ...}) -> readers from offset 0 of partition 0 until the run ends, one with
--   each auto.offset.reset
function M.readers(lab, topic, policies)
  local readers = setmetatable({ by_reset = {} }, Readers)
  readers.db = lab:database [[CREATE TABLE effect_log (seq BIGINT AUTO_INCREMENT PRIMARY KEY,
    reader VARCHAR(20) NOT NULL, id VARCHAR(40) NOT NULL)]]
  for _, reset in ipairs(policies) do read_on(lab, readers, topic, reset) end
  return readers
end

-- readers:effects(reset) -> ids that the reader has written down, in order
function Readers:effects(reset)
  local rows, ids = must(self.db:query("SELECT id FROM effect_log WHERE reader = ? ORDER BY seq", reset)), {}
  for i, row in ipairs(rows) do ids[i] = row.id end
  return ids
end

-- readers:told(reset) -> how often it was told that its place is gone (librdkafka's -140)
function Readers:told(reset)
  local n = 0
  for _, name in ipairs(self.by_reset[reset].errors) do
    n = n + (name:find "AUTO_OFFSET_RESET" and 1 or 0)
  end
  return n
end

-- ---- leaders ----

-- leader(lab, topic) -> the broker that leads partition 0, 0 when nobody does | nil when nobody says
function M.leader(lab, topic)
  local now = lab:partition(topic, 0)
  return now and math.max(now.leader or 0, 0)
end

-- await_offline(lab, topic): nobody leads it
function M.await_offline(lab, topic)
  lab:await("nobody leads " .. topic, function() return M.leader(lab, topic) == 0 end, "20s")
end

-- elect(lab, topic, id): ElectLeaders UNCLEAN, as an operator asks for it who wants the partition back
function M.elect(lab, topic, id)
  local fault = lab:fault(("unclean election of broker %d"):format(id)):started()
  local before, now = M.leader(lab, topic), nil
  lab:await(("broker %d is elected, unclean"):format(id), function()
    lab.run.admin:elect_leaders { type = "unclean", partitions = { { topic = topic, partition = 0 } } }
    now = M.leader(lab, topic)
    if now ~= id then task.sleep "100ms" end
    return now == id
  end, "20s")
  fault:fired(proof.of("read", { what = "leader before", from = "the brokers", want = "nobody",
    got = before == 0 and "nobody" or tostring(before) }), proof.of("read", { what = "leader then",
    from = "the brokers", got = now, want = id })):over()
end

return M
