-- How much memory a set of runs takes: the resident sets of the stack's servers and of this process with all
-- that it started, summed (pages that several share count for each).
local defer = require "rlab.defer"
local fs = require "rlab.fs"
local process = require "rlab.process"
local task = require "rlab.task"

local M = {}

local EVERY = "500ms"

local function parents()
  local of = {}
  for _, name in ipairs(fs.list "/proc" or {}) do
    local pid = math.tointeger(tonumber(name))
    local stat = pid and fs.read("/proc/" .. name .. "/stat")
    local parent = stat and stat:match "^%d+ %(.*%) %a (%d+)"
    if parent then of[pid] = math.tointeger(tonumber(parent)) end
  end
  return of
end

-- descendants(root, of) -> list of pids, the root among them; `of` is the parent of each process
function M.descendants(root, of)
  local children = {}
  for pid, parent in pairs(of) do
    children[parent] = children[parent] or {}
    table.insert(children[parent], pid)
  end
  local list, at = { root }, 1
  while list[at] do
    for _, pid in ipairs(children[list[at]] or {}) do list[#list + 1] = pid end
    at = at + 1
  end
  return list
end

-- Of servers that are somebody's own nothing is known here, and asking them is work.
local function servers()
  local stack = require "rlab.stack"
  return stack.use() ~= "external" and stack.status() or {}
end

local function in_use()
  local pids, sum = {}, 0
  for _, row in ipairs(servers()) do
    if row.pid then pids[row.pid] = true end
  end
  for _, pid in ipairs(M.descendants(process.self(), parents())) do pids[pid] = true end
  for pid in pairs(pids) do sum = sum + (process.rss(pid) or 0) end
  return sum
end

-- during(f) -> f's result, and the largest sum in bytes that was seen while f ran
function M.during(f)
  local peak = in_use()
  local watcher = task.spawn(function()
    while true do
      task.sleep(EVERY)
      peak = math.max(peak, in_use())
    end
  end)
  local _ <close> = defer(function()
    watcher:cancel()
    watcher.raw:join()
  end)
  local result = f()
  return result, peak
end

return M
