-- Where everything is: the home of a stack, the cache of this machine, and one port map.
local fs = require "rlab.fs"

local M = {}

-- The port map. Without RLAB_PORT_BASE a port is the one in the column "default"; with RLAB_PORT_BASE=N it
-- is N + offset, so that a whole stack lies in N..N+199. The rows of servers that do not exist yet keep
-- their place.
--   name, offset, default
local PORTS = {
  { "mysql", 6, 13306 },
  { "mysql-proxy", 16, 13316 },          -- clients that shall meet faults on the wire dial this one
  { "redis", 79, 16379 },
  { "redis-proxy", 89, 16389 },
  { "proxy", 74, 18474 },                -- the fault proxy's API
  { "command", 80, 18080 },
  { "query", 81, 18081 },
  { "kafka-ui", 90, 18090 },
  { "registry", 91, 18091 },
  { "kafka-1", 92, 19092 },              -- DIRECT: what clients dial
  { "kafka-2", 93, 19093 },
  { "kafka-3", 94, 19094 },
  { "controller", 99, 19099 },
  { "kafka-1-inter", 102, 19102 },       -- INTER: what the brokers dial among themselves
  { "kafka-2-inter", 103, 19103 },
  { "kafka-3-inter", 104, 19104 },
  { "kafka-1-prox", 112, 19112 },        -- PROX: what the proxy dials ...
  { "kafka-2-prox", 113, 19113 },
  { "kafka-3-prox", 114, 19114 },
  { "kafka-1-proxy", 122, 19122 },       -- ... and where the proxy listens: PROX is advertised at this port
  { "kafka-2-proxy", 123, 19123 },
  { "kafka-3-proxy", 124, 19124 },
  { "kafka-1-inter-proxy", 132, 19132 }, -- the same for INTER: a broker seen by its peers
  { "kafka-2-inter-proxy", 133, 19133 },
  { "kafka-3-inter-proxy", 134, 19134 },
  { "controller-proxy-1", 142, 19142 },  -- the controller as broker 1 sees it, and so on
  { "controller-proxy-2", 143, 19143 },
  { "controller-proxy-3", 144, 19144 },
  { "kafka-1-jmx", 152, 19152 },
  { "kafka-2-jmx", 153, 19153 },
  { "kafka-3-jmx", 154, 19154 },
  { "redis-cluster-1", 171, 16371 },
  { "redis-cluster-2", 172, 16372 },
  { "redis-cluster-3", 173, 16373 },
  { "redis-cluster-4", 174, 16374 },
  { "redis-cluster-5", 175, 16375 },
  { "redis-cluster-6", 176, 16376 },
  { "redis-cluster-1-bus", 181, 16381 },
  { "redis-cluster-2-bus", 182, 16382 },
  { "redis-cluster-3-bus", 183, 16383 },
  { "redis-cluster-4-bus", 184, 16384 },
  { "redis-cluster-5-bus", 185, 16385 },
  { "redis-cluster-6-bus", 186, 16386 },
  { "prometheus", 190, 19190 },
  { "grafana", 191, 19191 },
}

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

-- ports(base) -> { mysql = 13306, ["kafka-1"] = 19092, ... }
function M.ports(base)
  local map = {}
  for _, row in ipairs(PORTS) do map[row[1]] = base and base + row[2] or row[3] end
  return map
end

-- port_names() -> the names, in the order of the table
function M.port_names()
  local names = {}
  for i, row in ipairs(PORTS) do names[i] = row[1] end
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
