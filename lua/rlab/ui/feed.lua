-- A list of events that grows, with readers that wait for more of it. A cursor is "epoch:n": what was read of
-- which stream. A reader whose cursor is of another epoch starts anew.
local clock = require "rlab.clock"
local json = require "rlab.json"
local task = require "rlab.task"

local M = {}

local Feed = {}
Feed.__index = Feed

local MOST = 500 -- events in one answer

-- new() -> an empty feed
function M.new()
  return setmetatable({ epoch = 1, list = {}, changed = task.event() }, Feed)
end

local function wake(self)
  self.changed:set(true)
  self.changed = task.event()
end

-- feed:add(events)
function Feed:add(events)
  for _, event in ipairs(events) do self.list[#self.list + 1] = event end
  if #events > 0 then wake(self) end
end

-- feed:reset(): what comes now is another story
function Feed:reset()
  self.epoch, self.list = self.epoch + 1, {}
  wake(self)
end

local function place_of(self, cursor)
  local epoch, n = tostring(cursor or ""):match "^(%d+):(%d+)$"
  if math.tointeger(epoch) ~= self.epoch then return 0 end
  return math.min(math.tointeger(n) or 0, #self.list)
end

-- feed:since(cursor, at_most) -> events, the cursor behind them, whether they begin a stream; waits for the
--   first of them, at most so long
function Feed:since(cursor, at_most)
  local from = place_of(self, cursor)
  if from == #self.list and not self.closed and (from > 0 or cursor) then
    local changed = self.changed
    task.timeout(at_most, function() changed:wait() end)
    from = place_of(self, cursor)
  end
  local stop = math.min(#self.list, from + MOST)
  return table.move(self.list, from + 1, stop, 1, {}), ("%d:%d"):format(self.epoch, stop), from == 0
end

-- sse(events, cursor, first) -> the text of server-sent events; the client's EventSource asks again with the
--   cursor, soon
function M.sse(events, cursor, first)
  local data = json.encode({ first = first, events = json.array(events) }, { gaps = true })
  return ("retry: 50\nid: %s\ndata: %s\n\n"):format(cursor, data)
end

function Feed:close()
  if self.player then self.player:cancel() end
  self.closed = true
  wake(self)
end

-- feed:stop(): nothing more of what is played, and nothing of what was told
function Feed:stop()
  if self.player then self.player:cancel() end
  self.player = nil
  self:reset()
end

-- feed:play(events, speed): tells them at the pace at which they happened, in a task of its own
function Feed:play(events, speed)
  self:stop()
  self:add { { kind = "mode", replay = true, at = 0 } }
  self.player = task.spawn(function()
    local began, i = clock.ns(), 1
    while i <= #events do
      local now, due = (clock.ns() - began) / 1e9 * speed, {}
      while events[i] and events[i].at <= now do
        due[#due + 1] = events[i]
        i = i + 1
      end
      due[#due + 1] = { kind = "tick", at = math.min(now, events[#events].at) }
      self:add(due)
      if events[i] then task.sleep(math.max(math.min((events[i].at - now) / speed, 0.2), 0.1)) end
    end
  end)
end

return M
