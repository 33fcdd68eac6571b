-- What a replay would do, before it is done: the fate of each record that waits, and what the dedup of the
-- group that gets the copy would make of it, by what processed_event holds now. Nothing is changed.
local fate = require "rlab.replay.fate"
local null = require "rlab.null"
local reader = require "rlab.replay.reader"
local uuid = require "rlab.uuid"

local M = {}

local CHUNK = 500

local function row_of(o, record)
  local story = record.story
  local row = { id = record.id, key = record.key, partition = record.partition, offset = record.offset,
    class = story.error_class, message = story.error_message, fate = fate.of(o, record.id, story),
    replays = story.replay_count }
  if row.fate == "replay" then row.to, row.group = fate.topic(o, story), fate.group(o, story) end
  return row
end

-- ---- dedup ----

-- The ids by group that a look into processed_event can decide.
local function asked(rows)
  local groups = {}
  for _, row in ipairs(rows) do
    if row.group and uuid.bytes(row.id) then
      groups[row.group] = groups[row.group] or {}
      table.insert(groups[row.group], row.id:lower())
    end
  end
  return groups
end

local function note_applied(db, group, ids, seen)
  for from = 1, #ids, CHUNK do
    local some = table.move(ids, from, math.min(from + CHUNK - 1, #ids), 1, {})
    local marks = ("UUID_TO_BIN(?), "):rep(#some):sub(1, -3)
    local rows, failure = db:query("SELECT BIN_TO_UUID(event_id) AS id, processed_at AS at FROM \z
      processed_event WHERE consumer = ? AND event_id IN (" .. marks .. ")", group, table.unpack(some))
    if not rows then return nil, failure end
    for _, row in ipairs(rows) do seen[group .. "\0" .. row.id] = row.at ~= null and row.at or true end
  end
  return true
end

local function judge(row, seen)
  if row.fate ~= "replay" then return end
  if not row.group then
    row.dedup = "each group's own"
    return
  end
  if not uuid.bytes(row.id) then
    row.dedup = "not known: no event id"
    return
  end
  local key = row.group .. "\0" .. row.id:lower()
  local applied = seen[key]
  row.dedup = not applied and "applies" or applied == "before" and "drops: another copy goes before it"
    or "drops: applied at " .. tostring(applied):gsub("%.%d+$", "")
  if not applied then seen[key] = "before" end
end

-- deduped(db, rows) -> true | nil, err: each row of fate "replay" gets .dedup: "applies", "drops: ..." or why
--   it is not known. db: a connection to the schema of processed_event
function M.deduped(db, rows)
  local seen = {}
  for group, ids in pairs(asked(rows)) do
    local ok, failure = note_applied(db, group, ids, seen)
    if not ok then return nil, failure end
  end
  for _, row in ipairs(rows) do judge(row, seen) end
  return true
end

-- rows(admin, o [, db]) -> rows {id, key, partition, offset, class, message, fate, replays, to, group,
--   dedup}, the total of those that wait | nil, err. o: what rlab.replay.new takes, and limit, of the rows
function M.rows(admin, o, db)
  local all, failure = reader.list { admin = admin, brokers = o.brokers, topic = o.dlq, group = o.group,
    filter = o.filter }
  if not all then return nil, failure end
  local rows, total = {}, 0
  for _, record in ipairs(all) do
    if record.waiting then
      total = total + 1
      if total <= (o.limit or math.huge) then rows[#rows + 1] = row_of(o, record) end
    end
  end
  local ok = true
  if db then ok, failure = M.deduped(db, rows) end
  if not ok then return nil, failure end
  return rows, total
end

-- counts(rows) -> how many there are of each fate, all of them named
function M.counts(rows)
  local counts = { replay = 0, parked = 0, skipped = 0, partial = 0 }
  for _, row in ipairs(rows) do counts[row.fate] = counts[row.fate] + 1 end
  return counts
end

return M
