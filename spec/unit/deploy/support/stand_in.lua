-- The stand-in of the container engine's API, as a process that listens on a socket of its own.
local fs = require "rlab.fs"
local process = require "rlab.process"
local task = require "rlab.task"

local M = {}

local StandIn = {}
StandIn.__index = StandIn

-- start(containers) -> stand-in with .folder, which goes with it, and .socket; containers: "name", or
--   "name=PID" of a process that is one already
function M.start(containers)
  local folder = assert(fs.tmpdir())
  local self = setmetatable({ folder = folder, socket = folder .. "/engine.sock" }, StandIn)
  self.child = assert(process.spawn { cmd = { "python3", "spec/unit/deploy/support/engine.py", self.socket,
    table.unpack(containers) }, stderr = "inherit" })
  assert(task.wait_until(function() return fs.exists(self.socket) end, { at_most = "10s" }))
  return self
end

function StandIn:close()
  self.child:kill "TERM"
  self.child:wait "10s"
  self.child:close()
  fs.remove(self.folder)
end

return M
