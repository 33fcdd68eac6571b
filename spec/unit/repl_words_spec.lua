-- The prompt's words on stores that only seem to be there: what is asked, how often, and what is shown.
local err = require "rlab.err"
local out = require "rlab.repl.out"
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
  return s.words, s.clients
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

-- An admin of topic t whose partitions end where `at` says; one that it does not know is silent.
local function admin_of(at, n)
  local partitions = {}
  for p = 0, n - 1 do partitions[p + 1] = { partition = p, isr = {}, replicas = {} } end
  return { topic = function() return { partitions = partitions } end,
    offsets = function(_, _, p)
      if at[p] then return at[p] end
      return nil, err.new { domain = "kafka", code = 7, name = "TIMED_OUT", message = "no answer" }
    end }
end

local LEADERLESS = { isr = {}, why = err.new { domain = "kafka", code = 5, name = "LEADER_NOT_AVAILABLE",
  message = "t [1]: Broker: Leader not available" } }

describe("offsets", function()
  it("says what is not known, and that a transaction is open", function()
    local at = { [0] = { low = 0, lso = 2, hw = 2, leo = 2 }, { low = 0, lso = 1, hw = 2, leo = 2 },
      LEADERLESS }
    local rows = session { admin = { admin_of(at, 4) } }.offsets "t"
    local notes = {}
    for i, row in ipairs(rows) do notes[i] = row.note or "" end
    assert.same({ "", "open transaction", "LEADER_NOT_AVAILABLE", "TIMED_OUT" }, notes)
  end)
end)

describe("what a dead broker leaves unsaid", function()
  local lines, line
  before_each(function()
    lines, line = {}, out.line
    out.line = function(text) lines[#lines + 1] = text end
  end)
  after_each(function() out.line = line end)

  it("is told by tail beside what it has read", function()
    local words, clients = session { admin = { admin_of({ [0] = { low = 0, lso = 0, hw = 0, leo = 0 },
      LEADERLESS }, 3) } }
    function clients.consumer()
      return setmetatable({ assign = function() return true end }, { __close = function() end })
    end
    assert.equal(0, #words.tail "t")
    assert.same({ "not read: 1: kafka LEADER_NOT_AVAILABLE (5): t [1]: Broker: Leader not available, "
      .. "2: kafka TIMED_OUT (7): no answer" }, lines)
    assert.matches("NO_LEADER.*no partition of t can be read now; 2: kafka TIMED_OUT",
      tostring(select(2, words.tail("t", { partition = 2 }))))
    assert.matches("t has no partition 9", tostring(select(2, words.tail("t", { partition = 9 }))))
  end)

  it("is told by txns where an open transaction could hold back a partition", function()
    local admin = admin_of({ [0] = { low = 0, lso = 2, hw = 3, leo = 3 }, LEADERLESS }, 2)
    local function place(p) return { topic = "t", partition = p } end
    function admin.transactions()
      return { { id = "a", state = "Ongoing" }, { id = "b", state = "Ongoing" } }
    end
    function admin.transaction(_, id)
      if id == "a" then return { partitions = { place(0), place(1), place(2) } } end
      return nil, LEADERLESS.why
    end
    local rows = session { admin = { admin } }.txns()
    assert.same({ "t-0: LSO 2 < HW 3, t-1: LEADER_NOT_AVAILABLE, t-2: TIMED_OUT", "LEADER_NOT_AVAILABLE" },
      { rows[1]["holds back"], rows[2]["holds back"] })
  end)
end)

describe("create", function()
  it("shows the topic when the ends of its partitions are known", function()
    local asked = 0
    local rows = session { admin = { {
      create_topic = function() return true end,
      topic = function() return { partitions = { { partition = 0, isr = {}, replicas = {} } } } end,
      offsets = function()
        asked = asked + 1
        return asked > 2 and { low = 0, lso = 0, hw = 0, leo = 0 } or LEADERLESS
      end } } }.create "t"
    assert.equal(3, asked)
    assert.same({ 0, 0, 0, 0 }, { rows[1].low, rows[1].lso, rows[1].hw, rows[1].leo })
  end)
end)

describe("lag", function()
  setup(function() term.colour_mode "never" end)
  teardown(function() term.colour_mode "auto" end)

  -- at[partition] = {low, lso, hw}; committed[partition]
  local function words_of(at, committed, consumer)
    local rows, partitions = {}, {}
    for p in pairs(at) do partitions[#partitions + 1] = { partition = p } end
    for p, offset in pairs(committed) do rows[#rows + 1] = { topic = "t", partition = p, offset = offset } end
    local admin = { group_offsets = function() return rows end,
      group = function() return { members = {} } end,
      topic = function() return { partitions = partitions } end,
      offsets = function(_, _, p) return { low = at[p][1], lso = at[p][2], hw = at[p][3] } end }
    local words, clients = session { admin = { admin } }
    function clients.consumer() return assert(consumer, "nothing is to be read") end
    return words
  end

  local function shown(...)
    local list = {}
    for i, row in ipairs(words_of(...).lag "g") do
      list[i] = ("%d: lag %s readable %s%s"):format(row.partition, row.lag, row.readable,
        row.note and " (" .. row.note .. ")" or "")
    end
    return list
  end

  -- One poll gives these records and the ends.
  local function consumer_of(offsets, ends)
    return setmetatable({ assign = function() return true end, poll = function()
      local batch, i = {}, 0
      for _, offset in ipairs(offsets) do
        batch[#batch + 1] = { topic = "t", partition = 0, offset = offset }
      end
      batch[#batch + 1] = { topic = "t", partition = 0, offset = ends, eof = true }
      return { each = function() return function()
        i = i + 1
        return batch[i]
      end end }
    end }, { __close = function() end })
  end

  it("is 0 beyond the end and where all was removed, and counts what nobody committed", function()
    assert.same({ "0: lag 0 readable 0 (committed beyond the end, 10)",
      "1: lag 0 readable 0 (2 to 9 were removed unread)" },
      shown({ [0] = { 0, 10, 10 }, [1] = { 10, 10, 10 } }, { [0] = 100, [1] = 2 }))
    assert.same({ "0: lag 0 readable 0", "1: lag 20000 readable 20000 \z
      (nothing committed; readable: at most, by offsets)" },
      shown({ [0] = { 0, 10, 10 }, [1] = { 0, 20000, 20000 } }, { [0] = 10 }))
  end)

  it("counts the records among the offsets", function()
    assert.same({ "0: lag 12 readable 2" },
      shown({ [0] = { 0, 9, 12 } }, { [0] = 0 }, consumer_of({ 3, 7 }, 9)))
    assert.same({ "0: lag 1 readable 0" }, shown({ [0] = { 0, 9, 9 } }, { [0] = 8 }, consumer_of({}, 9)))
  end)
end)

describe("a word that is given too little, or what it cannot take", function()
  it("takes nothing for granted", function()
    local words = session { producer = {}, admin = {} }
    assert.error_matches(function() words.produce "t" end, "the record has no value; value = null says so")
    assert.error_matches(function() words.produce("t", { key = "k" }) end, "the record has no value")
    for _, given in ipairs { "x", "0", -1, 1.5, true } do
      assert.error_matches(function() words.record("t", 0, given) end, "offset is a whole number, 0 or")
      assert.error_matches(function() words.record("t", given, 0) end, "partition is a whole number, 0 or")
    end
  end)
end)
