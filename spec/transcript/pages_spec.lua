-- The prompt on a terminal that is too small for what it has to show: pages, blocks, a head that fits, and
-- what was meant by a misspelt line.
local pty = dofile "spec/transcript/support/pty.lua"
local compare = dofile "spec/transcript/support/compare.lua"

local QUESTION = "Start kafka, mysql and redis now? [Y/n]"

describe("the prompt on a small terminal", function()
  local s
  local function start(opts)
    s = pty.start(opts)
    s:wait_text(QUESTION)
    s:send "n\r"
    s:wait "rlab>"
  end
  after_each(function()
    if s then s:close() end
    s = nil
  end)

  it("has a head that fits 60 columns", function()
    start { columns = 60 }
    local difference = compare.difference([[
rlab <any>
help() shows what there is, Tab completes, Ctrl-D leaves
No stack is running.
Start kafka, mysql and redis now? [Y/n] n
  stack  none; stack.up() starts one
rlab>]], s:text())
    assert(not difference, difference)
  end)

  local LONG = "local t = {} for i = 1, 60 do t[i] = { n = i } end return t"
  local LONGER = LONG:gsub("60", "200")

  it("shows what is longer than the screen in pages", function()
    start()
    s:line(LONG)
    s:wait "-- 49 of 61 lines; Enter: more, a: all, q: stop"
    assert.matches("\n47\n48\n", s:text())
    s:send "\r"
    s:wait "rlab>"
    local seen = s:text()
    assert.matches("\n48\n49\n50\n", seen)
    assert.matches("\n59\n60\nrlab>$", seen)
    assert.is_nil(seen:find("lines; Enter", 1, true))
  end)

  it("stops, goes on to the end, or takes the next line instead", function()
    start()
    s:line(LONGER)
    s:wait "-- 49 of 201 lines; Enter: more, a: all, q: stop"
    s:send "q\r"
    s:wait "rlab>"
    assert.matches("stop q\nrlab>$", s:text())
    s:line "_"
    s:wait "-- 49 of 201 lines; Enter: more, a: all, q: stop"
    s:send "a\r"
    s:wait_text "\n200\nrlab>"
    s:line "_"
    s:wait "-- 49 of 201 lines; Enter: more, a: all, q: stop"
    s:send "40 + 2\r"
    s:wait_text "stop 40 + 2\n42\nrlab>"
    s:line(LONGER)
    s:wait "-- 49 of 201 lines; Enter: more, a: all, q: stop"
    s:send "\3"
    s:wait "rlab>"
  end)

  it("helps in pages", function()
    start()
    s:line "help()"
    s:wait_text "lines; Enter: more, a: all, q: stop" -- as many as there are modules and words
    assert.matches("\n *offsets +Low watermark", s:text())
    s:send "a\r"
    s:wait "rlab>"
    assert.matches("goes on while you type%.\nrlab>$", s:text())
  end)

  it("shows rows as blocks where more than one column would be cut", function()
    start { columns = 60 }
    s:line "a, b = ('a'):rep(36), ('b'):rep(30)"
    s:line "{ { id = a, name = b, n = 1 } }"
    s:wait "rlab>"
    assert.matches("row 1\n  id    a+\n  name  b+\n  n     1\nrlab>$", s:text())
    s:line "{ { id = 1, name = ('b'):rep(300) } }"
    s:wait "rlab>"
    assert.matches("id  name\n 1  b+…\nrlab>$", s:text())
  end)

  it("says what was meant", function()
    start()
    for line, said in pairs {
      ['ofsets "x"'] = "attempt to call a nil value (global 'ofsets'), did you mean 'offsets'?",
      ["kafka.prodcer {}"] = "attempt to call a nil value (field 'prodcer'), did you mean 'producer'?",
      ["kafka.prodcer"] = "nil, did you mean 'producer'?", qiut = "nil, did you mean 'quit'?",
      ["tail orders"] = "<eof> expected near 'orders'; a name is quoted: tail \"orders\"",
      ["rlab E-012"] = "<eof> expected near 'E'; a line of the shell: rlab E-012",
      list = "nil; a line of the shell: rlab list" } do
      s:line(line)
      s:wait "rlab>"
      local expected = ("rlab> %s\n%s\nrlab>"):format(line, said)
      assert.equal(expected, s:text():sub(-#expected))
    end
  end)

  it("takes comments in an entry of several lines, and leaves them out of the history", function()
    start()
    s:line "for i = 1, 2 do -- don't worry"
    s:line("  -- (another", "   ..")
    s:line("  print(i) -- say \"it\"", "   ..")
    s:line("end", "   ..")
    s:wait_text "\n1\n2\nrlab>"
    s:send "\27[A"
    s:wait "rlab> for i = 1, 2 do print(i) end"
    s:send "\r"
    s:wait_text "print(i) end\n1\n2\nrlab>"
  end)

  it("counts rows and tells the time when asked, without the reader's", function()
    start()
    s:line "timing(true)"
    s:line "{ { n = 1 }, { n = 2 } }"
    s:wait "rlab>"
    assert.matches("\nn\n1\n2\n2 rows, [%d.]+ ms\nrlab>$", s:text())
  end)
end)
