-- What a stack remembers between two rlabs: .rlab/stack.json, written atomically after every change.
--   { version, boot, base, servers = { ["kafka-1"] = { pid, start, since, port, phase } }, versions,
--     cluster }
-- phase: "spawning" (written before the process exists, so that a kill -9 in between is noticed),
-- "starting", "ready".
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"

local M = {}

local VERSION = 1

local function file(home)
  return home .. "/stack.json"
end

local function first_line(path)
  local f = io.open(path)
  local line = f and f:read "l"
  if f then f:close() end
  return line
end

-- changes with every boot of the machine (and differs between containers on hosts that hide it)
function M.boot_id()
  return first_line "/proc/sys/kernel/random/boot_id" or "unknown"
end

function M.new(base)
  return { version = VERSION, boot = M.boot_id(), base = base, servers = {}, versions = {} }
end

local PID_MAX = 2147483647

local function whole(value, low, high)
  return math.type(value) == "integer" and value >= low and value <= high
end

-- names_process(entry): its pid and start, which stood in a file, can be those of a process
function M.names_process(entry)
  return whole(entry.pid, 1, PID_MAX) and (entry.start == nil or whole(entry.start, 0, math.maxinteger))
end

local function none_or(kind, value) return value == nil or type(value) == kind end

-- A file that somebody has changed is no memory of anything.
local function well_formed(state)
  if type(state) ~= "table" or state.version ~= VERSION then return false end
  if type(state.servers) ~= "table" or not none_or("table", state.versions) then return false end
  for name, entry in pairs(state.servers) do
    if type(name) ~= "string" or type(entry) ~= "table" or not none_or("string", entry.phase)
      or entry.pid ~= nil and not M.names_process(entry) then
      return false
    end
  end
  return true
end

-- load(home) -> state | nil when there is none that can be read
function M.load(home)
  local text = fs.read(file(home))
  local state = text and json.decode(text)
  if not well_formed(state) then return nil end
  if state.base == json.null then state.base = nil end
  state.versions = state.versions or {}
  return state
end

function M.save(home, state)
  return fs.write(file(home), json.encode(state, { pretty = true }) .. "\n")
end

function M.forget(home)
  return fs.remove(file(home))
end

-- alive(state, name): the very process that was started, not another one with its pid
function M.alive(state, name)
  local entry = state.servers[name]
  return entry ~= nil and entry.pid ~= nil and state.boot == M.boot_id()
    and process.alive(entry.pid, entry.start)
end

-- word(state, name) -> "up", "frozen", "starting", "dead", "down": what a person is told
function M.word(state, name)
  local entry = state.servers[name]
  if not entry then return "down" end
  if not M.alive(state, name) then return "dead" end
  if process.state(entry.pid) == "T" then return "frozen" end
  return entry.phase == "ready" and "up" or "starting"
end

-- The processes that carry a server's mark in their environment: strays of an rlab that was killed before
-- it could note their pids.
-- marked(home) -> { ["kafka-1"] = { {pid=, start=}, ... } }
function M.marked(home)
  local found = {}
  local mark = "RLAB_SERVER=" .. home .. "/"
  for _, pid in ipairs(M.pids()) do
    local f = io.open("/proc/" .. pid .. "/environ", "rb")
    local environ = f and f:read "a" or ""
    if f then f:close() end
    local at = ("\0" .. environ):find("\0" .. mark, 1, true)
    local name = at and environ:match("^([%w-]+)\0", at + #mark) -- not those of a home inside of this one
    local start = name and process.start_time(pid)
    if start and process.alive(pid, start) then
      found[name] = found[name] or {}
      table.insert(found[name], { pid = pid, start = start })
    end
  end
  return found
end

function M.pids()
  local list = {}
  for _, name in ipairs(fs.list "/proc" or {}) do
    local pid = math.tointeger(tonumber(name))
    if pid then list[#list + 1] = pid end
  end
  return list
end

return M
