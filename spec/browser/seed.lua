-- What the browser's specs find in the stores: a schema and keys as a run names them, and dead letters.
local cache = require "rlab.cache"
local dlq = require "rlab.dlq"
local kafka = require "rlab.kafka"
local migrate = require "rlab.stack.migrate"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local redis = require "rlab.redis"
local uuid = require "rlab.uuid"

local M = {}

local Seed = {}
Seed.__index = Seed

-- new(stack) -> seed{topic, schema, prefix, db, redis, admin, producer}; close() takes all of it away
function M.new(stack)
  local run = "console-" .. uuid.v7():sub(-12)
  local self = setmetatable({ stack = stack, topic = run, prefix = run .. "-cache:",
    schema = (run .. "-ledger"):gsub("%W", "_") }, Seed)
  local db = must(mysql.connect(stack:mysql_opts()))
  must(migrate.clone(db, must(migrate.template(stack)), self.schema))
  db:close()
  self.db = must(mysql.connect(stack:mysql_opts { database = self.schema }))
  self.redis = must(redis.connect(stack:redis_opts()))
  self.admin = must(kafka.admin { brokers = stack.kafka.brokers, at_most = "60s" })
  self.producer = must(kafka.producer { brokers = stack.kafka.brokers, acks = "all", linger_ms = 0 })
  for _, name in ipairs { self.topic, dlq.dlq_topic(self.topic) } do
    must(self.admin:create_topic { name = name, partitions = 1, wait = true })
  end
  return self
end

-- seed:park(n [, replays]) -> ids: n dead letters of the group "billing", replayed so often already
function Seed:park(n, replays)
  local ids, list = {}, {}
  for i = 1, n do
    ids[i] = uuid.v7()
    list[i] = { topic = dlq.dlq_topic(self.topic), key = "k" .. i, value = ('{"n":%d}'):format(i),
      headers = { { "event-id", ids[i] }, { "rlab-original-topic", self.topic },
        { "rlab-original-group", "billing" }, { "rlab-error-class", "handler" },
        { "rlab-replay-count", tostring(replays or 0) } } }
  end
  must(self.producer:send_batch(list, "20s"))
  return ids
end

-- seed:applied(id): as a consumer that has applied it
function Seed:applied(id)
  must(self.db:exec("INSERT INTO processed_event (consumer, event_id) VALUES ('billing', UUID_TO_BIN(?))",
    id))
end

-- seed:unsent(n): rows that no relay has sent
function Seed:unsent(n)
  for _ = 1, n do
    must(self.db:exec("INSERT INTO outbox_event (event_id, shard, message_key, payload) VALUES \z
      (UUID_TO_BIN(?), 1, 'k', '{}')", uuid.v7()))
  end
end

-- seed:account(id, version, cached): a row of the read model, and an entry of that version
function Seed:account(id, version, cached)
  must(self.db:exec("INSERT INTO account_view (account_id, balance, version) VALUES (?, ?, ?)", id,
    100 * version, version))
  must(cache.fill(self.redis, self.prefix, id, { balance = 100 * cached, version = cached }, { ttl = "10m" }))
end

function Seed:close()
  self.admin:delete_topics { self.topic, dlq.dlq_topic(self.topic) }
  self.db:exec("DROP DATABASE " .. self.schema)
  for id = 1, 9 do self.redis:call("DEL", cache.key(self.prefix, id)) end
  for _, name in ipairs { "admin", "producer", "redis", "db" } do self[name]:close() end
end

return M
