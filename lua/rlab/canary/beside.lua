-- A canary beside a run, for its abort conditions: `rlab canary` as a process of its own on the same stack,
-- so that what the run itself computes does not stand in its times; it is read by its lines.
local err = require "rlab.err"
local fs = require "rlab.fs"
local json = require "rlab.json"
local must = require "rlab.must"
local process = require "rlab.process"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local Beside = {}
Beside.__index = Beside

local EVERY, WITHIN_S = "500ms", 10
local LAST, LEAST = 100, 5 -- of so many rounds a percentile is taken, and not of fewer
local READY_IN, CLEANS_UP_IN = "90s", "30s"

-- new() -> beside that has heard of no round
function M.new()
  return setmetatable({ times = {}, lost = 0, changed = task.event() }, Beside)
end

-- beside:hear(message): a line of the canary. One whose effect is missing took the whole limit at least.
function Beside:hear(message)
  if message.say == "ready" then self.ready = true end
  if message.say ~= "round" then return end
  if message.was == "lost" then self.lost = self.lost - 1 end
  if message.verdict == "lost" then self.lost = self.lost + 1 end
  local seconds = message.seconds or message.verdict == "lost" and WITHIN_S
  if seconds then self.times[#self.times + 1] = seconds end
  if #self.times > LAST then table.remove(self.times, 1) end
end

-- beside:values() -> {["canary-p99"] = seconds | nil, ["canary-lost"] =}
function Beside:values()
  local sorted = table.move(self.times, 1, #self.times, 1, {})
  table.sort(sorted)
  return { ["canary-lost"] = self.lost,
    ["canary-p99"] = #sorted >= LEAST and sorted[math.ceil(#sorted * 0.99)] or nil }
end

local function listen(self)
  for line in self.process:lines() do
    local ok, message = pcall(json.decode, line)
    if ok and type(message) == "table" then self:hear(message) end
    self.changed:set(true)
  end
  self.ended = true
  self.changed:set(true)
end

local function await_ready(self, log)
  task.timeout(READY_IN, function()
    while not (self.ready or self.ended) do self.changed:wait() end
  end)
  if self.ready then return end
  self:close()
  local why = (fs.read(log) or ""):match "([^\n]+)\n*$" or "it said nothing"
  error(err.new { domain = "rlab", code = 0, name = "NO_CANARY",
    message = "the canary of the abort conditions did not begin: " .. why }, 0)
end

-- start(dir) -> beside, whose canary is ready; dir: where what it complains of is written down
function M.start(dir)
  local self, log = M.new(), dir .. "/canary.log"
  self.process = must(process.spawn { stdout = "capture", stderr = log,
    cmd = tables.append(tables.append({ must(fs.self_exe()) }, require("rlab.stack").words()), { "canary",
      "--json", "--every", EVERY, "--within", WITHIN_S .. "s", "--port", "0", "--die-with-parent",
      tostring(process.self()) }) })
  self.reader = task.spawn(listen, self)
  await_ready(self, log)
  return self
end

function Beside:close()
  if not self.process:status() then
    self.process:kill "INT"
    if not self.process:wait(CLEANS_UP_IN) then self.process:kill "KILL" end
  end
  self.reader:cancel()
  self.reader:join()
  self.process:close()
end

return M
