-- A schedule: the faults of one trial, each a term. On a failpoint {service, point, act, hit, times, only}:
-- from the hit-th time on that this service comes there, so often (once), and of one thing alone with only =
-- "account=3"; with act = "hang" it stands still there for `delay`, then its process is killed. On the wire
-- {wire = "kafka" | "mysql" | "redis", api = or statement =, act, nth, delay}: the nth such request; with act
-- = "kill" that process is killed while it is on its way.
local err = require "rlab.err"
local fail = require "rlab.fail"
local options = require "rlab.options"

local M = {}

local function expression(term, act)
  return ("%s#%d %s%s"):format(term.times and term.times .. "*" or "", term.hit, act,
    term.only and " if " .. term.only or "")
end

-- expr(term) -> what arms the failpoint: "#3 kill", "8*#3 sleep(300ms)", "#2 sleep(1s) if account=3"
function M.expr(term)
  return expression(term, term.act == "hang" and "pause" or term.act)
end

local HANG = "2s"

-- hangs_for(term) -> how long who hangs there does
function M.hangs_for(term) return term.delay or HANG end

-- is_many(term) -> whether it is of many hits, of which a run may have fewer
function M.is_many(term) return term.times ~= nil end

-- place(term) -> what is hit, in words that are the same for every number and delay
function M.place(term)
  if not term.wire then return ("%s %s"):format(term.service, term.point) end
  return ("%s %s"):format(term.wire, term.api or term.statement)
end

-- action(term) -> its kind of act: "sleep" of "sleep(1s)"
function M.action(term)
  return term.act:match "^[%w-]+"
end

-- says(term) -> "consumer: consumer.in_tx #3 kill", "kafka: EndTxn no. 1 late 500ms"
function M.says(term)
  if not term.wire then
    local act = term.act == "hang" and "hang " .. M.hangs_for(term) or term.act
    return ("%s: %s %s"):format(term.service, term.point, expression(term, act))
  end
  local more = term.delay or term.service
  return ("%s: %s no. %d %s%s"):format(term.wire, term.api or term.statement, term.nth, term.act,
    more and " " .. more or "")
end

-- words(schedule) -> all of them in one line
function M.words(schedule)
  local list = {}
  for i, term in ipairs(schedule) do list[i] = M.says(term) end
  return list[1] and table.concat(list, " + ") or "no fault at all"
end

-- of_service(schedule, name) -> {point = expr} of what that service is armed with
function M.of_service(schedule, name)
  local list = {}
  for _, term in ipairs(schedule) do
    if term.service == name and term.point then
      list[term.point] = (list[term.point] and list[term.point] .. " -> " or "") .. M.expr(term)
    end
  end
  return list
end

-- ---- as it stands in a file ----

local ORDER = { "service", "point", "hit", "times", "only", "wire", "api", "statement", "nth", "act",
  "delay" }

-- text(term) -> it as a table of Lua, in one line
function M.text(term)
  local parts = {}
  for _, key in ipairs(ORDER) do
    local value = term[key]
    if value ~= nil then
      parts[#parts + 1] = ("%s = %s"):format(key, type(value) == "string" and ("%q"):format(value) or value)
    end
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function wrong(fmt, ...)
  error(err.new { domain = "rlab", code = 0, name = "SCRIPT", message = fmt:format(...) }, 0)
end

local function whole(term, key, i)
  local n = math.tointeger(term[key])
  if not n or n < 1 then wrong("faults, %d: %s is a whole number from 1, not %s", i, key, tostring(n)) end
end

local function check_point(term, i)
  if not term.service then wrong("faults, %d: which service comes to %s?", i, tostring(term.point)) end
  whole(term, "hit", i)
  if term.times then whole(term, "times", i) end
  local _, failure = fail.explain(M.expr(term))
  if failure then wrong("faults, %d: %s", i, failure.message) end
end

-- check(schedule) -> schedule; raises what is wrong in one that somebody wrote
function M.check(schedule)
  for i, term in ipairs(schedule) do
    for key in pairs(term) do
      options.check("faults, " .. i, { [key] = true }, ORDER)
    end
    if type(term.act) ~= "string" then wrong("faults, %d: it says no act", i) end
    if term.wire then whole(term, "nth", i) elseif term.point then check_point(term, i) else
      wrong("faults, %d: it is at a point of a service, or on the wire", i)
    end
  end
  return schedule
end

return M
