-- What a story holds in place of a service or process while a hunt runs it: the story's own faults do nothing
-- to it, and one that a fault of the hunt killed is started again, as a supervisor does; the story keeps the
-- same handle over all its lives.
local hit_log = require "rlab.failpoint.log"
local task = require "rlab.task"

local M = {}

local LOOK, UP_AGAIN = "200ms", "30s"

local nothing = {}
nothing.__index = nothing
nothing.__close = function() end

local function itself(self) return self end
for _, word in ipairs { "fired", "started", "over", "thaw", "restart", "heal", "await_waiter" } do
  nothing[word] = itself
end
function nothing.release() return 1 end
function nothing.remove() end
function nothing.state() return { matched = 0, fired = 0, held = 0, released = 0, bytes = 0 } end
nothing.await, nothing.prove, nothing.proof = nothing.state, nothing.state, nothing.state

-- no_fault() -> what a story holds in place of a fault of its own: it happened to nobody
function M.no_fault()
  return setmetatable({}, nothing)
end

-- ---- a process that is looked after ----

local Stand = {}

local function died(child)
  return not child.meant and not child:alive()
end

-- Waits until one that was killed is up again.
local function settle(state)
  if not died(state.child) then return state.child end
  local gone = state.child
  state.lab:await(gone.name .. " to be started again", function() return state.child ~= gone end, UP_AGAIN)
  return state.child
end

local function was_killed(child, status)
  if status.signal ~= "KILL" then return false end
  if child.struck then return true end
  for _, hit in ipairs(child:hits()) do
    if hit.action == "kill" then return true end
  end
  return false
end

-- A later life is closed before its supervisor is: the arm is over then.
local function look_after(state)
  while not state.child.closed do
    local child = state.child
    local status = child.process:wait(LOOK)
    if child.closed then return end
    if status and died(child) then
      if not was_killed(child, status) then
        state.lab:give_up("%s ended by itself (%s); its log: %s.log", child.name,
          status.signal or "exit " .. tostring(status.code), child.name)
      end
      state.child = child:restart()
    elseif status then -- the story ended it, and may start it again
      task.wait_until(function() return state.child ~= child end, { at_most = "10m", every = "20ms" })
    end
  end
end

-- What the story itself planned. None of it happens.
function Stand.kill(state)
  Stand.stop(state)
  return M.no_fault()
end

function Stand.freeze() return M.no_fault() end

function Stand.resume() end

function Stand.failpoint(state, point, expr)
  if expr ~= "off" then table.insert(state.planned, { name = point, ctx = {}, action = "left out" }) end
end

-- Who waits for a planned hit goes on as if it had come.
function Stand.hits(state, point)
  local list = {}
  for _, hit in ipairs(state.planned) do
    if not point or hit.name == point then list[#list + 1] = hit end
  end
  return list
end

function Stand.await_hit(_, point) return { name = point, ctx = {} } end

function Stand.batch() return {} end

function Stand.wait_exit(state, want)
  if want.signal == "KILL" then return { signal = "KILL" } end
  return settle(state):wait_exit(want)
end

function Stand.revive(state) return state.handle end

function Stand.stop(state, at_most)
  local child = settle(state)
  if not child:alive() then return child:ending() end
  local ok, status = pcall(child.stop, child, at_most)
  if ok then return status end
  local ending = child:ending()
  if ending and was_killed(child, ending) then return ending end -- by the hunt, while it finished
  error(status, 0)
end

-- One that lives, for its planned kill was left out, goes on, unless it is to have other settings.
function Stand.restart(state, settings)
  local child = settle(state)
  if child:alive() and not settings then return state.handle end
  if child:alive() then Stand.stop(state) end
  state.child = child:restart(settings)
  return state.handle
end

-- strike(state): kills it as it stands, which the supervisor takes for a fault of the hunt
function M.strike(state)
  local child = settle(state)
  child.struck, child.ended_by_lab = true, true
  child.process:kill "KILL"
  child.process:wait "30s"
end

local function stands_still(child, point)
  for _, hit in ipairs(child:hits(point)) do
    if hit_log.stands(hit) then return true end
  end
end

-- hang(state, point, delay): who stands still at that point is killed after as long, as by a probe that had
--   no answer; returns then
function M.hang(state, point, delay)
  local child = task.wait_until(function() return stands_still(state.child, point) and state.child end,
    { at_most = "10m", every = "20ms" })
  if not child then return end
  task.sleep(delay)
  if state.child == child and not child.closed and child:alive() then M.strike(state) end
end

-- of(lab, child, planned) -> the handle, its state. planned: {point = expr} that the story would have armed
--   it with
function M.of(lab, child, planned)
  local state = { lab = lab, child = child, planned = {} }
  for point in pairs(planned) do Stand.failpoint(state, point, "") end
  state.handle = setmetatable({}, {
    __index = function(_, key)
      local own = Stand[key]
      if own then return function(_, ...) return own(state, ...) end end
      local value = state.child[key]
      if type(value) ~= "function" then return value end
      return function(_, ...) return value(state.child, ...) end
    end,
    __newindex = function(_, key, value) state.child[key] = value end,
  })
  lab:background("the supervisor of " .. child.name, function() look_after(state) end)
  return state.handle, state
end

return M
