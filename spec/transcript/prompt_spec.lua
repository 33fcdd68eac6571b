-- The prompt on a terminal, as a person sees it.
local pty = dofile "spec/transcript/support/pty.lua"
local compare = dofile "spec/transcript/support/compare.lua"

-- a session on a lab without a stack, past the offer to start one
local function start(opts)
  local s = pty.start(opts)
  s:wait "No stack is running. Start kafka, mysql and redis now? [Y/n]"
  s:send "n\r"
  s:wait "rlab>"
  return s
end

local HEAD = [[
rlab <any>  help() shows what there is, Tab completes, Ctrl-D leaves
No stack is running. Start kafka, mysql and redis now? [Y/n] n
  stack  none; stack.up() starts one
]]

local function leave(s, expected, code)
  s:wait "rlab>"
  s:send "\4"
  local status, seen = s:finish()
  local difference = compare.difference(HEAD .. expected:gsub("^\n", "") .. "\nrlab>\n", seen)
  assert(not difference, difference)
  assert.equal(code or 0, status)
end

describe("the prompt", function()
  local s
  after_each(function()
    if s then s:close() end
    s = nil
  end)

  it("returns expressions, keeps locals and the last result, continues what is unfinished", function()
    s = start()
    s:line "1 + 1"
    s:line "local x = 40"
    s:line "x + _"
    s:line "for i = 1, 2 do"
    s:line("print(i)", "   ..")
    s:line("end", "   ..")
    leave(s, [[
rlab> 1 + 1
2
rlab> local x = 40
rlab> x + _
42
rlab> for i = 1, 2 do
   .. print(i)
   .. end
1
2]])
  end)

  it("says in one line what failed, and where when asked", function()
    s = start()
    s:line "local function deep() local t = nil; return t.x end return deep()"
    s:line "err.nw {}"
    s:line "1 +* 2"
    leave(s, [[
rlab> local function deep() local t = nil; return t.x end return deep()
attempt to index a nil value (local 't')<any>
rlab> err.nw {}
attempt to call a nil value (field 'nw'), did you mean 'new'?
rlab> 1 +* 2
unexpected symbol near '*']])
  end)

  it("shows background output above the line being typed", function()
    s = start()
    s:line "spawn(function() for i = 1, 3 do task.sleep(0.15) print('from the background ' .. i) end end)"
    s:wait "rlab>"
    s:send "'half 한글"
    s:wait_text "background 3"
    s:wait "rlab> 'half 한글"
    s:send "!'\r"
    leave(s, [[
rlab> spawn(function() for i = 1, 3 do task.sleep(0.15) print('from the backgrou
nd ' .. i) end end)
task (running)
from the background 1
from the background 2
from the background 3
rlab> 'half 한글!'
"half 한글!"]])
  end)

  it("shows errors above the prompt again after they were let go for a moment", function()
    s = start()
    s:line "local edit = require 'rlab.edit'"
    s:line "edit.capture_errors(false) edit.capture_errors(true)"
    s:line "io.stderr:write('said aside\\n') and nil"
    s:wait_text "said aside"
    s:line "1 + 1"
    leave(s, [[
rlab> local edit = require 'rlab.edit'
rlab> edit.capture_errors(false) edit.capture_errors(true)
rlab> io.stderr:write('said aside\n') and nil
said aside
nil
rlab> 1 + 1
2]])
  end)

  it("tells at once when a background task fails", function()
    s = start()
    s:line "spawn(function() task.sleep(0.05) error 'went wrong' end)"
    s:wait_text "failed: line:1: went wrong"
    leave(s, [[
rlab> spawn(function() task.sleep(0.05) error 'went wrong' end)
task (running)
a background task failed: line:1: went wrong]])
  end)

  it("completes names of the API", function()
    s = start()
    s:send "trac\t"
    s:wait "rlab> traceback"
    s:send "()\r"
    s:wait "rlab>"
    s:send "task.spa\t"
    s:wait "rlab> task.spawn"
    s:send "\21"
    s:wait "rlab>"
    s:send "task.w\t"
    s:wait "rlab> task.wait_until"
    s:send "\21"
    s:wait "rlab>"
    s:send "task.s\t"
    s:wait_text "sleep"
    s:wait "rlab> task.s"
    s:send "\3"
    leave(s, [[
rlab> traceback()
no line has failed yet
shielded  sleep     spawn
rlab> task.s^C]])
  end)

  it("takes pasted text as it is, tabs and several lines too", function()
    s = start()
    s:send "if true then\r\tprint('pasted')\rend\r"
    s:wait_text "pasted\n"
    leave(s, [[
rlab> if true then
   ..   print('pasted')
   .. end
pasted]])
  end)

  it("gives up a half-typed line on Ctrl-C", function()
    s = start()
    s:send "never run this"
    s:wait "rlab> never run this"
    s:send "\3"
    s:line "'still here'"
    leave(s, [[
rlab> never run this^C
rlab> 'still here'
"still here"]])
  end)

  it("cancels what runs on Ctrl-C, waiting or not, and stays", function()
    s = start()
    s:line "task.sleep(60)"
    s:wait_running "task.sleep(60)"
    s:send "\3"
    s:line "while true do end"
    s:wait_running "while true do end"
    s:send "\3"
    s:line "'still here'"
    leave(s, [[
rlab> task.sleep(60)
^Cstopped by Ctrl-C
rlab> while true do end
^Cstopped by Ctrl-C
rlab> 'still here'
"still here"]])
  end)

  it("stops a task that never waits on Ctrl-C, before the prompt and at it", function()
    s = start()
    s:line "spawn(function() while true do end end)"
    s:wait_running "spawn(function() while true do end end)"
    s:send "\3"
    s:wait "rlab>"
    s:line "busy = false spawn(function() task.sleep(0.05) print 'now' busy = true while true do end end)"
    s:wait_text "now\n"
    s:send "\3"
    s:wait_text "rlab> ^C\n"
    s:line "busy"
    leave(s, [[
rlab> spawn(function() while true do end end)
^Ctask (done)
rlab> busy = false spawn(function() task.sleep(0.05) print 'now' busy = true whi
le true do end end)
now
rlab> ^C
rlab> busy
true]])
  end)

  it("reads on behind half a character", function()
    s = start()
    s:wait "rlab>"
    s:send "'\xc3'"
    s:wait "rlab> '\u{fffd}'"
    s:send "\r"
    leave(s, "rlab> '\u{fffd}'\n\"\u{fffd}\"")
  end)

  it("keeps a history that only its owner can read, without secrets", function()
    local folder = pty.folder()
    local env = { XDG_STATE_HOME = folder }
    s = start { env = env }
    s:line "'remember me'"
    s:line "'password=hunter2'"
    s:wait "rlab>"
    s:send "\4"
    s:finish()
    local file = assert(io.open(folder .. "/rlab/history"))
    assert.equal("'remember me'\n", file:read "a")
    file:close()
    assert.equal("600", pty.run("stat -c %a " .. folder .. "/rlab/history"))
    s = start { env = env }
    s:send "\27[A"
    s:wait "rlab> 'remember me'"
    s:send "\r"
    s:wait_text '"remember me"'
    s:wait "rlab>"
    s:send "\4"
    s:finish()
    pty.remove(folder)
  end)

  it("leaves by quit with a code", function()
    s = start()
    s:line "quit 'soon'"
    s:wait_text "quit takes an exit code from 0 to 255"
    s:line "quit(3)"
    local code = s:finish()
    assert.equal(3, code)
  end)

  for _, signal in ipairs { "TERM", "HUP", "ABRT" } do
    it("gives the terminal back on SIG" .. signal, function()
      s = start { after = "stty -a | tr -s '; ' '\\n\\n' | grep -x -e '-*icanon' -e '-*isig' -e '-*echo' \z
        | tr '\\n' ' '" }
      s:send "half"
      s:wait "rlab> half"
      assert(os.execute(("kill -%s %d"):format(signal, s:pid())))
      local code, seen = s:finish()
      assert.equal("isig icanon echo", seen:match "%-?isig .*$")
      assert.not_equal(0, code)
    end)
  end
end)
