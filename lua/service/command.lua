-- command: the ledger's write side. An entry changes its account, the ledger and the outbox in one
-- transaction; the modes that send to Kafka themselves are wrong on purpose (E-002).
local accounts = require "service.command.accounts"
local entries = require "service.command.entries"
local service = require "rlab.service"
local store = require "rlab.service.store"

return service {
  name = "command", help = "takes commands over HTTP and writes ledger and outbox in one transaction",
  port = 18080, uses = { producer = true },
  options = {
    { name = "mode", type = "enum", default = "outbox",
      values = { "outbox", "direct-after-commit", "direct-queued", "direct-before-commit",
        "direct-unwatched" },
      help = "how an event gets to Kafka; all but outbox are wrong on purpose" },
    { name = "topic", type = "string", default = "orders", help = "where the direct modes send to" },
    { name = "pool", type = "int", default = 16, min = 1, max = 500, help = "connections to MySQL" },
    { name = "pool_wait", type = "duration", default = "2s", help = "how long a command waits for one" },
    { name = "deadline", type = "duration", default = "5s", help = "of one command; then 503" },
    { name = "retries", type = "int", default = 5, min = 0, max = 100,
      help = "how often a deadlock or lock wait runs the transaction again" },
    { name = "lock_wait", type = "int", default = 1, min = 1, max = 50,
      help = "seconds that a transaction waits for a row (innodb_lock_wait_timeout)" },
    { name = "reserve", type = "enum", values = { "none", "redis" }, default = "none",
      help = "redis: change the cached balance before the transaction, wrong on purpose (E-013)" },
    { name = "fallback", type = "enum", values = { "none", "redis" }, default = "none",
      help = "redis: what MySQL does not take is kept in a list there and answered 200, wrong on purpose \z
        (E-023)" },
    { name = "cache", type = "enum", values = { "none", "versioned", "plain", "queued" }, default = "none",
      help = "whether an entry is written to the account's one in Redis: unless a newer one is there; or \z
        whatever is there, wrong on purpose (E-031), and, queued, where Redis does not take it, when it \z
        answers again (E-023)" },
    { name = "versions", type = "enum", values = { "counter", "clock" }, default = "counter",
      help = "of an account: one more with each entry, or the wall clock's ms, wrong on purpose (E-031)" },
    { name = "repeats", type = "enum", values = { "answered", "looked-up", "refused", "unread" },
      default = "answered",
      help = "what becomes of a request id that was used: answered by what is stored, says the unique key; \z
        wrong on purpose (E-025): looked up before the transaction, refused with 409, answered whatever \z
        the body says" },
    { name = "request_scope", type = "enum", values = { "all", "account" }, default = "all",
      help = "whose request ids are unique: of all callers, or of an account, which wants the unique key \z
        (account_id, request_id)" },
    { name = "prefix", type = "string", default = "",
      help = "of the keys in Redis, for reserve, fallback and cache" },
  },
  start = function(ctx)
    ctx.pool = store.pool(ctx, {
      size = ctx.config.pool, wait = ctx.config.pool_wait,
      read_timeout = math.max(3, ctx.config.lock_wait + 1),
      session = { "SET SESSION innodb_lock_wait_timeout = " .. ctx.config.lock_wait },
    })
    accounts.install(ctx)
    entries.install(ctx)
    ctx:hold()
  end,
}
