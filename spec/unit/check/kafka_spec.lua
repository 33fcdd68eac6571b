-- Teeth of Jepsen's Kafka classes: a good history of two producers and two readers over two partitions is
-- broken in one known way, and that class (only) must be named.
local check = require "rlab.check"
local history = require "rlab.check.history"
local null = require "rlab.null"

local function send(process, key, offset, id, kind)
  return { type = kind or "ok", process = process, f = "send",
    value = { { "send", key, { offset or null, id } } } }
end

local function poll(process, key, records, kind)
  return { type = kind or "ok", process = process, f = "poll", value = { { "poll", { [key] = records } } } }
end

-- Offsets 0..9 of t/0 and t/1; 5 is a marker in both and read by nobody; an aborted send, one of unknown
-- outcome that was written and one that was not.
local function good()
  local ops = {}
  for offset = 0, 9 do
    for p = 0, 1 do
      if offset ~= 5 then
        local key, id = "t/" .. p, ("p%d-%d"):format(p, offset)
        ops[#ops + 1] = { type = "invoke", process = "w" .. p, f = "send",
          value = { { "send", key, { null, id } } } }
        ops[#ops + 1] = send("w" .. p, key, offset ~= 7 and offset or nil, id, offset == 7 and "info" or "ok")
      end
    end
  end
  ops[#ops + 1] = send("w2", "t/0", nil, "aborted", "fail")
  ops[#ops + 1] = send("w2", "t/0", nil, "unknown", "info")
  for r = 1, 2 do
    ops[#ops + 1] = { type = "ok", process = "r" .. r, f = "assign", value = { "t/0", "t/1" } }
    for p = 0, 1 do
      for _, range in ipairs { { 0, 3 }, { 4, 9 } } do
        local records = {}
        for offset = range[1], range[2] do
          if offset ~= 5 then records[#records + 1] = { offset, ("p%d-%d"):format(p, offset) } end
        end
        ops[#ops + 1] = poll("r" .. r, "t/" .. p, records)
      end
    end
  end
  return ops
end

local function found(ops, opts)
  local names = {}
  for class, cases in pairs(history.find(ops, opts)) do
    if #cases > 0 then names[#names + 1] = class end
  end
  table.sort(names)
  return names
end

-- the records of the nth poll of t/0 by a reader
local function records_of(ops, reader, nth)
  for _, op in ipairs(ops) do
    if op.f == "poll" and op.process == reader and op.value[1][2]["t/0"] then
      nth = nth - 1
      if nth == 0 then return op.value[1][2]["t/0"] end
    end
  end
end

local function drop(ops, id)
  for _, reader in ipairs { "r1", "r2" } do
    for nth = 1, 2 do
      local records = records_of(ops, reader, nth)
      for i = #records, 1, -1 do
        if records[i][2] == id then table.remove(records, i) end
      end
    end
  end
end

describe("Jepsen's Kafka classes", function()
  it("are all empty in a good history, in which some outcomes are unknown", function()
    assert.are.same({}, found(good()))
    assert.are.same({}, found(good(), { complete = true }))
  end)

  local breaks = {
    ["unseen"] = function(ops) ops[#ops + 1] = send("w0", "t/0", 10, "p0-10") end,
    ["aborted-read"] = function(ops) table.insert(records_of(ops, "r1", 2), { 10, "aborted" }) end,
    ["precommitted-read"] = function(ops)
      ops[#ops + 1] = { type = "ok", process = "w5", f = "txn",
        value = { { "send", "t/0", { 10, "own" } }, { "poll", { ["t/0"] = { { 10, "own" } } } } } }
    end,
    ["duplicate"] = function(ops)
      for _, reader in ipairs { "r1", "r2" } do table.insert(records_of(ops, reader, 2), { 10, "p0-3" }) end
    end,
    ["inconsistent-offsets"] = function(ops) records_of(ops, "r2", 2)[1][2] = "someone-else" end,
    ["poll-skip"] = function(ops) table.remove(records_of(ops, "r1", 2), 1) end,
    ["int-poll-skip"] = function(ops) table.remove(records_of(ops, "r1", 2), 3) end,
    ["nonmonotonic-poll"] = function(ops) ops[#ops + 1] = poll("r1", "t/0", { { 9, "p0-9" } }) end,
    ["int-nonmonotonic-poll"] = function(ops) table.insert(records_of(ops, "r1", 2), { 9, "p0-9" }) end,
    ["int-nonmonotonic-send"] = function(ops)
      ops[#ops + 1] = { type = "ok", process = "w7", f = "txn",
        value = { { "send", "t/0", { 8, "p0-8" } }, { "send", "t/0", { 6, "p0-6" } } } }
    end,
    ["nonmonotonic-send"] = function(ops)
      for i, op in ipairs(ops) do
        if op.f == "send" and op.type == "ok" and op.value[1][3][2] == "p0-3" then
          ops[i], ops[i + 4] = ops[i + 4], ops[i]
          return
        end
      end
    end,
  }
  for class, break_it in pairs(breaks) do
    it("name " .. class .. ", and only that", function()
      local ops = good()
      break_it(ops)
      assert.are.same({ class }, found(ops))
    end)
  end

  it("name lost-write, and only that, when nobody can have skipped it", function()
    local ops = good()
    drop(ops, "p0-8")
    for _, op in ipairs(ops) do
      if op.f == "send" and op.value[1][3][2] == "p0-8" and op.type == "ok" then op.value[1][3][1] = null end
    end
    assert.are.same({ "unseen" }, found(ops))
    assert.are.same({ "lost-write" }, found(ops, { complete = true }))
  end)

  it("call an acknowledged offset that every reader passed lost, and those readers skipping", function()
    local ops = good()
    drop(ops, "p0-8")
    assert.are.same({ "int-poll-skip", "lost-write" }, found(ops))
  end)

  it("let a reader go on anywhere after an assignment or a rebalance", function()
    for _, f in ipairs { "rebalance", "seek", "assign" } do
      local ops = good()
      ops[#ops + 1] = { type = "ok", process = "r1", f = f, value = {} }
      ops[#ops + 1] = poll("r1", "t/0", { { 2, "p0-2" } })
      assert.are.same({}, found(ops), f)
    end
    for _, f in ipairs { "subscribe", "assign" } do
      for key, want in pairs { ["t/0"] = { "nonmonotonic-poll" }, ["t/1"] = {} } do
        local ops = good()
        ops[#ops + 1] = { type = "ok", process = "r1", f = f, value = { key } }
        ops[#ops + 1] = poll("r1", "t/0", { { 2, "p0-2" } })
        assert.are.same(want, found(ops), f .. " " .. key)
      end
    end
  end)

  it("take what is unknown for neither lost nor aborted", function()
    local ops = good()
    drop(ops, "p0-7")
    ops[#ops + 1] = poll("r9", "t/0", { { 12, "unknown" } })
    assert.are.same({}, found(ops))
  end)

  it("become checks that know what is normal under the settings", function()
    local lab = { label = "arm", arm = { class = "right", name = "arm" }, checks = {} }
    local c = check.bind(lab)
    local ops = good()
    ops[#ops + 1] = poll("r1", "t/0", { { 10, "aborted" } })
    local seen = c.kafka { history = ops, class = "aborted-read",
      settings = { isolation = "read_committed" } }
    assert.are.equal("violated", seen.outcome)
    assert.are.same({ "aborted" }, seen.ids)
    assert.are.equal(0, seen.counterexamples[1].partition)
    local normal = c.kafka { history = ops, class = "aborted-read",
      settings = { isolation = "read_uncommitted" } }
    assert.are.equal("holds", normal.outcome)
    assert.matches("1 case of aborted%-read, normal here: read_uncommitted delivers", normal.sentence)
    assert.are.equal("holds", c.kafka({ history = ops, class = "poll-skip" }).outcome)
    assert.error_matches(function() c.kafka { history = ops, class = "pollskip" } end,
      "did you mean 'poll%-skip'")
  end)

  it("take one id on two keys for two records", function()
    local ops = good()
    ops[#ops + 1] = send("w8", "t/1", nil, "p0-3")
    assert.are.same({ "lost-write" }, found(ops, { complete = true }))
    ops[#ops + 1] = poll("r8", "t/1", { { 11, "p0-3" } })
    assert.are.same({}, found(ops, { complete = true }))
  end)

  it("call a record lost whose own offset was read as another", function()
    local ops = { send("w", "t/0", 0, "first"), poll("r", "t/0", { { 0, "second" } }) }
    assert.are.same({ "inconsistent-offsets", "lost-write" }, found(ops))
  end)

  it("find a step over what only another reader was given", function()
    local ops = { send("w", "t/0", 0, "a"), send("w", "t/0", nil, "b", "info"), send("w", "t/0", 2, "c"),
      poll("r1", "t/0", { { 0, "a" }, { 1, "b" }, { 2, "c" } }), poll("r2", "t/0", { { 0, "a" } }),
      poll("r2", "t/0", { { 2, "c" } }) }
    assert.are.same({ "poll-skip" }, found(ops))
  end)

  it("read operations as lab:invoke writes them: ids alone, on a key or on any", function()
    local function op(f, value, key) return { type = "ok", process = 1, f = f, value = value, key = key } end
    local ops = { op("send", { "a", { id = "b" } }), op("send", 3), op("poll", { "a", "b", "3" }),
      op("send", 4), op("poll", 4.0) }
    assert.are.same({}, found(ops, { complete = true }))
    assert.are.same({ "lost-write" }, found({ op("send", { "a", "b" }), op("poll", "a") },
      { complete = true }))
    assert.are.same({ "unseen" }, found { op("send", "a", "t/0"), op("poll", { "a" }, "t/1") })
    assert.are.same({ "duplicate" }, found { op("poll", { "a", "b", "a" }) })
    assert.are.same({ "aborted-read" },
      found { { type = "fail", process = 1, f = "send", value = "a" }, op("poll", "a") })
  end)

  it("refuse what they cannot read, with the number of the operation", function()
    local function op(f, value) return { type = "ok", process = 1, f = f, value = value } end
    local cases = {
      ["no f 'snd'; did you mean 'send'"] = op("snd", "a"),
      ["no type 'okay'"] = { type = "okay", process = 1, f = "send", value = "a" },
      ["an id is text or a number, not null"] = op("send", { { "send", "t/0", { 1, null } } }),
      ["an id is text or a number, not nil"] = op("send", nil),
      ["an id is text or a number, not boolean"] = op("poll", { true }),
      ["whole number from 0, not %-1"] = op("send", { { "send", "t/0", { -1, "a" } } }),
      ["whole number from 0, not %-9223372036854775808"] =
        op("poll", { { "poll", { ["t/0"] = { { math.mininteger, "a" } } } } }),
      ["whole number from 0, not 1.5"] = op("poll", { { "poll", { ["t/0"] = { { 1.5, "a" } } } } }),
      ["whole number from 0, not null"] = op("poll", { { "poll", { ["t/0"] = { { null, "a" } } } } }),
      ["a list without holes expected"] = op("send", { "a", nil, "c" }),
      ["send: {offset, id} expected"] = op("send", { { "send", "t/0", { 1 } } }),
      ["poll: {offset, id} expected"] = op("poll", { { "poll", { ["t/0"] = { 7 } } } }),
      ["no step 'pull'"] = op("poll", { { "pull", {} } }),
      ["a send has no poll steps"] = op("send", { { "poll", {} } }),
      ["a process is an integer or a name, not nil"] = { type = "ok", f = "send", value = "a" },
      ["a txn has steps"] = op("txn", { "a" }),
      ["f =, value =} expected, got string"] = "send",
    }
    for words, bad in pairs(cases) do
      assert.error_matches(function() history.find { send("w", "t/0", 0, "a"), bad } end,
        "operation 2: .*" .. words)
    end
  end)

  local function judged(a)
    local lab = { label = "arm", arm = { class = "right", name = "arm" }, checks = {} }
    return check.bind(lab).kafka(a)
  end

  it("take a record that is sent again for what was best acknowledged, from its first place on", function()
    for _, again in ipairs { "info", "fail" } do
      assert.are.same({ "lost-write" }, found({ send("w", "t/0", 1, "a"), send("w2", "t/0", nil, "a", again),
        poll("r", "t/0", { { 2, "b" } }) }))
    end
    assert.are.same({ "duplicate", "lost-write" }, found({ send("w", "t/0", 1, "a"),
      send("w2", "t/0", 9, "a"), poll("r", "t/0", { { 5, "b" } }) }))
  end)

  it("excuse duplicates by retries where there are some", function()
    local twice = { send("w", "t/0", 1, "a"), poll("r", "t/0", { { 1, "a" }, { 2, "a" } }) }
    for retries, outcome in pairs { [0] = "violated", [1] = "holds" } do
      assert.are.equal(outcome, judged({ history = twice, class = "duplicate",
        settings = { idempotence = false, retries = retries } }).outcome)
    end
  end)

  it("are not taken for found where they are normal, whatever ids are expected", function()
    local seen = judged { history = { send("w", "t/0", 1, "a"), poll("r", "t/0", { { 2, "b" } }) },
      class = "lost-write", settings = { acks = 0 } }
    assert.are.same({ "a" }, seen.ids)
    assert.is_false(seen:expect({ "a" }).as_expected)
    assert.is_true(seen:expect("holds").as_expected)
  end)

  it("know what retention and compaction remove", function()
    local ops = { send("w", "t/0", 0, "old"), send("w", "t/0", 5, "gone"), send("w", "t/0", 9, "new"),
      poll("r", "t/0", { { 9, "new" } }) }
    local seen = judged { history = ops, class = "lost-write", settings = { low = { ["t/0"] = 4 } } }
    assert.are.equal("violated", seen.outcome)
    assert.are.same({ "gone" }, seen.ids)
    assert.matches("^1 case of lost%-write; 1 case of lost%-write, normal here: the log begins at 4",
      seen.sentence)
    assert.are.equal("holds", judged({ history = ops, class = "lost-write",
      settings = { low = { ["t/0"] = 6 } } }).outcome)
    assert.matches("normal here: compaction", judged({ history = ops, class = "lost-write",
      settings = { compacted = true } }).sentence)
    table.insert(ops, 4, poll("r", "t/0", { { 0, "old" }, { 9, "new" } }))
    for low, outcome in pairs { [5] = "violated", [6] = "holds" } do
      assert.are.equal(outcome, judged({ history = ops, class = "int-poll-skip",
        settings = { low = { ["t/0"] = low } } }).outcome)
    end
    assert.error_matches(function()
      judged { history = ops, class = "lost-write", settings = { compact = true } }
    end, "did you mean 'compacted'")
    assert.error_matches(function()
      judged { history = ops, class = "lost-write", settings = { low = { ["t/0"] = "4" } } }
    end, "low of t/0 is an offset")
  end)

  it("never excuse what happens inside one operation by a rebalance", function()
    local ops = { send("w", "t/0", 1, "b"), poll("r", "t/0", { { 0, "a" }, { 2, "c" }, { 2, "c" } }) }
    for _, class in ipairs { "int-poll-skip", "int-nonmonotonic-poll" } do
      assert.are.equal("violated",
        judged({ history = ops, class = class, settings = { subscribe = true } }).outcome)
    end
  end)

  it("say nothing of a history without what they speak of", function()
    for _, class in ipairs(history.classes) do
      assert.are.equal("inconclusive", judged({ history = {}, class = class }).outcome, class)
    end
    local only_sent = { send("w", "t/0", nil, "a") }
    assert.are.equal("violated", judged({ history = only_sent, class = "unseen" }).outcome)
    assert.are.equal("inconclusive", judged({ history = only_sent, class = "poll-skip" }).outcome)
    assert.are.equal("inconclusive", judged({ history = only_sent, class = "nonmonotonic-send" }).outcome)
    local only_read = { poll("r", "t/0", { { 0, "a" } }) }
    assert.are.equal("inconclusive", judged({ history = only_read, class = "lost-write" }).outcome)
  end)

  it("have a row in the table of what is normal", function()
    local page = assert(require("rlab.fs").read "docs/checks.md")
    for _, class in ipairs(history.classes) do
      assert.truthy(page:find("| " .. class .. " |", 1, true), class)
    end
    local s = { acks = 1, idempotence = false, isolation = "read_uncommitted", subscribe = true,
      drained = false, compacted = true }
    for _, class in ipairs(history.classes) do
      if class ~= "int-nonmonotonic-poll" then assert.is_string(history.normal(class, s), class) end
      assert.is_nil(history.normal(class,
        { acks = "all", min_isr = 2, idempotence = true, isolation = "read_committed" }), class)
    end
  end)
end)
