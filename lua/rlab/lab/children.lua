-- Children: processes of an arm (roles and services) that talk by JSON lines on their standard output, with
-- failpoints armed before they run and the record of what fired. A crash is a real SIGKILL, an exit status
-- its proof. They die with rlab.
local clock = require "rlab.clock"
local err = require "rlab.err"
local fs = require "rlab.fs"
local hit_log = require "rlab.failpoint.log"
local json = require "rlab.json"
local must = require "rlab.must"
local options = require "rlab.options"
local process = require "rlab.process"
local proof_makers = require "rlab.proof.makers"
local task = require "rlab.task"
local units = require "rlab.units"

local M = {}

local Child = {}

-- Seconds: how often somebody looks whether it has ended, and what a process may take that was killed.
local LOOK, AT_ONCE = 0.2, 2.0

-- class() -> a table with all methods of a child, for those of its own to be added
function M.class()
  local class = {}
  for name, method in pairs(Child) do class[name] = method end
  class.__index = class
  return class
end

local function failpoint_env(points)
  local list = {}
  for name, expr in pairs(points or {}) do list[#list + 1] = name .. "=" .. expr end
  table.sort(list)
  return table.concat(list, ";")
end

local function read_messages(child)
  for line in child.process:lines() do
    local ok, message = pcall(json.decode, line)
    if ok and type(message) == "table" and message.say then
      child.inbox[#child.inbox + 1] = message
    else
      child.other[#child.other + 1] = line
    end
    child.arrived:set(true)
  end
  child.ended = true
  child.arrived:set(true)
end

-- child:note_arming(point, expr, must): armed in it, for the proof; `must`: without that the arm is
--   inconclusive
function Child:note_arming(point, expr, must_fire)
  local list = self.armed[point] or {}
  list[#list + 1] = expr
  self.armed[point] = list
  if must_fire then self.due[#self.due + 1] = { point = point, expr = expr, n = #list } end
end

-- spawn(lab, class, tag, {cmd=, env=, cwd=}, {must_fire = {point = expr}, failpoints = {point = expr}}) ->
--   child of that class
function M.spawn(lab, class, tag, what, opts)
  local points = {}
  for _, list in ipairs { opts.failpoints or {}, opts.must_fire or {} } do
    for point, expr in pairs(list) do points[point] = expr end
  end
  local hits = lab.run.dir .. "/failpoints-" .. tag .. ".jsonl"
  local env = { RLAB_FAILPOINTS = failpoint_env(points), RLAB_FAILPOINT_LOG = hits,
    RLAB_CONNECTIONS = lab.stack and lab.stack.path }
  for name, value in pairs(what.env or {}) do env[name] = value end
  local started = must(process.spawn { cmd = what.cmd, env = env, cwd = what.cwd, stdout = "capture",
    stderr = lab.run.dir .. "/" .. tag .. ".log" })
  local child = setmetatable({ lab = lab, name = tag, process = started, pid = started.pid, inbox = {},
    other = {}, hits_path = hits, arrived = task.event(), armed = {}, due = {} }, class)
  for point, expr in pairs(points) do child:note_arming(point, expr, (opts.must_fire or {})[point]) end
  child.reader, child.spawned_ms = task.spawn(read_messages, child), clock.unix_ms()
  lab:own(child)
  lab.children[#lab.children + 1] = child
  lab.run.heartbeat:watch(child)
  return child
end

-- means(child, "gone" | "stopped" | nil): what the lab is about to do to it, and when that was said: so that
--   rlab.run.heartbeat knows its acts from others'
function M.means(child, what)
  child.meant, child.meant_ms = what, clock.unix_ms()
end

local function take(child, word)
  for i, message in ipairs(child.inbox) do
    if message.say == word then return table.remove(child.inbox, i) end
  end
end

-- The last word that it wrote on standard error, which is why it ended, as a rule; what it left open then is
-- not.
local function last_words(child)
  local text = fs.read(child.lab.run.dir .. "/" .. child.name .. ".log") or ""
  local last
  for line in text:gmatch "[^\n]+" do
    if not line:find "^rlab: warning: .* was dropped without close" then last = line end
  end
  return last and "; it wrote: " .. last:sub(1, 300) or ""
end

-- child:expect(word, at_most) -> the message {say = word, ...} the child sent; inconclusive when it does
--   not come
function Child:expect(word, at_most)
  local message
  local ok, failure = task.timeout(at_most or "30s", function()
    repeat
      message = take(self, word)
      if not message and not self.ended then self.arrived:wait() end
    until message or self.ended
    return true
  end)
  message = message or take(self, word)
  if message then return message end
  self.lab:give_up("%s did not say '%s' (%s); its log: %s.log%s", self.name, word,
    ok and "it ended" or tostring(failure), self.name, last_words(self))
end

-- child:said(word) -> every message of that word so far (taken from the inbox); after the child ended all
--   of them
function Child:said(word)
  if self.process:wait(0) then self.reader:join() end
  local list = {}
  repeat
    local message = take(self, word)
    list[#list + 1] = message
  until not message
  return list
end

-- child:alive() -> boolean
function Child:alive()
  return self.process:wait(0) == nil
end

local function how(status)
  return status.signal or "exit " .. tostring(status.code)
end

-- A signal to a program that has ended already is no fault: the arm cannot be judged, and says why.
local function signalled(child, method, signal)
  local ok, failure = child.process[method](child.process)
  if ok then return end
  if failure.name ~= "ESRCH" then error(failure, 0) end
  child.lab:give_up("%s had ended by %s before SIG%s came; its log: %s.log%s", child.name,
    how(must(child.process:wait "30s")), signal, child.name, last_words(child))
end

-- child:kill() -> fault: SIGKILL from outside, proved by the exit status
function Child:kill()
  local fault = self.lab:fault("SIGKILL " .. self.name):started()
  self.ended_by_lab = self:alive()
  M.means(self, "gone")
  signalled(self, "kill", "KILL")
  must(self.process:wait "30s")
  return fault:fired(self.lab.proof.exit(self, { signal = "KILL" })):over()
end

-- child:freeze() -> fault: SIGSTOP, proved by the process state; fault.thaw() continues it
function Child:freeze()
  local fault = self.lab:fault("SIGSTOP " .. self.name):started()
  M.means(self, "stopped")
  signalled(self, "stop", "STOP")
  self.lab:await(self.name .. " stopped", function() return process.state(self.pid) == "T" end, "30s")
  fault:fired(self.lab.proof.state(self, "T"))
  function fault.thaw()
    signalled(self, "cont", "CONT")
    M.means(self, nil)
    return fault:over()
  end
  return fault
end

local function is_deadly(hit) return hit.action == "kill" or hit.action == "exit" end

-- Waits for the end; a failpoint that ends the process does so at once, so once it has acted no longer than
-- AT_ONCE.
local function wait_end(child, at_most)
  local began, acted = clock.ns(), nil
  while true do
    local status, failure = child.process:wait(LOOK)
    if status then return status end
    local now = clock.ns()
    for _, hit in ipairs(acted and {} or child:hits()) do acted = acted or is_deadly(hit) and now or nil end
    if acted and now - acted >= AT_ONCE * 1e9 then return nil, "a failpoint was to end it, and it lives" end
    if now - began >= units.duration(at_most) * 1e9 then return nil, failure end
  end
end

M.ENDINGS = { "signal", "code", "at_most" }

-- child:wait_exit{signal=|code=, at_most=} -> status; another ending makes the arm inconclusive
function Child:wait_exit(want)
  want = options.check("wait_exit", want, M.ENDINGS)
  local status, failure = wait_end(self, want.at_most or "30s")
  if not status then
    self.lab:give_up("%s did not end: %s; its log: %s.log", self.name, tostring(failure), self.name)
  end
  if (want.signal and status.signal ~= want.signal) or (want.code and status.code ~= want.code) then
    self.lab:give_up("%s ended by %s, expected %s; its log: %s.log%s", self.name,
      how(status),
      want.signal or ("exit " .. want.code), self.name, last_words(self))
  end
  return status
end

-- child:log() -> the lines of its hit log so far, which are not the caller's to change
function Child:log()
  self.logged = hit_log.read_on(self.hits_path, self.logged)
  return self.logged.list
end

-- child:hits([point]) -> the failpoint firings it logged before they acted
function Child:hits(point)
  return hit_log.acted(self:log(), point)
end

-- child:ending() -> how it ended {signal = | code =} | nil while it lives
function Child:ending()
  local status = self.process:wait(0)
  return status and { signal = status.signal, code = not status.signal and status.code or nil }
end

-- child:await_hit(point, at_most, [nth = 1]) -> hit: returns when the child has logged so many firings of
--   that failpoint (each is written before it acts), and stands still at the last where it is to
function Child:await_hit(point, at_most, nth)
  return self.lab:await(self.name .. " at " .. point, function()
    local lines = self:log()
    local hit = hit_log.acted(lines, point)[nth or 1]
    return hit and hit_log.has_stopped(lines, hit) and hit
  end, at_most)
end

-- Each must-fire failpoint becomes a fault, with its hits as proof.
function Child:prove_hits()
  for _, one in ipairs(self.due) do
    local fault = self.lab:fault(("%s: %s"):format(one.point, one.expr))
    local seen = proof_makers.hits_of_arming(self.lab, self, one.point, one.expr, one.n)
    fault:fired(seen)
    local first = hit_log.acted(seen.facts.hits)[1]
    if first then fault.row.at = (first.mono - self.lab.started_ns) / 1e9 end
  end
  self.due = {}
end

function Child:close()
  if not self.process:wait(0) then
    self.ended_by_lab = true
    M.means(self, "gone")
    self.process:kill "KILL"
    self.process:wait "30s"
  end
  self:prove_hits()
  self.reader:cancel(err.new { domain = "rlab", code = 0, name = "CANCELLED",
    message = "the child is closed" })
  self.reader:join()
  self.closed = true
  self.process:close()
end

return M
