-- The interactive lab: a prompt on a terminal, a script on a pipe.
local clock = require "rlab.clock"
local complain = require "rlab.note"
local defer = require "rlab.defer"
local edit = require "rlab.edit"
local err = require "rlab.err"
local exit = require "rlab.exit"
local interrupt = require "rlab.interrupt"
local meant = require "rlab.repl.meant"
local out = require "rlab.repl.out"
local pager = require "rlab.repl.pager"
local session_of = require "rlab.repl.session"
local show = require "rlab.repl.show"
local task = require "rlab.task"
local term = require "rlab.term"
local without_comment = require("rlab.repl.line").without_comment

local M = {}

local PAGED_ROWS = 1000 -- of one result at the prompt, which shows them a screen at a time

local BARE = { help = "help()", quit = "quit()", exit = "quit()" }

local function new_session()
  local clients = require("rlab.repl.clients").new()
  local session = session_of.new {}
  session.clients = clients
  require("rlab.repl.words").install(session)
  return session
end

-- handles that the user opened and did not close; each gets a moment
local function close_all(session)
  for name, value in pairs(session.env) do
    local meta = type(value) == "userdata" and getmetatable(value)
    if type(meta) == "table" and meta.__close and value ~= nil then
      task.timeout("5s", function() pcall(meta.__close, value) end)
      session.env[name] = nil
    end
  end
  task.timeout("5s", function() session.clients:close() end)
end

-- ---- script ----

-- when every line is an expression of its own (offsets "a", groups()), each is shown
local function expressions(session, text)
  local chunks = {}
  local number = 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    if line:match "%S" and not line:match "^%s*%-%-" then
      local chunk = load(("\n"):rep(number - 1) .. "return " .. line, "=stdin", "t", session.env)
      if not chunk then return nil end
      chunks[#chunks + 1] = chunk
    end
  end
  return #chunks > 0 and chunks or nil
end

local function show_script_results(results)
  if results.n == 0 then return exit.ok end
  if results[1] == nil and err.is(results[2]) then
    complain(tostring(results[2]) .. meant.of_error(results[2]))
    return exit.script
  end
  print(show.results(results))
  return exit.ok
end

local function frames(trace)
  return select(2, trace:gsub("\n\t[^\n]+", ""))
end

-- a traceback tells something when the error has a place and more than the script's own line is on the way
-- to it
local function has_traceback(failure)
  return failure.message ~= nil and failure.message:find "^[^:\n]+:%d+: " ~= nil and frames(failure.trace) > 2
end

-- What went wrong in the source, with what was meant at the end of its first line.
local function told(session, text, failure, source)
  local hint = failure.message and meant.of_failure(session, text, source) or ""
  return (text:gsub("^[^\n]*", function(first) return first .. hint end, 1))
end

local function script_failure(session, failure, source)
  local text = has_traceback(failure)
    and require("rlab.experiment.script").message(failure.trace, "stdin") or session_of.failure_text(failure)
  return told(session, text, failure, source)
end

local function run_script(session, chunks, source)
  for _, chunk in ipairs(chunks) do
    local ok, results = session:run(chunk)
    if not ok then
      local failure = results
      if failure.err and failure.err.name == "INTERRUPTED" then return exit.interrupted end
      complain(script_failure(session, failure, source))
      return exit.script
    end
    local code = show_script_results(results)
    if code ~= exit.ok then return code end
  end
  return exit.ok
end

local SHOW = "show_what_this_word_returns"

-- a line that begins with one of the prompt's words and is whole by itself
local function calls_word(session, line)
  local word = line:match "^([%a_][%w_]*)"
  return word and session.words[word] ~= nil and load("return " .. line) ~= nil
end

local function goes_on(line)
  return line ~= nil and line:match "^%s*[^%s%w_]" ~= nil and not line:match "^%s*%-%-"
end

-- In a script that has other statements too, the prompt's words still show what they return and stop at an
-- error.
local function with_words_shown(session, text)
  local lines, seen = {}, {}
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  for i, whole in ipairs(lines) do
    local line = without_comment(whole)
    local alone = calls_word(session, line) and not goes_on(lines[i + 1]) and load(table.concat(seen, "\n"))
    seen[i] = alone and ("%s(%s)"):format(SHOW, line) or whole
  end
  return table.concat(seen, "\n")
end

local function shower(...)
  local results = table.pack(...)
  if results[1] == nil and err.is(results[2]) then error(results[2], 0) end
  if results.n > 0 then print(show.results(results)) end
end

local function compile_script(session, text)
  local shown = load(with_words_shown(session, text), "=stdin", "t", session.env)
  if not shown then return load(text, "=stdin", "t", session.env) end
  rawset(session.env, SHOW, shower)
  return shown
end

--- runs the text of a pipe as one script; errors carry line numbers
function M.script(text)
  local session = new_session()
  local _ <close> = defer(function() close_all(session) end)
  local scripts = require "rlab.experiment.script"
  local why = scripts.unread(text)
  if why then
    complain("stdin: it is " .. why)
    return exit.script
  end
  text = scripts.source(text)
  local whole = load("return " .. text, "=stdin", "t", session.env)
  local chunks = whole and { whole } or expressions(session, text)
  if not chunks then
    local chunk, message = compile_script(session, text)
    if not chunk then
      complain(message)
      return exit.script
    end
    chunks = { chunk }
  end
  return run_script(session, chunks, text)
end

--- the words of the prompt for a scenario draft; closed with the arm
function M.environment(lab)
  local session = new_session()
  lab:own(setmetatable({ close = function() close_all(session) end },
    { __close = function() close_all(session) end }))
  return session.env
end

-- ---- prompt ----

local function stack_words(stack)
  local words = {}
  local versions = stack.versions or {}
  if stack.kafka then
    words[1] = ("kafka %s at %s"):format(versions.kafka or "", tostring(stack.kafka.brokers):match "^[^,]+")
  end
  for _, name in ipairs { "mysql", "redis" } do
    if stack[name] then words[#words + 1] = ("%s %s"):format(name, versions[name] or "") end
  end
  return table.concat(words, " " .. term.symbol "dot" .. " ")
end

-- as a line of the session, so that Ctrl-C stops it
local function start_stack(session)
  local ok, results = session:run(function()
    return require("rlab.stack").open { needs = { "kafka", "mysql", "redis" }, start = true, say = out.line }
  end)
  if ok and results[1] then return results[1] end
  out.line(term.colour("wrong", ok and tostring(results[2]) or session_of.failure_text(results)))
end

-- The two parts on one line where the terminal has room, else the second below the first.
local function in_room(first, gap, second)
  local wide = term.display_width(first .. gap .. second) < term.width()
  return first .. (wide and gap or "\n") .. second
end

-- Words in as many lines as they need, the second and all after it below the first.
local function indented(head, text)
  local lines = term.wrap(text, term.width() - 1 - #head)
  return head .. table.concat(lines, "\n" .. (" "):rep(#head))
end

local QUESTION = "Start kafka, mysql and redis now? [Y/n] "

local function offer_stack(session)
  local running = require("rlab.stack").current()
  if running then return running end
  local first, second = in_room("No stack is running.", " ", QUESTION):match "^(.*)\n(.*)$"
  if first then out.line(first) end
  local answer, failure = edit.readline(second or "No stack is running. " .. QUESTION)
  if not answer and not failure then out.line "\n" end
  if not answer or not (answer == "" or answer:lower():match "^y") then return nil end
  return start_stack(session)
end

local function banner(session)
  out.line(in_room(term.colour("bold", "rlab " .. require "rlab.version"), "  ",
    term.colour("dim", "help() shows what there is, Tab completes, Ctrl-D leaves")))
  local running = offer_stack(session)
  out.line(indented("  stack  ", running and stack_words(running) or "none; stack.up() starts one"))
end

-- read(session) -> text, chunk, message | nil at the end | false when the line was given up
local function read(session)
  local text, failure = session.typed, nil
  if not text then text, failure = edit.readline(term.colour("bold", "rlab>") .. " ") end
  session.typed = nil
  while true do
    if failure then
      if failure.name == "INTERRUPTED" then return false end
      error(failure, 0)
    end
    if not text then return nil end
    local chunk, message, incomplete = session:compile(BARE[text:match "^%s*(%a+)%s*$"] or text)
    if chunk or not incomplete then return text, chunk, message end
    local more
    more, failure = edit.readline(term.colour("dim", "   ..") .. " ")
    text = more and text .. "\n" .. more
  end
end

local function without_place(text, source)
  if source:find "\n" then return (text:gsub("^line:(%d+):", "line %1:")) end
  return (text:gsub("^line:1: ", ""))
end

local function say_wrong(text, hint)
  local lines = term.wrap(text, term.width() - 1)
  for i, line in ipairs(lines) do out.line(term.colour("wrong", line) .. (i == #lines and hint or "")) end
end

local function show_failure(session, failure, source)
  local text = told(session, without_place(session_of.failure_text(failure), source), failure, source)
  local hint = has_traceback(failure) and term.colour("dim", "   traceback() shows where") or ""
  for _, page in ipairs(session.pages) do out.line(page) end
  session.pages = {}
  say_wrong((text:gsub("\n.*", "")), hint)
  if failure.err and failure.err.name == "INTERRUPTED" then session.clients:close() end
end

-- "3 rows, 12.4 ms" below what a line has shown, where timing() asks for it.
local function say_timing(took, results)
  local value = results[1]
  local rows = type(value) == "table" and (value.columns or type(value[1]) == "table")
  local count = rows and ("%d row%s, "):format(#value, #value == 1 and "" or "s") or ""
  out.line(term.colour("dim", ("%s%.1f ms"):format(count, took / 1e6)))
end

-- What the line gave, and what it said meanwhile that is shown in pages.
local function show_results(session, results, text)
  local pages = session.pages
  session.pages = {}
  if results.n > 0 then
    local hint = results.n == 1 and results[1] == nil and meant.of_nil(session, text) or ""
    pages[#pages + 1] = show.results(results) .. hint
  end
  if #pages > 0 then session.typed = pager.show(table.concat(pages, "\n")) end
end

local function evaluate(session, text, chunk)
  local began = clock.ns()
  local ok, results = session:run(chunk)
  local took = clock.ns() - began
  if not ok then return show_failure(session, results, text) end
  local _ <close> = defer(function()
    if session.timing then say_timing(took, results) end
  end)
  if results[1] == nil and err.is(results[2]) then
    return say_wrong(tostring(results[2]) .. meant.of_error(results[2]))
  end
  if results[1] ~= nil then session.env._ = results[1] end
  show_results(session, results, text)
  session:remember(text)
end

local function loop(session, history)
  while not session.ended do
    local text, chunk, message = read(session)
    if text == nil then break end
    if text and text:match "%S" then
      local kept, failure = history.add(text)
      if not kept and not session.history_warned then
        session.history_warned = true
        out.line(term.colour("dim", "the history is not kept: " .. tostring(failure)))
      end
      if chunk then
        evaluate(session, text, chunk)
        session.names:refresh()
      else
        say_wrong(without_place(message, text) .. meant.of_syntax(session, text))
      end
    end
  end
end

--- the prompt, until Ctrl-D
function M.interactive()
  local session = new_session()
  local history = require "rlab.repl.history"
  history.load()
  local _ <close> = out.install()
  local _ <close> = defer(function()
    interrupt.set(nil)
    session.names:close()
    close_all(session)
  end)
  interrupt.set(function() session:interrupt() end)
  session.pages, show.most_rows = {}, PAGED_ROWS
  session.names = require("rlab.repl.names").new(session)
  require("rlab.repl.complete").install(session)
  banner(session)
  session.names:refresh()
  loop(session, history)
  if not session.ended then out.line "\n" end
  return session.code or exit.ok
end

function M.run()
  if term.is_tty(0) and term.is_tty(1) then return M.interactive() end
  return M.script(io.read "a" or "")
end

return M
