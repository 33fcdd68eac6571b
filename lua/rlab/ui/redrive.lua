-- A re-drive that the console starts: the dead letters of one topic, one re-drive at a time, at a rate, up to
-- a cap, ended by the first copy that failed again where that is asked. It ends with the console; what was
-- acknowledged is committed, the rest waits.
local err = require "rlab.err"
local replay = require "rlab.replay"
local task = require "rlab.task"
local units = require "rlab.units"

local M = {}

local Redrive = {}
Redrive.__index = Redrive

-- new(pipeline) -> redrive; pipeline: rlab.ui.pipeline
function M.new(pipeline) return setmetatable({ pipeline = pipeline }, Redrive) end

local function refuse(name, fmt, ...)
  error(err.new { domain = "rlab", code = 0, name = name, message = fmt:format(...) }, 0)
end

local function rate_of(text)
  local ok, rate = pcall(units.rate, text)
  if ok and rate > 0 then return rate end
  refuse("USAGE", "rate is one such as 20/s, not '%s'", tostring(text))
end

local function cap_of(cap)
  if cap == nil or math.type(cap) == "integer" and cap >= 1 then return cap end
  refuse("USAGE", "cap is a whole number from 1")
end

-- redrive:running() -> whether one is under way
function Redrive:running() return self.work ~= nil and not self.over end

-- redrive:start(topic, {rate = "20/s", cap =, stop = boolean}) -> state; raises when one is under way
function Redrive:start(topic, how)
  if self:running() then refuse("BUSY", "the re-drive of %s goes on; stop it first", self.topic) end
  local o = self.pipeline:settings(topic)
  o.rate, o.budget, o.stop_on_refailure = rate_of(how.rate), cap_of(how.cap), how.stop
  local work = replay.new(o)
  self.work, self.topic, self.over, self.failure = work, topic, false, nil
  self.task = task.spawn(function()
    local ok, failure = work:run()
    self.over, self.failure = true, not ok and tostring(failure) or nil
  end)
  return self:state()
end

-- redrive:stop(): what is under way is acknowledged and committed
function Redrive:stop()
  if self.work then self.work:stop() end
  if self.task then self.task:join() end
end

-- redrive:state() -> {topic, over, failure, ill, replayed, parked, skipped, unsendable, again, state} of the
--   last one | nil
function Redrive:state()
  if not self.work then return nil end
  local state = self.work:counts()
  state.topic, state.over, state.failure, state.ill = self.topic, self.over, self.failure, self.work.ill
  return state
end

return M
