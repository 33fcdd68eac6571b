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
    ["poll-skip"] = function(ops) table.remove(records_of(ops, "r1", 2), 2) end,
    ["nonmonotonic-poll"] = function(ops) table.insert(records_of(ops, "r1", 2), { 9, "p0-9" }) end,
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
    assert.are.same({ "lost-write", "poll-skip" }, found(ops))
  end)

  it("let a reader go on anywhere after an assignment or a rebalance", function()
    for _, f in ipairs { "rebalance", "seek", "assign" } do
      local ops = good()
      ops[#ops + 1] = { type = "ok", process = "r1", f = f, value = {} }
      ops[#ops + 1] = poll("r1", "t/0", { { 2, "p0-2" } })
      assert.are.same({}, found(ops), f)
    end
    local ops = good()
    ops[#ops + 1] = { type = "ok", process = "r1", f = "assign", value = { "t/0" } }
    ops[#ops + 1] = poll("r1", "t/0", { { 2, "p0-2" } })
    assert.are.same({ "nonmonotonic-poll" }, found(ops))
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

  it("have a row in the table of what is normal", function()
    local page = assert(require("rlab.fs").read "docs/checks.md")
    for _, class in ipairs(history.classes) do
      assert.truthy(page:find("| " .. class .. " |", 1, true), class)
    end
    local s = { acks = 1, idempotence = false, isolation = "read_uncommitted", subscribe = true,
      drained = false }
    for _, class in ipairs(history.classes) do
      assert.is_string(history.normal(class, s), class)
      assert.is_nil(history.normal(class,
        { acks = "all", min_isr = 2, idempotence = true, isolation = "read_committed" }), class)
    end
  end)
end)
