local history = require "rlab.history"
local clock = require "rlab.clock"
local form = require "rlab.check.form"
local fs = require "rlab.fs"
local host = require "rlab.core_host"
local json = require "rlab.json"
local task = require "rlab.task"

local function lines(path)
  local list = {}
  for line in fs.read(path):gmatch "[^\n]+" do list[#list + 1] = assert(json.decode(line)) end
  return list
end

describe("history", function()
  local dir, path
  before_each(function()
    dir = fs.tmpdir()
    path = dir .. "/history.jsonl"
  end)
  after_each(function() fs.remove(dir) end)

  it("writes operations in Jepsen's form", function()
    local h <close> = assert(history.open(path, { start = clock.ns() }))
    local a = h:invoke("producer", "send", { key = "a", id = 1 })
    assert.is_true(h:ok(a, { key = "a", id = 1 }))
    assert.are.equal(a, h:invoke("producer", "send"))
    h:info(a, nil, "TIMED_OUT")
    local b = h:invoke("producer", "commit")
    h:fail(b, {}, 'refused by "b"\n')
    assert.are.equal(6, h:count())
    assert.is_true(h:flush())
    local ops = lines(path)
    assert.are.same({ "invoke", "ok", "invoke", "info", "invoke", "fail" },
      { ops[1].type, ops[2].type, ops[3].type, ops[4].type, ops[5].type, ops[6].type })
    assert.are.same({ 0, 0, 0, 0, 1, 1 }, { ops[1].process, ops[2].process, ops[3].process, ops[4].process,
      ops[5].process, ops[6].process })
    assert.are.same({ key = "a", id = 1 }, ops[2].value)
    assert.are.equal(json.null, ops[4].value)
    assert.are.same({ "TIMED_OUT", 'refused by "b"\n' }, { ops[4].error, ops[6].error })
    assert.are.equal("commit", ops[6].f)
    assert.are.equal("producer", ops[6].actor)
    assert.is_nil(form.problem(path))
  end)

  it("gives an actor as many processes as it has operations at a time, and one to nobody else", function()
    local h <close> = assert(history.open(path))
    local a, b, c = h:invoke("x", "read"), h:invoke("x", "read"), h:invoke("y", "read")
    assert.are.same({ 0, 1, 2 }, { a, b, c })
    h:ok(b)
    h:info(a)
    assert.are.equal(3, h:invoke("y", "read"))
    assert.are.equal(1, h:invoke("x", "read"))
    assert.are.equal(4, h:invoke("x", "read"))
    h:flush()
    assert.is_nil(form.problem(path))
  end)

  it("lets nothing end that was not begun, and nothing twice", function()
    local h <close> = assert(history.open(path))
    assert.error_matches(function() h:ok(0) end, "process 0 has no operation that could end")
    local a = h:invoke("x", "read")
    h:info(a)
    assert.error_matches(function() h:ok(a) end, "process 0 has no operation that could end")
    assert.error_matches(function() h:fail(-1) end, "no operation that could end")
  end)

  it("ends what is outstanding as info when it is closed", function()
    local h = assert(history.open(path))
    h:invoke("x", "read")
    h:ok(h:invoke("y", "read"))
    h:close()
    local ops = lines(path)
    assert.are.same({ "info", 0 }, { ops[4].type, ops[4].process })
    assert.is_nil(form.problem(path))
  end)

  it("reaches the file by itself and on close", function()
    local h = assert(history.open(path))
    local process = h:invoke("x", "read")
    assert.are.equal("", fs.read(path))
    assert.is_true(task.wait_until(function() return #fs.read(path) > 0 end, { at_most = "60s" }))
    h:ok(process, 5)
    h:close()
    assert.are.equal(2, #lines(path))
    assert.error_matches(function() h:count() end, "this history is closed")
  end)

  it("says when the disk takes no more", function()
    local h <close> = assert(history.open "/dev/full")
    local process = h:invoke("x", "read")
    local _, err = h:flush()
    assert.are.equal("ENOSPC", err.name)
    _, err = h:ok(process)
    assert.are.equal("ENOSPC", err.name)
    local nothing
    nothing, err = h:invoke("x", "read")
    assert.are.same({ nil, "ENOSPC" }, { nothing, err.name })
    nothing, err = history.open(dir .. "/none/file")
    assert.is_nil(nothing)
    assert.are.equal("ENOENT", err.name)
  end)

  it("refuses what cannot be written down, and is not leaked", function()
    local before = host.open_handles()
    local h = assert(history.open(path))
    assert.error_matches(function() h:invoke("x", "read", { print }) end, "a function")
    assert.error_matches(function() h:invoke "x" end, "string expected")
    h:invoke("x", "read")
    h = nil -- luacheck: ignore 311
    warn "@off"
    collectgarbage() collectgarbage()
    warn "@on"
    assert.are.equal(before, host.open_handles())
    task.wait_until(function() return #fs.read(path) > 0 end, { at_most = "60s" })
    assert.are.equal("invoke", lines(path)[1].type)
  end)
end)

-- A well-formed history is changed in one way, and the parser says in which line.
describe("the form of a history", function()
  local dir = fs.tmpdir()
  teardown(function() fs.remove(dir) end)

  local function good()
    local ops, next_index = {}, 0
    local function op(process, kind, more)
      local one = { index = next_index, time = next_index * 10, process = process, type = kind, f = "send",
        value = json.null, actor = "p" .. process // 2 }
      for key, value in pairs(more or {}) do one[key] = value end
      ops[#ops + 1], next_index = one, next_index + 1
    end
    op(0, "invoke")
    op(1, "invoke")
    op(1, "ok")
    op(0, "info", { error = "TIMED_OUT" })
    op(1, "invoke")
    op(2, "invoke")
    op(1, "fail", { error = "refused" })
    op(1, "invoke") -- what failed retires nobody
    return ops
  end

  local function problem(ops, tail)
    local text = {}
    for i, op in ipairs(ops) do text[i] = (type(op) == "string" and op or json.encode(op)) .. "\n" end
    assert(fs.write(dir .. "/h.jsonl", table.concat(text) .. (tail or "")))
    return form.problem(dir .. "/h.jsonl")
  end

  it("is Jepsen's", function() assert.is_nil(problem(good())) end)

  local cases = {
    { 3, "time goes back from 10 to 9", function(ops) ops[3].time = 9 end },
    { 4, "time is not a number from 0", function(ops) ops[4].time = 1.5 end },
    { 1, "time is not a number from 0", function(ops) ops[1].time = -1 end },
    { 2, "index 2, 1 is due", function(ops) table.remove(ops, 2) end },
    { 2, "index is not a number from 0", function(ops) ops[2].index = nil end },
    { 1, "process is not a number from 0", function(ops) ops[1].process = "0" end },
    { 6, "process 1 has an operation outstanding", function(ops) ops[6].process, ops[6].actor = 1, "p0" end },
    { 3, "ok of process 7 without invoke", function(ops) ops[3].process = 7 end },
    { 5, "process 0 goes on after info", function(ops) ops[5].process = 0 end },
    { 7, "fail of process 0 without invoke", function(ops) ops[7].process = 0 end },
    { 5, "process 1 is p0's", function(ops) ops[5].actor = "other" end },
    { 3, "process 1 is p0's", function(ops) ops[3].actor = "other" end },
    { 3, "ok of poll, invoked was send", function(ops) ops[3].f = "poll" end },
    { 3, "a type 'okay'", function(ops) ops[3].type = "okay" end },
    { 3, "f is not a word", function(ops) ops[3].f = 7 end },
    { 3, "actor is not a word", function(ops) ops[3].actor = "" end },
    { 3, "no value", function(ops) ops[3].value = nil end },
    { 3, "a field 'note'", function(ops) ops[3].note = "x" end },
    { 3, "an error that is no text of a fail or info", function(ops) ops[3].error = "x" end },
    { 4, "an error that is no text of a fail or info", function(ops) ops[4].error = 5 end },
    { 2, "not a JSON object", function(ops) ops[2] = "{" end },
    { 2, "not a JSON object", function(ops) ops[2] = "7" end },
  }
  for _, case in ipairs(cases) do
    it("is not, and line " .. case[1] .. " says why: " .. case[2], function()
      local ops = good()
      case[3](ops)
      local said = problem(ops)
      assert.are.equal(("the history is not well-formed: line %d: %s"):format(case[1], case[2]),
        said)
    end)
  end

  it("is not whole when its last line is cut, or the file is gone", function()
    assert.are.equal("the history is not well-formed: line 9 is cut off", problem(good(), '{"index":7,"ti'))
    assert.are.equal("the history is not well-formed: it cannot be read", form.problem(dir .. "/none"))
  end)
end)
