-- command: what MySQL does not take goes to a list in Redis and is answered as if it were done (fallback =
-- redis), wrong on purpose (E-023): a cache keeps no promise. Once MySQL serves again the list is written.
local cache = require "rlab.cache"
local http = require "rlab.http"
local json = require "rlab.json"
local task = require "rlab.task"

local M = {}

local Fallback = {}
Fallback.__index = Fallback

-- new(ctx, connect, write) -> fallback: connect() opens Redis; write(command) -> event | nil, err
function M.new(ctx, connect, write)
  local self = setmetatable({ key = cache.pending_key(ctx.config.prefix), connect = connect,
    write = write }, Fallback)
  ctx:spawn(function() self:work_off() end)
  return self
end

-- fallback:keep(command) -> answer; raises where Redis does not take it either
function Fallback:keep(command)
  local redis <close> = self.connect()
  local kept, failure = redis:call("RPUSH", self.key, json.encode(command))
  if not kept then error(failure, 0) end
  return http.json({ request_id = command.request_id, account_id = command.account_id,
    amount = command.amount, pending = true }, 200)
end

local function oldest(self)
  local redis <close> = self.connect()
  local text = redis:call("LINDEX", self.key, 0)
  local command = type(text) == "string" and json.decode(text)
  if not command or not self.write(command) then return false end
  return redis:call("LPOP", self.key) ~= nil
end

-- Writes the list to MySQL, the oldest first, for as long as the service lives.
function Fallback:work_off()
  while true do
    local ok, more = pcall(oldest, self)
    if not (ok and more) then task.sleep "100ms" end
  end
end

return M
