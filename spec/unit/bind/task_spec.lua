local task = require "rlab.task"
local err = require "rlab.err"

local function closer(log, name)
  return setmetatable({}, { __close = function() log[#log + 1] = name end })
end

describe("task", function()
  it("joins with the function's results", function()
    local t = task.spawn(function(a, b) task.sleep "1ms" return a + b, "second" end, 2, 3)
    assert.are.same({ 5, "second" }, { t:join() })
    assert.is_true(t:done())
  end)

  it("gives a failure as nil and the error", function()
    local nothing, failure = task.spawn(function() error({ why = "broken" }, 0) end):join()
    assert.is_nil(nothing)
    assert.are.equal("broken", failure.why)
  end)

  it("cancels a waiting task and runs its closers, which may wait", function()
    local log = {}
    local t = task.spawn(function()
      local _ <close> = setmetatable({}, { __close = function() task.sleep "5ms" log[1] = "closed" end })
      task.sleep "1h"
    end)
    task.sleep "1ms"
    t:cancel()
    local _, failure = t:join()
    assert.are.equal("CANCELLED", failure.name)
    assert.are.same({ "closed" }, log)
  end)

  it("refuses to wait in a plain coroutine", function()
    local co = coroutine.create(function() task.sleep(1) end)
    local ok, text = coroutine.resume(co)
    assert.is_false(ok)
    assert.matches("this coroutine is no task", text)
  end)

  it("refuses a yield that would leave the task behind, and lets a plain coroutine yield", function()
    local ok, text = pcall(coroutine.yield, 1)
    assert.is_false(ok)
    assert.matches("a task waits by task.sleep, an event or a channel", text, 1, true)
    assert.same({ true, 7 }, { coroutine.resume(coroutine.create(function() coroutine.yield(7) end)) })
  end)

  it("yields through pcall and for iterators", function()
    local ok, value = pcall(function() task.sleep(0) return 7 end)
    assert.is_true(ok)
    assert.are.equal(7, value)
  end)
end)

describe("task.group", function()
  it("ends when its children have", function()
    local done = 0
    task.group(function(g)
      for i = 1, 5 do g:spawn(function() task.sleep(i / 1000) done = done + 1 end) end
    end)
    assert.are.equal(5, done)
  end)

  it("cancels the siblings of a failing child and raises its error", function()
    local log = {}
    local ok, failure = pcall(task.group, function(g)
      g:spawn(function()
        local _ <close> = closer(log, "sibling")
        task.sleep "1h"
      end)
      g:spawn(function() task.sleep "1ms" error({ name = "FIRST" }, 0) end)
    end)
    assert.is_false(ok)
    assert.are.equal("FIRST", failure.name)
    assert.are.same({ "sibling" }, log)
  end)

  it("passes a cancellation of its own task on to the children", function()
    local log = {}
    local t = task.spawn(function()
      task.group(function(g)
        g:spawn(function()
          local _ <close> = closer(log, "child")
          task.sleep "1h"
        end)
      end)
    end)
    task.sleep "2ms"
    t:cancel()
    local _, failure = t:join()
    assert.are.equal("CANCELLED", failure.name)
    assert.are.same({ "child" }, log)
  end)
end)

describe("task.timeout", function()
  it("returns the results in time", function()
    assert.are.same({ 1, 2 }, { task.timeout("5s", function() return 1, 2 end) })
  end)

  it("cancels the work at the deadline", function()
    local log = {}
    local nothing, failure = task.timeout("5ms", function()
      local _ <close> = closer(log, "work")
      task.sleep "1h"
    end)
    assert.is_nil(nothing)
    assert.is_true(err.is(failure))
    assert.are.equal("TIMEOUT", failure.name)
    assert.are.same({ "work" }, log)
  end)

  it("raises the work's own error", function()
    local ok, failure = pcall(task.timeout, "5s", function() error({ name = "OWN" }, 0) end)
    assert.is_false(ok)
    assert.are.equal("OWN", failure.name)
  end)

  it("leaves no task behind when it is cancelled itself", function()
    local before = task.live()
    local t = task.spawn(function() task.timeout("1h", function() task.sleep "1h" end) end)
    task.sleep "1ms"
    t:cancel()
    t:join()
    task.wait_until(function() return task.live() == before end, { at_most = "60s" })
    assert.are.equal(before, task.live())
  end)
end)

describe("task.shielded", function()
  local function run(f)
    local started, log = task.event(), {}
    local t = task.spawn(function()
      local _ <close> = closer(log, "caller")
      task.shielded(function()
        started:set(true)
        return f(log)
      end)
      log[#log + 1] = "not cancelled"
    end)
    started:wait()
    return t, log
  end

  it("passes results and errors on", function()
    assert.are.same({ 1, nil, 2, n = 3 }, table.pack(task.shielded(function(...) return ... end, 1, nil, 2)))
    local ok, failure = pcall(task.shielded, function() error({ name = "OWN" }, 0) end)
    assert.are.same({ false, "OWN" }, { ok, failure.name })
  end)

  it("ends its work before a cancellation is raised, however often that comes", function()
    local go = task.event()
    local t, log = run(function(log)
      go:wait()
      log[#log + 1] = "work"
    end)
    for _ = 1, 3 do
      t:cancel()
      task.yield()
    end
    assert.are.same({}, log)
    go:set(true)
    local _, failure = t:join()
    assert.are.equal("CANCELLED", failure.name)
    assert.are.same({ "work", "caller" }, log)
  end)
end)

describe("task.channel", function()
  it("passes values in order and blocks the fast side", function()
    local channel, seen = task.channel(2), {}
    task.group(function(g)
      g:spawn(function()
        for i = 1, 10 do channel:send(i) end
        channel:close()
      end)
      g:spawn(function()
        for value in function() return channel:recv() end do seen[#seen + 1] = value end
      end)
    end)
    assert.are.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, seen)
  end)
end)
