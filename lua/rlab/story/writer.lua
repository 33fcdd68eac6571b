-- A transactional writer that dies before it can end its transaction, and what it leaves: an open transaction
-- that hides what is written behind it until somebody ends it.
local batch = require "rlab.story.batch"
local must = require "rlab.must"
local process = require "rlab.process"

local M = {}

-- role(ctx): the writer, for roles = { writer = writer.role }. args: transactional_id, timeout_ms (of its
--   transactions), and topic and ids, which it sends to partition 0; without a topic it is one that was
--   restarted. It says "initialised", then "flushed", and comes to the failpoint writer.before_commit.
function M.role(ctx)
  local args = ctx.args
  local producer <close> = must(require("rlab.kafka").producer { brokers = ctx.brokers, linger_ms = 0,
    transactional_id = args.transactional_id, ["transaction.timeout.ms"] = args.timeout_ms,
    ["message.timeout.ms"] = args.timeout_ms })
  must(producer:init_transactions "20s")
  ctx.say "initialised"
  if not args.topic then return end
  must(producer:begin())
  must(producer:submit(batch.of(args.topic, 0, args.ids)))
  must(producer:flush "10s")
  ctx.say "flushed"
  require("rlab.fail").point("writer.before_commit", {})
  must(producer:commit "10s")
end

-- crash(lab, args) -> when it died, in seconds of the arm: it has flushed its records, which the brokers
--   have by their high watermark, and is killed before it can end the transaction
function M.crash(lab, args)
  local child = lab:start("writer", args, { must_fire = { ["writer.before_commit"] = "pause" } })
  child:expect("flushed", "20s")
  lab:await(("HW(p0) grown by %d"):format(#args.ids), function()
    local now = lab:offsets(args.topic, 0)
    return now and now.hw and now.hw >= #args.ids
  end)
  child:await_hit "writer.before_commit"
  child:kill()
  if process.alive(child.pid) then lab:give_up("the writer (pid %d) was not killed", child.pid) end
  return lab:now()
end

-- restart(lab, id) -> when it was begun: the writer initialises its transactions under that id
function M.restart(lab, id)
  local from = lab:now()
  lab:start("writer", { transactional_id = id, timeout_ms = 60000 }):expect("initialised", "20s")
  return from
end

-- held_back(lab, topic, [partition]) -> whether an open transaction holds back the LSO (LSO < HW) | nil when
--   the broker does not say
function M.held_back(lab, topic, partition)
  local now = lab:offsets(topic, partition or 0)
  return now and now.lso and now.hw and now.lso < now.hw
end

-- left_open(lab, topic, transactional_id) -> fault, watermarks: a dead writer's transaction is open, by the
--   coordinator's word and the LSO of partition 0
function M.left_open(lab, topic, transactional_id)
  local fault = lab:fault "a transaction left open"
  lab:await("an open transaction of the dead writer (LSO < HW on p0)",
    function() return M.held_back(lab, topic) end, "5s")
  fault:fired(lab.proof.transaction(transactional_id, "Ongoing"), lab.proof.held_back(topic, 0))
  if not fault.row.fired then
    lab:give_up("the dead writer's transaction is not open: %s", fault.row.proof)
  end
  return fault, lab:watermarks(topic, 0)
end

-- finish(lab, topic, transactional_id) -> when, in seconds of the arm: init_transactions of its own id ends
--   what a dead writer left, so that no later run inherits it
function M.finish(lab, topic, transactional_id)
  local producer = lab:producer { transactional_id = transactional_id, linger_ms = 0 }
  must(producer:init_transactions "20s")
  local at = lab:now()
  lab:event "init_transactions of the old id ended it"
  lab:settled(topic, 0, "10s")
  return at
end

return M
