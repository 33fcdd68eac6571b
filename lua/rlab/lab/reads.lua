-- What readers got: how long an entry took until it could be seen, and how old the answers of a query service
-- were, judged by the times at which MySQL says that each version was applied.
local clock = require "rlab.clock"
local json = require "rlab.json"
local must = require "rlab.must"

local M = {}

-- delays() -> ms from each ledger row to its effect
function M.delays(lab)
  local list = {}
  local rows = must(lab:db():query "SELECT TIMESTAMPDIFF(MICROSECOND, l.created_at, e.at) AS us \z
    FROM ledger_entry l JOIN effect_log e USING (event_id)")
  for i, row in ipairs(rows) do list[i] = row.us / 1000 end
  return list
end

-- When each version of an account was applied, in ms since 1970.
local function applied_at(lab)
  local at = {}
  for _, row in ipairs(must(lab:db():query "SELECT account_id, version, CAST(UNIX_TIMESTAMP(at) * 1000000 \z
    AS SIGNED) AS us FROM effect_log")) do
    at[row.account_id] = at[row.account_id] or {}
    at[row.account_id][row.version] = row.us / 1000
  end
  return at
end

-- staleness(rows) -> ms by which each answer was old: how long the next version had been there when the
--   request began; and the share of answers that came from the cache. rows: of a load on a query service.
function M.staleness(lab, rows)
  local applied, ages, hits = applied_at(lab), {}, 0
  local offset = clock.unix_ms() - clock.ns() / 1e6
  for _, row in ipairs(rows) do
    if row.status == 200 then
      local answer = json.decode(row.body)
      local newer = (applied[answer.account_id] or {})[answer.version + 1]
      ages[#ages + 1] = newer and math.max(0, row.started / 1e6 + offset - newer) or 0
      hits = hits + (answer.source == "cache" and 1 or 0)
    end
  end
  return ages, #ages > 0 and hits / #ages or 0
end

-- percentiles(name, values, {50, 99}, unit): numbers "name, p50", "name, p99" of a list
function M.percentiles(lab, name, values, list, unit)
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  for _, p in ipairs(list) do
    lab:number(("%s, p%d"):format(name, p), sorted[math.max(1, math.ceil(#sorted * p / 100))], unit)
  end
end

return M
