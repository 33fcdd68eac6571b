-- The stack that is measured on: one of our own in a folder and on ports of its own, started when first
-- needed and wiped at the end,
-- or (--brokers) one that is there already.
local clock = require "rlab.clock"
local fs = require "rlab.fs"
local json = require "rlab.json"
local must = require "rlab.must"
local process = require "rlab.process"

local Stack = {}
Stack.__index = Stack

local function port_base()
  local from = tonumber(os.getenv "RLAB_PORT_BASE" or "")
  return must(process.free_ports(200, from))[1]
end

-- rlab(words...) -> output, seconds
function Stack:rlab(...)
  local began = clock.ns()
  local output = self.ctx.run { self.ctx.rlab, env = self.env, ... }
  return output, (clock.ns() - began) / 1e9
end

local function settle(stack)
  if stack.home then return end
  stack.home = must(fs.realpath(must(fs.tmpdir "rlab-bench")))
  stack.env = { RLAB_HOME = stack.home, RLAB_PORT_BASE = tostring(port_base()) }
end

-- brokers(): starts the servers
function Stack:brokers()
  if self.ctx.brokers then return self.ctx.brokers end
  if not self.cold then
    settle(self)
    self:rlab("down", "kafka")
    local output
    output, self.cold = self:rlab("up", "kafka", "--json")
    self.found = must(json.decode(output)).kafka.brokers
  end
  return self.found
end

-- mysql() -> {host=, port=, user=, password=}: starts the server
function Stack:mysql()
  if self.ctx.brokers then return self.ctx.mysql end
  settle(self)
  return must(json.decode((self:rlab("up", "mysql", "--json")))).mysql
end

function Stack.__close(stack)
  if not stack.home then return end
  stack:rlab("down", "--wipe", "--force")
  fs.remove(stack.home)
end

return {
  new = function(ctx) return setmetatable({ ctx = ctx }, Stack) end,
}
