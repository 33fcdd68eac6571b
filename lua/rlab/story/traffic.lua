-- Live events beside a story: deposits to some accounts in turns, written to the ledger and sent to the arm's
-- topic, and how long they take from there to the view.
local must = require "rlab.must"
local mysql = require "rlab.mysql"
local null = require "rlab.null"
local task = require "rlab.task"

local M = {}

local SELDOM = 5 -- samples from one look to the next

-- mark(lab) -> the time as MySQL has it
function M.mark(lab)
  return must(lab:db():value "SELECT CAST(NOW(6) AS CHAR)")
end

-- The longest wait of those that came into the view since the last look or are still to come; the first one
-- that is still to come, and the last row.
local LOOK = [[SELECT CAST(MAX(TIMESTAMPDIFF(MICROSECOND, l.created_at, COALESCE(e.at, NOW(6)))) / 1000e0 AS
  DOUBLE) AS ms, MIN(IF(e.at IS NULL, l.id, NULL)) AS waiting, MAX(l.id) AS last, CAST(NOW(6) AS CHAR) AS now
  FROM ledger_entry l LEFT JOIN effect_log e USING (event_id) WHERE l.id > ? AND (e.at IS NULL OR e.at > ?)]]

local function some(value)
  if value ~= null then return value end
end

local function delays(lab)
  local db = lab:own(must(mysql.connect(lab.stack:mysql_opts { database = lab:schema() })))
  local past, since = must(db:value "SELECT COALESCE(MAX(id), 0) FROM ledger_entry"), M.mark(lab)
  return function()
    local row = db:row(LOOK, past, since)
    if not row then return nil end
    past, since = some(row.waiting) and row.waiting - 1 or some(row.last) or past, row.now
    return some(row.ms) or 0 -- nobody waits
  end
end

-- watch(lab, [lags]): the live lag, which is added to that list too, and the wait from commit to view as
--   series of the report, looked at twice a second
function M.watch(lab, lags)
  local delay = delays(lab)
  lab:gauge(function(row)
    row.lag, row["commit to view, ms.longest"] = lab:lag { admin = lab.run:watcher() }, delay()
    if lags then lags[#lags + 1] = row.lag end
  end, SELDOM)
end

local Traffic = {}
Traffic.__index = Traffic

-- start(lab, {accounts = 25, apart = 80, each = 2, every = "50ms"}) -> traffic: so many deposits at a time,
--   to the accounts 80, 160, ... in turns, as events of the topic, until it is stopped
function M.start(lab, opts)
  local traffic = setmetatable({ lab = lab, ids = {}, waiting = {}, turn = 0, accounts = opts.accounts,
    apart = opts.apart, rng = lab.rng:split "live", each = opts.each }, Traffic)
  traffic.task = lab:background("live traffic", function()
    while not traffic.over do
      traffic:round()
      task.sleep(opts.every)
    end
  end)
  return traffic
end

-- One list is written at a time: it is one transaction of the arm's connection.
local function send(traffic, list)
  traffic.lab:publish { list = list }
  for _, event in ipairs(list) do table.insert(traffic.ids, event.id) end
end

local function account_of(traffic, turn)
  return traffic.apart * (1 + (turn - 1) % traffic.accounts)
end

function Traffic:round()
  local list = {}
  for i = 1, self.each do
    self.turn = self.turn + 1
    list[i] = { id = ("live-%04d"):format(self.turn), amount = self.rng:int(1, 500),
      account = account_of(self, self.turn) }
  end
  send(self, list)
  for _, one in ipairs(self.waiting) do
    send(self, one.list)
    one.sent = true
  end
  self.waiting = {}
end

-- traffic:deposits(word, n, [account]): n more at once, named word-01, ...; to its accounts in turns, or to
--   that one
function Traffic:deposits(word, n, account)
  local one = { list = {} }
  for i = 1, n do
    one.list[i] = { id = ("%s-%02d"):format(word, i), account = account or account_of(self, i),
      amount = 10 + i }
  end
  table.insert(self.waiting, one)
  self.lab:await("the deposits " .. word, function() return one.sent end)
end

-- traffic:applied(n): so many more of them are in the view
function Traffic:applied(n)
  local lab = self.lab
  local function count() return must(lab:db():value "SELECT COUNT(*) FROM effect_log") end
  local due = count() + n
  lab:owed("applied", ("%d more live events in the view"):format(n), function()
    local left = due - count()
    return left <= 0, left
  end, "10s")
end

-- traffic:stop() -> ids of all that was deposited: each account is changed once more at its end, so that no
--   older write hides behind what overtook it
function Traffic:stop()
  self:deposits("last", self.accounts)
  self.over = true
  self.task:join()
  return self.ids
end

-- delay(lab, from, to, percent) -> ms from commit to view of live events between two marks: that percentile
function M.delay(lab, from, to, percent)
  local rows = must(lab:db():query([[SELECT TIMESTAMPDIFF(MICROSECOND, l.created_at, e.at) / 1000e0 AS ms
    FROM ledger_entry l JOIN effect_log e USING (event_id) WHERE l.request_id LIKE 'live-%'
    AND l.created_at >= ? AND l.created_at < ? ORDER BY ms]], from, to))
  return rows[1] and rows[math.ceil(#rows * percent / 100)].ms or nil
end

return M
