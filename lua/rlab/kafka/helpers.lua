-- Methods of producers that are written in Lua; the module rlab.kafka installs them.
local err = require "rlab.err"
local sleep = require("rlab.core.task").sleep

local RETRIES, PAUSE = 100, 0.05
local CLOSE_WITHIN = "5s"

-- retried(f, p) -> true | nil, err. commit and abort use up their own time limit; what comes back sooner
--   and may be retried is.
local function retried(f, p)
  local ok, e
  for _ = 1, RETRIES do
    ok, e = f(p)
    if ok or not e.retriable or e.name == "_TIMED_OUT" then return ok, e end
    sleep(PAUSE)
  end
  return ok, e
end

-- p:send_batch(list [, at_most]) -> deliveries: submitted, and waited for
local function send_batch(p, list, at_most)
  local deliveries = p:submit(list)
  deliveries:wait(at_most)
  return deliveries
end

-- give_up(p, cause) -> nil, err. What the world did is returned, a script's own error goes on its way.
local function give_up(p, cause)
  local is_err = err.is(cause)
  if not (is_err and cause.fatal) then
    local ok, e = retried(p.abort, p)
    if not ok and is_err then cause.abort_error = e end
    if not ok and e.fatal then return nil, e end
  end
  if is_err and cause.name ~= "CANCELLED" and cause.name ~= "INTERRUPTED" then return nil, cause end
  error(cause, 0)
end

-- p:transaction(f) -> true, f's results | nil, err
-- f(p) sends and may return nil, err to give up. Retriable errors of commit are retried; an abortable one
-- aborts and the producer is as good as before; after a fatal one (err.fatal) it is dead and a new one must
-- be made.
local function transaction(p, f)
  local ok, e = p:begin()
  if not ok then return nil, e end
  local results = table.pack(pcall(f, p))
  if not results[1] then return give_up(p, results[2]) end
  if not results[2] and err.is(results[3]) then return give_up(p, results[3]) end
  ok, e = retried(p.commit, p)
  if ok then return true, table.unpack(results, 2, results.n) end
  if e.abortable then return give_up(p, e) end
  return nil, e
end

-- finish(p, options): what is under way gets a moment; an open transaction is aborted, else others would
-- wait for its timeout
local function finish(p, options)
  local at_most = options.at_most or CLOSE_WITHIN
  p:stop_calls()
  if p:in_transaction() and options.abort ~= false then
    p:abort(at_most)
  elseif p:pending() > 0 then
    p:flush(at_most)
  end
end

return function(producer)
  local methods, close = producer.__index, producer.__close
  if methods.send_batch then return end -- the module was required again: its close is ours already
  methods.send_batch = send_batch
  methods.transaction = transaction

  -- p:close{ at_most="5s", abort=true }
  function methods.close(p, options)
    if p:is_open() then finish(p, options or {}) end
    return close(p)
  end

  function producer.__close(p)
    return methods.close(p)
  end
end
