-- The prompt's parts that need neither a terminal nor a server.
local complete = require "rlab.repl.complete"
local draft = require "rlab.repl.draft"
local err = require "rlab.err"
local history = require "rlab.repl.history"
local null = require "rlab.null"
local session_of = require "rlab.repl.session"
local show = require "rlab.repl.show"
local term = require "rlab.term"

local function session()
  local s = session_of.new {}
  s.clients = {}
  s.names = { topics = { "orders", "orders-dlq", "payments" }, groups = { "billing" },
    tables = { "app.account", "app.entry" },
    keys = { "cache:1", "cache:2" }, services = { "command", "consumer" },
    points = { "query.db_load", "query.enter" } }
  require("rlab.repl.words").install(s)
  return s
end

local function candidates(s, line)
  local list, start = complete.candidates(s, line, #line)
  return table.concat(list, " "), start
end

describe("the help", function()
  local help = require "rlab.repl.help"

  it("has a sentence of each word, and all of one that is asked for", function()
    local all, one = help.text(session()), help.text(session(), "lag")
    assert.matches("\n  lag +Where a group stands[^.]+%.\n", all)
    assert.is_nil(all:find("readable: ", 1, true))
    assert.matches("readable: ", one, 1, true)
    for line in (all .. "\n" .. one .. "\n"):gmatch "([^\n]*)\n" do
      assert(term.display_width(line) <= 80, line)
    end
  end)
end)

describe("what a stack is asked for", function()
  it("is servers by their names", function()
    local ok, failure = pcall(require("rlab.stack").parts_of, { { needs = { "kafka" } } })
    assert.is_false(ok)
    assert.matches("named by a word, not by a table; there are kafka, mysql", tostring(failure), 1, true)
  end)
end)

describe("a line to Redis", function()
  local quoting = require "rlab.repl.quoting"

  it("is split as redis-cli does", function()
    local rows = {
      [ [[SET q "a\nb"]] ] = { "SET", "q", "a\nb" }, [ [["\xff\x0"]] ] = { "\255x0" },
      [ [['it\'s' 'a\nb']] ] = { "it's", "a\\nb" }, [ [["\t\r\b\a\"\\\q"]] ] = { "\t\r\b\a\"\\q" },
      [ [[ GET  a"b c" '' ]] ] = { "GET", "ab c", "" }, [ [[a\n]] ] = { "a\\n" }, [""] = {}, [" \n"] = {},
    }
    for text, words in pairs(rows) do assert.same(words, quoting.words(text), text) end
  end)

  it("is refused where a quote is not closed at the word's end", function()
    for _, text in ipairs { [["a"b]], [['a'b]], [["a]], [['a\']], [[GET "a""b"]], [["a\]], '"a\\"' } do
      local words, why = quoting.words(text)
      assert.is_nil(words, text)
      assert.matches("quote", why)
    end
  end)
end)

describe("the registry's words", function()
  local words = require "rlab.repl.words.registry"
  local asked = 0
  local registry = {
    subjects = function() return { "b-value", "a-value" } end,
    versions = function(_, subject) return subject == "a-value" and { 1, 2 } or { 1 } end,
    get = function(_, what)
      if what == 9 then return nil, err.new { domain = "registry", code = 40403, name = "SCHEMA_NOT_FOUND",
        message = "no" } end
      return { id = 7, version = 2, subject = what, type = "AVRO", schema = '{"type":"string"}' }
    end,
    mode = function() return "FULL" end,
    decode = function(_, bytes)
      asked = asked + 1
      if bytes:byte(5) == 7 then return { id = "a" } end
      return nil, "unknown"
    end,
  }
  local function clients_of(stack)
    return { stack = function() return stack end, open = function() return registry end }
  end

  it("decode values that carry an id which the registry knows, and keep the bytes", function()
    local clients = clients_of { registry = {} }
    local bytes = "\0\0\0\0\7\2a"
    assert.are.same({ value = '{"id":"a"}', raw = bytes, schema = 7 },
      words.decode(clients, { value = bytes }))
    assert.are.same({ value = "\0\0\0\0\8x" }, words.decode(clients, { value = "\0\0\0\0\8x" }))
    assert.are.equal(2, asked)
    for _, value in ipairs { '{"id":1}', "", null, false } do
      assert.are.same({ value = value }, words.decode(clients, { value = value }))
    end
    assert.are.same({ value = bytes }, words.decode(clients_of {}, { value = bytes }))
    assert.are.equal(2, asked)
  end)

  it("list the subjects, and show one schema or why there is none", function()
    local said = {}
    words.install({ clients = clients_of { registry = {} } }, said)
    local rows = said.schemas()
    assert.are.same({ "a-value", "1 2", 7, "FULL" }, { rows[1].subject, rows[1].versions, rows[1].id,
      rows[1].mode })
    assert.matches("a%-value version 2, id 7, AVRO, FULL", tostring(said.schema "a-value"))
    assert.are.equal("SCHEMA_NOT_FOUND", select(2, said.schema(9)).name)
    assert.has_error(function() said.schema {} end)
    assert.is_function(said.schema.open)
  end)
end)

describe("completion", function()
  local s = session()

  it("offers words, modules, the user's names and keywords", function()
    assert.equal("offsets", (candidates(s, "offs")))
    assert.equal("kafka", (candidates(s, "x = kaf")))
    assert.equal('vertical"', (candidates(s, 'as("ver')))
    s.env.my_handle = 1
    assert.equal("my_handle mysql", (candidates(s, "print(my")))
    assert.equal("repeat", (candidates(s, "repe")))
    assert.equal("repeat", (candidates(s, "'x'..repe")))
    assert.equal("", (candidates(s, "('x'):re")))
    assert.equal("", (candidates(s, "f().re")))
  end)

  it("offers members and methods without calling anything", function()
    local list, start = candidates(s, "print(kafka.pro")
    assert.equal("kafka.producer", list)
    assert.equal(7, start)
    s.env.trap = setmetatable({}, { __index = function() error "called" end })
    assert.equal("", (candidates(s, "trap.x")))
    assert.equal("unknown:subscribe unknown:subscription", (candidates(s, "unknown:subscr")))
    s.env.text = "abc"
    assert.equal("text:upper", (candidates(s, "text:upp")))
  end)

  it("offers live names by the word in front of the quote", function()
    assert.equal("orders orders-dlq", (candidates(s, 'offsets "ord')))
    assert.equal('payments"', (candidates(s, 'tail("pay')))
    assert.equal('billing"', (candidates(s, 'lag "b')))
    assert.equal('billing"', (candidates(s, 'seek("b')))
    assert.equal('payments"', (candidates(s, 'seek("billing", "p')))
    assert.equal("payments'", (candidates(s, "produce('p")))
    assert.equal("cache:1 cache:2", (candidates(s, 'redis "GET ca')))
    assert.equal("GET", (candidates(s, 'redis "ge')))
    assert.equal("app.account", (candidates(s, 'sql "select * from app.ac')))
    assert.equal("entry", (candidates(s, 'sql "select * from ent')))
    assert.equal('payments"', (candidates(s, 'p:send { topic = "pay')))
  end)

  it("offers services and failpoints", function()
    assert.equal("command consumer", (candidates(s, 'failpoints "co')))
    assert.equal('command"', (candidates(s, 'failpoint("com')))
    assert.equal("query.db_load query.enter", (candidates(s, 'failpoint("query", "query.')))
    assert.equal('query.enter"', (candidates(s, 'failpoint(18081, "query.e')))
    assert.equal("failpoint failpoints", (candidates(s, "failp")))
    assert.equal("rule rules", (candidates(s, "rul")))
  end)

  it("does not close a quote that is closed already", function()
    local line = 'lag "bi"'
    local list = complete.candidates(s, line, #line - 1)
    assert.same({ "billing" }, list)
  end)

  it("offers nothing in a comment's quote or after a closed one", function()
    assert.equal("", (candidates(s, '-- say "or')))
    assert.equal("", (candidates(s, 'offsets "orders"')))
  end)
end)

describe("a line", function()
  it("is a value, a statement, incomplete or wrong", function()
    local s = session()
    assert.is_function(s:compile "1 + 1")
    assert.is_function(s:compile "x = 1")
    local _, _, more = s:compile "for i = 1, 2 do"
    assert.is_true(more)
    _, _, more = s:compile "print((1)"
    assert.is_true(more)
    _, _, more = s:compile "x = [[ text"
    assert.is_true(more)
    local chunk, message, open = s:compile 'print "no end'
    assert.is_nil(chunk)
    assert.is_false(open)
    assert.matches("unfinished string", message)
    _, message = s:compile "1 +* 2"
    assert.matches("near '%*'", message)
  end)

  it("keeps its locals for the next", function()
    local s = session()
    assert.is_true((s:run(s:compile "local a, b = 1, 2")))
    assert.is_true((s:run(s:compile "local function f() return a + b end")))
    local ok, results = s:run(s:compile "f()")
    assert.is_true(ok)
    assert.equal(3, results[1])
  end)

  it("fails with what went wrong and where", function()
    local s = session()
    local ok, failure = s:run(s:compile "error(err.new { name = 'X', message = 'm', domain = 'd' })")
    assert.is_false(ok)
    assert.equal("X", failure.err.name)
    ok, failure = s:run(s:compile "local t = nil; t.x = 1")
    assert.is_false(ok)
    assert.matches("attempt to index", session_of.failure_text(failure))
    ok, failure = s:run(s:compile "error { 1 }")
    assert.is_false(ok)
    assert.matches("table", session_of.failure_text(failure))
  end)
end)

describe("a value", function()
  setup(function() term.colour_mode "never" end)
  teardown(function() term.colour_mode "auto" end)

  it("tells NULL, nothing, the empty string, text and bytes apart", function()
    assert.equal("null", show.value(null))
    assert.equal("nil", show.value(nil))
    assert.equal('""', show.value "")
    assert.equal('"null"', show.value "null")
    assert.equal('"한글\\n"', show.value "한글\n")
    assert.equal("0x00ff (2 bytes)", show.value "\0\255")
    assert.equal("0x0001 (2 bytes)", show.value "\0\1")
    assert.equal([["a red \x1b[31mword"]], show.value "a red \27[31mword")
    assert.equal("9007199254740993", show.value(9007199254740993))
    assert.equal("0.1", show.value(0.1))
  end)

  it("lets nothing through that steers a terminal", function()
    local hostile = { "\u{9b}31mred", "\u{202e}gpj.exe", "\27]0;title\a", "\27[2J", "\u{2066}x", "a\255" }
    for _, text in ipairs(hostile) do
      local ways = { show.value(text), show.cell(text), show.value { [text] = text },
        show.value { { v = text } }, show.records { { partition = 0, offset = 1, key = text, value = text } },
        show.value(require("rlab.err").new { domain = "rlab", code = 0, name = "X", message = text }) }
      for i, shown in ipairs(ways) do
        assert.is_nil(shown:find(text, 1, true), i .. ": " .. shown)
        assert.is_nil(shown:find "[\0-\9\11-\31\127]", i .. ": " .. shown)
      end
    end
    assert.equal([["\u{202e}gpj.exe"]], show.value "\u{202e}gpj.exe")
    assert.equal("name\n\\x1b[2J", term.grid({ "name" }, { { "\27[2J" } }))
  end)

  it("shows a tombstone as such", function()
    local text = show.records { { partition = 0, offset = 1, timestamp = 0, key = null, value = null },
      { partition = 0, offset = 2, timestamp = 0, key = "k", value = "" } }
    assert.matches("1%s+%S+%s+null%s+tombstone", text)
    assert.matches('2%s+%S+%s+k%s+""', text)
    assert.matches("1970-01-01T00:00:00.000Z", text, 1, true)
    assert.equal("", show.time(-1))
    assert.equal("2026-07-02T16:00:00.123Z", show.time(1783008000123))
  end)

  it("is bounded however large or deep or cyclic", function()
    local list = {}
    for i = 1, 1000 do list[i] = i end
    assert.matches("%+980 more", show.value(list))
    local rows = {}
    for i = 1, 1000 do rows[i] = { id = i } end
    assert.matches("%+950 more", show.value(rows))
    local loop = {}
    loop.me = loop
    assert.matches("seen above", show.value(loop))
    assert.is_true(#show.value(("x"):rep(1000000)) < 3000)
  end)

  it("is one line when it is an error", function()
    assert.equal("kafka TIMED_OUT (7): no answer",
      show.value(err.new { domain = "kafka", name = "TIMED_OUT", code = 7, message = "no answer" }))
  end)
end)

describe("the history", function()
  it("knows a secret when it sees one", function()
    for _, line in ipairs { "mysql.connect { password = 'x' }", "x = 'PASSWORD'", "my_secret = 1",
      "token=abc", "token = abc",
      "sql \"create user a identified by 'x'\"", "redis 'AUTH x'", "sasl_passwd = 1", "api_key = 2" } do
      assert.is_true(history.is_secret(line), line)
    end
    for _, line in ipairs { "offsets 'orders'", "tokens()", "produce('passenger', 'x')",
      "redis 'GET author'" } do
      assert.is_false(history.is_secret(line), line)
    end
  end)
end)

describe("a draft", function()
  it("is an experiment that loads, without noise and secrets", function()
    local text = draft.text("E-900",
      { "local t = 'orders'", "offsets(t)", "1 + 1", "help()", "x = 'password=1'",
      "for i = 1, 2 do\n  produce(t, i)\nend" })
    local path = os.tmpname()
    os.remove(path)
    path = path .. ".lua"
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
    local exp = require("rlab.experiment").load(path)
    os.remove(path)
    assert.equal("E-900", exp.id)
    assert.is_nil(text:find("password", 1, true))
    assert.is_nil(text:find("help()", 1, true))
    assert.matches("_ = 1 %+ 1", text)
  end)
end)

describe("the terminal's helpers", function()
  setup(function() term.colour_mode "never" end)
  teardown(function() term.colour_mode "auto" end)

  it("writes what it is given so that a terminal obeys none of it but its colours", function()
    local live, written = term.live(), {}
    live.tty, live.out = false, { write = function(_, ...) written[#written + 1] = table.concat { ... } end }
    live:above "\27[1mE-1\27[0m  a\27[2Jb\27]0;x\7\xff\u{202e}\nc"
    assert.same({ "\27[1mE-1\27[0m  a\\x1b[2Jb\\x1b]0;x\\x07\\xff\\u{202e}\nc\n" }, written)
  end)

  it("count columns as the terminal does", function()
    assert.equal(7, term.display_width "한글abc")
    assert.equal(3, term.display_width "\27[1mabc\27[0m")
    assert.equal(1, term.display_width "e\204\129")
    local widths = { ["กุ"] = 1, ["بً"] = 1, ["בְ"] = 1, ["\u{2764}\u{fe0f}"] = 2,
      ["\u{1f44d}\u{1f3fd}"] = 2, ["\u{1fae8}"] = 2 }
    for text, width in pairs(widths) do
      assert.equal(width, term.display_width(text), text)
    end
    assert.equal("กุ |", term.pad("กุ", 2) .. "|")
    assert.equal("한 |", term.pad("한", 3) .. "|")
    assert.equal("   한", term.pad("한", 5, "right"))
    assert.equal(4, term.display_width(term.fit("한글한글", 4)) + (term.utf8() and 1 or 0))
    assert.same({ "one two", "three" }, term.wrap("one two three", 8))
  end)

  it("says which grids fit with their longest column cut, and that to 40", function()
    local rows = { { id = ("a"):rep(36), text = ("b"):rep(500) } }
    assert.is_true(term.grid_fits({ "id", "text" }, rows, { width = 78 }))
    assert.is_false(term.grid_fits({ "id", "text" }, rows, { width = 77 }))
    assert.is_false(term.grid_fits({ "id" }, rows, { width = 35 }))
  end)

  it("draw grids that fit, numbers to the right", function()
    local grid = term.grid({ "name", "n" }, { { name = "a", n = 1 }, { name = "bbb", n = 200 } })
    assert.equal("name    n\na       1\nbbb   200", grid)
    for line in term.grid({ "text" }, { { text = ("x"):rep(500) } }, { width = 40 }):gmatch "[^\n]+" do
      assert.is_true(term.display_width(line) <= 40)
    end
    assert.matches("%+3 more", term.grid({ "n" }, { { 1 }, { 2 }, { 3 }, { 4 } }, { max_rows = 1 }))
  end)
end)
