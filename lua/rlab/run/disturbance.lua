-- Disturbances: what this machine or somebody else did to a run that the lab had not planned, and the rule by
-- which they take a check its word. The runner and `rlab check` judge by it; rlab.run.heartbeat sees them.
-- A row is {what, kind, from, until, seconds, longest}: times in seconds of the arm, seconds of it that were
-- lost, and the longest stall of those that are one row.
local M = {}

-- A stop of a second is longer than anything here may be late by itself: sessions begin at 1 s.
local LONG = 1.0
-- Of a limit on time: a tenth is less than the room that any bound leaves.
local SHARE = 0.1
-- What was lost comes to the work once, and once more where another waited for it.
local TWICE = 2
-- Of the time that one waited for a processor: who waits longer than that goes on less than he stands still,
-- and misses heartbeats, sessions and timeouts of requests as one does that was stopped.
local MOSTLY = 0.5

local words = {
  stall = "%s stood still for %.2f s from t=%.2f s", stopped = "%s was stopped for %.2f s from t=%.2f s",
  starved = "%s waited %.2f s for a processor from t=%.2f s",
  gone = "%s was ended by somebody else, for %.2f s from t=%.2f s",
  rebalance = "%s gave partitions away, which nobody had planned (%.2f s) at t=%.2f s",
  ["session lost"] = "%s lost its session, which nobody had planned (%.2f s) at t=%.2f s",
}

local lost_time = { stall = true, stopped = true, starved = true }
local always = { gone = true, rebalance = true, ["session lost"] = true }

-- says(row) -> a sentence
function M.says(row)
  return words[row.kind]:format(row.what, row.seconds, row.from)
end

-- The one that lost most time, as a row of its own, and what all of them lost.
local function loser(rows)
  local lost, worst, all = {}, nil, 0
  for _, row in ipairs(rows) do
    if lost_time[row.kind] then
      all = all + row.seconds
      local sum = lost[row.what] or { what = row.what, kind = row.kind, from = row.from, seconds = 0 }
      sum.seconds, lost[row.what] = sum.seconds + row.seconds, sum
      if not worst or sum.seconds > worst.seconds then worst = sum end
    end
  end
  return worst, all
end

-- A debt's clock stood still while somebody waited for a processor, or rlab was a little late again and
-- again: that explains no debt.
local function stood_still(row, check)
  if (check.debt and row.longest or row.seconds) < LONG then return false end
  return row.kind ~= "starved" or not check.debt and row.seconds >= MOSTLY * (row["until"] - row.from)
end

-- What explains a check that is not as expected: every one by a long stop, or an event that changes who
-- works; a limit on time also by all that one of them lost, if that is a tenth of the limit, and all that was
-- lost can make up for what is beyond the limit (over_s, where that is known).
local function explanation(rows, check)
  for _, row in ipairs(rows) do
    if always[row.kind] or stood_still(row, check) then return row end
  end
  if not check.limit_s then return nil end
  local worst, all = loser(rows)
  local enough = worst and worst.seconds >= SHARE * check.limit_s and (check.over_s or 0) <= TWICE * all
  return enough and worst or nil
end

-- Of each row what lies within the window; what one lost is taken to be spread evenly over its row.
local function within(rows, window)
  local inside = {}
  for _, row in ipairs(rows or {}) do
    local from, to = math.max(row.from, window.from), math.min(row["until"], window.to)
    local length = row["until"] - row.from
    local lost = row.seconds * (length > 0 and (to - from) / length or 1)
    inside[#inside + 1] = from <= to and { what = row.what, kind = row.kind, from = from, ["until"] = to,
      seconds = lost, longest = row.longest and math.min(row.longest, lost) } or nil
  end
  return inside
end

-- The rows of an arm and of the setup that it shares.
local function rows_of(seen, shared)
  local rows = {}
  for _, source in ipairs { seen, type(shared) == "table" and shared or {} } do
    for _, row in ipairs(source.disturbances or {}) do rows[#rows + 1] = row end
  end
  return rows
end

-- of_wait(rows, window) -> "; but ...", where a disturbance explains why what the environment owed did not
--   come about within the window {from, to}, in seconds of the arm; else ""
function M.of_wait(rows, window)
  local row = window and explanation(within(rows, window), {})
  return row and "; but " .. M.says(row) or ""
end

-- judge(checks, seen, shared): a check that is not as expected, or a floor that was not reached, in an arm
--   with a disturbance that can explain it, becomes inconclusive and says so; one that is as expected stays.
--   check.limit_s: its limit on time,
--   over_s: how far beyond it; window {from, to}, in seconds of the arm: all that the check depends on
--   happened then, and nothing else explains it. seen, shared: what the arm and its setup saw, with their
--   `disturbances`.
function M.judge(checks, seen, shared)
  for _, check in ipairs(checks) do
    local open = check.expects and not check.as_expected and (check.floor or check.outcome ~= "inconclusive")
    local row = open and explanation(check.window and within(seen.disturbances, check.window)
      or rows_of(seen, shared), check)
    if row then
      check.reason = ("%s: %s; but %s"):format(check.name, check.sentence, M.says(row))
      check.outcome, check.sentence = "inconclusive", check.sentence .. "; but " .. M.says(row)
    end
  end
end

return M
