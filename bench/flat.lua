-- Is the relay flat as its table grows? Each of its statements (engine/flow/relay/read.c,
-- engine/flow/relay/keep.c) on a small and on a large outbox of which as many rows are unsent: how long it
-- takes, how many rows InnoDB hands out for it, and by which index.
local clock = require "rlab.clock"
local must = require "rlab.must"
local schema = require "bench.schema"

local SMALL, UNSENT, CHUNK, RUNS, LIMIT, IN_FLIGHT = 10000, 2000, 100000, 11, 1000, 8
local HALF = {}
for shard = 0, 62, 2 do HALF[#HALF + 1] = shard end

local COLUMNS =
  "SELECT id, shard, published_at IS NULL, event_id, message_key, payload, headers FROM outbox_event "
local UNSENT_RANGE = "FORCE INDEX (unsent) WHERE published_at IS NULL"

-- {first} is the id before the first unsent row, {last} the last id, {ids} a list of unsent ids; see fill_in.
local STATEMENTS = {
  { "poll, mark = update", COLUMNS .. UNSENT_RANGE .. " AND id > {first} ORDER BY id LIMIT " .. LIMIT },
  { "the same, half of the shards",
    ("%s%s AND id > {first} AND shard IN (%s) ORDER BY id LIMIT %d"):format(COLUMNS, UNSENT_RANGE,
    table.concat(HALF, ","), LIMIT) },
  { "poll, mark = delete", COLUMNS .. "FORCE INDEX (PRIMARY) WHERE published_at IS NULL AND id > {first} \z
    ORDER BY id LIMIT " .. LIMIT },
  { "poll, mark = cursor", COLUMNS .. "FORCE INDEX (PRIMARY) WHERE id > {first} ORDER BY id LIMIT "
    .. LIMIT },
  { "ids that may have come late",
    ("SELECT id FROM outbox_event %s AND id <= {last} ORDER BY id LIMIT %d"):format(UNSENT_RANGE,
    LIMIT * (IN_FLIGHT + 1)) },
  { "late rows by their ids", COLUMNS .. "WHERE id IN ({ids}) AND published_at IS NULL ORDER BY id" },
  { "where the unsent rows begin", "SELECT COALESCE((SELECT id - 1 FROM outbox_event " .. UNSENT_RANGE ..
    " ORDER BY id LIMIT 1), (SELECT MAX(id) FROM outbox_event), 0)" },
  { "gaps: the highest id", "SELECT MAX(id) FROM outbox_event" },
  { "backlog, counted up to 10,000", "SELECT COUNT(*) FROM (SELECT 1 FROM outbox_event " .. UNSENT_RANGE
    .. " LIMIT 10000) t" },
  { "oldest unsent row", "SELECT id, TIMESTAMPDIFF(MICROSECOND, created_at, NOW(6)) FROM outbox_event "
    .. UNSENT_RANGE .. " ORDER BY id LIMIT 1" },
  { "oldest behind the cursor", "SELECT id, TIMESTAMPDIFF(MICROSECOND, created_at, NOW(6)) FROM \z
    outbox_event FORCE INDEX (PRIMARY) WHERE id > (SELECT MIN(position) FROM relay_lease) ORDER BY id \z
    LIMIT 1" },
  { "clean-up behind the cursor: which", "SELECT MAX(id) FROM (SELECT id, created_at FROM outbox_event \z
    WHERE id > 0 AND id <= (SELECT MIN(position) FROM relay_lease) ORDER BY id LIMIT 1000) t WHERE \z
    created_at < NOW(6) - INTERVAL 1 MICROSECOND" },
  { "mark by update, not committed", "UPDATE outbox_event SET published_at = NOW(6) WHERE id IN ({ids})",
    undo = true },
  { "mark by delete, not committed", "DELETE FROM outbox_event WHERE id IN ({ids})", undo = true },
  { "clean-up by age, not committed", "DELETE FROM outbox_event WHERE published_at < NOW(6) - INTERVAL 1 \z
    MICROSECOND AND parked_reason IS NULL ORDER BY published_at LIMIT 1000", undo = true },
}

local GROW = [[INSERT INTO outbox_event (id, event_id, shard, message_key, payload, created_at, published_at)
  SELECT ? + n, UUID_TO_BIN(UUID()), CRC32(n %% 1000) %% 64, n %% 1000, REPEAT('x', 100),
    FROM_UNIXTIME(1.6e9 + ? + n), %s
  FROM (SELECT a.i + b.i * 1000 + 1 AS n FROM digits a JOIN digits b ORDER BY n LIMIT ?) t]]

-- Up to `rows`, the last UNSENT of them unsent.
local function grow(db, rows)
  must(db:exec "DELETE FROM outbox_event WHERE published_at IS NULL")
  local have = math.tointeger(tonumber(must(db:value "SELECT COALESCE(MAX(id), 0) FROM outbox_event")))
  while have < rows do
    local unsent = have >= rows - UNSENT
    local n = math.min(CHUNK, unsent and rows - have or rows - UNSENT - have)
    must(db:exec(GROW:format(unsent and "NULL" or ("FROM_UNIXTIME(1.6e9 + %d + n)"):format(have)), have,
      have, n))
    have = have + n
  end
  must(db:exec "ANALYZE TABLE outbox_event")
  must(db:exec("REPLACE INTO relay_lease (shard, position) VALUES (0, ?)", rows - UNSENT))
end

local function fill_in(sql, rows)
  local ids = {}
  for i = 1, LIMIT do ids[i] = rows - UNSENT + i end
  return (sql:gsub("{(%w+)}", { first = rows - UNSENT, last = rows, ids = table.concat(ids, ",") }))
end

local function touched(db)
  local sum = 0
  for _, row in ipairs(must(db:query "SHOW SESSION STATUS LIKE 'Handler_read%'")) do
    sum = sum + tonumber(row.Value)
  end
  return sum
end

-- "range on unsent": of the table, whatever is around it
local function plan(db, sql)
  for _, row in ipairs(must(db:query("EXPLAIN FORMAT=TRADITIONAL " .. sql))) do
    if row.table == "outbox_event" then return ("%s on %s"):format(row.type, row.key) end
  end
  return "the end of an index" -- MAX(id): the table is not read
end

local function run(db, sql, undo)
  if undo then must(db:exec "START TRANSACTION") end
  local began = clock.ns()
  must(db:exec(sql))
  local took = (clock.ns() - began) / 1e6
  if undo then must(db:exec "ROLLBACK") end
  return took
end

local function measure(ctx, db, statement, rows)
  local sql, times = fill_in(statement[2], rows), {}
  local seen = { plan = plan(db, sql) }
  run(db, sql, statement.undo)
  local before = touched(db)
  run(db, sql, statement.undo)
  seen.touched = touched(db) - before
  for i = 1, RUNS do times[i] = run(db, sql, statement.undo) end
  seen.ms = ctx.median(times)
  return seen
end

return function(ctx, stack)
  local at = stack:mysql()
  if not at then
    ctx.title("flat", "left out: --brokers without --mysql")
    return {}
  end
  local store = schema.open(at, { "V1__core.sql", "V4__outbox_topic.sql" })
  local db = store.db
  must(db:exec "SET SESSION sql_log_bin = 0, SESSION transaction_isolation = 'READ-COMMITTED'")
  must(db:exec "CREATE TABLE digits (i INT PRIMARY KEY)")
  must(db:exec "INSERT INTO digits WITH RECURSIVE d (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM d WHERE \z
    i < 999) SELECT i FROM d")
  local rows, sizes = {}, { math.min(SMALL, ctx.many), ctx.many }
  for k, size in ipairs(sizes) do
    grow(db, size)
    for i, statement in ipairs(STATEMENTS) do
      local seen = measure(ctx, db, statement, size)
      local row = rows[i] or { what = statement[1], plan = seen.plan }
      row["touched" .. k], row["ms" .. k], rows[i] = ctx.count_text(seen.touched),
        ("%.1f ms"):format(seen.ms), row
      if row.plan ~= seen.plan then row.plan = ("%s, then %s"):format(row.plan, seen.plan) end
    end
  end
  schema.drop(store)
  ctx.title("flat", ("the relay's statements on %s and %s rows, %s of them unsent; medians of %d"):format(
    ctx.count_text(sizes[1]),
    ctx.count_text(sizes[2]), ctx.count_text(UNSENT), RUNS))
  ctx.table({ { name = "statement", key = "what" },
    { name = "rows touched", key = "touched1", align = "right" },
    { name = "then", key = "touched2", align = "right" }, { name = "took", key = "ms1", align = "right" },
    { name = "then", key = "ms2", align = "right" }, { name = "plan", key = "plan" } }, rows)
  return {}
end
