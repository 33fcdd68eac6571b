-- A client that repeats its commands, and the ledger that it finds afterwards. Some answers are lost behind
-- the service; some repeats come while the first attempt stands still before its COMMIT; some request ids are
-- used again for another command, or by another tenant. What was written is read from the ledger's rows.
local held = require "rlab.story.race.held"
local http = require "rlab.http"
local json = require "rlab.json"
local must = require "rlab.must"

local M = {}

local POINT, PATIENT, SECONDS = "cmd.before_commit", "60s", 50
local REUSED_BY = 1000 -- cents more than the command whose id it is: no other command has such an amount

-- Of which parts the day is made, in its order; each command is called after its part.
local PARTS = { { "plain", 10 }, { "unheard", 10 }, { "in-flight", 5 }, { "reused", 5 },
  { "other-tenant", 5 } }

-- names(part) -> those of its commands, "unheard-01", ...
function M.names(part)
  local list = {}
  for _, one in ipairs(PARTS) do
    for i = 1, one[1] == part and one[2] or 0 do list[i] = ("%s-%02d"):format(part, i) end
  end
  return list
end

-- plan(lab, accounts) -> { [part] = commands {name, id, account, amount} }: the first tenant has the accounts
--   1 to n, the second one the n behind them
function M.plan(lab, accounts)
  local count, of = 0, {}
  for _, part in ipairs(PARTS) do count = count + part[2] end
  local list = lab:plan(count, accounts)
  for _, part in ipairs(PARTS) do
    of[part[1]] = {}
    for i, name in ipairs(M.names(part[1])) do
      local one = table.remove(list, 1)
      one.id, one.name = name, name
      of[part[1]][i] = one
    end
  end
  for i, one in ipairs(of.reused) do
    local first = of.plain[i]
    one.id, one.account, one.amount = first.id, first.account, first.amount + REUSED_BY
  end
  for i, one in ipairs(of["other-tenant"]) do
    one.id, one.account = of.plain[#of.reused + i].id, one.account + accounts
  end
  return of
end

local NO_KEY = "ALTER TABLE ledger_entry DROP KEY request_id, ADD KEY request_id (request_id)"
local KEY_OF_AN_ACCOUNT =
  "ALTER TABLE ledger_entry DROP KEY request_id, ADD UNIQUE KEY request_id (account_id, request_id)"

-- open(lab, settings) -> client: the service as in settings and the ledger with their unique key: none where
--   ids are looked up, of all callers or of an account
function M.open(lab, settings)
  if settings.repeats == "looked-up" then
    must(lab:db():exec(NO_KEY))
  elseif settings.scope == "account" then
    must(lab:db():exec(KEY_OF_AN_ACCOUNT))
  end
  lab:gauge(function(row) row["ledger.rows"] = lab:db():value "SELECT COUNT(*) FROM ledger_entry" end)
  local service = lab:service("command", { topic = "none", repeats = settings.repeats,
    request_scope = settings.scope, deadline = PATIENT, lock_wait = SECONDS })
  return { lab = lab, service = service, front = lab:front(service), fresh = settings.ids == "of-attempt",
    heard = {}, issued = 0 }
end

-- ---- the client ----

-- One attempt -> whether it heard anything. A client whose id is the attempt's has a new one for each.
local function attempt(client, command, n, url)
  local id = client.fresh and ("%s/%d"):format(command.name, n) or command.id
  local body = { request_id = id, amount = command.amount }
  local operation = client.lab:invoke("client", "entry", { id = id, account = command.account,
    amount = command.amount })
  client.issued = client.issued + 1
  local answer, failure = http.post(("%s/accounts/%d/entries"):format(url, command.account), body,
    { timeout = PATIENT })
  if not answer then
    operation:over("info", tostring(failure))
    return false
  end
  local said = json.decode(answer.body) or {}
  client.heard[#client.heard + 1] = { id = command.name, status = answer.status, event = said.event_id }
  operation:over(answer.status < 300 and "ok" or "fail", ("HTTP %d"):format(answer.status))
  return true
end

-- once(client, commands): each is sent, and answered
function M.once(client, commands)
  for _, command in ipairs(commands) do attempt(client, command, 1, client.service.url) end
end

-- unheard(client, commands): the service does what they say and its answers are lost; then each is repeated
function M.unheard(client, commands)
  local lab, n = client.lab, #commands
  local fault = lab:fault(("the answers to %d commands are lost"):format(n)):started()
  local passed = client.front:deaf(n, function(i)
    return attempt(client, commands[i], 1, client.front.url)
  end)
  fault:fired(passed, lab.proof.rows("rows of them", { want = n,
    sql = "SELECT COUNT(*) FROM ledger_entry WHERE request_id LIKE 'unheard-%'" })):over()
  for _, command in ipairs(commands) do attempt(client, command, 2, client.front.url) end
end

-- in_flight(client, commands): each is repeated while its first attempt stands still before its COMMIT, and
--   the repeat waits for the account's row
function M.in_flight(client, commands)
  local lab, proofs = client.lab, {}
  local fault = lab:fault(("%d repeats come while the first is in flight"):format(#commands))
  for i, command in ipairs(commands) do
    local again
    held(lab, client.service, POINT, "key=" .. command.account, function()
      attempt(client, command, 1, client.service.url)
    end, function()
      again = lab:background("the repeat of " .. command.name,
        function() attempt(client, command, 2, client.service.url) end)
      proofs[i] = lab.proof.lock_wait(lab:await("the repeat to wait for its account",
        function() return lab:lock_waiter() end))
    end)
    again:join()
  end
  fault:fired(table.unpack(proofs)):over()
end

-- ---- what it finds ----

-- The command that a row was written for, by what is said in both: ids alone are not to be trusted here.
local function named(commands)
  local name_of = {}
  local function key(id, account, amount)
    return ("%s %d %d"):format(id:match "^[^/]*", account, amount)
  end
  for _, part in pairs(commands) do
    for _, one in ipairs(part) do
      name_of[key(one.id, one.account, one.amount)] = one.name
      name_of[key(one.name, one.account, one.amount)] = one.name
    end
  end
  return function(row) return name_of[key(row.request, row.account, row.amount)] or row.request end
end

local LEDGER = [[SELECT CAST(request_id AS CHAR) AS request, account_id AS account, amount,
  BIN_TO_UUID(event_id) AS event FROM ledger_entry ORDER BY id]]

-- look(client, commands) -> {rows = {id, event, amount}, oldest first, ok = names that were answered with
--   success, refused = names that were not, unlike = names of answers that do not tell of the first row of
--   their command, account = sum of the balances}
function M.look(client, commands)
  local db, name_of, first = client.lab:db(), named(commands), {}
  local seen = { rows = {}, ok = {}, refused = {}, unlike = {}, heard = client.heard }
  for i, row in ipairs(must(db:query(LEDGER))) do
    local name = name_of(row)
    seen.rows[i] = { id = name, event = row.event, amount = row.amount }
    first[name] = first[name] or row.event
  end
  for _, answer in ipairs(client.heard) do
    local good = answer.status < 300
    table.insert(good and seen.ok or seen.refused, answer.id)
    local known = good and first[answer.id]
    if known and answer.event ~= known then table.insert(seen.unlike, answer.id) end
  end
  seen.account = must(db:value "SELECT CAST(SUM(balance) AS SIGNED) FROM account")
  return seen
end

return M
