-- flow.consume against plain C that does the least possible with the same statements
-- (bench/consume_loop.c): a topic of events until all are applied, with dedup, read model and effects, in
-- turn on one stack. The ratio is the median of the ratios of the rounds.
local clock = require "rlab.clock"
local java = require "bench.java"
local json = require "rlab.json"
local kafka = require "rlab.kafka"
local must = require "rlab.must"
local process = require "rlab.process"
local schema = require "bench.schema"
local term = require "rlab.term"

local BATCH, PARTITIONS, ACCOUNTS = 1000, 3, 1000
local FEW = 50 -- record by record is so much slower that it gets the n-th part
local PRODUCE = { "acks=all", "enable.idempotence=true", "partitioner=murmur2_random", "linger.ms=5",
  "log_level=0" }
local CONSUME = { "enable.auto.offset.store=false", "auto.commit.interval.ms=100",
  "fetch.queue.backoff.ms=5", "log_level=0" }

local JAVA = { "enable.auto.commit=false", "auto.offset.reset=none" }
local JAVA_FASTER, JAVA_CHEAPER = 1.25, 1 / 8

local RUNS = {
  { what = "batches of " .. BATCH, side = "C", peer = true, batch = BATCH },
  { what = "", side = "flow.consume", mode = "none", batch = BATCH, target = 0.85 },
  { what = "", side = "+ Lua, batches", mode = "batch", batch = BATCH },
  { what = "", side = "+ Lua, records", mode = "record", batch = BATCH, target = 0.95 },
  { what = "beside a CPU hog", side = "C", peer = true, batch = BATCH, hog = true },
  { what = "", side = "flow.consume", mode = "none", batch = BATCH, hog = true, target = 0.95 },
  { what = "one by one", side = "C", peer = true, batch = 1 },
  { what = "", side = "flow.consume", mode = "none", batch = 1 }, -- the commits decide: not judged
  plain = { side = "Java", how = "plain", batch = BATCH }, -- with --java, these two
  bare = { side = "Java, bare", how = "bare", batch = BATCH },
}

local function fill(ctx, admin, brokers, records)
  local topic = ("rlab-bench-%x"):format(clock.ns())
  must(admin:create_topic { name = topic, partitions = PARTITIONS, replication_factor = 3 })
  local words = { ctx.peers .. "/consume_fill", topic, tostring(records), tostring(ACCOUNTS),
    "bootstrap.servers=" .. brokers }
  ctx.run(table.move(PRODUCE, 1, #PRODUCE, #words + 1, words))
  return { topic = topic, records = records }
end

local function words_of(ctx, run, work, group)
  local at = work.store.at
  local words = run.peer and { ctx.peers .. "/consume_loop" } or { ctx.rlab, "bench-loop", "apply", run.mode }
  for _, word in ipairs { at.host, tostring(at.port), at.user, at.password, work.store.schema, work.topic,
    tostring(PARTITIONS), tostring(work.records),
    tostring(run.batch), "bootstrap.servers=" .. work.brokers, "group.id=" .. group,
    table.unpack(CONSUME) } do words[#words + 1] = word end
  return words
end

-- The topic once more for what has to be warm: at least ctx.warm events before the clock starts.
local function run_java(ctx, run, work, group, on_start)
  local at = work.store.at
  local passes = 1 + (ctx.warm + work.records - 1) // work.records
  local words = { run.how, at.host, tostring(at.port), at.user, at.password, work.store.schema, work.topic,
    tostring(PARTITIONS),
    tostring(work.records), tostring(BATCH), tostring(passes), "bootstrap.servers=" .. work.brokers,
    "group.id=" .. group }
  return java.run(run.java, table.move(JAVA, 1, #JAVA, #words + 1, words), { started = on_start })
end

-- A program that takes all of a core until it is closed.
local function hog_of(run)
  return run.hog and must(process.spawn { cmd = { "sh", "-c", "while :; do :; done" } }) or nil
end

local function measure(ctx, run, work)
  local db, group = work.store.db, ("rlab-bench-%x"):format(clock.ns())
  for _, name in ipairs { "processed_event", "effect_log", "account_view" } do
    must(db:exec("TRUNCATE " .. name))
  end
  local _ <close> = hog_of(run)
  local before = schema.server_cpu(work.store.at)
  local result = run.how and run_java(ctx, run, work, group,
    function() before = schema.server_cpu(work.store.at) end)
    or must(json.decode(ctx.run(words_of(ctx, run, work, group))))
  result.mysqld = schema.server_cpu(work.store.at) - before
  local entries = math.tointeger(tonumber(must(db:value "SELECT SUM(entries) FROM account_view")))
  if result.records ~= work.records or entries ~= work.records or result.failed ~= 0 then
    error(("consume, %s: %d of %d events, %d in the read model, %d failed"):format(run.side, result.records,
      work.records, entries, result.failed), 0)
  end
  local function per_100k(seconds) return seconds / result.records * 1e5 end
  return { rate = result.records / result.seconds, cpu = per_100k(result.cpu),
    server = per_100k(result.mysqld), total = per_100k(result.cpu + result.mysqld) }
end

local function one_round(ctx, turn, many, few)
  for _, i in ipairs(turn % 2 == 1 and { "bare", 1, "plain", 2, 3, 4, 5, 6, 7, 8 }
    or { 4, 3, 2, "plain", 1, "bare", 6, 5, 8, 7 }) do
    local run = RUNS[i]
    run.seen = run.seen or {}
    if not run.how or run.java then run.seen[turn] = measure(ctx, run, run.batch == 1 and few or many) end
  end
end

local function column(run, key)
  local list = {}
  for i, seen in ipairs(run.seen) do list[i] = seen[key] end
  return list
end

local function row_of(ctx, run, peer)
  local row = { what = run.what, side = run.side, rate = ctx.count_text(ctx.median(column(run, "rate"))),
    cpu = ("%.2f"):format(ctx.median(column(run, "cpu"))),
    server = ("%.2f"):format(ctx.median(column(run, "server"))),
    total = ("%.2f"):format(ctx.median(column(run, "total"))) }
  if run.peer then return row end
  local list = {}
  for i, seen in ipairs(run.seen) do list[i] = seen.rate / peer.seen[i].rate end
  run.ratio = ctx.median(list)
  row.ratio, row.span = ("%.2f"):format(run.ratio),
    ("%.2f to %.2f"):format(math.min(table.unpack(list)), math.max(table.unpack(list)))
  row.target = run.target and ("%s %.2f"):format(term.symbol "ge", run.target) or nil
  return row
end

local function print_table(ctx)
  local rows, missed, peer = {}, {}, nil
  for i, run in ipairs(RUNS) do
    peer = run.peer and run or peer
    rows[i] = row_of(ctx, run, peer)
    if run.target and run.ratio < run.target then
      missed[#missed + 1] = ("consume, %s%s: %.3f of C, target %.2f"):format(run.side,
        run.hog and " beside a hog" or "", run.ratio, run.target)
    end
  end
  ctx.table({ { name = "", key = "what" }, { name = "", key = "side" },
    { name = "events/s", key = "rate", align = "right" },
    { name = "flow / C", key = "ratio", align = "right" },
    { name = "in the rounds", key = "span", align = "right" }, { name = "target", key = "target" },
    { name = "CPU s per 100k", key = "cpu", align = "right" },
    { name = "mysqld's", key = "server", align = "right" },
    { name = "total", key = "total", align = "right" } }, rows)
  return missed
end

-- flow.consume beside Java as one writes it, which is judged, and beside the least that Java can do.
local function print_java(ctx, missed)
  for _, peer in ipairs { RUNS.plain, RUNS.bare } do
    ctx.title("", peer.how == "plain" and (
      "the same in Java: kafka-clients, Jackson, Connector/J, batches of %d, warm after %s events"):format(
      BATCH,
      ctx.count_text(ctx.warm)) or "the same in Java by the statements and the parser of the C program; \z
        not judged")
    local own = { side = "flow.consume", name = "consume", seen = RUNS[2].seen }
    if peer.how == "plain" then own.faster, own.cheaper = JAVA_FASTER, JAVA_CHEAPER end
    local more = java.table(ctx, peer, { own })
    table.move(more, 1, #more, #missed + 1, missed)
  end
  return missed
end

return function(ctx, stack)
  RUNS.plain.java = ctx.java and java.peer(ctx, "ConsumeBatch")
  RUNS.bare.java = RUNS.plain.java
  local brokers, at = stack:brokers(), stack:mysql()
  if not at then
    ctx.title("consume", "left out: --brokers without --mysql")
    return {}
  end
  local store = schema.open(at, { "V1__core.sql", "V2__consumer.sql", "V4__outbox_topic.sql" })
  local admin <close> = must(kafka.admin { brokers = brokers })
  local many, few = fill(ctx, admin, brokers, ctx.rows),
    fill(ctx, admin, brokers, math.max(ctx.rows // FEW, PARTITIONS))
  for _, work in ipairs { many, few } do work.store, work.brokers = store, brokers end
  for turn = 1, ctx.few do one_round(ctx, turn, many, few) end
  schema.drop(store)
  must(admin:delete_topics { many.topic, few.topic })
  ctx.title("consume", ("%s events of 200 bytes (%s one by one), %d accounts; %d partitions, a thread \z
    each; dedup, read model, effects; %s"):format(
    ctx.count_text(many.records), ctx.count_text(few.records), ACCOUNTS, PARTITIONS,
    ("medians of %d rounds"):format(ctx.few)))
  local missed = print_table(ctx)
  return ctx.java and print_java(ctx, missed) or missed
end
