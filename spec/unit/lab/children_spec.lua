-- A program of an arm that ended by itself: who it was, how it ended and where its log is.
local children = require "rlab.lab.children"
local fs = require "rlab.fs"
local must = require "rlab.must"
local process = require "rlab.process"

local function child_of(command)
  local folder = must(fs.tmpdir "rlab-children")
  local lab = { run = { dir = folder } }
  function lab.fault()
    return { started = function(self) return self end }
  end
  function lab.give_up(_, fmt, ...) error(fmt:format(...), 0) end
  local p = must(process.spawn { cmd = { "sh", "-c", command }, stdout = folder .. "/mine-1.log" })
  return setmetatable({ lab = lab, name = "mine-1", process = p, pid = p.pid }, children.class()), folder
end

describe("a program that has ended", function()
  it("is named with its end and its log, when it is to be killed or frozen", function()
    local child, folder = child_of "echo no such table; exit 3"
    must(child.process:wait "30s")
    for _, method in ipairs { "kill", "freeze" } do
      local ok, why = pcall(child[method], child)
      assert.is_false(ok)
      assert.matches("mine%-1 had ended by exit 3 before SIG%u+ came; its log: mine%-1%.log; it wrote: no ",
        why)
    end
    child.process:close()
    fs.remove(folder)
  end)
end)
