-- The prompt's words on stores that only seem to be there: what is asked, how often, and what is shown.
local err = require "rlab.err"
local session_of = require "rlab.repl.session"
local term = require "rlab.term"

-- A session whose clients are these handles, by name; s.clients.forgotten counts what was let go.
local function session(handles)
  local s = session_of.new {}
  s.clients = { forgotten = 0 }
  function s.clients.open(_, name)
    local list = handles[name]
    return list[1]
  end
  function s.clients.forget(_, name)
    s.clients.forgotten = s.clients.forgotten + 1
    table.remove(handles[name], 1)
  end
  require("rlab.repl.words").install(s)
  return s.words
end

local function mysql_of(rows, more)
  rows.affected, rows.insert_id, rows.warnings, rows.more = rows.affected or #rows, 0, 0, more
  return { rows = rows, query = function(self, text)
    self.asked = (self.asked or 0) + 1
    self.text = text
    return rows
  end }
end

local function lost(name)
  return err.new { domain = "mysql", code = 2013, name = name or "CR_SERVER_LOST", message = "lost",
    retriable = true, fatal = true }
end

describe("sql", function()
  setup(function() term.colour_mode "never" end)
  teardown(function() term.colour_mode "auto" end)

  it("gives what the server sends, whatever the statement begins with", function()
    for _, text in ipairs { "CALL two()", "/* c */ SELECT 1 AS n", "CHECK TABLE t", "HELP 'x'",
      "SELECT 1 AS n" } do
      local rows = session { mysql = { mysql_of { { n = 1 }, columns = { "n" } } } }.sql(text)
      assert.equal(1, rows[1].n)
      assert.equal("n\n1", tostring(rows))
    end
    local counts = session { mysql = { mysql_of { columns = {}, affected = 3 } } }.sql "SELECT 1 INTO @x"
    assert.same({ affected = 3, insert_id = 0, warnings = 0 }, counts)
  end)

  it("shows every set of rows", function()
    local rows = session { mysql = { mysql_of({ { n = 1 }, columns = { "n" } },
      { { { m = 2 }, columns = { "m" } }, { columns = { "none" } } }) } }.sql "CALL two()"
    assert.equal("n\n1\n\nm\n2\n\n(no rows)", tostring(rows))
  end)

  it("shows columns of one name by their positions", function()
    local rows = session { mysql = { mysql_of { { 1, 2, id = 2 }, { 3, 4, id = 4 },
      columns = { "id", "id" } } } }.sql "SELECT x.id, y.id"
    assert.equal("id  id\n 1   2\n 3   4", tostring(rows))
  end)

  it("makes a dead connection anew, and sends nothing twice", function()
    local dead, good = { broken = function() return "gone" end }, mysql_of { columns = {} }
    assert.equal(0, session { mysql = { dead, good } }.sql("INSERT").affected)
    assert.equal(1, good.asked)
    local sent = 0
    local dies = { query = function()
      sent = sent + 1
      return nil, lost()
    end }
    local words = session { mysql = { dies, good } }
    assert.equal("CR_SERVER_LOST", select(2, words.sql "WITH x AS (SELECT 1) DELETE FROM t").name)
    assert.same({ 1, 1 }, { sent, good.asked })
    assert.equal(0, words.sql("INSERT").affected)
    assert.same({ 1, 2 }, { sent, good.asked })
  end)
end)

describe("redis", function()
  it("sends nothing twice either, and comes back after a loss", function()
    local sent = 0
    local dies = { call = function()
      sent = sent + 1
      return nil, lost "CONNECTION_LOST"
    end }
    local good = { call = function() return 7 end }
    local words = session { redis = { dies, good } }
    assert.equal("CONNECTION_LOST", select(2, words.redis "INCR n").name)
    assert.equal(1, sent)
    assert.equal(7, words.redis "INCR n")
  end)
end)
