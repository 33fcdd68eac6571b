-- rlab top on a terminal: its screen, its keys, and what it leaves behind.
local pty = dofile "spec/transcript/support/pty.lua"

local REPLAY = "top --speed 100 --replay " .. require("rlab.fs").realpath "spec/fixtures/report/fixture-E-012"
local HERE = "stty -a | tr -d '\\n'; echo; echo THE END"

local function settings_of(text) return text:match "speed.-THE END" end

describe("rlab top", function()
  local s
  local function start(opts)
    opts.args, opts.after = opts.args or REPLAY, opts.after or HERE
    s = pty.start(opts)
  end
  after_each(function()
    if s then s:close() end
    s = nil
  end)

  local function ended_by(key)
    start {}
    s:wait_text "PASS"
    s:send(key)
    local seen = s:wait_text "THE END"
    local code = s:finish()
    s = nil
    assert.equal(0, code)
    return seen
  end

  it("leaves the terminal as it was, whichever way it ends", function()
    start { args = "--version" }
    local before = settings_of(s:wait_text "THE END")
    s:close()
    for _, key in ipairs { "q", "\27", "\3" } do
      local seen = ended_by(key)
      assert.is_nil(seen:find("PASS", 1, true))
      assert.equal(before, settings_of(seen))
    end
  end)

  it("takes no other key for the end, and Ctrl-Z leaves it on its screen", function()
    start {}
    s:wait_text "PASS"
    s:send "x\27[A\26"
    s:send "q"
    s:wait_text "THE END"
    assert.equal(0, (s:finish()))
    s = nil
  end)

  it("fits a narrow terminal", function()
    start { columns = 40 }
    local seen = s:wait_text "PASS"
    assert.matches("wrong +offsets%-as%-count +104\n", seen)
    assert.matches("\nq ends it$", seen)
  end)

  it("gives the terminal back when it is terminated", function()
    start {}
    s:wait_text "PASS"
    require("rlab.process").signal(s:pid(), "TERM")
    assert.is_nil(s:wait_text("THE END"):find("PASS", 1, true))
  end)

  it("prints the run once where there is no screen", function()
    local seen, code = pty.run("rlab " .. REPLAY)
    assert.matches("^E%-012  Aborted transactions.*\n       PASS\n", seen)
    assert.is_nil(seen:find "\27")
    assert.equal(0, code)
    assert.matches("^Nothing is running%.\n", (pty.run "rlab top"))
    assert.matches("^Nothing is running%.\n", (pty.run "TERM=dumb rlab top"))
    seen, code = pty.run "rlab top --replay nowhere"
    assert.matches("^rlab: nowhere cannot be replayed", seen)
    assert.equal(64, code)
  end)
end)
