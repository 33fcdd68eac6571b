-- A hundred coupons and a desk that gives them out: a process with many workers, each of which has its own
-- connections, and one of five ways to take a coupon. The desk says nothing that is judged: what it gave out
-- stands in MySQL and Redis.
local fail = require "rlab.fail"
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local redis = require "rlab.redis"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local TABLES = {
  "CREATE TABLE coupon (remaining INT NOT NULL)",
  "CREATE TABLE coupon_issued (claim VARBINARY(32) NOT NULL PRIMARY KEY, user VARBINARY(32) NOT NULL, \z
    serial INT NOT NULL%s)",
}

-- open(lab, coupons, unique): so many coupons in MySQL and in Redis; unique: one for each user, says a key
function M.open(lab, coupons, unique)
  for _, sql in ipairs(TABLES) do must(lab:db():exec(sql:format(unique and ", UNIQUE KEY (user)" or ""))) end
  must(lab:db():exec("INSERT INTO coupon VALUES (?)", coupons))
  lab.run.ledger:add("keys", lab:prefix())
  must(lab:redis():call("SET", lab:prefix() .. "coupons", coupons))
end

-- watch(lab): how many have been given out so far, for the report
function M.watch(lab)
  local db = lab:db()
  lab:gauge(function(row) row["coupons.issued"] = db:value "SELECT COUNT(*) FROM coupon_issued" end)
end

-- look(lab) -> what was given out, rows {claim, user, serial}; what MySQL and Redis have left
function M.look(lab)
  local list = {}
  local rows = must(lab:db():query [[SELECT CAST(claim AS CHAR) AS claim, CAST(user AS CHAR) AS user, serial
    FROM coupon_issued ORDER BY serial, claim]])
  for i, row in ipairs(rows) do list[i] = { claim = row.claim, user = row.user, serial = row.serial } end
  return list, must(lab:db():value "SELECT remaining FROM coupon"),
    math.tointeger(tonumber(must(lab:redis():call("GET", lab:prefix() .. "coupons"))))
end

-- ---- the desk: one worker's view ----

local Worker = {}
Worker.__index = Worker

local TAKE = [[
local left = tonumber(redis.call('GET', KEYS[1]))
if left <= 0 then return 0 end
redis.call('DECR', KEYS[1])
return left]]

function Worker:call(...) return must(self.redis:call(...)) end

-- All stand here together when one coupon is left.
function Worker.before_take(_, claim)
  fail.point("desk.before_take", { last = claim.last and "yes" or "no" })
end

-- -> true | nil, err
function Worker:insert(claim, serial)
  local _, failure = fail.point("desk.before_insert", { broken = claim.broken and "yes" or "no" })
  if failure then return nil, failure end
  return self.db:exec("INSERT INTO coupon_issued VALUES (?, ?, ?)", claim.id, claim.user, serial)
end

-- -> the coupons that are left, before this one | 0 | nil, err
local function in_one_transaction(worker, claim)
  worker.transactions = worker.transactions + 1
  return worker.db:tx(function()
    local changed, failure =
      worker.db:exec "UPDATE coupon SET remaining = remaining - 1 WHERE remaining > 0"
    if not changed or changed.affected == 0 then return changed and 0, failure end
    local left = must(worker.db:value "SELECT remaining + 1 FROM coupon")
    local done, why = worker:insert(claim, worker.coupons + 1 - left)
    return done and left, why
  end, { retries = 20 })
end

local take = {}

take["get-then-decr"] = function(worker, claim)
  local left = tonumber(worker:call("GET", worker.key))
  if left <= 0 then return end
  worker:before_take(claim)
  worker:call("DECR", worker.key)
  if not worker:insert(claim, worker.coupons + 1 - left) then worker:call("INCR", worker.key) end
end

take["script-then-insert"] = function(worker, claim)
  worker:before_take(claim)
  local left = must(worker.script:call({ worker.key }, {}))
  if left > 0 then worker:insert(claim, worker.coupons + 1 - left) end
end

take["count-then-insert"] = function(worker, claim)
  local issued = must(worker.db:value "SELECT COUNT(*) FROM coupon_issued")
  if issued >= worker.coupons then return end
  worker:before_take(claim)
  worker:insert(claim, issued + 1)
end

take["one-transaction"] = function(worker, claim)
  worker:before_take(claim)
  in_one_transaction(worker, claim)
end

take["gate"] = function(worker, claim)
  worker:before_take(claim)
  if must(worker.script:call({ worker.key }, {})) == 0 then return end
  local left = in_one_transaction(worker, claim)
  if not left or left == 0 then worker:call("INCR", worker.key) end
end

-- ---- the desk: its day ----

local function open_worker(ctx)
  local at = tables.merged(ctx.mysql, { database = ctx.args.schema })
  local conn = must(redis.connect(ctx.redis))
  return setmetatable({ db = must(mysql.connect(at)), redis = conn, script = conn:script(TAKE),
    key = ctx.args.key, coupons = ctx.args.coupons, transactions = 0 }, Worker)
end

-- One after the other, until one coupon is left by the book that the practice goes by, or as many claims as
-- there are workers: a practice that loses coupons never comes to its last one, and is to be judged, too.
local function one_by_one(workers, claims, args)
  local left = args.book == "redis"
    and function(worker) return tonumber(worker:call("GET", worker.key)) end
    or function(worker)
      return args.coupons - must(worker.db:value "SELECT COUNT(*) FROM coupon_issued")
    end
  local i = 0
  while i < #claims - #workers and left(workers[i % #workers + 1]) > 1 do
    i = i + 1
    take[args.take](workers[i % #workers + 1], claims[i])
  end
  return i
end

-- f(worker) of all at once
local function at_once(workers, f)
  task.group(function(group)
    for _, worker in ipairs(workers) do group:spawn(f, worker) end
  end)
end

-- role(ctx): the desk. Its workers serve claims in turn while more than one coupon is left; then each has one
--   claim and all come to desk.before_take together; then the rest. It says "closed".
function M.role(ctx)
  local args, workers = ctx.args, {}
  for i = 1, args.workers do workers[i] = open_worker(ctx) end
  local claims, served = args.claims, one_by_one(workers, args.claims, args)
  local function next_claim()
    served = served + 1
    return claims[served]
  end
  at_once(workers, function(worker)
    local claim = next_claim()
    claim.last = true
    take[args.take](worker, claim)
  end)
  at_once(workers, function(worker)
    for claim in next_claim do take[args.take](worker, claim) end
  end)
  local transactions = 0
  for _, worker in ipairs(workers) do transactions = transactions + worker.transactions end
  ctx.say("closed", { served = math.min(served, #claims), transactions = transactions })
end

return M
