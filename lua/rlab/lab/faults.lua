-- Faults and their proof. A fault that must fire and left no evidence makes the arm inconclusive, never
-- green.
local must = require "rlab.must"
local process = require "rlab.process"

local M = {}

local Fault = {}
Fault.__index = Fault

-- fault(name) -> f: declared before it happens; f:fired(proof) when there is evidence, f:over() when it has
--   ended.
function M.fault(lab, name)
  local fault = setmetatable({ lab = lab,
    row = { name = name, arm = lab.label, at = lab:now(), fired = false } }, Fault)
  lab.faults[#lab.faults + 1] = fault.row
  return fault
end

function Fault:fired(fmt, ...)
  self.row.fired = true
  self.row.proof = select("#", ...) > 0 and fmt:format(...) or fmt
  return self
end

function Fault:started()
  self.row.at = self.lab:now()
  self.lab.run.view:fault(self.lab, self.row)
  return self
end

function Fault:over()
  self.row["until"] = self.lab:now()
  return self
end

-- unproved() -> names of declared faults without evidence
function M.unproved(lab)
  local names = {}
  for _, row in ipairs(lab.faults) do
    if not row.fired then names[#names + 1] = row.name end
  end
  return names
end

-- freeze(server) -> f: SIGSTOP, proved by the process state; f:thaw() continues it. Thawed at the arm's end
--   in any case.
function M.freeze(lab, name)
  local server = must(lab.stack:server(name))
  local fault = lab:fault("SIGSTOP " .. name):started()
  must(server:freeze())
  lab:await(name .. " stopped", function() return process.state(server.pid) == "T" end, "30s")
  fault:fired("process state T, pid %d", server.pid)
  function fault.thaw()
    must(server:thaw())
    return fault:over()
  end
  lab:own(setmetatable({}, { __close = function()
    if server:alive() then server:thaw() end
  end }))
  return fault
end

local function restartable(fault, server)
  function fault.restart()
    must(server:start())
    return fault:over()
  end
  return fault
end

-- Ends the server by `act`; that its process is gone is looked up, whatever the act says of itself.
local function ended(lab, name, signal, act)
  local server = must(lab.stack:server(name))
  local fault = lab:fault(signal.name .. " " .. name):started()
  local pid = server.pid
  must(act(server))
  if server:alive() then lab:give_up("%s (pid %d) survived %s", name, pid, signal.name) end
  fault:fired("signal %d, pid %d %s", signal.number, pid, signal.outcome)
  return restartable(fault, server)
end

local KILL = { name = "SIGKILL", number = 9, outcome = "is gone" }
local TERM = { name = "SIGTERM", number = 15, outcome = "has gone" }

-- kill(server) -> f: SIGKILL, proved by the process being gone; f:restart() starts it again (does not wait
--   until it is ready)
function M.kill(lab, name)
  return ended(lab, name, KILL, function(server) return server:kill() end)
end

-- terminate(server) -> f: SIGTERM, proved by the process having gone by itself; f:restart() as above
function M.terminate(lab, name)
  return ended(lab, name, TERM, function(server) return server:terminate() end)
end

return M
