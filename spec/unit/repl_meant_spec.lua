-- What was meant by a line that means nothing, without a terminal.
local err = require "rlab.err"
local meant = require "rlab.repl.meant"
local pty = dofile "spec/transcript/support/pty.lua"
local session_of = require "rlab.repl.session"

local function session()
  local s = session_of.new {}
  s.clients = {}
  require("rlab.repl.words").install(s)
  return s
end

describe("what was meant", function()
  local s = session()
  s.env.mine = { alpha = 1, beta = print }

  local function of(source)
    local chunk, wrong = s:compile(source)
    if not chunk then return meant.of_syntax(s, source), wrong end
    local ok, failure = s:run(chunk)
    if ok then return meant.of_nil(s, source) end
    return meant.of_failure(s, session_of.failure_text(failure), source)
  end

  it("is a word, a module, a field, a method or a name of the user's", function()
    for source, said in pairs { ["ofsets 'x'"] = "offsets", ["x = grups()"] = "groups",
      ["kafak.producer {}"] = "kafka", ["return json.encod(1)"] = "encode", ["mine:bta()"] = "beta",
      ["mine.alpa"] = "alpha", ["stirng.format('x')"] = "string", ["mien"] = "mine" } do
      assert.equal((", did you mean '%s'?"):format(said), of(source), source)
    end
  end)

  it("is nothing where nothing is near, or the name is no field of what is known", function()
    for _, source in ipairs { "xyzzy()", "mine.xyzzy", "(function() return {} end)().bta()", "nil", "x = 1",
      "error 'no such thing'" } do
      assert.equal("", of(source), source)
    end
  end)

  it("is a line of the shell, or a name in quotes", function()
    assert.equal("; a line of the shell: rlab E-012", of "E-012")
    assert.equal("; a line of the shell: rlab status", of "rlab status")
    assert.equal("; a line of the shell: rlab explain E-012", of "explain E-012")
    assert.equal('; a name is quoted: lag "my-group"', of "lag my-group")
  end)

  it("is a command of Redis", function()
    local failure = err.new { domain = "redis", code = 0, name = "ERR",
      message = "ERR unknown command 'GTE', with args beginning with: 'k' " }
    assert.equal(", did you mean 'GET'?", meant.of_error(failure))
    assert.equal("", meant.of_error(err.new { domain = "redis", code = 0, name = "ERR", message = "x" }))
  end)

  it("is said on a pipe too, at the end of the line", function()
    local function said(text)
      local seen, code = pty.run(("printf '%s' | rlab"):format(text))
      assert.equal(65, code)
      return seen
    end
    assert.equal("rlab: stdin:2: attempt to call a nil value (global 'grups'), did you mean 'groups'?",
      said "local n = 1\\ngrups()\\n")
  end)

  it("is shown without what a terminal obeys", function()
    for _, word in ipairs { "api", "failpoint" } do
      local seen, code = pty.run(("rlab %s $(printf '\\033[2J')"):format(word))
      assert.equal(64, code)
      assert.is_nil(seen:find("\27[2J", 1, true), word)
      assert.matches("\\x1b[2J", seen, 1, true)
    end
  end)

  it("calls no bug of rlab what a script does to itself", function()
    local function said(text)
      return table.pack(pty.run(("cat <<'X' | rlab\n%s\nX"):format(text)))
    end
    assert.same({ "this value cannot be shown: stdin:1: no", 0, n = 2 },
      said "setmetatable({}, { __tostring = function() error 'no' end })")
    assert.same({ "rlab: error: a value that cannot be shown", 65, n = 2 },
      said "error(setmetatable({}, { __tostring = function() error 'no' end }))")
    assert.same({ "rlab: it waits for an event, a channel or a task, and nothing is left that could end that",
      65, n = 2 }, said "task.event():wait()")
    assert.same({ "false\nafter", 0, n = 2 },
      said "print((pcall(function() task.event():wait() end)))\nprint 'after'")
    assert.same({ "nil\nafter", 0, n = 2 },
      said "local t = task.spawn(function() task.event():wait() end) print((t:join()))\nprint 'after'")
  end)

  it("lets a word show what it returns although a comment stands behind it", function()
    local seen = pty.run "printf 'local n = 1\\nas(\"csv\", {{ a = n }}) -- one row\\nprint(n)\\n' | rlab"
    assert.equal("a\n1\n1", seen)
  end)
end)
