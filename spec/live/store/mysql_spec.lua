local err = require "rlab.err"
local mysql = require "rlab.mysql"
local task = require "rlab.task"
local null = require "rlab.null"
local server = require "spec.support.mysql_server"

local ok = server.ok

local function ok_or_nil(value, failure)
  if failure then error(failure, 0) end
  return value
end

local every_byte = {}
for i = 0, 255 do every_byte[#every_byte + 1] = string.char(i) end
every_byte = table.concat(every_byte)

-- the rows without what else the list carries
local function plain(rows)
  return table.move(rows, 1, #rows, 1, {})
end

local all_types = [[
  CREATE TABLE t (
    id INT PRIMARY KEY, tiny TINYINT, utiny TINYINT UNSIGNED, small SMALLINT, medium MEDIUMINT, num INT,
    unum INT UNSIGNED, big BIGINT, ubig BIGINT UNSIGNED, zero INT(6) ZEROFILL, flag BOOLEAN, bits
    BIT(10), bits64 BIT(64), dec_ DECIMAL(30,10), f FLOAT, d DOUBLE, dt DATE, tm TIME, tm3 TIME(3), dtm
    DATETIME, dtm6 DATETIME(6), ts TIMESTAMP NULL, y YEAR, c CHAR(5), vc VARCHAR(1000), bin BINARY(4),
    vb VARBINARY(300), txt TEXT, blb BLOB, j JSON, en ENUM('a','b'), st SET('x','y','z'))]]

local values = {
  id = 1, tiny = -128, utiny = 255, small = -32768, medium = -8388608, num = -2147483648, unum = 4294967295,
  big = math.mininteger,
  ubig = math.maxinteger, zero = 42, flag = 1, bits = 0x2a5, bits64 = 5,
  dec_ = "12345678901234567890.0123456789", f = 0.1, d = 0.1,
  dt = "2024-02-29", tm = "-838:59:59", tm3 = "100:00:00.250", dtm = "1000-01-01 00:00:00",
  dtm6 = "9999-12-31 23:59:59.000001",
  ts = "2026-01-02 03:04:05", y = 2155, c = "çé", vc = ("…"):rep(300), bin = "a\0b\0", vb = every_byte,
  txt = "", blb = every_byte,
  j = '{"a": [1, 2.5, null]}', en = "b", st = "x,z",
}

describe("mysql", function()
  local db

  setup(server.create)
  teardown(server.drop)
  before_each(function() db = server.connect() end)
  after_each(function() db:close() end)

  it("logs in and knows the server", function()
    assert.matches("^%d+%.%d+", db:version())
    assert.are.equal("integer", math.type(db:id()))
    assert.are.equal(db:id(), ok(db:value "SELECT CONNECTION_ID()"))
    assert.is_true(db:ping())
    assert.are.equal("utf8mb4", db:value "SELECT @@character_set_client")
  end)

  it("keeps every type, in text and in prepared statements", function()
    ok(db:exec(all_types))
    local names, marks, list = {}, {}, {}
    for name, value in pairs(values) do
      names[#names + 1], marks[#marks + 1], list[#list + 1] = name, "?", value
    end
    ok(db:exec(("INSERT INTO t (%s) VALUES (%s)"):format(table.concat(names, ","),
      table.concat(marks, ",")), table.unpack(list)))
    ok(db:exec "INSERT INTO t (id, ubig, bits64) VALUES (2, 18446744073709551615, \z
      b'1111111111111111111111111111111111111111111111111111111111111111')")
    for _, rows in ipairs { ok(db:query "SELECT * FROM t ORDER BY id"),
      ok(db:query("SELECT * FROM t WHERE id < ? ORDER BY id", 9)) } do
      assert.are.equal(2, #rows)
      for name, value in pairs(values) do
        assert.are.equal(value, rows[1][name], name)
        assert.are.equal(math.type(value), math.type(rows[1][name]), name)
      end
      assert.are.equal("18446744073709551615", rows[2].ubig)
      assert.are.equal("18446744073709551615", rows[2].bits64)
      for name in pairs(values) do
        if name ~= "id" and name ~= "ubig" and name ~= "bits64" then
          assert.are.equal(null, rows[2][name], name)
        end
      end
      assert.are.equal("id", rows.columns[1])
      assert.are.equal(32, #rows.columns)
    end
  end)

  it("sends parameters as what they are", function()
    local rows = ok(db:query("SELECT ? i, ? f, ? s, ? e, ? t, ? n", math.maxinteger, 0.1, every_byte, "",
      true, null))
    assert.are.same({ { i = math.maxinteger, f = 0.1, s = every_byte, e = "", t = 1, n = null } },
      plain(rows))
    assert.are.same({ "i", "f", "s", "e", "t", "n" }, rows.columns)
    ok(db:exec "CREATE TABLE p (j JSON, v VARCHAR(10), b VARBINARY(10))")
    ok(db:exec("INSERT INTO p VALUES (?, ?, ?)", '{"k": "é"}', "é", "\xff\xfe"))
    assert.are.same({ { j = '{"k": "é"}', v = "é", b = "\xff\xfe" } },
      plain(ok(db:query "SELECT * FROM p")))
    assert.are.same({ { v = "é" } }, plain(ok(db:query("SELECT v FROM p WHERE v = ? LIMIT ?", "É", 1))))
  end)

  it("fetches values of every length in prepared statements", function()
    for _, length in ipairs { 0, 1, 191, 192, 193, 255, 256, 65535, 65536, 3000000 } do
      local row = ok(db:row("SELECT REPEAT('x', ?) AS text, ? AS n", length, length))
      assert.are.equal(length, #row.text)
      assert.are.equal(length, row.n)
    end
    local rows = ok(db:query("SELECT REPEAT('ab', n) AS text FROM (SELECT 500 AS n UNION ALL SELECT 1 \z
      UNION ALL SELECT ? UNION ALL SELECT 300) x", 0))
    assert.are.same({ 1000, 2, 0, 600 }, { #rows[1].text, #rows[2].text, #rows[3].text, #rows[4].text })
  end)

  it("says what a statement did", function()
    ok(db:exec "CREATE TABLE e (id BIGINT AUTO_INCREMENT PRIMARY KEY, v INT, u TINYINT) AUTO_INCREMENT = 7")
    assert.are.same({ affected = 2, insert_id = 7, warnings = 0 },
      ok(db:exec "INSERT INTO e (v) VALUES (1), (2)"))
    assert.are.same({ affected = 1, insert_id = 9, warnings = 0 },
      ok(db:exec("INSERT INTO e (v) VALUES (?)", 3)))
    assert.are.equal(1, ok(db:exec("INSERT IGNORE INTO e (u) VALUES (?)", 300)).warnings)
    assert.are.equal(1264, ok(db:query "SHOW WARNINGS")[1].Code)
    assert.are.equal(0, ok(db:exec("UPDATE e SET v = 1 WHERE v = ?", 1)).affected)
    local found <close> = server.connect { found_rows = true }
    assert.are.equal(1, ok(found:exec("UPDATE e SET v = 1 WHERE v = ?", 1)).affected)
    assert.are.same({}, plain(ok(db:query "DELETE FROM e WHERE id = -1")))
    assert.is_nil((db:row "SELECT * FROM e WHERE id = -1"))
    assert.are.equal(4, db:value "SELECT COUNT(*) FROM e")
  end)

  it("gives all result sets of a procedure", function()
    ok(db:exec "CREATE PROCEDURE two(n INT) BEGIN SELECT n AS a; SELECT n + 1 AS b UNION SELECT n + 2; END")
    for _, rows in ipairs { ok(db:query "CALL two(1)"), ok(db:query("CALL two(?)", 1)) } do
      assert.are.same({ { a = 1 } }, plain(rows))
      assert.are.same({ { b = 2 }, { b = 3 } }, plain(rows.more[1]))
    end
    assert.are.equal(1, ok(db:value "SELECT 1"))
  end)

  it("names errors", function()
    ok(db:exec "CREATE TABLE u (id INT PRIMARY KEY)")
    ok(db:exec "INSERT INTO u VALUES (1)")
    local cases = {
      ER_DUP_ENTRY = { "INSERT INTO u VALUES (1)" }, ER_PARSE_ERROR = { "SELEKT 1" },
      ER_NO_SUCH_TABLE = { "SELECT * FROM nowhere WHERE a = ?", 1 },
      ER_BAD_FIELD_ERROR = { "SELECT nothing FROM u" }, PARAMETER_COUNT = { "SELECT ?", 1, 2 },
      ER_NO_SUCH_THREAD = { "KILL QUERY 4000000" },
      ER_INVALID_JSON_TEXT = { "SELECT CAST(? AS JSON)", "{" }, ER_EMPTY_QUERY = { "" },
      ER_UNSUPPORTED_PS = { "HANDLER u OPEN", n = 0 },
    }
    for name, statement in pairs(cases) do
      local none, failure
      if statement.n then
        none, failure = db:prepare(statement[1])
      else
        none, failure = db:query(table.unpack(statement))
      end
      if not (name == "ER_INVALID_JSON_TEXT" and failure and failure.code == 3141) then
        assert.is_nil(none, name)
        assert.are.equal(name, failure.name)
      end
      assert.is_true(err.is(failure))
      assert.are.equal("mysql", failure.domain)
      assert.is_false(failure.retriable or failure.fatal)
    end
    local _, failure = db:exec("SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 5432, MESSAGE_TEXT = 'ours'")
    assert.are.equal("ER_5432", failure.name)
    assert.are.equal(1, db:value "SELECT 1")
  end)

  it("raises on wrong usage", function()
    assert.has_error(function() mysql.connect { prot = 1 } end,
      "mysql.connect: unknown option 'prot', did you mean 'port'?")
    assert.has_error(function() db:query("SELECT ?", nil) end,
      'mysql:query: parameter 1 is nil; write null (require "rlab.null") for NULL')
    assert.error_matches(function() db:exec("INSERT INTO u VALUES (?)", 1 / 0) end,
      "mysql:exec: parameter 1 is inf, and MySQL has no such number", 1, true)
    assert.error_matches(function() db:query("SELECT ?, ?", 1, 0 / 0) end,
      "mysql:query: parameter 2 is %-?nan, and MySQL has no such number")
    assert.has_error(function() db:exec("SELECT ?", {}) end,
      "mysql:exec: parameter 1 is a table; MySQL takes numbers, strings, booleans and null")
    assert.has_error(function() db:kill(1, { connexion = true }) end)
    local gone = server.connect()
    gone:close()
    assert.is_false(gone:is_open())
    assert.has_error(function() gone:query "SELECT 1" end)
  end)

  it("reads the same FLOAT in text and in a prepared statement", function()
    ok(db:exec "CREATE TABLE fl (id INT PRIMARY KEY, f FLOAT, g FLOAT(9,2))")
    local random = require("rlab.rng").new(7)
    local list = { 16777217, 3.402e38, 1.1755e-38, 0.1, -0.1, 1234567.5, 0, 2.5 }
    for _ = 1, 200 do list[#list + 1] = (random:float() - 0.5) * 10.0 ^ random:int(-20, 20) end
    for i, f in ipairs(list) do
      ok(db:exec("INSERT INTO fl VALUES (?, ?, ?)", i, f, math.fmod(f, 1000000)))
    end
    local text, binary = ok(db:query "SELECT * FROM fl ORDER BY id"),
      ok(db:query("SELECT * FROM fl WHERE id > ? ORDER BY id", 0))
    assert.are.equal(#list, #text)
    for i = 1, #list do
      assert.are.equal(text[i].f, binary[i].f)
      assert.are.equal(text[i].g, binary[i].g)
    end
    assert.are.equal(16777200, text[1].f)
    assert.are.equal(16777216, ok(db:value "SELECT f + 0e0 FROM fl WHERE id = 1"))
  end)

  it("compares texts as the server does on its own", function()
    local other <close> = server.connect { found_rows = true }
    for _, connection in ipairs { db, other } do
      assert.are.equal("utf8mb4_0900_ai_ci", connection:value "SELECT @@collation_connection")
      assert.are.equal(0, connection:value "SELECT '🎩' = '💥'")
      assert.are.equal(1, connection:value "SELECT 'ß' = 'ss'")
      assert.are.equal(0, connection:value("SELECT ? = ?", "🎩", "💥"))
      ok(connection:reconnect())
      assert.are.equal(1, connection:value("SELECT ? = ?", "ß", "ss"))
    end
  end)

  it("gives columns of one name by their positions", function()
    local text = "SELECT x.id, y.id, 3 AS n FROM (SELECT 1 AS id) x JOIN (SELECT 2 AS id) y"
    for _, call in ipairs { { text }, { text .. " WHERE x.id = ?", 1 } } do
      local rows = ok(db:query(table.unpack(call)))
      assert.are.same({ "id", "id", "n" }, rows.columns)
      assert.are.same({ 1, 2, 3, id = 2, n = 3 }, rows[1])
      assert.are.equal(1, ok(db:value(table.unpack(call))))
      for row in db:rows(table.unpack(call)) do assert.are.same({ 1, 2, 3, id = 2, n = 3 }, row) end
    end
    assert.are.same({ id = 1, n = 3 }, ok(db:row "SELECT 1 AS id, 3 AS n"))
  end)

  it("knows a connection that the server has closed, and a pool mends it", function()
    local pool <close> = mysql.pool(server.options { size = 1 })
    local whole = ok(db:value "SELECT @@max_allowed_packet")
    local function break_it(tx)
      local none, failure = tx:query("SELECT LENGTH(?)", ("x"):rep(whole + 1))
      assert.is_nil(none)
      assert.is_true(failure.fatal and not failure.retriable, tostring(failure))
      assert.is_string(tx:broken())
      return true
    end
    ok(pool:with(break_it))
    assert.are.equal(1, ok(pool:query "SELECT 1 AS n")[1].n)
    local id = ok(pool:with(function(one) return one:id() end))
    ok(db:kill(id, { connection = true }))
    ok(task.wait_until(function() return pool.idle[1]:broken() end, { at_most = "60s" }))
    assert.are.equal(2, ok(pool:query "SELECT 2 AS n")[1].n)
  end)

  it("says why nobody can log in", function()
    local _, failure = mysql.connect { host = "127.0.0.1", port = 1 }
    assert.are.equal("CR_CONNECTION_ERROR", failure.name:gsub("CR_CONN_HOST_ERROR", "CR_CONNECTION_ERROR"))
    assert.is_true(failure.retriable)
    _, failure = mysql.connect(server.options { password = "wrong" })
    assert.are.equal("ER_ACCESS_DENIED_ERROR", failure.name)
    assert.is_false(failure.retriable)
    _, failure = mysql.connect(server.options { database = "nowhere" })
    assert.are.equal("ER_BAD_DB_ERROR", failure.name)
  end)

  it("encrypts when told to", function()
    assert.are.equal("", db:row "SHOW STATUS LIKE 'Ssl_cipher'".Value)
    local safe <close> = server.connect { tls = "on" }
    assert.is_true(#safe:row "SHOW STATUS LIKE 'Ssl_cipher'".Value > 0)
    local _, failure = mysql.connect(server.options { tls = "verify" })
    assert.are.equal("CR_SSL_CONNECTION_ERROR", failure.name)
  end)

  it("streams rows", function()
    ok(db:exec "SET SESSION cte_max_recursion_depth = 1000000")
    local numbers = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %s) SELECT \z
      n, NULL AS nothing FROM s"
    for _, call in ipairs { { numbers:format(25000) }, { numbers:format "?", 25000 } } do
      local count, sum = 0, 0
      for row in db:rows(table.unpack(call)) do
        count, sum = count + 1, sum + row.n
        assert.are.equal(null, row.nothing)
      end
      assert.are.equal(25000, count)
      assert.are.equal(25000 * 25001 // 2, sum)
    end
    for _ in db:rows "SELECT 1 FROM DUAL WHERE FALSE" do error "a row of nothing" end
    for _ in db:rows "DO 1" do error "a row of nothing" end
    assert.are.equal(1, db:value "SELECT 1")
  end)

  it("leaves a stream early, however long it still is", function()
    ok(db:exec "SET SESSION cte_max_recursion_depth = 100000000")
    local endless = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %s) SELECT \z
      a.n, REPEAT('x', 100) AS pad FROM s a JOIN s b"
    for _, call in ipairs { { "SELECT 1 AS n UNION SELECT 2" }, { endless:format(9000) },
      { endless:format "?", 9000 } } do
      local id = db:id()
      local seen = 0
      for row in db:rows(table.unpack(call)) do
        assert.are.equal("integer", math.type(row.n))
        seen = seen + 1
        if seen == 2 then break end
      end
      assert.are.equal(2, seen)
      assert.are.equal(1, ok(db:value "SELECT 1"))
      assert.are.equal(id, db:id())
    end
  end)

  it("raises a stream's errors, and serves one stream at a time", function()
    local caught, failure = pcall(function() for _ in db:rows "SELECT nothing" do error "no" end end)
    assert.is_false(caught)
    assert.are.equal("ER_BAD_FIELD_ERROR", failure.name)
    caught, failure = pcall(function()
      for _ in db:rows "SELECT 1 AS n UNION SELECT CAST((SELECT 1 UNION SELECT 2) AS SIGNED)" do ok(nil) end
    end)
    assert.is_false(caught)
    assert.are.equal(1242, failure.code)
    ok(db:exec "SET SESSION cte_max_recursion_depth = 1000000")
    local n = 0
    for _ in db:rows "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 5000) \z
      SELECT n FROM s" do
      n = n + 1
      if n == 1 then
        local _, busy = db:query "SELECT 1"
        assert.are.equal("CR_COMMANDS_OUT_OF_SYNC", busy.name)
      end
    end
    assert.are.equal(5000, n)
  end)

  it("has its columns without rows, and the connection is free at once", function()
    for _, words in ipairs { { "SELECT 1 AS a, 'x' AS b FROM dual WHERE 1 = 0" },
      { "SELECT 1 AS a, 'x' AS b FROM dual WHERE 1 = ?", 0 } } do
      local cursor <close> = ok(db:cursor(table.unpack(words)))
      assert.are.same({ "a", "b" }, cursor:columns())
      assert.are.equal(1, ok(db:value "SELECT 1"))
      assert.is_nil((cursor:next()))
    end
    local none <close> = ok(db:cursor "DO 1")
    assert.are.same({}, none:columns())
    assert.is_nil((none:next()))
  end)

  it("gives each row once when several tasks read one cursor", function()
    ok(db:exec "SET SESSION cte_max_recursion_depth = 1000000")
    local last = 4500
    local cursor <close> = ok(db:cursor(
      "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ?) SELECT n FROM s", last))
    local times, rows = {}, 0
    task.group(function(g)
      for _ = 1, 3 do
        g:spawn(function()
          for row in function() return ok_or_nil(cursor:next()) end do
            times[row.n], rows = (times[row.n] or 0) + 1, rows + 1
            task.sleep(0)
          end
        end)
      end
    end)
    assert.are.equal(last, rows)
    for n = 1, last do assert.are.equal(1, times[n]) end
    assert.are.equal(1, ok(db:value "SELECT 1"))
  end)

  it("stays closed when it was closed during a fetch", function()
    ok(db:exec "SET SESSION cte_max_recursion_depth = 1000000")
    local cursor = ok(db:cursor
      "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100000) SELECT n FROM s")
    for _ = 1, 1000 do ok(cursor:next()) end
    local fetch = task.spawn(function() return cursor:next() end)
    task.spawn(function() cursor:close() end):join()
    fetch:join()
    assert.is_nil((cursor:next()))
    assert.are.equal(1, ok(db:value "SELECT 1"))
  end)

  it("frees a connection whose stream was dropped", function()
    ok(db:exec "SET SESSION cte_max_recursion_depth = 1000000")
    local long =
      "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100000) SELECT n FROM s"
    do
      local next_row = db:rows(long)
      assert.are.equal(1, next_row().n)
    end
    collectgarbage()
    collectgarbage()
    assert.are.equal(1, ok(db:value "SELECT 1"))
    local next_row = db:rows(long)
    assert.are.equal(1, next_row().n)
    ok(db:reconnect())
    local caught, failure = pcall(function() while next_row() do ok(true) end end)
    assert.is_false(caught)
    assert.are.equal("CLOSED", failure.name)
    assert.are.equal(1, ok(db:value "SELECT 1"))
  end)

  it("prepares statements once", function()
    local before = tonumber(db:row "SHOW STATUS LIKE 'Com_stmt_prepare'".Value)
    local statement <close> = assert(db:prepare "SELECT ? + 1 AS n")
    for i = 1, 50 do assert.are.equal(i + 1, ok(statement:query(i))[1].n) end
    for i = 1, 50 do assert.are.equal(i + 2, ok(db:value("SELECT ? + 2", i))) end
    assert.are.equal(before + 2, tonumber(db:row "SHOW STATUS LIKE 'Com_stmt_prepare'".Value))
    for i = 1, 100 do ok(db:query("SELECT ? + " .. i, 1)) end
    assert.is_true(tonumber(db:row "SHOW STATUS LIKE 'Prepared_stmt_count'".Value or "0") < 100)
    ok(db:reconnect())
    assert.are.equal(2, ok(statement:query(1))[1].n)
    statement:close()
    assert.has_error(function() statement:query(1) end, "this mysql.statement is closed")
    local _, failure = db:prepare "SELEKT"
    assert.are.equal("ER_PARSE_ERROR", failure.name)
  end)

  it("follows a table that changes under a prepared statement", function()
    ok(db:exec "CREATE TABLE shape (a INT)")
    ok(db:exec "INSERT INTO shape VALUES (1)")
    local statement <close> = assert(db:prepare "SELECT * FROM shape WHERE 1 = ?")
    assert.are.same({ { a = 1 } }, plain(ok(statement:query(1))))
    ok(db:exec "ALTER TABLE shape ADD b VARCHAR(300) DEFAULT 'new', MODIFY a VARCHAR(20)")
    assert.are.same({ { a = "1", b = "new" } }, plain(ok(statement:query(1))))
    ok(db:exec "ALTER TABLE shape DROP a")
    assert.are.same({ { b = "new" } }, plain(ok(statement:query(1))))
  end)

  it("refuses what this client would misread", function()
    local rows, failure = db:query("SELECT STRING_TO_VECTOR('[1,2]') AS v, ? AS n", 1)
    if not rows then
      assert.are.equal("UNSUPPORTED_TYPE", failure.name)
    else
      assert.are.equal(8, #rows[1].v)
    end
    assert.are.equal(8, #ok(db:value "SELECT STRING_TO_VECTOR('[1,2]')"))
    assert.are.equal(1, ok(db:value("SELECT ?", 1)))
  end)
end)
