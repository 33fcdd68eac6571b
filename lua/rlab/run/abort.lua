-- Abort conditions: what ends a run before it does harm to a cluster that is also somebody else's. While a
-- condition is looked at the run goes on; once one is met every story under way is cancelled, what it did is
-- put back as at any end, and the run is inconclusive, with the condition and its value as the reason.
local clock = require "rlab.clock"
local defer = require "rlab.defer"
local err = require "rlab.err"
local options = require "rlab.options"
local task = require "rlab.task"
local units = require "rlab.units"

local M = {}

local EVERY = "500ms"

-- What is measured: its unit, and of what source it is a value.
local QUANTITIES = {
  ["under-replicated"] = { of = "cluster" }, ["isr"] = { of = "cluster" }, ["offline"] = { of = "cluster" },
  ["canary-lost"] = { of = "canary" }, ["canary-p99"] = { of = "canary", seconds = true },
}
M.NAMES = { "under-replicated", "isr", "offline", "canary-p99", "canary-lost" }

local compare = {
  [">"] = function(a, b) return a > b end, [">="] = function(a, b) return a >= b end,
  ["<"] = function(a, b) return a < b end, ["<="] = function(a, b) return a <= b end,
}

local function bound_of(quantity, text)
  if not quantity.seconds then return units.whole(text) end
  local ok, seconds = pcall(units.duration, text)
  return ok and text:find "%a$" and seconds or nil -- 500 without a unit would be seconds
end

-- "under-replicated>0 for 5s" -> its words
local function words_of(text)
  text = tostring(text)
  local head, lasts = text:match "^(.-)%s+for%s+(%S+)%s*$"
  local name, op, bound = (head or text):match "^%s*([%a%-%d]+)%s*([<>]=?)%s*(%S+)%s*$"
  return name, op, bound, lasts
end

-- of(text) -> condition {text, name, of, holds(value), lasts} | nil, what is wrong with it: NAME, one of
--   > >= < <=, a whole number or (canary-p99) a duration, and perhaps "for 5s"
function M.of(text)
  local name, op, bound_text, lasts_text = words_of(text)
  if not name then
    return nil, ("'%s' is no condition; write under-replicated>0 or isr<2 for 5s"):format(tostring(text))
  end
  local quantity = QUANTITIES[name]
  if not quantity then
    return nil, ("nothing is called '%s'; %s"):format(name, options.advice(name, M.NAMES))
  end
  local bound, lasts = bound_of(quantity, bound_text), 0
  if not bound then
    return nil, ("%s is held against %s, not '%s'"):format(name,
      quantity.seconds and "a duration such as 500ms" or "a whole number", bound_text)
  end
  if lasts_text then
    local ok, seconds = pcall(units.duration, lasts_text)
    if not ok then return nil, ("'for' takes a duration such as 5s, not '%s'"):format(lasts_text) end
    lasts = seconds
  end
  return { text = text, name = name, of = quantity.of, seconds = quantity.seconds, lasts = lasts,
    holds = function(value) return compare[op](value, bound) end }
end

-- all(texts) -> list of conditions | nil, what is wrong with the first that is none
function M.all(texts)
  local list = {}
  for i, text in ipairs(texts) do
    local one, wrong = M.of(text)
    if not one then return nil, wrong end
    list[i] = one
  end
  return list
end

-- cluster(survey) -> {["under-replicated"] =, isr =, offline =} of all partitions
function M.cluster(survey)
  local values = { ["under-replicated"] = 0, offline = 0, isr = nil }
  for _, topic in ipairs(survey.topics) do
    for _, p in ipairs(topic.partitions) do
      if #p.isr < #p.replicas then values["under-replicated"] = values["under-replicated"] + 1 end
      if (p.leader or -1) < 0 then values.offline = values.offline + 1 end
      values.isr = math.min(values.isr or math.huge, #p.isr)
    end
  end
  return values
end

local function says(condition, value)
  local shown = condition.seconds and units.print_duration(value) or tostring(value)
  return ("stopped by the abort condition %s: %s is %s"):format(condition.text, condition.name, shown)
end

-- ---- the guard of a run ----

local Guard = {}
Guard.__index = Guard

-- new(conditions, sources[, now]) -> guard that looks when it is told. sources: {cluster = f() -> values |
--   nil, canary = f() -> values | nil}, nil where nobody can say just now, which is no reason to stop
function M.new(conditions, sources, now)
  return setmetatable({ conditions = conditions, sources = sources, under_way = {}, since = {},
    now = now or function() return clock.ns() / 1e9 end }, Guard)
end

-- What a value must be for some time is met when it was so at every look since.
local function met(self, condition, values)
  local value = values and values[condition.name]
  if value == nil then return nil end
  if not condition.holds(value) then
    self.since[condition] = nil
    return nil
  end
  self.since[condition] = self.since[condition] or self.now()
  return self.now() - self.since[condition] >= condition.lasts and value or nil
end

local function cut(self)
  local why = err.new { domain = "rlab", code = 0, name = "INCONCLUSIVE", message = self.tripped }
  for worker in pairs(self.under_way) do worker:cancel(why) end
end

-- guard:look() -> the reason to stop, which stays | nil
function Guard:look()
  local values = {}
  for _, condition in ipairs(self.conditions) do
    if self.tripped then break end
    local of = condition.of
    if values[of] == nil then values[of] = self.sources[of]() or false end
    local value = met(self, condition, values[of] or nil)
    if value then
      self.tripped = says(condition, value)
      cut(self)
    end
  end
  return self.tripped
end

-- guard:start(): looks again and again, until close()
function Guard:start()
  self.watcher = task.spawn(function()
    while not self:look() do task.sleep(EVERY) end
  end)
end

-- guard:during(f, ...) -> the one value that f returns; a condition that is met cuts it short
function Guard:during(f, ...)
  if self.tripped then
    error(err.new { domain = "rlab", code = 0, name = "INCONCLUSIVE", message = self.tripped }, 0)
  end
  local worker = task.spawn(f, ...)
  self.under_way[worker] = true
  local _ <close> = defer(function()
    self.under_way[worker] = nil
    worker:cancel()
    worker:join()
  end)
  local result, failure = worker:join()
  if failure ~= nil then error(failure, 0) end
  return result
end

function Guard:close()
  if self.watcher then
    self.watcher:cancel()
    self.watcher:join()
  end
  if self.canary then self.canary:close() end
end

-- ---- of a session ----

local function usage(wrong)
  error(err.new { domain = "rlab", code = 0, name = "USAGE", message = "abort condition: " .. wrong }, 0)
end

local function wants_canary(conditions)
  for _, condition in ipairs(conditions) do
    if condition.of == "canary" then return true end
  end
end

local function sources_of(session, guard)
  return {
    cluster = function()
      local survey = session.stack.kafka and session:watcher():survey { groups = false, at_most = "3s" }
      return survey and M.cluster(survey)
    end,
    canary = function() return guard.canary and guard.canary:values() end,
  }
end

-- watch(session, texts) -> guard that looks from now on | nil without conditions
function M.watch(session, texts)
  if #texts == 0 then return nil end
  local conditions, wrong = M.all(texts)
  if not conditions then usage(wrong) end
  local guard = M.new(conditions)
  guard.sources = sources_of(session, guard)
  if wants_canary(conditions) then guard.canary = require("rlab.canary.beside").start(session.dir) end
  guard:start()
  return guard
end

return M
