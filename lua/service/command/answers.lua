-- What the command service reads from requests and says in answers.
local err = require "rlab.err"
local http = require "rlab.http"
local json = require "rlab.json"
local store = require "rlab.service.store"
local task = require "rlab.task"
local options = require "rlab.options"
local tables = require "rlab.tables"
local units = require "rlab.units"

local M = {}

local refused = {}
refused.__index = refused

-- refuse(status, detail, ...): ends the handler with a problem
function M.refuse(status, detail, ...)
  error(setmetatable({ answer = http.problem(status, detail:format(...)) }, refused), 0)
end

-- guarded(ctx, handler): a handler whose refusals and errors become answers
function M.guarded(ctx, handler)
  return function(req)
    local ok, answer = xpcall(handler, function(failure)
      if getmetatable(failure) == refused or err.is(failure) then return failure end
      return debug.traceback(tostring(failure), 2)
    end, req)
    if ok then return answer end
    if getmetatable(answer) == refused then return answer.answer end
    return M.failed(ctx, answer)
  end
end

local servers = { mysql = "MySQL", kafka = "Kafka", redis = "Redis" }
local retry = { headers = { ["retry-after"] = "1" } }

-- failed(ctx, failure) -> answer: 503 where another time may do, else 500. A commit whose outcome nobody
--   knows is said to be so.
function M.failed(ctx, failure)
  if err.is(failure) and failure.unknown then
    return http.problem(503, "nobody knows whether it was done: repeat it with the same request id", retry)
  end
  if store.unmade(failure) then return http.problem(503, store.no_tables(ctx.mysql.database), retry) end
  if store.away(failure) then
    return http.problem(503, ("%s does not serve now: %s"):format(servers[failure.domain] or "the service",
      failure.message), retry)
  end
  ctx.log.error("a command failed", { error = tostring(failure) })
  return http.problem(500, err.is(failure) and failure.message or "the command failed; the log says why")
end

-- within(ctx, f, ...) -> the results of f | nil, err: a command has a deadline
function M.within(ctx, f, ...)
  local committing = {}
  local results = table.pack(task.timeout(ctx.config.deadline, f, committing, ...))
  local failure = results[2]
  if results[1] == nil and committing.begun and err.is(failure) and failure.name == "TIMEOUT" then
    failure.unknown = true
  end
  return table.unpack(results, 1, results.n)
end

-- body(req, {key = true}) -> the object; what is no object of these keys is refused
function M.body(req, keys)
  local value, failure = json.decode(req.body, { unique = true })
  if failure then M.refuse(400, "the body is no JSON: %s", failure.message) end
  if type(value) ~= "table" or json.is_array(value) or #value > 0 then
    M.refuse(400, "the body is to be a JSON object")
  end
  for key in pairs(value) do
    if not keys[key] then
      M.refuse(400, "unknown field '%s'%s", key, options.hint(key, tables.sorted_keys(keys)))
    end
  end
  return value
end

-- account(text) -> the id in a path
function M.account(text)
  local id = units.whole(text)
  if not id or id < 1 then
    M.refuse(400, "'%s' is no account id: a whole number of 64 bits, 1 or more", text)
  end
  return id
end

return M
