-- rlab.uuid: version 7, 128 bits that sort by time. Within one generator each id is greater than the one
-- before, also within a millisecond and when the clock is set back.
local clock = require "rlab.clock"
local rng = require "rlab.rng"

local M = {}

local Generator = {}
Generator.__index = Generator
Generator.__name = "uuid.generator"

-- new([seed]) -> generator; without a seed its numbers come from the system
function M.new(seed)
  if seed == nil then
    local f <close> = assert(io.open("/dev/urandom", "rb"))
    seed = string.unpack("<i8", f:read(8))
  end
  return setmetatable({ rng = rng.new(seed), ms = 0, count = 0 }, Generator)
end

-- g:next([unix_ms]) -> text
function Generator:next(unix_ms)
  unix_ms = unix_ms or clock.unix_ms()
  if unix_ms > self.ms then
    self.ms, self.count = unix_ms, self.rng:int(0, 0x7ff)
  else
    self.count = self.count + 1
    if self.count > 0xfff then self.ms, self.count = self.ms + 1, 0 end
  end
  return ("%08x-%04x-7%03x-%04x-%012x"):format(self.ms >> 16, self.ms & 0xffff, self.count,
    0x8000 | self.rng:int(0, 0x3fff),
    self.rng:int(0, 0xffffffffffff))
end

local default

-- v7() -> text
function M.v7()
  default = default or M.new()
  return default:next()
end

-- bytes(text) -> 16 bytes | nil when it is no UUID
function M.bytes(text)
  local hex = type(text) == "string"
    and text:match "^%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x$"
  if not hex then return nil end
  return (hex:gsub("-", ""):gsub("%x%x", function(two) return string.char(tonumber(two, 16)) end))
end

-- text(bytes) -> text | nil when it is not 16 bytes
function M.text(bytes)
  if type(bytes) ~= "string" or #bytes ~= 16 then return nil end
  local hex = bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
  return ("%s-%s-%s-%s-%s"):format(hex:sub(1, 8), hex:sub(9, 12), hex:sub(13, 16), hex:sub(17, 20),
    hex:sub(21))
end

return M
