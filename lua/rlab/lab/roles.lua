-- Roles: functions of an experiment file that run in processes of their own, so that a crash is a real SIGKILL.
-- The child is this same program (`rlab role FILE ROLE`); it talks by JSON lines on its standard output and dies with rlab.
local err = require "rlab.err"
local fs = require "rlab.fs"
local json = require "rlab.json"
local must = require "rlab.must"
local process = require "rlab.process"
local task = require "rlab.task"

local M = {}

local Role = {}
Role.__index = Role

local function failpoint_env(points)
  local list = {}
  for name, expr in pairs(points or {}) do list[#list + 1] = name .. "=" .. expr end
  table.sort(list)
  return table.concat(list, ";")
end

local function read_messages(role)
  for line in role.process:lines() do
    local ok, message = pcall(json.decode, line)
    if ok and type(message) == "table" and message.say then
      role.inbox[#role.inbox + 1] = message
    else
      role.other[#role.other + 1] = line
    end
    role.arrived:set(true)
  end
  role.ended = true
  role.arrived:set(true)
end

-- start(role, args, {must_fire = {point = expr}, failpoints = {point = expr}}) -> Role. Failpoints are armed before the process runs.
function M.start(lab, name, args, opts)
  opts = opts or {}
  local exp = lab.run.experiment
  if not (exp.roles and exp.roles[name]) then error(("%s has no role '%s'"):format(exp.id, name), 2) end
  lab.run.role_count = lab.run.role_count + 1
  local tag = ("%s-%d"):format(name, lab.run.role_count)
  local points = {}
  for point, expr in pairs(opts.failpoints or {}) do points[point] = expr end
  for point, expr in pairs(opts.must_fire or {}) do points[point] = expr end
  local hits = lab.run.dir .. "/failpoints-" .. tag .. ".jsonl"
  local child = must(process.spawn {
    cmd = { fs.self_exe(), "role", exp.path, name, tostring(process.self()) },
    env = {
      RLAB_ROLE_ARGS = json.encode { args = args or {}, brokers = lab.stack.kafka and lab.stack.kafka.brokers, mysql = lab.stack.mysql,
        redis = lab.stack.redis, seed = lab.seed, arm = lab.label },
      RLAB_FAILPOINTS = failpoint_env(points), RLAB_FAILPOINT_LOG = hits,
    },
    stdout = "capture", stderr = lab.run.dir .. "/" .. tag .. ".log",
  })
  local role = setmetatable({ lab = lab, name = tag, process = child, pid = child.pid, inbox = {}, other = {}, hits_path = hits,
    arrived = task.event(), must_fire = opts.must_fire or {} }, Role)
  role.reader = task.spawn(read_messages, role)
  lab:own(role)
  return role
end

local function take(role, word)
  for i, message in ipairs(role.inbox) do
    if message.say == word then return table.remove(role.inbox, i) end
  end
end

-- role:expect(word, at_most) -> the message {say = word, ...} the role sent; inconclusive when it does not come
function Role:expect(word, at_most)
  local message
  local ok, failure = task.timeout(at_most or "10s", function()
    repeat
      message = take(self, word)
      if not message and not self.ended then self.arrived:wait() end
    until message or self.ended
    return true
  end)
  message = message or take(self, word)
  if message then return message end
  self.lab:give_up("%s did not say '%s' (%s); its log: %s.log", self.name, word, ok and "it ended" or tostring(failure), self.name)
end

-- role:said(word) -> every message of that word so far (taken from the inbox); after the role ended all of them
function Role:said(word)
  if self.process:wait(0) then self.reader:join() end
  local list = {}
  repeat
    local message = take(self, word)
    list[#list + 1] = message
  until not message
  return list
end

-- role:kill() -> fault: SIGKILL from outside, proved by the exit status
function Role:kill()
  local fault = self.lab:fault("SIGKILL " .. self.name):started()
  must(self.process:kill "KILL")
  local status = must(self.process:wait "5s")
  if status.signal == "KILL" then fault:fired("signal 9, pid %d", self.pid) end
  return fault:over()
end

-- role:wait_exit{signal=|code=, at_most=} -> status; another ending makes the arm inconclusive
function Role:wait_exit(want)
  local status = must(self.process:wait(want.at_most or "15s"))
  if (want.signal and status.signal ~= want.signal) or (want.code and status.code ~= want.code) then
    self.lab:give_up("%s ended by %s, expected %s; its log: %s.log", self.name, status.signal or ("exit " .. tostring(status.code)),
      want.signal or ("exit " .. want.code), self.name)
  end
  return status
end

-- role:hits() -> the failpoint firings it logged before they acted
function Role:hits()
  local list = {}
  for line in (fs.read(self.hits_path) or ""):gmatch "[^\n]+" do list[#list + 1] = json.decode(line) end
  return list
end

-- role:await_hit(point, at_most): returns when the role has logged a firing of that failpoint (it is written before it acts)
function Role:await_hit(point, at_most)
  self.lab:await(self.name .. " at " .. point, function()
    for _, hit in ipairs(self:hits()) do
      if hit.name == point then return true end
    end
  end, at_most)
end

-- Each must-fire failpoint becomes a fault with its hit record as proof.
function Role:prove_hits()
  local fired = {}
  for _, hit in ipairs(self:hits()) do fired[hit.name] = hit end
  for point, expr in pairs(self.must_fire) do
    local fault = self.lab:fault(("%s: %s"):format(point, expr))
    local hit = fired[point]
    if hit then
      fault:fired("hit %d, pid %d", hit.hit, hit.pid)
      fault.row.at = (hit.mono - self.lab.started_ns) / 1e9
    end
  end
  self.must_fire = {}
end

function Role:close()
  if not self.process:wait(0) then
    self.process:kill "KILL"
    self.process:wait "5s"
  end
  self:prove_hits()
  self.reader:cancel(err.new { domain = "rlab", code = 0, name = "CANCELLED", message = "the role is closed" })
  self.reader:join()
  self.process:close()
end

return M
