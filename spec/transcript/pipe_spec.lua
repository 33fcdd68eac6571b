-- Scripts on a pipe: what is printed, where an error is, and the exit code.
local pty = dofile "spec/transcript/support/pty.lua"
local compare = dofile "spec/transcript/support/compare.lua"

local function check(command, expected, code)
  local seen, status = pty.run(command)
  local difference = compare.difference(expected, seen)
  assert(not difference, difference)
  assert.equal(code or 0, status)
end

describe("rlab on a pipe", function()
  it("shows what a script returns", function()
    check("echo 'return 1+1' | rlab", "2")
    check([[printf '"a"\n{ 1, 2 }\n' | rlab]], '"a"\n{ 1, 2 }')
  end)

  it("runs a script of many lines", function()
    check("printf 'local n = 0\\nfor i = 1, 3 do n = n + i end\\nprint(n)\\n' | rlab", "6")
    check("printf '#!/usr/bin/env rlab\\nprint(\"first line is left out\")\\n' | rlab",
      "first line is left out")
    check("printf 'task.sleep(0.01) print(\"awake\")' | rlab", "awake")
  end)

  it("draws records as a grid and tells bytes, NULL and the empty string apart", function()
    check([[cat <<'X' | rlab
{ { id = 1, name = "", data = "\0\1" }, { id = 20, name = "한글", data = null } }
X
]], [[
id  name  data
 1  ""    0x0001 (2 bytes)
20  한글  null]])
  end)

  it("bounds what is long or deep", function()
    check([[cat <<'X' | rlab
local list, deep = {}, {}
for i = 1, 25 do list[i] = i end
deep.a = { b = { c = { d = { e = 1 } } } }
print((#list))
return list, deep
X
]], [[
25
{
  1,
...
  20,
  +5 more
}
{ a = { b = { c = { d = {...} } } } }]])
  end)

  it("says where a script failed, with exit code 65", function()
    check("printf 'local x = 1\\nlocal y = x + nil\\n' | rlab",
      "rlab: stdin:2: attempt to perform arithmetic on a nil value", 65)
    check("echo 'x = = 1' | rlab", "rlab: stdin:1: unexpected symbol near '='", 65)
    check(
      "printf 'local function f()\\n  error(\"deep\")\\nend\\nf()\\n' | rlab",
      "rlab: stdin:2: deep\n  from stdin:4, in main chunk", 65)
  end)

  it("says what the world did, with exit code 65", function()
    check([[echo 'return nil, err.new { domain = "kafka", name = "TIMED_OUT", code = 7, ]]
      .. [[message = "no answer" }' | rlab]],
      "rlab: kafka TIMED_OUT (7): no answer", 65)
    check([[echo 'must(nil, err.new { domain = "mysql", name = "ER_DUP_ENTRY", code = 1062, ]]
      .. [[message = "twice" })' | rlab]],
      "rlab: mysql ER_DUP_ENTRY (1062): twice", 65)
  end)

  it("does not wait for a stack that nobody asked for", function()
    check([[echo 'offsets "orders"' | rlab]], "rlab: rlab NO_STACK: kafka is not running; <any>", 65)
  end)

  it("shows what the prompt's words return, and stops at their errors, between other statements too",
    function()
    check([[cat <<'X' | rlab
local name = "quit"
help(name)

for i = 1, 2 do print(i) end
X
]], [[
quit([code])
  Leaves, as Ctrl-D does.

  code  integer = 0         the exit code
1
2]])
    check("printf 'local n = 1\\ngroups()\\nprint(n)\\n' | rlab",
      "rlab: rlab NO_STACK: kafka is not running; <any>", 65)
    check("printf 'local n = 1\\nlocal y = n + nil\\n' | rlab",
      "rlab: stdin:2: attempt to perform arithmetic on a nil value", 65)
    check([[printf 'local n = 1\nproduce("orders", "v", "k")\n' | rlab]],
      "rlab: stdin:2: produce takes a topic and a value: <any>", 65)
  end)

  it("helps", function()
    check([[echo 'help "quit"' | rlab]], [[
quit([code])
  Leaves, as Ctrl-D does.

  code  integer = 0         the exit code]])
    check([[echo 'help "qiut"' | rlab]], "nothing is called 'qiut'; did you mean 'quit'?")
  end)
end)
