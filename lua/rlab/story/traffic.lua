-- Live events beside a story: deposits to some accounts in turns, written to the ledger and sent to the arm's
-- topic, and how long they take from there to the view.
local must = require "rlab.must"
local task = require "rlab.task"

local M = {}

-- watch_lag(lab, list): the live lag as a series of the report, and its values in the list; twice a
--   second, for many arms beside each other would ask the brokers more than they do otherwise
function M.watch_lag(lab, list)
  local turn = 0
  lab:gauge(function(row)
    turn = turn + 1
    row.lag = turn % 5 == 1 and lab:lag { admin = lab.run:watcher() } or nil
    list[#list + 1] = row.lag
  end)
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

-- traffic:stop() -> ids of all that was deposited: goes on until each account has been changed once more, so
--   that no older write hides behind what overtook it
function Traffic:stop()
  local last = self.turn + 2 * self.accounts
  self.lab:await("each live account to be changed again", function() return self.turn >= last end)
  self.over = true
  self.task:join()
  return self.ids
end

-- mark(lab) -> the time as MySQL has it
function M.mark(lab)
  return must(lab:db():value "SELECT CAST(NOW(6) AS CHAR)")
end

-- delay(lab, from, to, percent) -> ms from commit to view of live events between two marks: that percentile
function M.delay(lab, from, to, percent)
  local rows = must(lab:db():query([[SELECT TIMESTAMPDIFF(MICROSECOND, l.created_at, e.at) / 1000e0 AS ms
    FROM ledger_entry l JOIN effect_log e USING (event_id) WHERE l.request_id LIKE 'live-%'
    AND l.created_at >= ? AND l.created_at < ? ORDER BY ms]], from, to))
  return rows[1] and rows[math.ceil(#rows * percent / 100)].ms or nil
end

return M
