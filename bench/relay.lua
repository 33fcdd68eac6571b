-- flow.relay emptying a backlog, against plain C that does the least possible (bench/relay_loop.c), in turn
-- on one stack. Marking by update and delete is held against a loop with two connections and two batches in
-- flight; the cursor against the lower of two limits: the same rows read and thrown away, and the same
-- records sent from memory. The ratio is the median of the ratios of the rounds.
local clock = require "rlab.clock"
local err = require "rlab.err"
local java = require "bench.java"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local schema = require "bench.schema"
local term = require "rlab.term"

local BYTES, BATCH, KEYS, FILL = 200, 2000, 1000, 1000
local PRODUCE = { "acks=all", "enable.idempotence=true", "partitioner=murmur2_random", "linger.ms=20",
  "message.timeout.ms=0", "log_level=0" }
local JAVA = { "acks=all", "enable.idempotence=true", "linger.ms=20", "batch.size=262144",
  "buffer.memory=134217728" }
local JAVA_FASTER, JAVA_CHEAPER = 2, 1 / 10
local MODES = {
  { mark = "update", peers = { "update" }, target = 0.95 },
  { mark = "delete", peers = { "delete" }, target = 0.95 },
  { mark = "cursor", peers = { "read", "send" }, target = 0.75 },
}
local SIDES = { update = "C, 2 connections", delete = "C, 2 connections", read = "C, read only",
  send = "C, send only" }
local debezium = { side = "Debezium", seen = {} } -- with --java

-- The backlog, written once and copied for each run.
local function write_rows(ctx)
  local db, rows = ctx.outbox.db, {}
  -- Debezium routes by it
  if ctx.java then
    must(db:exec "ALTER TABLE outbox_event ADD COLUMN aggregatetype VARCHAR(64) NOT NULL DEFAULT 'entry'")
  end
  must(db:exec "CREATE TABLE backlog LIKE outbox_event")
  must(db:exec "SET SESSION sql_log_bin = 0")
  for i = 1, ctx.rows do
    local key = i % KEYS
    rows[#rows + 1] = ("(UUID_TO_BIN(UUID()), CRC32('%d') %% 64, '%d', '%s')"):format(key, key,
      ("%08d"):format(i) .. ("x"):rep(BYTES - 8))
    if #rows == FILL or i == ctx.rows then
      must(db:exec("INSERT INTO backlog (event_id, shard, message_key, payload) VALUES "
        .. table.concat(rows, ",")))
      rows = {}
    end
  end
end

local function fill(ctx)
  local db = ctx.outbox.db
  must(db:exec "TRUNCATE outbox_event")
  must(db:exec "DELETE FROM relay_lease")
  -- who was measured before must not count as a partner who shares the work
  must(db:exec "DELETE FROM relay_member")
  must(db:exec "INSERT INTO outbox_event SELECT * FROM backlog")
end

local function new_topic(admin)
  local name = ("rlab-bench-%x"):format(clock.ns())
  must(admin:create_topic { name = name, partitions = 3, replication_factor = 3 })
  return name
end

-- The command that carries out `how`, a word of relay_loop, or else flow.relay in that mode.
local function words_of(ctx, mode, how, topic)
  local at = ctx.outbox.at
  local words = how and { ctx.peers .. "/relay_loop", how } or { ctx.rlab, "bench-loop", "relay", mode.mark }
  for _, word in ipairs { at.host, tostring(at.port), at.user, at.password, ctx.outbox.schema, topic,
    tostring(ctx.rows), tostring(BATCH),
    "bootstrap.servers=" .. ctx.outbox.brokers, table.unpack(PRODUCE) } do words[#words + 1] = word end
  return words
end

local function measure(ctx, admin, mode, how)
  local topic = new_topic(admin)
  fill(ctx)
  local before = schema.server_cpu(ctx.outbox.at)
  local result = must(json.decode(ctx.run(words_of(ctx, mode, how, topic))))
  result.mysqld = schema.server_cpu(ctx.outbox.at) - before
  if result.records < ctx.rows or result.failed ~= 0 then
    error(("relay, %s: %d of %d rows, %d failed"):format(how or mode.mark, result.records, ctx.rows,
      result.failed), 0)
  end
  must(admin:delete_topics { topic })
  return result
end

local COPY = "INSERT INTO outbox_event (event_id, shard, message_key, payload) SELECT event_id, shard, \z
  message_key, payload FROM backlog ORDER BY id LIMIT ?"

-- What Debezium reads is what is written from now on: the rows that warm it and those that are measured, in
-- one transaction.
local function write_for_debezium(ctx)
  local db = ctx.outbox.db
  must(db:exec "SET SESSION sql_log_bin = 1")
  must(db:exec "BEGIN")
  for _, n in ipairs { ctx.warm, ctx.rows } do
    for from = 0, n - 1, ctx.rows do must(db:exec(COPY, math.min(n - from, ctx.rows))) end
  end
  must(db:exec "COMMIT")
  must(db:exec "SET SESSION sql_log_bin = 0")
end

local function measure_debezium(ctx, admin)
  local at, topic, before = ctx.outbox.at, new_topic(admin), 0
  must(ctx.outbox.db:exec "TRUNCATE outbox_event")
  local words = { at.host, tostring(at.port), at.user, at.password, ctx.outbox.schema, topic,
    tostring(ctx.warm), tostring(ctx.rows),
    "bootstrap.servers=" .. ctx.outbox.brokers }
  local result = java.run(debezium.peer, table.move(JAVA, 1, #JAVA, #words + 1, words), {
    ready = function() write_for_debezium(ctx) end, started = function() before = schema.server_cpu(at) end })
  result.mysqld = schema.server_cpu(at) - before
  must(admin:delete_topics { topic })
  return result
end

local function seen_of(run)
  return { rate = run.records / run.seconds, cpu = run.cpu / run.records * 1e5,
    server = run.mysqld / run.records * 1e5 }
end

local function one_round(ctx, admin, turn)
  if ctx.java then debezium.seen[turn] = seen_of(measure_debezium(ctx, admin)) end
  for _, mode in ipairs(MODES) do
    mode.own, mode.seen = mode.own or {}, mode.seen or {}
    local function own() mode.own[turn] = measure(ctx, admin, mode) end
    if turn % 2 == 0 then own() end
    for _, how in ipairs(mode.peers) do
      mode.seen[how] = mode.seen[how] or {}
      mode.seen[how][turn] = measure(ctx, admin, mode, how)
    end
    if turn % 2 == 1 then own() end
  end
end

local function medians(ctx, runs)
  local rates, cpus, servers = {}, {}, {}
  for i, run in ipairs(runs) do
    local seen = seen_of(run)
    rates[i], cpus[i], servers[i] = seen.rate, seen.cpu, seen.server
  end
  return { rate = ctx.count_text(ctx.median(rates)), cpu = ("%.2f"):format(ctx.median(cpus)),
    server = ("%.2f"):format(ctx.median(servers)), rates = rates }
end

-- Of each round: ours to the lowest of its peers'.
local function ratios(mode, own)
  local list, texts = {}, {}
  for turn, rate in ipairs(own.rates) do
    local limit = math.huge
    for _, how in ipairs(mode.peers) do limit = math.min(limit, seen_of(mode.seen[how][turn]).rate) end
    list[turn] = rate / limit
    texts[turn] = ("%.2f"):format(list[turn])
  end
  return list, table.concat(texts, " ")
end

local function rows_of(ctx, mode, rows)
  for i, how in ipairs(mode.peers) do
    local peer = medians(ctx, mode.seen[how])
    rows[#rows + 1] = { what = i == 1 and mode.mark or "", side = SIDES[how], rate = peer.rate,
      cpu = peer.cpu, server = peer.server }
  end
  local own = medians(ctx, mode.own)
  local list, each = ratios(mode, own)
  mode.ratio = ctx.median(list)
  rows[#rows + 1] = { what = "", side = "flow.relay", rate = own.rate, cpu = own.cpu, server = own.server,
    ratio = ("%.2f"):format(mode.ratio), each = each,
    target = ("%s %.2f"):format(term.symbol "ge", mode.target) }
end

-- Debezium reads the log that a row-based binlog is, and nothing else.
local function need_binlog(db)
  local format = must(db:value "SELECT IF(@@log_bin, CONCAT(@@binlog_format, ', ', @@binlog_row_image), \z
    'none')")
  if format ~= "ROW, FULL" then
    error(err.new { domain = "rlab", code = 0, name = "USAGE",
      message = ("bench: Debezium needs --log-bin, --binlog-format=ROW and --binlog-row-image=FULL; this \z
        MySQL has a binlog of %s"):format(format) }, 0)
  end
end

local function print_java(ctx, missed)
  ctx.title("", ("the same table by Debezium's embedded engine, outbox router, marking nothing, warm after \z
    %s rows"):format(ctx.count_text(ctx.warm)))
  local runs = {}
  for i, mode in ipairs(MODES) do
    runs[i] = { side = "flow.relay, " .. mode.mark, name = "relay, mark = " .. mode.mark, seen = {},
      cheaper = JAVA_CHEAPER,
      faster = mode.mark == "cursor" and JAVA_FASTER or nil }
    for turn, run in ipairs(mode.own) do runs[i].seen[turn] = seen_of(run) end
  end
  local more = java.table(ctx, debezium, runs)
  return table.move(more, 1, #more, #missed + 1, missed)
end

return function(ctx, stack)
  debezium.peer = ctx.java and java.peer(ctx, "Debezium")
  local brokers, at = stack:brokers(), stack:mysql()
  if not at then
    ctx.title("relay", "left out: --brokers without --mysql")
    return {}
  end
  ctx.outbox = schema.open(at, { "V1__core.sql", "V4__outbox_topic.sql" })
  if ctx.java then need_binlog(ctx.outbox.db) end
  ctx.outbox.brokers = brokers
  local admin <close> = must(kafka.admin { brokers = brokers })
  write_rows(ctx)
  for turn = 1, ctx.few do one_round(ctx, admin, turn) end
  schema.drop(ctx.outbox)
  ctx.title("relay", ("%s rows of %d bytes, %d keys, batches of %d; 3 partitions, 3 replicas, acks=all, \z
    idempotent; medians of %d rounds"):format(
    ctx.count_text(ctx.rows), BYTES, KEYS, BATCH, ctx.few))
  local rows, missed = {}, {}
  for _, mode in ipairs(MODES) do
    rows_of(ctx, mode, rows)
    if mode.ratio < mode.target then
      missed[#missed + 1] = ("relay, mark = %s: %.3f of %s, target %.2f"):format(mode.mark, mode.ratio,
        #mode.peers > 1 and "the lower limit" or SIDES[mode.peers[1]], mode.target)
    end
  end
  ctx.table({ { name = "mark", key = "what" }, { name = "", key = "side" },
    { name = "rows/s", key = "rate", align = "right" },
    { name = "relay / lowest", key = "ratio", align = "right" },
    { name = "in the rounds", key = "each" }, { name = "target", key = "target" },
    { name = "CPU s per 100k", key = "cpu", align = "right" },
    { name = "mysqld's", key = "server", align = "right" } }, rows)
  return ctx.java and print_java(ctx, missed) or missed
end
