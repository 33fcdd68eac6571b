-- One session: its environment, how a line becomes a chunk, and what happened in it.
-- A line is tried as "return <line>" first, then as a statement. Locals of a line become fields of the
-- environment, so that the next line sees them.
local defer = require "rlab.defer"
local err = require "rlab.err"
local interrupt = require "rlab.interrupt"
local task = require "rlab.task"

local M = {}
M.__index = M

local MODULES = { "bag", "clock", "err", "fail", "flow", "fs", "hdr", "history", "http", "json", "kafka",
  "log", "must", "mysql", "null",
  "process", "proxy", "redis", "rng", "task", "term", "units", "uuid" }

local lazy = {}
for _, name in ipairs(MODULES) do lazy[name] = true end

local function module_named(name)
  if not lazy[name] then return nil end
  local ok, found = pcall(require, "rlab." .. name)
  return ok and found or nil
end

--- every name that a module can be reached by without require
function M.modules()
  local found = {}
  for _, name in ipairs(MODULES) do
    if module_named(name) ~= nil then found[#found + 1] = name end
  end
  return found
end

local KEEP = "keep_the_locals_of_this_line"

-- called as the last statement of a line: copies the active locals of the line's main function
local function keeper(env)
  return function()
    for i = 1, 250 do
      local name, value = debug.getlocal(2, i)
      if not name then return end
      if not name:find "^%(" then rawset(env, name, value) end
    end
  end
end

--- new{words=} -> session; words are the one-line helpers, seen behind the user's own names
function M.new(opts)
  local self = setmetatable({ words = opts.words or {}, lines = {}, failure = nil, count = 0 }, M)
  self.env = setmetatable({}, { __index = function(_, name)
    if name == KEEP then return self.keep end
    return self:known(name)
  end })
  self.keep = keeper(self.env)
  return self
end

--- what a name means when the user has not set it: a word, a module, one of Lua's own
function M:known(name)
  local word = self.words[name]
  if word ~= nil then return word end
  local module = module_named(name)
  if module ~= nil then return module end
  return _G[name]
end

--- a line that succeeded, for save()
function M:remember(text)
  self.lines[#self.lines + 1] = text
end

local function incomplete(message)
  if message:find "unfinished string near" then return false end
  return message:find "<eof>$" ~= nil or message:find "unfinished long string" ~= nil
    or message:find "unfinished long comment" ~= nil
end

-- a line such as "1 +* 2" is no statement from its first word on; what is wrong with it as a value says more
local function no_statement(text, message)
  local near = message:match "unexpected symbol near '(.-)'$" or message:match "syntax error near '(.-)'$"
  return near ~= nil and text:match "^%s*(.*)$":sub(1, #near) == near
    or message:find "syntax error near" ~= nil
end

--- compile(text, name) -> chunk | nil, message, incomplete
function M:compile(text, name)
  name = name or "=line"
  local chunk, as_value = load("return " .. text, name, "t", self.env)
  if chunk then return chunk end
  local plain, message = load(text, name, "t", self.env)
  if not plain then
    local better = no_statement(text, message) and not incomplete(message) and as_value or message
    return nil, better, incomplete(better)
  end
  return load(text .. "\n;" .. KEEP .. "()", name, "t", self.env) or plain
end

local function handler(failure)
  if err.is(failure) then return { err = failure, trace = debug.traceback(tostring(failure), 2) } end
  if type(failure) ~= "string" then return { value = failure, trace = debug.traceback(nil, 2) } end
  return { message = failure, trace = debug.traceback(failure, 2) }
end

-- the part of a traceback that belongs to the script
local function trim(trace)
  return (trace:gsub("\n%s*%[C%]: in function 'xpcall'.*$", ""):gsub("\n%s*%[C%]: in ?%??$", ""))
end

--- run(chunk) -> ok, results (packed) | failure {err= | message= | value=, trace=}. Ctrl-C cancels the
---   chunk, not the session.
function M:run(chunk)
  local outcome
  local work = task.spawn(function()
    interrupt.breakable(true)
    outcome = table.pack(xpcall(chunk, handler))
    interrupt.breakable(false)
  end)
  self.current = work
  local _ <close> = defer(function()
    self.current = nil
    work:cancel()
  end)
  work:join()
  if not outcome then
    return false, { err = err.new { domain = "rlab", code = 0, name = "CANCELLED",
      message = "the line was cancelled" } }
  end
  if outcome[1] then return true, { n = outcome.n - 1, table.unpack(outcome, 2, outcome.n) } end
  local failure = outcome[2]
  failure.trace = trim(failure.trace)
  self.failure = failure
  return false, failure
end

--- Ctrl-C: cancels what runs; true when something did
function M:interrupt()
  if not self.current then return false end
  self.current:cancel(err.new { domain = "rlab", code = 0, name = "INTERRUPTED",
    message = "stopped by Ctrl-C" })
  return true
end

--- the one line that says what went wrong
function M.failure_text(failure)
  if failure.err then
    local told = { INTERRUPTED = true, SCRIPT = true }
    return told[failure.err.name] and failure.err.message or tostring(failure.err)
  end
  if failure.message then return failure.message end
  local shown, text = pcall(tostring, failure.value)
  return "error: " .. (shown and text or "a value that cannot be shown")
end

return M
