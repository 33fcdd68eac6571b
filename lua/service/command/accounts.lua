-- command: accounts.
local answers = require "service.command.answers"
local http = require "rlab.http"
local must = require "rlab.must"
local units = require "rlab.units"

local M = {}

local ID_ATTEMPTS = 20

-- -> the next id, nil behind the last there is
local function new_id(db)
  return units.add(must(db:row "SELECT COALESCE(MAX(id), 0) AS id FROM account").id, 1)
end

-- Whoever asks for the next id races with others who do.
local function insert(db, id)
  for _ = 1, id and 1 or ID_ATTEMPTS do
    local wanted = id or new_id(db)
    if not wanted then return false, "an account has the highest id there is: name a lower one" end
    local done, failure = db:exec("INSERT INTO account (id) VALUES (?)", wanted)
    if done then return wanted end
    if failure.name ~= "ER_DUP_ENTRY" then return nil, failure end
    if id then return false end
  end
  return false
end

local function create(ctx, req)
  local body = req.body == "" and {} or answers.body(req, { id = true })
  local id = body.id
  if id ~= nil and (math.type(id) ~= "integer" or id < 1) then
    answers.refuse(400, "id is a whole number, 1 or more")
  end
  local made, failure = answers.within(ctx,
    function() return ctx.pool:with(function(db) return insert(db, id) end) end)
  if made == nil then error(failure, 0) end
  if not made then
    answers.refuse(409, "%s", failure or ("account %s exists"):format(id or "of the next id"))
  end
  return http.json({ id = made, balance = 0, version = 0 }, 201, { location = "/accounts/" .. made })
end

local function read(ctx, req)
  local id = answers.account(req.params.id)
  local rows, failure = answers.within(ctx, function() return ctx.pool:query(
    "SELECT id, balance, version FROM account WHERE id = ?", id) end)
  if not rows then error(failure, 0) end
  local row = rows[1]
  if not row then answers.refuse(404, "there is no account %d", id) end
  return http.json { id = row.id, balance = row.balance, version = row.version }
end

-- install(ctx): the routes
function M.install(ctx)
  ctx:route("POST", "/accounts", answers.guarded(ctx, function(req) return create(ctx, req) end))
  ctx:route("GET", "/accounts/{id}", answers.guarded(ctx, function(req) return read(ctx, req) end))
end

return M
