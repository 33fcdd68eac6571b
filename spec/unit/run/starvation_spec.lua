-- How much of its time a process lost to waiting for a processor, and what of it leaves time that is quiet.
local process = require "rlab.process"
local starvation = require "rlab.run.starvation"
local task = require "rlab.task"

-- Threads that have waited so many seconds, numbered from 1.
local function threads(...)
  local list = {}
  for tid, delay in ipairs { ... } do list[tid] = { run = 1, delay = delay } end
  return list
end

local function near(want, got)
  assert.is_true(math.abs(want - got) < 1e-9, ("%s, not %s"):format(got, want))
end

describe("what a process lost", function()
  it("is what its worst thread waited, not what all of them did", function()
    local before, now = {}, {}
    for tid = 1, 73 do
      before[tid] = { run = 5, delay = 2 }
      now[tid] = { run = 5.001, delay = 2 + (tid == 40 and 0.075 or 0.005) }
    end
    near(0.075, starvation.lost(before, now, 0.5))
    near(0.2, starvation.lost(threads(1, 1), threads(1.1, 1.2), 0.5))
  end)

  it("is all of the window at most: a long wait counts where it ends", function()
    near(0.5, starvation.lost(threads(1), threads(3), 0.5))
  end)

  it("is seen however many threads have ended meanwhile", function()
    near(0.3, starvation.lost(threads(1, 50, 50), threads(1.3), 0.5))
  end)

  it("is that of a thread that began since, also under a number of old", function()
    near(0.4, starvation.lost(threads(1), threads(1, 0.4), 0.5))
    near(0.4, starvation.lost(threads(1, 7), threads(1, 0.4), 0.5))
  end)

  it("is nothing where nobody has looked before, or nobody is there any more", function()
    near(0, starvation.lost({}, threads(7), 0.5))
    near(0, starvation.lost(threads(7), {}, 0.5))
    near(0, starvation.lost(threads(7), threads(7), 0.5))
  end)

  it("grows while two want one processor", function()
    local both, before = {}, {}
    for i = 1, 2 do
      both[i] = assert(process.spawn { cmd = { "taskset", "-c", "0", "sh", "-c", "while :; do :; done" } })
    end
    for i, p in ipairs(both) do before[i] = process.threads(p.pid) end
    -- A wait counts where it ends, which is late where others are busy, too.
    local seen, late = task.wait_until(function()
      local sum = 0
      for i, p in ipairs(both) do sum = sum + starvation.lost(before[i], process.threads(p.pid), 60) end
      return sum > 0.2
    end, { at_most = "60s", every = "50ms" })
    for _, p in ipairs(both) do p:close() end
    assert.is_true(seen, tostring(late))
  end)
end)

describe("quiet time", function()
  local function quiet(still, service, server, rlab)
    return starvation.quiet(0.5, still, { service = service, server = server, rlab = rlab })
  end

  it("is all of it where nobody waits", function() near(0.5, quiet(0, 0, 0, 0)) end)

  it("lacks what a service and a server lost, one after the other, and what stood still", function()
    near(0.2, quiet(0, 0.2, 0.1, 0))
    near(0.1, quiet(0.3, 0.1, 0, 0))
  end)

  it("lacks what rlab was late only where that is more: it looks on meanwhile", function()
    near(0.2, quiet(0, 0.2, 0.1, 0.3))
    near(0.15, quiet(0, 0.2, 0.1, 0.35))
  end)

  it("is never less than nothing", function() near(0, quiet(0.1, 0.4, 0.4, 0)) end)
end)
