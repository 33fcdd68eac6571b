-- Words about the session itself: help, traceback, watch, spawn, save, quit.
local defer = require "rlab.defer"
local err = require "rlab.err"
local forms = require "rlab.repl.forms"
local options = require "rlab.options"
local out = require "rlab.repl.out"
local show = require "rlab.repl.show"
local tables = require "rlab.tables"
local task = require "rlab.task"
local term = require "rlab.term"
local units = require "rlab.units"

local function draw(f)
  local results = table.pack(f())
  if results[1] == nil and err.is(results[2]) then return term.colour("wrong", tostring(results[2])) end
  return show.results(results)
end

local function lines_of(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

local function watch(session, every, f, times)
  local pause = units.duration(every)
  if type(f) == "string" then
    local chunk, message = session:compile(f, "=watch")
    if not chunk then error("watch: " .. message, 3) end
    f = chunk
  end
  local live = term.live()
  out.live = live
  local _ <close> = defer(function()
    out.live = nil
    live:done()
  end)
  local round = 0
  while true do
    round = round + 1
    local text = draw(f)
    if live.tty then
      local lines = lines_of(text)
      lines[#lines + 1] = term.colour("dim",
        ("every %s, round %d, Ctrl-C ends"):format(units.print_duration(pause), round))
      out.draw(live.update, live, lines)
    else
      print(text)
    end
    if times and round >= times then return end
    task.sleep(pause)
  end
end

-- a task of the session: its error is shown at once instead of when it is collected
local function spawn(f, ...)
  if type(f) ~= "function" then error("spawn takes a function and its arguments", 3) end
  return task.spawn(function(...)
    local results = table.pack(pcall(f, ...))
    if results[1] then return table.unpack(results, 2, results.n) end
    local failure = results[2]
    if not (err.is(failure) and (failure.name == "CANCELLED" or failure.name == "INTERRUPTED")) then
      out.line(term.colour("wrong", "a background task failed: " .. tostring(failure)))
    end
    return nil, failure
  end, ...)
end

local function save(session, id)
  if type(id) ~= "string" or not id:match "^[Ee]%-%w+$" then error('save takes an id: save "E-100"', 3) end
  local sentence, failure = require("rlab.repl.draft").save(id:upper(), session.lines)
  if not sentence then return nil, failure end
  out.line(sentence)
end

return function(session, words)
  function words.help(what)
    return require("rlab.repl.help").show(session, what)
  end

  function words.traceback()
    out.line(session.failure and session.failure.trace or "no line has failed yet")
  end

  function words.watch(every, f, times)
    if type(f) ~= "function" and type(f) ~= "string" then
      error("watch(seconds, f [, times]): f is a function or a line in quotes", 2)
    end
    return watch(session, every, f, times)
  end

  function words.spawn(f, ...)
    return spawn(f, ...)
  end

  function words.save(id)
    return save(session, id)
  end

  function words.as(form, rows, failure)
    if rows == nil and err.is(failure) then return nil, failure end
    if not tables.contains(forms.names(), form) then
      error(("as: no form '%s'; %s"):format(tostring(form), options.advice(tostring(form), forms.names())), 2)
    end
    local is_list = type(rows) == "table" and (rows.columns or next(rows) == nil or type(rows[1]) == "table")
    if not is_list then
      error('as takes rows: as("csv", sql "select ...")', 2)
    end
    local text = forms.written(form, rows)
    return setmetatable({ text = text }, { __tostring = function() return text end })
  end

  function words.timing(on)
    if on == nil then on = not session.timing end
    session.timing = on and true or false
  end

  function words.quit(code)
    if code ~= nil and not (math.type(code) == "integer" and code >= 0 and code <= 255) then
      error("quit takes an exit code from 0 to 255", 2)
    end
    session.ended, session.code = true, code
  end
end
