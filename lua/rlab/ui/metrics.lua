-- GET /metrics of the console: what the kept runs came to, what runs now, and, where a stack runs, what
-- `rlab service exporter` tells of its topics and groups.
local failpoint_log = require "rlab.failpoint.log"
local flow = require "rlab.service.flow"
local fs = require "rlab.fs"
local hdr = require "rlab.hdr"
local http = require "rlab.http"
local json = require "rlab.json"
local live = require "rlab.ui.live"
local metrics = require "rlab.metrics"
local tables = require "rlab.tables"
local task = require "rlab.task"

local M = {}

local Told = {}
Told.__index = Told

local BOUNDS = { 1, 2.5, 5, 10, 20, 30, 60, 120, 300 } -- seconds of a run
local SCRAPE = { limit = 5, sample = 1, count = 1000 } -- seconds and offsets, the defaults of the service

local COUNTERS = {
  { "runs", "rlab_runs_total", "Runs that came to an end, by experiment and verdict" },
  { "checks", "rlab_checks_total", "Checks that were judged, by experiment, class of the arm and outcome" },
  { "hits", "rlab_failpoint_hits_total", "Hits of armed failpoints that did something, by their name" },
}

-- new(runs, stack) -> told: of the runs in that folder; stack() -> the one that runs | nil
function M.new(runs, stack)
  return setmetatable({ runs_in = runs, stack = stack, seen = {}, seconds = {}, runs = {}, checks = {},
    hits = {} }, Told)
end

local function count(counter, labels)
  local key = metrics.labels(labels)
  counter[key] = counter[key] or { labels = labels, n = 0 }
  counter[key].n = counter[key].n + 1
end

-- ---- the runs: each is read once, so that a counter never falls when one is removed ----

local function hits_of(self, dir)
  for _, name in ipairs(fs.list(dir) or {}) do
    if name:find "^failpoints.*%.jsonl$" then
      local ok, lines = pcall(failpoint_log.read, dir .. "/" .. name)
      for _, hit in ipairs(ok and failpoint_log.acted(lines) or {}) do
        count(self.hits, { point = tostring(hit.name) })
      end
    end
  end
end

local function note(self, dir, result)
  local id, classes = tostring(result.id), {}
  for _, arm in ipairs(result.arms or {}) do classes[arm.name] = arm.class end
  count(self.runs, { experiment = id, verdict = tostring(result.verdict) })
  for _, check in ipairs(result.checks or {}) do
    count(self.checks, { experiment = id, class = classes[check.arm] or "none",
      outcome = tostring(check.outcome) })
  end
  local took = type(result.run) == "table" and result.run.duration
  if type(took) == "number" and took >= 0 then
    self.seconds[id] = self.seconds[id] or hdr.new()
    self.seconds[id]:record(took * 1000 // 1)
  end
  hits_of(self, dir)
end

local function look(self)
  for _, id in ipairs(fs.list(self.runs_in) or {}) do
    for _, name in ipairs(fs.list(self.runs_in .. "/" .. id) or {}) do
      local dir = ("%s/%s/%s"):format(self.runs_in, id, name)
      local text = name ~= "latest" and not self.seen[dir] and fs.read(dir .. "/result.json")
      local ok, result = pcall(json.decode, text or "")
      if ok and type(result) == "table" then
        self.seen[dir] = true
        note(self, dir, result)
        task.yield() -- what else the console does goes on
      end
    end
  end
end

local function runs_of(self, list)
  look(self)
  for _, c in ipairs(COUNTERS) do
    for _, key in ipairs(tables.sorted_keys(self[c[1]])) do
      local one = self[c[1]][key]
      list[#list + 1] = { name = c[2], type = "counter", help = c[3] .. ".", value = one.n,
        labels = one.labels }
    end
  end
  for _, id in ipairs(tables.sorted_keys(self.seconds)) do
    list[#list + 1] = { name = "rlab_run_seconds", type = "histogram", hdr = self.seconds[id], scale = 1e-3,
      bounds = BOUNDS, labels = { experiment = id }, help = "How long the runs took, by experiment." }
  end
  flow.gauge(list, "rlab_run_under_way", "1 while a run goes on in the folder of the runs",
    live.current(self.runs_in) and 1 or 0)
end

-- ---- the cluster ----

local function let_go(self)
  if self.sampler then self.sampler:cancel() end
  if self.exporter then self.exporter:close() end
  self.exporter, self.sampler, self.brokers = nil, nil, nil
end

-- The stack may have come, gone, or begun anew elsewhere since the last time.
local function exporter_of(self)
  local stack = self.stack()
  local brokers = stack and stack.kafka and stack.kafka.brokers
  if brokers == self.brokers then return self.exporter end
  let_go(self)
  if not brokers then return nil end
  self.exporter, self.brokers = require("service.exporter.scrape").new({ brokers = brokers }, SCRAPE), brokers
  self.sampler = task.spawn(self.exporter.sample, self.exporter)
  return self.exporter
end

local PARTS = { runs = runs_of,
  kafka = function(self, list)
    local exporter = exporter_of(self)
    if exporter then tables.append(list, exporter:metrics()) end
  end }

-- told:text([part]) -> Prometheus text: all, or only what it tells of the "runs", or of "kafka"
function Told:text(part)
  local list = {}
  for _, name in ipairs { "runs", "kafka" } do
    if part == nil or part == name then PARTS[name](self, list) end
  end
  return metrics.render(list)
end

-- told:answer(part | nil) -> of GET /metrics; one at a time
function Told:answer(part)
  if part and not PARTS[part] then
    return http.problem(400, ("collect[] is runs or kafka, not '%s'"):format(part))
  end
  while self.busy do self.freed:wait() end
  self.busy, self.freed = true, task.event()
  local ok, text = pcall(self.text, self, part)
  self.busy = false
  self.freed:set(true)
  if not ok then error(text, 0) end
  return { status = 200, headers = { ["content-type"] = metrics.content_type }, body = text }
end

function Told:close()
  task.shielded(let_go, self)
end

return M
