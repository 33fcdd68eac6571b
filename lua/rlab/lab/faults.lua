-- Faults and their proof. A fault that must fire and left no evidence makes the arm inconclusive, never
-- green. The evidence is a value that the lab made of what it saw (rlab.proof), never a text.
local defer = require "rlab.defer"
local must = require "rlab.must"
local proof = require "rlab.proof"

local M = {}

local Fault = {}
Fault.__index = Fault

local function undeclared(lab, name)
  return setmetatable({ lab = lab,
    row = { name = name, arm = lab.label, at = lab:now(), fired = false } }, Fault)
end

-- fault(name) -> f: declared before it happens; f:fired(proof, ...) when there is evidence, f:over() when it
--   has ended.
function M.fault(lab, name)
  local fault = undeclared(lab, name)
  lab.faults[#lab.faults + 1] = fault.row
  return fault
end

-- possible_fault(name) -> f: one that need not happen; what is seen of it is kept all the same
M.possible_fault = undeclared

local INSTEAD = "fault:fired takes what the lab has seen, not %s: lab.proof.hits(child, point), \z
  lab.proof.exit(child, { signal = \"KILL\" }), lab.proof.rows(what, { want =, sql = }), ... \z
  (docs/api.md, proof)"

-- fired(proof, ...): all of them must be proofs, and be right
function Fault:fired(...)
  local list = table.pack(...)
  for i = 1, math.max(1, list.n) do
    if not proof.is(list[i]) then
      local got = type(list[i]) == "string" and ("a text (%q)"):format(list[i]) or type(list[i])
      error(INSTEAD:format(got), 2)
    end
  end
  list.n = nil
  self.row.proofs = list
  self.row.fired, self.row.proof = proof.all(list)
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

-- unproved() -> names of declared faults without evidence, and what is wrong with what was seen of them
function M.unproved(lab)
  local names = {}
  for _, row in ipairs(lab.faults) do
    local why = row.proof and (" (%s)"):format(row.proof) or ""
    if not row.fired then names[#names + 1] = row.name .. why end
  end
  return names
end

-- On an external stack, by a driver of the server's owner, whose word is no proof: what rlab asked the server
-- itself is, at once and again when it is back.
local function driven(lab, server, verb, undo)
  local fault = lab:fault(("%s %s by its driver"):format(verb, server.name)):started()
  local function prove() fault:fired(lab.proof.away(server)) end
  lab:own(defer(function() must(server:restore()) end))
  must(server[verb](server))
  prove()
  fault[undo] = function()
    must(server:restore())
    prove()
    return fault:over()
  end
  return fault
end

-- freeze(server) -> f: SIGSTOP, proved by the process state; f:thaw() continues it. Thawed at the arm's end
--   in any case.
function M.freeze(lab, name)
  local server = must(lab.stack:server(name))
  if server.driven then return driven(lab, server, "freeze", "thaw") end
  local fault = lab:fault("SIGSTOP " .. name):started()
  must(server:freeze())
  lab:await(name .. " stopped", function() return server:process_state() == server.stopped end, "30s")
  fault:fired(lab.proof.state(server, server.stopped))
  function fault.thaw()
    must(server:thaw())
    return fault:over()
  end
  lab:own(defer(function()
    if server:alive() then server:thaw() end
  end))
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
  if server.driven then return driven(lab, server, signal.act, "restart") end
  local fault = lab:fault(signal.name .. " " .. name):started()
  local pid, lived = server.pid, server:alive()
  must(act(server))
  if server:alive() then lab:give_up("%s (pid %d) survived %s", name, pid, signal.name) end
  fault:fired(lab.proof.gone(server, pid, signal.number, lived))
  return restartable(fault, server)
end

local KILL = { name = "SIGKILL", number = 9, act = "kill" }
local TERM = { name = "SIGTERM", number = 15, act = "terminate" }

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
