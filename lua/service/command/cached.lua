-- command: what an entry has made of its account is written to the cache, too, once it is committed.
-- versioned: unless a newer one is there, and once; what Redis does not take is left out.
-- plain, wrong on purpose (E-031): whatever is there.
-- queued, wrong on purpose (E-023): whatever is there, and what Redis does not take is kept in its order and
-- written when it answers again, as a client with an offline queue does.
local cache = require "rlab.cache"
local fail = require "rlab.fail"
local task = require "rlab.task"

local M = {}

local Cached = {}
Cached.__index = Cached

-- new(ctx, connect) -> cached: connect() opens Redis, or raises
function M.new(ctx, connect)
  local queued = ctx.config.cache == "queued"
  local self = setmetatable({ prefix = ctx.config.prefix, connect = connect, queued = queued, kept = {},
    mode = ctx.config.cache == "versioned" and "versioned" or "plain" }, Cached)
  if queued then ctx:spawn(function() self:work_off() end) end
  return self
end

local function write(self, redis, event)
  return cache.fill(redis, self.prefix, event.account_id,
    { balance = event.balance, version = event.version }, { mode = self.mode })
end

local function write_now(self, event)
  local redis <close> = self.connect()
  return write(self, redis, event)
end

-- cached:put(event): whoever sent the command is not told of a Redis that does not take it
function Cached:put(event)
  if not self.kept[1] then
    local ok, taken = pcall(write_now, self, event)
    if ok and taken or not self.queued then return end
  end
  table.insert(self.kept, event)
end

local function replay(self)
  local redis <close> = self.connect()
  while self.kept[1] do
    local event = self.kept[1]
    fail.point("cmd.before_replay", { id = event.event_id, key = tostring(event.account_id) })
    if not write(self, redis, event) then return end
    table.remove(self.kept, 1)
  end
end

-- Writes what was kept, the oldest first, for as long as the service lives.
function Cached:work_off()
  while true do
    if self.kept[1] then pcall(replay, self) end
    task.sleep "50ms"
  end
end

-- cached:metric() -> how many writes are kept
function Cached:metric()
  return { name = "rlab_command_cache_kept", type = "gauge", value = #self.kept,
    help = "Writes that Redis did not take and that will be written when it answers." }
end

return M
