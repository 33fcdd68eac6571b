-- The heartbeat of a run: ten times a second it looks whether rlab's own loop, each child and each server
-- live and run, and how long they wait for a processor; from the services' logs it reads who lost a session.
-- What the lab itself does to them it says beforehand (`meant`), which is no disturbance. Offers the
-- disturbances of an arm (rlab.run.disturbance) and a clock that counts quiet time only.
local clock = require "rlab.clock"
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"
local starvation = require "rlab.run.starvation"
local task = require "rlab.task"

local M = {}

local Heartbeat = {}
Heartbeat.__index = Heartbeat

local PERIOD, LATE = 0.1, 0.25 -- seconds between beats; one that comes later than that tells of a stall
local WINDOW = 5 -- beats from one look at who waited for a processor to the next
local STARVED = 0.1 -- of a window: less happens on any machine that does more than one thing
local JOIN = 1.2 -- what is seen again within so many seconds goes on

-- ---- rows ----

local function note(self, target, kind, from, to, seconds)
  local row = target.last[kind]
  if row and from - row.to <= JOIN * 1e9 then
    row.to, row.seconds, row.longest = to, row.seconds + seconds, math.max(row.longest, seconds)
    return
  end
  row = { what = target.name, kind = kind, from = from, to = to, seconds = seconds, longest = seconds,
    lab = target.lab }
  self.rows[#self.rows + 1], target.last[kind] = row, row
end

local function target_of(name, thing, lab)
  return { name = name, thing = thing, lab = lab, last = {} }
end

-- ---- one beat ----

-- Ended by a signal that neither the lab nor one of its failpoints sent; an exit of its own is its own.
local function killed_by_somebody(child, status)
  if not status.signal or child.meant then return false end
  for _, hit in ipairs(child:hits()) do
    if hit.action == "kill" then return false end
  end
  return status.signal == "KILL" or status.signal == "TERM"
end

local function look_at_child(self, target, now, passed)
  local child = target.thing
  local status = not child.closed and child.process:status()
  if child.closed or status then
    if status and killed_by_somebody(child, status) then note(self, target, "gone", now, now, passed) end
    self.targets[target] = nil
    return
  end
  if process.state(child.pid) == "T" and child.meant ~= "stopped" then
    note(self, target, "stopped", now - passed * 1e9 // 1, now, passed)
    return true
  end
end

local function look_at_server(self, target, now, passed)
  local server = target.thing
  if server.meant or not server.pid then return end
  local from = now - passed * 1e9 // 1
  if not process.alive(server.pid, server.start_time) then
    note(self, target, "gone", from, now, passed)
    return true
  elseif process.state(server.pid) == "T" then
    note(self, target, "stopped", from, now, passed)
    return true
  end
end

-- Seconds of the window that this one waited for a processor.
local function lost_of(target, window)
  local pid = target.thing.pid
  if not pid or target.thing.meant == "stopped" then return 0 end
  local before = target.pid == pid and target.threads or {}
  target.pid, target.threads = pid, process.threads(pid)
  return starvation.lost(before, target.threads, window)
end

-- Of rlab itself the lateness of its beats is what it lost: it looks on, and many of its looks that each wait
-- a little keep nobody from the work.
local function weigh(self, now)
  local window, lost = (now - self.weighed) / 1e9, { service = 0, server = 0, rlab = self.late }
  for target in pairs(self.targets) do
    local seconds = lost_of(target, window)
    if seconds >= STARVED * window then note(self, target, "starved", self.weighed, now, seconds) end
    local part = target.server and "server" or "service"
    if target ~= self.own then lost[part] = math.max(lost[part], seconds) end
  end
  self.quiet_s = self.quiet_s + starvation.quiet(window, self.disturbed, lost)
  self.weighed, self.disturbed, self.late, self.beats = now, 0, 0, 0
end

-- One that comes late tells of a stall, or of a wait for a processor.
local function keep_lateness(self, late, now)
  if late > LATE then
    note(self, self.own, "stall", self.beaten, now, late)
    self.disturbed = self.disturbed + late
  else
    self.late = self.late + math.max(0, late)
  end
end

local function beat(self)
  local now = clock.ns()
  local passed = (now - self.beaten) / 1e9
  keep_lateness(self, passed - PERIOD, now)
  local still = false
  for target in pairs(self.targets) do
    local look = target.server and look_at_server or target.thing.process and look_at_child
    still = look and look(self, target, now, passed) or still
  end
  if still then self.disturbed = self.disturbed + passed end
  self.beaten, self.beats = now, self.beats + 1
  if self.beats >= WINDOW or passed > LATE then weigh(self, now) end
end

-- start(session) -> heartbeat, beating until stop()
function M.start(session)
  local now = clock.ns()
  local self = setmetatable({ rows = {}, targets = {}, quiet_s = 0, disturbed = 0, late = 0, beats = 0,
    beaten = now, weighed = now }, Heartbeat)
  self.own = target_of("rlab", { pid = (process.self()) })
  self.targets[self.own] = true
  for _, server in ipairs(session.stack:servers()) do
    local target = target_of(server.name, server)
    if server.visible ~= false then target.server, self.targets[target] = true, true end
  end
  self.task = task.spawn(function()
    while true do
      task.sleep(PERIOD)
      beat(self)
    end
  end)
  return self
end

-- still() -> one that never looks: of an onlooker, which runs for months and judges by its own times
function M.still()
  local function nothing() end
  return { watch = nothing, stop = nothing }
end

-- heartbeat:stop(). One that ended before that has seen nothing since: its failure is raised.
function Heartbeat:stop()
  local ended = self.task:done()
  self.task:cancel()
  local _, failure = self.task:join()
  if ended then error(failure, 0) end
end

-- heartbeat:watch(child): one of a lab's, from now until it has ended
function Heartbeat:watch(child)
  self.targets[target_of(child.name, child, child.lab)] = true
end

-- heartbeat:quiet() -> seconds of the run so far in which nothing stood still or waited for a processor
function Heartbeat:quiet()
  return self.quiet_s
end

-- heartbeat:add(lab, kind, what, seconds): a disturbance that a story measured by itself, until now
function Heartbeat:add(lab, kind, what, seconds)
  local now = clock.ns()
  note(self, target_of(what, {}, lab), kind, now - math.floor(seconds * 1e9), now, seconds)
end

-- ---- who works: sessions and partitions, by the services' own logs ----

local CHANGES = 10 -- seconds in which a group may be busy with what the lab did to a member

-- A failpoint that ends a process or holds it can cost a session; an error of one is the story's work.
local costly = { kill = true, exit = true, pause = true, sleep = true, barrier = true }

-- What the lab did to the members, in ms since 1970: what can end a session, and what moves partitions, which
-- a start does, too.
local function planned_changes(children)
  local ends, moves = {}, {}
  for _, child in ipairs(children) do
    ends[#ends + 1], moves[#moves + 1] = child.meant_ms, child.spawned_ms
    for _, hit in ipairs(child:hits()) do
      if costly[hit.action] then ends[#ends + 1] = hit.time // 1000000 end
    end
  end
  table.move(ends, 1, #ends, #moves + 1, moves)
  return { lost = ends, fenced = moves, revoked = moves }
end

local function near_a_change(changes, at_ms)
  for _, change in ipairs(changes) do
    if at_ms >= change - 1000 and at_ms <= change + CHANGES * 1000 then return true end
  end
  return false
end

local kinds = { lost = "session lost", fenced = "session lost", revoked = "rebalance" }

local function rows_of_log(lab, child, changes, rows)
  local offset = clock.unix_ms() - lab:now() * 1000
  for line in (fs.read(child.lab.run.dir .. "/" .. child.name .. ".log") or ""):gmatch "[^\n]+" do
    local ok, entry = pcall(json.decode, line)
    local kind = ok and type(entry) == "table" and kinds[entry.message]
    if kind and entry.at_ms and not child.meant
      and not near_a_change(changes[entry.message], entry.at_ms) then
      local at = (entry.at_ms - offset) / 1000
      rows[#rows + 1] = { what = child.name, kind = kind, from = at, ["until"] = at, seconds = 0 }
    end
  end
end

-- Where the lab hurt a server the group's troubles are planned.
local function hurt_a_server(lab)
  for _, server in ipairs(lab.stack:servers()) do
    if server.meant_ms and server.meant_ms >= clock.unix_ms() - lab:now() * 1000 then return true end
  end
  return false
end

-- A row in seconds of the arm; of one that began before it the part that lies within.
local function clipped(row, began)
  local from, length = math.max(row.from, began), row.to - row.from
  local share = length > 0 and (row.to - from) / length or 1
  return { what = row.what, kind = row.kind, from = (from - began) / 1e9, ["until"] = (row.to - began) / 1e9,
    seconds = row.seconds * share, longest = row.kind == "stall" and row.longest or nil }
end

-- heartbeat:disturbances(lab) -> the rows of an arm (or the setup) that ends now, for its evidence
function Heartbeat:disturbances(lab)
  local rows, began = {}, lab.started_ns
  for _, row in ipairs(self.rows) do
    if row.to >= began and (row.lab == nil or row.lab == lab) then
      rows[#rows + 1] = clipped(row, began)
    end
  end
  if not hurt_a_server(lab) then
    local changes = planned_changes(lab.children)
    for _, child in ipairs(lab.children) do rows_of_log(lab, child, changes, rows) end
  end
  return rows
end

return M
