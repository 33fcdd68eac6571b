-- Experiments that the console starts: each a process of its own, one at a time, whose run is then followed
-- like any other. It is interrupted when the console ends, and cleans up after itself.
local err = require "rlab.err"
local exit = require "rlab.exit"
local experiment = require "rlab.experiment"
local fs = require "rlab.fs"
local json = require "rlab.json"
local must = require "rlab.must"
local process = require "rlab.process"
local task = require "rlab.task"

local M = {}

local Starter = {}
Starter.__index = Starter

local CLEANS_UP_IN = "30s"

-- new(runs) -> starter of experiments whose runs are kept in that folder
function M.new(runs)
  return setmetatable({ runs = runs }, Starter)
end

local function described(path)
  local ok, exp = pcall(experiment.peek, path)
  if not ok then return nil end
  local disrupts = exp.disrupts
  if type(disrupts) == "table" then disrupts = table.concat(disrupts, ", ") end
  return { id = exp.id, title = exp.title, needs = table.concat(exp.needs or {}, ", "),
    disrupts = disrupts == true and "every server" or disrupts or nil, seconds = exp.seconds }
end

-- starter:experiments() -> { {id, title, needs, disrupts, seconds} } of those that are part of rlab
function Starter:experiments()
  if self.known then return self.known end
  self.known = json.array {}
  for _, path in ipairs(experiment.names()) do self.known[#self.known + 1] = described(path) end
  return self.known
end

-- starter:state() -> {id, seed, over, said} of the last one | nil; said: why it came to no verdict
function Starter:state() return self.last end

local function watch(self, p, last)
  local ended = must(p:wait())
  local _, complaint = p:output()
  last.over = true
  if ended.signal or (ended.code or 0) >= exit.usage then
    last.said = complaint:match "[^\n]+" or "it ended without a word"
  end
  if self.process == p then self.process = nil end
  p:close()
end

local function refuse(name, fmt, ...)
  error(err.new { domain = "rlab", code = 0, name = name, message = fmt:format(...) }, 0)
end

-- starter:start(id, seed) -> {id, seed}; raises when one that it started goes on
function Starter:start(id, seed)
  if self.process then refuse("BUSY", "%s goes on; end it first", self.last.id) end
  if not tostring(id):find "^E%-%d+$" then refuse("USAGE", "'%s' is no experiment", tostring(id)) end
  local path = experiment.find(id)
  local p = must(process.spawn { cmd = { must(fs.self_exe()), "run", experiment.word(path), "--json",
    "--seed", tostring(seed), "--runs", self.runs }, stdout = "null", max_output = "64KiB" })
  self.process, self.last = p, { id = id, seed = seed }
  self.watcher = task.spawn(watch, self, p, self.last)
  return self.last
end

-- starter:stop(): the one under way cleans up and ends
function Starter:stop()
  local p = self.process
  if not p then return end
  p:kill "INT"
  p:wait(CLEANS_UP_IN)
end

return M
