-- That a server has gone is looked up: what the signal's sender says of it is no proof.
local faults = require "rlab.lab.faults"

local function lab_with(server)
  local lab = { faults = {}, stack = { server = function() return server end },
    run = { view = { fault = function() end } } }
  function lab:now() return #self.faults end
  lab.proof = require("rlab.proof").bind(lab)
  function lab:give_up(fmt, ...) error { gave_up = fmt:format(...), lab = self } end
  lab.fault = faults.fault
  return lab
end

local function server(stays)
  local s = { pid = 4711, here = true }
  function s:alive() return self.here end
  function s:kill()
    self.here = stays
    return true
  end
  s.terminate = s.kill
  return s
end

describe("a server that is ended by", function()
  for _, how in ipairs { { "kill", "SIGKILL", "signal 9, pid 4711 is gone" },
    { "terminate", "SIGTERM", "signal 15, pid 4711 has gone" } } do
    local name, signal, proof = table.unpack(how)

    it(name .. " is the proof when it has gone", function()
      local lab = lab_with(server(false))
      faults[name](lab, "redis")
      assert.same({}, faults.unproved(lab))
      assert.equal(proof, lab.faults[1].proof)
    end)

    it(name .. " is no proof while it is there", function()
      local lab = lab_with(server(true))
      local ok, why = pcall(faults[name], lab, "redis")
      assert.is_false(ok)
      assert.equal("redis (pid 4711) survived " .. signal, why.gave_up)
      assert.same({ signal .. " redis" }, faults.unproved(lab))
    end)
  end
end)

describe("a fault", function()
  it("that need not happen is none that lacks its proof", function()
    local lab = lab_with {}
    local possible = faults.possible_fault(lab, "SIGKILL")
    assert.same({}, faults.unproved(lab))
    possible:fired(lab.proof.exit({ name = "a", pid = 7, ending = function() return { code = 0 } end },
      { code = 0 }))
    assert.is_true(possible.row.fired)
    faults.fault(lab, "SIGSTOP")
    assert.same({ "SIGSTOP" }, faults.unproved(lab))
  end)
end)
