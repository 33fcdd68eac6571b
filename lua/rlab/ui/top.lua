-- rlab top: the stream of the console on a terminal's screen, redrawn in place until q, Esc or Ctrl-C. Where
-- standard output is no terminal the run is shown once, as it is at that moment.
local edit = require "rlab.edit"
local err = require "rlab.err"
local feed = require "rlab.ui.feed"
local frame = require "rlab.ui.frame"
local live = require "rlab.ui.live"
local models = require "rlab.ui.model"
local screen = require "rlab.screen"
local task = require "rlab.task"
local term = require "rlab.term"

local M = {}

local REDRAW = "200ms" -- at most so long after a change of the terminal's size
local PIPE_WIDTH = 100
local OVER = {} -- raised by who looks at it: the tasks of the group end with him

local function once(opts)
  local model = models.new()
  if opts.recorded then
    models.take(model, opts.recorded)
    model.replay = true
  else
    local dir = live.current(opts.runs)
    local follower = dir and live.follow(dir)
    models.take(model, follower and follower:next() or {})
    if follower then follower:close() end
  end
  print(table.concat(frame.lines(model, { width = PIPE_WIDTH }), "\n"))
end

-- ---- a screen of its own ----

local function draw(model, opts)
  local columns, rows = edit.size(1)
  local lines = frame.lines(model, { width = columns or 80, height = rows or 24,
    foot = opts.recorded and "q ends it" or "q ends it; follows " .. opts.runs })
  local text = "\27[H" .. table.concat(lines, "\27[K\r\n") .. "\27[K\27[J"
  if text == opts.drawn then return end
  opts.drawn = text
  io.stdout:write(text)
  io.stdout:flush()
end

-- Events come in small parts: a pause gathers them, since more is not seen than is drawn.
local function read(story, model)
  local cursor
  while true do
    local events, at, first = story:since(cursor, "1s")
    if first and #events > 0 then
      for name in pairs(model) do model[name] = nil end
      for name, value in pairs(models.new()) do model[name] = value end
    end
    models.take(model, events)
    cursor = at
    task.sleep "50ms"
  end
end

-- An arrow is a sequence that begins with Esc; Esc alone ends it.
local function ends(typed)
  return typed:gsub("\27[%[O][%d;]*[%a~]", ""):find "[qQ\27]" ~= nil
end

local function keys(over)
  repeat
    local typed = screen.typed()
    over.is = typed ~= nil and ends(typed)
    over.changed:set(true)
  until over.is or not typed
end

local function watch(opts, story, model, over)
  task.group(function(group)
    group:spawn(read, story, model)
    group:spawn(keys, over)
    if opts.recorded then
      story:play(opts.recorded, opts.speed)
    else
      group:spawn(live.watch, story, opts.runs)
    end
    repeat
      draw(model, opts)
      if not over.is then task.timeout(REDRAW, function() over.changed:wait() end) end
    until over.is
    error(OVER, 0)
  end)
end

local function wanted(failure)
  return failure == OVER
    or err.is(failure) and (failure.name == "INTERRUPTED" or failure.name == "TERMINATED")
end

-- show{runs=, recorded=events | nil, speed=}
function M.show(opts)
  if not term.is_tty(1) or os.getenv "TERM" == "dumb" then return once(opts) end
  local story, over = feed.new(), { is = false, changed = task.event() }
  screen.take()
  local ok, failure = pcall(watch, opts, story, models.new(), over)
  story:close()
  screen.give_back()
  if not ok and not wanted(failure) then error(failure, 0) end
end

return M
