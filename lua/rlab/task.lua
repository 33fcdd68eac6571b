-- Tasks as scripts use them: everything that waits yields the running task, so scripts read from top to
-- bottom.
-- Built on rlab.core.task (spawn, sleep, events), which is C.
local core = require "rlab.core.task"
local defer = require "rlab.defer"
local err = require "rlab.err"
local units = require "rlab.units"

local M = { sleep = core.sleep, current = core.current, live = core.live, event = core.event }

local Task = {}
Task.__index = Task
Task.__name = "task"

function Task:__tostring()
  return self.raw:done() and "task (done)" or "task (running)"
end

-- wrap(core task) -> Task
local function wrap(raw)
  return setmetatable({ raw = raw }, Task)
end

local function unpack_join(ok, ...)
  if ok then return ... end
  return nil, (...)
end

-- task:join() -> the function's results | nil, err
function Task:join()
  return unpack_join(self.raw:join())
end

function Task:cancel(reason)
  self.raw:cancel(reason)
end

function Task:done()
  return self.raw:done()
end

-- spawn(f, ...) -> Task. A task that fails and is never joined is named in a warning.
function M.spawn(f, ...)
  return wrap(core.spawn(f, ...))
end

function M.yield()
  core.sleep(0)
end

local Group = {}
Group.__index = Group

function Group:spawn(f, ...)
  local group = self
  local member
  member = M.spawn(function(...)
    local results = table.pack(pcall(f, ...))
    group.members[member] = nil
    if not results[1] and not group.failure then
      group.failure = results[2]
      group:cancel("a sibling failed")
    end
    group.change:set(true)
    if not results[1] then return nil, results[2] end
    return table.unpack(results, 2, results.n)
  end, ...)
  self.members[member] = true
  return member
end

function Group:cancel(reason)
  local why = err.new { domain = "rlab", code = 0, name = "CANCELLED",
    message = reason or "the group was cancelled" }
  for member in pairs(self.members) do member:cancel(why) end
end

local function await_members(group)
  while next(group.members) do group.change:wait() end
end

-- group(f) runs f(g); it returns when all that g:spawn started has ended. An error in one cancels the
-- others and is raised here.
function M.group(f)
  local group = setmetatable({ members = {}, change = core.event() }, Group)
  local results = table.pack(pcall(function()
    local inner = table.pack(f(group))
    await_members(group)
    return table.unpack(inner, 1, inner.n)
  end))
  if not results[1] then
    group.failure = group.failure or results[2] -- not what its members then die of
    group:cancel("the group's body failed")
  end
  await_members(group)
  if group.failure then error(group.failure, 0) end
  return table.unpack(results, 2, results.n)
end

local function timeout_error(what, at_most)
  return err.new {
    domain = "rlab", code = 0, name = "TIMEOUT", retriable = true,
    message = ("%s did not happen within %s"):format(what, units.print_duration(units.duration(at_most))),
  }
end

local function end_both(worker, timer)
  worker:cancel()
  timer:cancel()
  worker.raw:join()
  timer.raw:join()
end

-- timeout(duration, f, ...) -> the results of f | nil, err{name="TIMEOUT"}. f is cancelled at the deadline
--   and its closers are awaited.
function M.timeout(at_most, f, ...)
  local late = false
  local worker = M.spawn(f, ...)
  local timer = M.spawn(function()
    core.sleep(at_most)
    late = true
    worker:cancel(timeout_error("the work", at_most))
  end)
  local _ <close> = defer(function() end_both(worker, timer) end)
  local results = table.pack(worker.raw:join())
  if results[1] then return table.unpack(results, 2, results.n) end
  if late then return nil, timeout_error("the work", at_most) end
  error(results[2], 0)
end

-- shielded(f, ...) -> the results of f, which runs to its end though the caller is cancelled meanwhile;
--   that is raised afterwards. For what must not be left half done, such as closing.
function M.shielded(f, ...)
  local worker, cancelled = M.spawn(f, ...), nil
  while not worker:done() do
    local ok, why = pcall(worker.raw.join, worker.raw)
    if not ok then cancelled = why end
  end
  local results = table.pack(worker.raw:join())
  if cancelled or not results[1] then error(cancelled or results[2], 0) end
  return table.unpack(results, 2, results.n)
end

local wait_keys = { at_most = true, every = true, what = true }

-- wait_until(pred, {at_most="5s", every="20ms", what="ISR = {1}"}) -> pred's first true value | nil,
--   err{name="TIMEOUT"}
function M.wait_until(pred, opts)
  opts = opts or {}
  for key in pairs(opts) do
    if not wait_keys[key] then error("wait_until: unknown option '" .. tostring(key) .. "'", 2) end
  end
  local clock = require "rlab.clock"
  local deadline = clock.ns() + math.floor(units.duration(opts.at_most or "10s") * 1e9)
  while true do
    local value = pred()
    if value then return value end
    if clock.ns() >= deadline then
      return nil, timeout_error(opts.what or "the condition", opts.at_most or "10s")
    end
    core.sleep(opts.every or 0.02)
  end
end

local Channel = {}
Channel.__index = Channel

-- channel(n): a bounded queue between tasks. send waits while it is full, recv while it is empty; recv
-- returns nil once closed and empty.
function M.channel(size)
  return setmetatable({ size = size or 1, first = 1, last = 0, room = core.event(), filled = core.event() },
    Channel)
end

function Channel:send(value)
  while not self.closed and self.last - self.first + 1 >= self.size do self.room:wait() end
  if self.closed then
    return nil, err.new { domain = "rlab", code = 0, name = "CLOSED", message = "the channel is closed" }
  end
  self.last = self.last + 1
  self[self.last] = value
  self.filled:set()
  return true
end

function Channel:recv()
  while self.first > self.last do
    if self.closed then return nil end
    self.filled:wait()
  end
  local value = self[self.first]
  self[self.first] = nil
  self.first = self.first + 1
  self.room:set()
  return value
end

function Channel:close()
  self.closed = true
  self.room:set(true)
  self.filled:set(true)
end

return M
