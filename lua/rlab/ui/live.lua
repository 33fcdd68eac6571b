-- The run that goes on now, followed by the files that it writes as it goes: stream.jsonl and samples.jsonl.
-- Once its result is there the record of the run takes the place of what was told until then.
local fs = require "rlab.fs"
local gauges = require "rlab.ui.gauges"
local html = require "rlab.report.html"
local judged = require "rlab.ui.judged"
local json = require "rlab.json"
local process = require "rlab.process"
local record = require "rlab.ui.record"
local report = require "rlab.report"
local series = require "rlab.report.series"
local tables = require "rlab.tables"
local task = require "rlab.task"
local telling = require "rlab.report.telling"

local M = {}

-- ---- lines of a file that grows ----

local function lines_of(path)
  local tail = { path = path, rest = "" }
  function tail.next()
    tail.file = tail.file or io.open(path, "rb")
    if not tail.file then return {} end
    local text = tail.rest .. (tail.file:read "a" or "")
    local list, stop = {}, 0
    for line, at in text:gmatch "([^\n]*)\n()" do
      local ok, value = pcall(json.decode, line)
      if ok and type(value) == "table" then list[#list + 1] = value end
      stop = at - 1
    end
    tail.rest = text:sub(stop + 1)
    return list
  end
  function tail.close()
    if tail.file then tail.file:close() end
  end
  return tail
end

-- ---- which run ----

local function first_line(path)
  local f <close> = io.open(path, "rb")
  local ok, value = pcall(json.decode, f and f:read "l" or "")
  return ok and type(value) == "table" and value or nil
end

local function newest_in(folder)
  local newest
  for _, name in ipairs(fs.list(folder) or {}) do
    if name ~= "latest" and name > (newest or "") then newest = name end
  end
  return newest
end

-- A run goes on while the process that began it lives and its result is not there.
local function goes_on(dir)
  if fs.exists(dir .. "/result.json") or not fs.exists(dir .. "/stream.jsonl") then return false end
  local head = first_line(dir .. "/stream.jsonl")
  return head ~= nil and head.pid ~= nil and process.start_time(head.pid) == head.start
end

-- current(runs) -> the folder of the run that began last among those that go on | nil
function M.current(runs)
  local found, began
  for _, id in ipairs(fs.list(runs) or {}) do
    local name = newest_in(runs .. "/" .. id)
    local dir = name and ("%s/%s/%s"):format(runs, id, name)
    if dir and name > (began or "") and goes_on(dir) then found, began = dir, name end
  end
  return found
end

-- ---- from its files to the console's events ----

local Follower = {}
Follower.__index = Follower

local function head_of(self, row)
  local list, arms, known = {}, {}, {}
  for i, q in ipairs(telling.sound(row.telling)) do
    list[i] = { name = q[2], unit = q[3] ~= "" and q[3] or nil }
    self.sources[i] = telling.source(q[1])
  end
  for i, arm in ipairs(row.arms) do
    arms[i] = { name = arm.name, class = html.class_of(arm), title = arm.title }
    known[arm.name] = true
  end
  self.arms = known
  return { kind = "run", id = row.id, title = row.title, question = row.question, seed = row.seed, at = 0,
    name = row.name, started = row.started, arms = json.array(arms), quantities = json.array(list),
    report = row.name }
end

local takes = {}

function takes.begins(self, row, add)
  if self.shared[row.arm] then return end
  self.from[row.arm] = row.at
  add { kind = "begins", arm = row.arm, at = row.at }
end

-- The samples of an arm (or of the setup) that have come come before its end.
local function drain(self, arm, add)
  local rows = self.pending[arm] or {}
  self.pending[arm] = nil
  for _, row in ipairs(rows) do self:sample(row, add) end
end

function takes.setup(self, row, add)
  drain(self, "", add)
  self.setup = row.took
end

function takes.ends(self, row, add)
  drain(self, row.arm, add)
  for i, source in ipairs(self.sources) do
    local sampled = self.seen[i .. row.arm] ~= nil
    local value = not sampled
      and source.found({ checks = row.checks }, { name = row.arm, numbers = row.numbers })
    if value then add { kind = "point", arm = row.arm, q = i, t = row.t, v = value, at = row.at } end
  end
  row.t = self.shared[row.arm] and self.setup or row.t
  row.checks, row.numbers = judged.checks(row.checks, row.arm), nil
  add(row)
end

for _, kind in ipairs { "event", "fault", "over" } do
  takes[kind] = function(_, row, add) add(row) end
end

local function point(self, arm, row, add)
  for i, source in ipairs(self.sources) do
    local value = source.at(row, arm)
    local key = i .. arm
    if value ~= nil and value ~= self.seen[key] then
      self.seen[key] = value
      add { kind = "point", arm = arm, q = i, t = row.t, v = value, at = (self.from[arm] or 0) + row.t }
    end
  end
  self.gauges[arm] = self.gauges[arm] or {}
  local values = gauges.changed(row, self.gauges[arm])
  if values then
    add { kind = "gauges", arm = arm, t = row.t, values = values, at = (self.from[arm] or 0) + row.t }
  end
end

function Follower:sample(row, add)
  if row.arm then
    if self.arms[row.arm] then point(self, row.arm, row, add) end
    return add { kind = "tick", at = (self.from[row.arm] or 0) + row.t }
  end
  local _, mine = series.split_row(row, self.arms)
  for arm, own in pairs(mine) do
    if not self.shared[arm] then
      self.shared[arm], self.from[arm] = true, 0
      add { kind = "begins", arm = arm, at = 0, shared = true }
    end
    point(self, arm, own, add)
  end
  add { kind = "tick", at = row.t }
end

-- follow(dir) -> follower: next() -> the events since the last time
function M.follow(dir)
  return setmetatable({ dir = dir, told = lines_of(dir .. "/stream.jsonl"),
    samples = lines_of(dir .. "/samples.jsonl"), from = {}, shared = {}, seen = {}, sources = {}, arms = {},
    pending = {}, gauges = {} }, Follower)
end

function Follower:next()
  local list = {}
  local function add(event) list[#list + 1] = event end
  local told = self.told.next()
  for _, row in ipairs(self.samples.next()) do
    local arm = row.arm or ""
    self.pending[arm] = self.pending[arm] or {}
    if type(row.t) == "number" then table.insert(self.pending[arm], row) end
  end
  for _, row in ipairs(told) do
    if row.kind == "run" then add(head_of(self, row)) end
    if takes[row.kind] then takes[row.kind](self, row, add) end
  end
  for _, arm in ipairs(tables.sorted_keys(self.pending)) do drain(self, arm, add) end
  return list
end

function Follower:close()
  self.told.close()
  self.samples.close()
end

-- ---- into a feed ----

local function show_record(feed, dir)
  local data = report.load(dir)
  if not data then return end
  feed:reset()
  feed:add(record.events(data, (data.result.run or {}).name))
end

local function follow(feed, dir)
  local follower = M.follow(dir)
  feed:reset()
  repeat
    feed:add(follower:next())
    local on = goes_on(dir)
    if on then task.sleep "200ms" end
  until not on
  follower:close()
  if fs.exists(dir .. "/result.json") then show_record(feed, dir) end
end

-- watch(feed, runs): tells the feed of whatever runs, one run after the other, until it is cancelled
function M.watch(feed, runs)
  while true do
    local dir = M.current(runs)
    if dir then follow(feed, dir) else task.sleep "500ms" end
  end
end

return M
