-- command: entries. The same request id gets the same answer, whoever was first: the ledger's unique key
-- decides, and 1062 reads what is stored.
local answers = require "service.command.answers"
local cache = require "rlab.cache"
local cached = require "service.command.cached"
local clock = require "rlab.clock"
local defer = require "rlab.defer"
local err = require "rlab.err"
local fail = require "rlab.fail"
local fallback = require "service.command.fallback"
local hdr = require "rlab.hdr"
local http = require "rlab.http"
local json = require "rlab.json"
local publish = require "service.command.publish"
local meters = require "rlab.service.meters"
local redis = require "rlab.redis"
local store = require "rlab.service.store"
local task = require "rlab.task"
local units = require "rlab.units"
local usage = require "rlab.usage" "service command: "
local uuid = require "rlab.uuid"

local M = {}

local REQUEST_ID_MAX = 128
local ENTRY_KEYS = { request_id = true, amount = true }

-- ---- the request ----

local function request_id(req, body)
  local header, field = req.headers["idempotency-key"], body.request_id
  if field ~= nil and type(field) ~= "string" then answers.refuse(400, "request_id is a text") end
  if header and field and header ~= field then
    answers.refuse(400, "the header Idempotency-Key and request_id differ")
  end
  local id = header or field
  if not id or id == "" then
    answers.refuse(400, "an entry needs a request id: the header Idempotency-Key or the field request_id")
  end
  if #id > REQUEST_ID_MAX or id:find "%c" then
    answers.refuse(400, "a request id has at most %d bytes and no control characters", REQUEST_ID_MAX)
  end
  if not utf8.len(id) then answers.refuse(400, "a request id is UTF-8") end
  return id
end

local function read_command(req)
  local account = answers.account(req.params.id)
  local body = answers.body(req, ENTRY_KEYS)
  if body.amount == nil then
    answers.refuse(400, "amount is missing: a whole number of cents, negative for a withdrawal")
  end
  if math.type(body.amount) ~= "integer" or body.amount == 0 then
    answers.refuse(400, "amount is a whole number of cents, not 0, that fits into 64 bits")
  end
  return { account_id = account, amount = body.amount, request_id = request_id(req, body),
    event_id = uuid.v7() }
end

-- ---- the transaction ----

-- -> value of a `return`, err
local function at_point(name, command)
  return fail.point(name, { id = command.event_id, request = command.request_id,
    key = tostring(command.account_id), amount = command.amount })
end

local function point(name, command)
  local _, failure = at_point(name, command)
  return failure
end

-- A wall clock may go back, or stand behind another host's.
local function version_of(state, command, row)
  if state.ctx.config.versions == "counter" then return row.version + 1 end
  local ahead = at_point("cmd.clock", command)
  return clock.unix_ms() + (math.tointeger(ahead) or 0)
end

local function event_of(state, command, row)
  local event = {
    event_id = command.event_id, request_id = command.request_id, account_id = command.account_id,
    amount = command.amount,
    balance = row.balance + command.amount, version = version_of(state, command, row),
  }
  event.payload = json.encode { event_id = event.event_id, account_id = event.account_id,
    amount = event.amount, balance = event.balance,
    version = event.version, request_id = event.request_id, type = "entry", at = clock.iso() }
  return event
end

local insert_ledger = [[INSERT INTO ledger_entry (event_id, request_id, account_id, amount, balance, version)
  VALUES (UUID_TO_BIN(?), ?, ?, ?, ?, ?)]]
local insert_outbox = [[INSERT INTO outbox_event (event_id, shard, message_key, payload, headers)
  VALUES (UUID_TO_BIN(?), CRC32(?) % 64, ?, ?, ?)]]

local function write(db, event, outbox)
  local done, failure = db:exec(insert_ledger, event.event_id, event.request_id, event.account_id,
    event.amount, event.balance, event.version)
  if not done then return nil, failure end
  done, failure = db:exec("UPDATE account SET balance = ?, version = ? WHERE id = ?", event.balance,
    event.version, event.account_id)
  if not done or not outbox then return done, failure end
  local key = tostring(event.account_id)
  return db:exec(insert_outbox, event.event_id, key, key, event.payload,
    json.encode(json.array { json.array { "request-id", event.request_id } }))
end

-- What happens inside the transaction, up to its commit -> event | nil, err; UNKNOWN_ACCOUNT and OVERFLOW
-- are the caller's mistakes
local function body_of(state, db, command)
  local rows, failure = db:query("SELECT balance, version FROM account WHERE id = ? FOR UPDATE",
    command.account_id)
  if not rows then return nil, failure end
  if not rows[1] then
    return nil, err.new { domain = "rlab", code = 404, name = "UNKNOWN_ACCOUNT",
      message = "there is no account " .. command.account_id }
  end
  if not units.add(rows[1].balance, command.amount) then
    return nil, err.new { domain = "rlab", code = 422, name = "OVERFLOW",
      message = "the balance would not fit into 64 bits" }
  end
  local event = event_of(state, command, rows[1])
  local _, why = write(db, event, state.mode == "outbox")
  if not why and state.mode == "direct-before-commit" then _, why = state.publisher:send(event) end
  why = why or point("cmd.before_commit", command)
  if why then return nil, why end
  return event
end

local stored_entry = [[SELECT BIN_TO_UUID(event_id) AS event_id, account_id, amount, balance, version
  FROM ledger_entry WHERE request_id = ?]]

local function stored(state, db, command)
  local sql, args = stored_entry, { command.request_id }
  if state.ctx.config.request_scope == "account" then
    sql, args[2] = sql .. " AND account_id = ?", command.account_id
  end
  local rows, failure = db:query(sql, table.unpack(args))
  if not rows then return nil, failure end
  local row = rows[1]
  if row then row.request_id, row.replayed = command.request_id, true end
  return row
end

local function used(command)
  return err.new { domain = "rlab", code = 409, name = "USED",
    message = ("the request id '%s' was used"):format(command.request_id) }
end

-- -> event, new or as it is stored | nil, err
local function transact(committing, state, command)
  return state.ctx.pool:with(function(db)
    if state.ctx.config.repeats == "looked-up" then
      local found, why = stored(state, db, command)
      if found or why then return found, why end
    end
    local event, failure = db:tx(function()
      committing.begun = false
      local event, why = body_of(state, db, command)
      committing.begun = event ~= nil
      return event, why
    end, { retries = state.ctx.config.retries })
    if event or failure.name ~= "ER_DUP_ENTRY" then return event, failure end
    if state.ctx.config.repeats == "refused" then return nil, used(command) end
    local found, why = stored(state, db, command)
    return found, why or (not found and failure or nil)
  end)
end

-- ---- the answer ----

local function demand_same(event, command)
  if event.account_id ~= command.account_id or event.amount ~= command.amount then
    answers.refuse(422, "the request id '%s' was used for another command", command.request_id)
  end
end

local function answer_of(event)
  local body = { event_id = event.event_id, request_id = event.request_id, account_id = event.account_id,
    amount = event.amount,
    balance = event.balance, version = event.version }
  return http.json(body, 201, event.replayed and { ["idempotent-replayed"] = "true" } or nil)
end

local mistakes = { UNKNOWN_ACCOUNT = true, OVERFLOW = true, USED = true }

local function refuse_mistake(failure)
  if err.is(failure) and mistakes[failure.name] then
    answers.refuse(failure.code, failure.message)
  end
  error(failure, 0)
end

-- What remains to be done once the answer has been written: W1 sends only now, and takes no other command
-- before it has the report.
local function after_reply(state, command, event)
  return function()
    local _ <close> = defer(function() state:release() end)
    point("cmd.after_reply", command)
    if state.mode ~= "direct-after-commit" or event.replayed then return end
    local report, failure = state.publisher:send(event)
    if not report then
      state.ctx.log.error("the event was not sent", { id = event.event_id, error = tostring(failure) })
    end
  end
end

local function reserve(state, command)
  if not state.redis then return end
  local r <close> = state.redis()
  local _, failure = cache.reserve(r, state.ctx.config.prefix, command.account_id, -command.amount)
  if failure then error(failure, 0) end
end

local function run(state, command)
  reserve(state, command)
  local began = clock.ns()
  local event, failure = answers.within(state.ctx, transact, state, command)
  if not event and state.fallback and store.away(failure) then
    return state.fallback:keep(command), { replayed = true }
  end
  if not event then refuse_mistake(failure) end
  state.took:record(clock.ns() - began)
  if state.ctx.config.repeats ~= "unread" then demand_same(event, command) end
  local answer, outcome = answer_of(event), event.replayed and "replayed" or "new"
  state.counts[outcome] = state.counts[outcome] + 1
  if event.replayed then return answer, event end
  failure = point("cmd.after_commit", command)
  if failure then error(failure, 0) end
  if state.cached then state.cached:put(event) end
  if state.mode == "direct-queued" or state.mode == "direct-unwatched" then state.publisher:queue(event) end
  return answer, event
end

local function enter(state, req)
  local command = read_command(req)
  state:acquire()
  local ok, answer, event = pcall(run, state, command)
  if not ok then
    state:release()
    error(answer, 0)
  end
  answer.after = after_reply(state, command, event)
  return answer
end

-- ---- state ----

local State = {}
State.__index = State

local function wait_for_turn(state)
  while state.running > 0 do state.freed:wait() end
  return true
end

-- In the mode that sends after its reply one command runs at a time; in the others acquire only counts, so
-- that draining waits for what follows a reply.
function State:acquire()
  while self.mode == "direct-after-commit" and self.running > 0 do
    local turn, failure = task.timeout(self.ctx.config.deadline, wait_for_turn, self)
    if not turn then
      failure.message = "the command before it still waits for its delivery report"
      error(failure, 0)
    end
  end
  self.running = self.running + 1
end

function State:release()
  self.running = self.running - 1
  self.freed:set(true)
end

local function metrics(state)
  local list = state.publisher and state.publisher:metrics() or {}
  for _, outcome in ipairs { "new", "replayed" } do
    list[#list + 1] = { name = "rlab_command_entries_total", type = "counter",
      help = "Entries answered with success, by whether they were new.",
      labels = { outcome = outcome }, value = state.counts[outcome] }
  end
  if state.cached then list[#list + 1] = state.cached:metric() end
  list[#list + 1] = { name = "rlab_command_transaction_seconds", type = "histogram",
    help = "From waiting for a connection to the end of the commit.",
    hdr = state.took, scale = 1e-9 }
  list[#list + 1] = { name = "rlab_command_pool_connections", type = "gauge",
    help = "Connections to MySQL that are open.", value = state.ctx.pool.count }
  local pool = state.ctx.pool
  meters.connections(list, state.ctx, { idle = #pool.idle, used = pool.count - #pool.idle, max = pool.size,
    pending = pool.waiting, timeouts = pool.timeouts })
  return list
end

-- -> how an option gets the one Redis that it needs
local function connect_redis(ctx, option, timeout)
  if ctx.redis.nodes then
    usage("%s = %s needs one Redis, not a Redis Cluster", option, ctx.config[option])
  end
  return function()
    local at = { timeout = timeout, connect_timeout = timeout }
    for key, value in pairs(ctx.redis) do at[key] = value end
    local r, failure = redis.connect(at)
    if not r then error(failure, 0) end
    return r
  end
end

-- install(ctx): the route, and what the mode needs
function M.install(ctx)
  local mode = ctx.config.mode
  local state = setmetatable({ ctx = ctx, mode = mode, running = 0, freed = task.event(),
    counts = { new = 0, replayed = 0 },
    took = hdr.new { highest = 60000000000, digits = 2 } }, State)
  ctx:on_drain(function()
    while state.running > 0 do state.freed:wait() end
  end)
  if mode ~= "outbox" then state.publisher = publish.new(ctx) end
  if ctx.config.reserve == "redis" then state.redis = connect_redis(ctx, "reserve", "1s") end
  if ctx.config.cache ~= "none" then state.cached = cached.new(ctx, connect_redis(ctx, "cache", "50ms")) end
  if ctx.config.fallback == "redis" then
    state.fallback = fallback.new(ctx, connect_redis(ctx, "fallback", "1s"),
      function(command) return answers.within(ctx, transact, state, command) end)
  end
  ctx:metrics(function() return metrics(state) end)
  ctx:route("POST", "/accounts/{id}/entries",
    answers.guarded(ctx, function(req) return enter(state, req) end))
end

return M
