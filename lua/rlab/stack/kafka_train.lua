-- The class archive of Kafka's nodes, made once per machine: a cluster is started aside, used a little, and
-- one of its brokers and the controller write down the classes that they load. With it a node starts in
-- half the time and takes less than half the memory.
local defer = require "rlab.defer"
local fs = require "rlab.fs"
local kafka = require "rlab.stack.kafka"
local lock = require "rlab.stack.lock"
local process = require "rlab.process"

local M = {}

local PART = { "kafka" }
local TOPIC = "training"

-- What experiments do most: a transaction, both group protocols, both isolation levels, the admin's
-- questions.
local function exercise(ctx)
  local options = require("rlab.stack.kafka_full").options
  local client = require "rlab.kafka"
  local admin <close> = assert(client.admin(options(ctx)))
  assert(admin:create_topic { name = TOPIC, partitions = 3, replication_factor = 3 })
  local producer <close> = assert(client.producer(options(ctx, { transactional_id = TOPIC, acks = "all" })))
  assert(producer:init_transactions "20s")
  for round = 1, 2 do
    assert(producer:begin())
    for i = 1, 20 do assert(producer:post { topic = TOPIC, key = tostring(i), value = ("x"):rep(100) }) end
    assert(producer:flush "10s")
    if round == 1 then assert(producer:commit "10s") else assert(producer:abort "10s") end
  end
  for _, protocol in ipairs { "consumer", "classic" } do
    local consumer <close> = assert(
      client.consumer(options(ctx, { group = TOPIC .. "-" .. protocol, group_protocol = protocol,
      auto_offset_reset = "earliest", enable_auto_commit = false, isolation_level = "read_committed" })))
    assert(consumer:subscribe { TOPIC })
    local batch = consumer:poll(100, "10s")
    if batch and #batch > 0 then consumer:commit(batch, { sync = true }) end
  end
  admin:groups()
  admin:configs { broker = 1 }
  admin:offsets(TOPIC, 0)
  admin:elect_leaders { type = "preferred" }
  admin:delete_topics { TOPIC }
end

-- sweep(): ends what an rlab that was killed while training has left behind, unless one trains just now
function M.sweep()
  local found = require("rlab.stack.tools").kafka()
  local home = found and found.root .. "/training"
  if not home or not fs.exists(home) then return end
  local guard <close> = fs.lock(found.root .. "/archive.lock", "rlab down (class archive)")
  if not guard then return end
  require("rlab.stack.local").down(assert(require("rlab.stack.context").new { home = home }), PART)
  fs.remove(home)
  fs.remove(found.root .. "/classes.new.jsa")
end

local function train(ctx, home, made)
  local supervisor = require "rlab.stack.local"
  local inner = assert(require("rlab.stack.context").new { home = home,
    base = assert(process.free_ports(200))[1] })
  supervisor.down(inner, PART) -- what an rlab that was killed here has left
  assert(fs.remove(home))
  local lists = { home .. "/kafka-1.classes", home .. "/controller.classes" }
  inner.training = { ["kafka-1"] = lists[1], controller = lists[2] }
  local _ <close> = defer(function()
    supervisor.down(inner, PART)
    fs.remove(home)
  end)
  local ok, failure = supervisor.up(inner, PART, "rlab up (class archive)")
  if not ok then return nil, failure end
  exercise(inner)
  ok, failure = supervisor.down(inner, PART)
  if not ok then return nil, failure end
  return kafka.dump_archive(ctx, lists, made)
end

-- ensure(ctx): makes the archive when there is none that fits. Without one everything works, only slower,
-- so it never fails.
function M.ensure(ctx)
  if ctx.training or kafka.archive(ctx) then return true end
  local guard <close>, busy = lock.take(ctx.kafka.root .. "/archive.lock", "rlab up (class archive)",
    { at_most = "3m", say = ctx:waiting() })
  if not guard then return nil, busy end
  if kafka.archive(ctx) then return true end
  local made = ctx.kafka.root .. "/classes.new.jsa"
  local step <close> = ctx:step("once",
    "making Kafka's class archive (half a minute, kept for the next time)")
  fs.remove(made)
  local ok, failure = train(ctx, ctx.kafka.root .. "/training", made)
  if ok then ok, failure = kafka.keep_archive(ctx, made) end
  if ok then
    step:ok()
  else
    ctx:tell("note", "no class archive (" .. tostring(failure and failure.message or failure)
      .. "); Kafka starts slower")
  end
  return true
end

return M
