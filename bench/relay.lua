-- flow.relay against plain C that does the least possible (bench/relay_loop.c): a backlog in the outbox until all of it is published and marked, for
-- each way of marking, in turn on one stack. The ratio is the median of the ratios of the rounds.
local clock = require "rlab.clock"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local schema = require "bench.schema"
local term = require "rlab.term"

local TARGET, BYTES, BATCH, KEYS, FILL = 0.85, 200, 2000, 1000, 1000
local PRODUCE = { "acks=all", "enable.idempotence=true", "partitioner=murmur2_random", "linger.ms=5", "message.timeout.ms=0", "log_level=0" }
local MODES = { { mark = "update", bare = "update" }, { mark = "delete", bare = "delete" }, { mark = "cursor", bare = "none" } }

-- The backlog, written once and copied for each run.
local function write_rows(ctx)
  local db, rows = ctx.outbox.db, {}
  must(db:exec "CREATE TABLE backlog LIKE outbox_event")
  must(db:exec "SET SESSION sql_log_bin = 0")
  for i = 1, ctx.rows do
    local key = i % KEYS
    rows[#rows + 1] = ("(UUID_TO_BIN(UUID()), CRC32('%d') %% 64, '%d', '%s')"):format(key, key, ("%08d"):format(i) .. ("x"):rep(BYTES - 8))
    if #rows == FILL or i == ctx.rows then
      must(db:exec("INSERT INTO backlog (event_id, shard, message_key, payload) VALUES " .. table.concat(rows, ",")))
      rows = {}
    end
  end
end

local function fill(ctx)
  local db = ctx.outbox.db
  must(db:exec "TRUNCATE outbox_event")
  must(db:exec "DELETE FROM relay_lease")
  must(db:exec "DELETE FROM relay_member") -- who was measured before must not count as a partner who shares the work
  must(db:exec "INSERT INTO outbox_event SELECT * FROM backlog")
end

local function new_topic(admin)
  local name = ("rlab-bench-%x"):format(clock.ns())
  must(admin:create_topic { name = name, partitions = 3, replication_factor = 3 })
  return name
end

local function words_of(ctx, mode, bare, topic)
  local at = ctx.outbox.at
  local words = bare and { ctx.peers .. "/relay_loop", mode.bare } or { ctx.rlab, "bench-loop", "relay", mode.mark }
  for _, word in ipairs { at.host, tostring(at.port), at.user, at.password, ctx.outbox.schema, topic, tostring(ctx.rows), tostring(BATCH),
    "bootstrap.servers=" .. ctx.outbox.brokers, table.unpack(PRODUCE) } do words[#words + 1] = word end
  return words
end

local function measure(ctx, admin, mode, bare)
  local topic = new_topic(admin)
  fill(ctx)
  local before = schema.server_cpu(ctx.outbox.at)
  local result = must(json.decode(ctx.run(words_of(ctx, mode, bare, topic))))
  result.mysqld = schema.server_cpu(ctx.outbox.at) - before
  if result.records < ctx.rows or result.failed ~= 0 then
    error(("relay, %s: %d of %d rows, %d failed"):format(mode.mark, result.records, ctx.rows, result.failed), 0)
  end
  must(admin:delete_topics { topic })
  return result
end

local function one_round(ctx, admin, turn)
  for _, mode in ipairs(MODES) do
    mode.c, mode.own = mode.c or {}, mode.own or {}
    for _, bare in ipairs(turn % 2 == 1 and { true, false } or { false, true }) do
      mode[bare and "c" or "own"][turn] = measure(ctx, admin, mode, bare)
    end
  end
end

local function medians(ctx, runs)
  local rates, cpus, servers = {}, {}, {}
  for i, run in ipairs(runs) do
    rates[i], cpus[i], servers[i] = run.records / run.seconds, run.cpu / run.records * 1e5, run.mysqld / run.records * 1e5
  end
  return { rate = ctx.count_text(ctx.median(rates)), cpu = ("%.2f"):format(ctx.median(cpus)), server = ("%.2f"):format(ctx.median(servers)), rates = rates }
end

local function rows_of(ctx, mode, rows)
  local c, own, list = medians(ctx, mode.c), medians(ctx, mode.own), {}
  for i, rate in ipairs(own.rates) do list[i] = rate / c.rates[i] end
  mode.ratio = ctx.median(list)
  rows[#rows + 1] = { what = mode.mark, side = mode.bare == "none" and "C, no mark" or "C", rate = c.rate, cpu = c.cpu, server = c.server }
  rows[#rows + 1] = { what = "", side = "flow.relay", rate = own.rate, cpu = own.cpu, server = own.server, ratio = ("%.2f"):format(mode.ratio),
    span = ("%.2f to %.2f"):format(math.min(table.unpack(list)), math.max(table.unpack(list))), target = ("%s %.2f"):format(term.symbol "ge", TARGET) }
end

return function(ctx, stack)
  local brokers, at = stack:brokers(), stack:mysql()
  if not at then
    ctx.title("relay", "left out: --brokers without --mysql")
    return {}
  end
  ctx.outbox = schema.open(at, { "V1__core.sql" })
  ctx.outbox.brokers = brokers
  local admin <close> = must(kafka.admin { brokers = brokers })
  write_rows(ctx)
  for turn = 1, ctx.few do one_round(ctx, admin, turn) end
  schema.drop(ctx.outbox)
  ctx.title("relay", ("%s rows of %d bytes, %d keys, batches of %d; 3 partitions, 3 replicas, acks=all, idempotent; medians of %d rounds"):format(
    ctx.count_text(ctx.rows), BYTES, KEYS, BATCH, ctx.few))
  local rows, missed = {}, {}
  for _, mode in ipairs(MODES) do
    rows_of(ctx, mode, rows)
    if mode.ratio < TARGET then missed[#missed + 1] = ("relay, mark = %s: %.3f of C, target %.2f"):format(mode.mark, mode.ratio, TARGET) end
  end
  ctx.table({ { name = "mark", key = "what" }, { name = "", key = "side" }, { name = "rows/s", key = "rate", align = "right" },
    { name = "relay / C", key = "ratio", align = "right" }, { name = "in the rounds", key = "span", align = "right" }, { name = "target", key = "target" },
    { name = "CPU s per 100k", key = "cpu", align = "right" }, { name = "mysqld's", key = "server", align = "right" } }, rows)
  return missed
end
