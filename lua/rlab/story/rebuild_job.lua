-- The job that fills total_in (rlab.story.rebuild) by rlab.replay.backfill, as a role: into the view, or as
-- records to a topic, one for each account or each old event again.
local backfill = require "rlab.replay.backfill"
local json = require "rlab.json"
local must = require "rlab.must"
local replay = require "rlab.replay"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local READS = {
  newest = [[SELECT account_id AS account, CAST(SUM(amount) AS SIGNED) AS total, MAX(version) AS version
    FROM ledger_entry WHERE account_id > :from AND account_id <= :upto GROUP BY account_id]],
  oldest = [[SELECT account_id AS account, CAST(SUM(amount) AS SIGNED) AS total, MIN(version) AS version
    FROM ledger_entry WHERE account_id > :from AND account_id <= :upto GROUP BY account_id]],
  events = [[SELECT account_id AS account, amount, balance AS total, version, BIN_TO_UUID(event_id) AS id
    FROM ledger_entry WHERE account_id > :from AND account_id <= :upto AND request_id LIKE 'old-%'
    ORDER BY id]],
}

local WRITES = {
  guarded = "UPDATE account_view SET total_in = :total WHERE account_id = :account AND version <= :version",
  blind = "UPDATE account_view SET total_in = :total, version = :version WHERE account_id = :account",
}

-- A repair has an id of its own, the same whenever it is sent, and moves no money.
local function record_of(a, row, at)
  local id = row.id or ("0e220000-%04x-7000-8000-%012x"):format(row.version, row.account)
  return { topic = a.to, key = tostring(row.account), timestamp = at,
    headers = { { "event-id", id } }, value = json.encode { event_id = id, account_id = row.account,
      amount = row.amount or 0, balance = row.total, version = row.version, type = "entry",
      request_id = "repair-" .. row.account } }, id
end

-- To a topic: each record acknowledged, and told to the lab with its place.
local function delivery(ctx, a)
  local producer, day = ctx.producer { message_timeout_ms = 20000 }, 24 * 3600 * 1000
  return function(rows)
    local list, ids, at = {}, {}, a.old_timestamps and require("rlab.clock").unix_ms() - day or nil
    for i, row in ipairs(rows) do list[i], ids[i] = record_of(a, row, at) end
    local sent, places = must(producer:send_batch(list, "30s")), {}
    if #sent:acked() < #list then return nil, sent:failed()[1] end
    for i, id in ipairs(ids) do
      places[i] = { id = id, partition = sent[i].partition, offset = sent[i].offset }
    end
    ctx.say("delivered", { records = places })
    return true
  end
end

local function let_go(ctx, a, state)
  local fail, db <close> = require "rlab.fail", must(require("rlab.mysql").connect(ctx.at))
  must(task.wait_until(function()
    local version = must(db:value("SELECT version FROM account_view WHERE account_id = ?",
      a.raced.account))
    return version > a.raced.version and state.chunks >= a.raced.chunks
  end, { at_most = "60s", every = "10ms" }))
  fail.disarm "backfill.before_write"
end

-- role(ctx): the job, for roles = { job = rebuild_job.role }. args: schema, read, write or to (a topic),
--   old_timestamps, shards, chunk, checkpoint, skip_failed, live = {topic, group} whose lag it watches,
--   max_lag, raced = {account, version, chunks}: who is paused at backfill.before_write goes on when the view
--   is past that version and so many chunks are done. It says "behind" when it finds live traffic to lag,
--   "chunk", "failed", "delivered", and "done".
function M.role(ctx)
  local a, state = ctx.args, { chunks = 0 }
  ctx.at = tables.merged(ctx.mysql, { database = a.schema })
  local admin = must(require("rlab.kafka").admin { brokers = ctx.brokers, at_most = "2s" })
  local work = backfill.new { mysql = ctx.at, job = "total_in", table = "account", key = "id",
    read = READS[a.read], write = WRITES[a.write], deliver = a.to and delivery(ctx, a) or nil,
    shards = a.shards, chunk = a.chunk, checkpoint = a.checkpoint, skip_failed = a.skip_failed,
    lag = a.live and function()
      local behind = replay.lag(admin, a.live.topic, a.live.group)
      if not behind or behind > a.max_lag then ctx.say("behind", { by = behind }) end
      return behind
    end, max_lag = a.max_lag,
    notice = function(what, fields)
      if what == "chunk" then state.chunks = state.chunks + 1 end
      ctx.say(what, fields)
    end }
  local letting = a.raced and task.spawn(let_go, ctx, a, state)
  must(work:run())
  if letting then letting:join() end
  ctx.say("done", work:counts())
end

-- finished(lab, job) -> what it said at its end: {rows, written, guarded, chunks, done, ...}
function M.finished(lab, job)
  local done
  lab:owed("finished", "the job comes to its end", function()
    done = done or job:said("done")[1]
    return done
  end, "15s")
  job:wait_exit { code = 0 }
  return done
end

-- read(jobs) -> rows that they have read, in all their chunks
function M.read(jobs)
  local n = 0
  for _, job in ipairs(jobs) do
    for _, chunk in ipairs(job:said "chunk") do n = n + chunk.rows end
  end
  return n
end

-- delivered(jobs) -> what was acknowledged to them: rows {id, partition, offset}
function M.delivered(jobs)
  local list = {}
  for _, job in ipairs(jobs) do
    for _, message in ipairs(job:said "delivered") do tables.append(list, message.records) end
  end
  return list
end

-- written(lab, to) -> rows of the view that the job has written, or records that it has sent to that topic
function M.written(lab, to)
  if not to then return must(lab:db():value "SELECT COUNT(*) FROM rebuild_log") end
  local n = 0
  for partition = 0, 2 do n = n + ((lab:offsets(to, partition) or {}).hw or 0) end
  return n
end

return M
