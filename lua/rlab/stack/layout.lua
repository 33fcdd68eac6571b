-- Where everything is: the home of a stack, the cache of this machine, and one port map.
local fs = require "rlab.fs"
local settings = require "rlab.stack.settings"

local M = {}

M.BLOCK = 200
M.HIGHEST_BASE = 65535 - M.BLOCK + 1

local function env(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

-- port_base() -> number | nil (the default ports) | nil, message when RLAB_PORT_BASE makes no sense
function M.port_base()
  local text = env "RLAB_PORT_BASE"
  if not text then return nil end
  local base = require("rlab.units").whole(text)
  if base and base >= 1024 and base <= M.HIGHEST_BASE then return base end
  return nil, ("RLAB_PORT_BASE=%s is no port from 1024 to %d"):format(text, M.HIGHEST_BASE)
end

-- ports(base) -> { mysql = 13306, ["kafka-1"] = 19092, ... }: without a base the defaults, else base + offset
function M.ports(base)
  local map = {}
  for _, row in ipairs(settings.ports) do map[row[1]] = base and base + row[2] or row[3] end
  return map
end

-- port_names() -> the names, in the order of the table
function M.port_names()
  local names = {}
  for i, row in ipairs(settings.ports) do names[i] = row[1] end
  return names
end

-- first and last port from which the kernel takes those of outgoing connections
function M.ephemeral_range()
  local f = io.open "/proc/sys/net/ipv4/ip_local_port_range"
  if not f then return 32768, 60999 end
  local low, high = f:read("n", "n")
  f:close()
  return low or 32768, high or 60999
end

-- unsafe(base) -> a sentence when the block lies where the kernel takes the ports of outgoing connections:
--   they may sit on one of ours, and who dials a port that nobody listens on yet may even meet himself
--   there
function M.unsafe(base)
  local low, high = M.ephemeral_range()
  if not base or base + M.BLOCK <= low or base > high then return nil end
  return ("ports from %d lie in %d-%d, which outgoing connections use too"):format(base, low, high),
    ("choose an RLAB_PORT_BASE below %d"):format(low - M.BLOCK)
end

-- listening() -> set of the ports that somebody listens on, in one look
M.listening = require("rlab.process").listening

local function absolute(path)
  if path:sub(1, 1) == "/" then return path end
  return fs.realpath "." .. "/" .. path
end

-- home() -> the absolute path of this stack's folder; it need not exist
function M.home()
  local path = absolute(env "RLAB_HOME" or ".rlab")
  return fs.realpath(path) or path
end

-- services([home]) -> where services that run note their ports
function M.services(home)
  return (home or M.home()) .. "/services"
end

-- cache() -> what is shared by all checkouts of this user: downloads, templates, the class archive
function M.cache()
  local base = env "XDG_CACHE_HOME" or (env "HOME" or "/tmp") .. "/.cache"
  return base .. "/rlab"
end

-- short(path): as a person would write it from here
function M.short(path)
  local here = fs.realpath "."
  if here and path:sub(1, #here + 1) == here .. "/" then return path:sub(#here + 2) end
  local home = env "HOME"
  if home and path:sub(1, #home + 1) == home .. "/" then return "~" .. path:sub(#home + 1) end
  return path
end

return M
