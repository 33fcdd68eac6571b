-- A rate cap: how much a run may send in a second, whatever its stories ask for. Loads are told
-- (rlab.lab.load); what a story sends itself waits for its turn here.
local clock = require "rlab.clock"
local task = require "rlab.task"

local M = {}

local Cap = {}
Cap.__index = Cap

local PART = 0.1 -- seconds of the cap that go out together

-- new(rate[, now, sleep]) -> cap of so many operations in a second
function M.new(rate, now, sleep)
  return setmetatable({ rate = rate, now = now or function() return clock.ns() / 1e9 end,
    sleep = sleep or task.sleep }, Cap)
end

-- cap:take(n): returns when n more may be sent
function Cap:take(n)
  local now = self.now()
  self.free = math.max(self.free or now, now)
  local wait = self.free - now
  self.free = self.free + n / self.rate
  if wait > 0 then self.sleep(wait) end
end

-- cap:parts(list) -> iterator of parts of the list, each when it may be sent
function Cap:parts(list)
  local size, at = math.max(1, math.floor(self.rate * PART)), 1
  return function()
    if at > #list then return nil end
    local part = table.move(list, at, math.min(#list, at + size - 1), 1, {})
    at = at + #part
    self:take(#part)
    return part
  end
end

local function whole(list)
  local given = false
  return function()
    if given then return nil end
    given = true
    return list
  end
end

-- parts(cap | nil, list) -> the same iterator; without a cap the list as it is
function M.parts(cap, list)
  return cap and cap:parts(list) or whole(list)
end

local function rate_of(value)
  return type(value) == "string" and require("rlab.units").rate(value) or value
end

-- cap:load(opts): options of lab:load below the cap. A closed load, which goes as fast as it is answered,
--   becomes an open one at the cap.
function Cap:load(opts)
  local rate = rate_of(opts.rate)
  if rate and rate <= self.rate then return end
  opts.rate, opts.readers = self.rate, nil
end

return M
