local history = require "rlab.history"
local clock = require "rlab.clock"
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

  it("writes operations that Jepsen's tools read", function()
    local h <close> = assert(history.open(path, { start = clock.ns() }))
    assert.are.equal(0, h:invoke(0, "send", { key = "a", id = 1 }))
    assert.are.equal(1, h:ok("producer", "send", { key = "a", id = 1 }))
    assert.are.equal(2, h:info(0, "send", nil, "TIMED_OUT"))
    h:fail(0, "commit", {}, { message = "x" } and "refused")
    assert.are.equal(4, h:count())
    assert.is_true(h:flush())
    local ops = lines(path)
    assert.are.same({ 0, 1, 2, 3 }, { ops[1].index, ops[2].index, ops[3].index, ops[4].index })
    assert.are.same({ "invoke", "ok", "info", "fail" },
      { ops[1].type, ops[2].type, ops[3].type, ops[4].type })
    assert.are.equal("producer", ops[2].process)
    assert.are.same({ key = "a", id = 1 }, ops[1].value)
    assert.are.equal(json.null, ops[3].value)
    assert.are.equal("TIMED_OUT", ops[3].error)
    assert.is_true(ops[1].time >= 0 and ops[1].time <= ops[4].time)
  end)

  it("reaches the file by itself and on close", function()
    local h = assert(history.open(path))
    h:invoke(1, "read")
    assert.are.equal("", fs.read(path))
    assert.is_true(task.wait_until(function() return #fs.read(path) > 0 end, { at_most = "60s" }))
    h:ok(1, "read", 5)
    h:close()
    assert.are.equal(2, #lines(path))
    assert.error_matches(function() h:count() end, "this history is closed")
  end)

  it("says when the disk takes no more", function()
    local h <close> = assert(history.open "/dev/full")
    h:invoke(1, "read")
    local _, err = h:flush()
    assert.are.equal("ENOSPC", err.name)
    _, err = h:ok(1, "read")
    assert.are.equal("ENOSPC", err.name)
    local nothing
    nothing, err = history.open(dir .. "/none/file")
    assert.is_nil(nothing)
    assert.are.equal("ENOENT", err.name)
  end)

  it("refuses what cannot be written down, and is not leaked", function()
    local before = host.open_handles()
    local h = assert(history.open(path))
    assert.error_matches(function() h:invoke(1, "read", { print }) end, "a function")
    assert.error_matches(function() h:invoke(1) end, "string expected")
    h:ok(1, "read")
    h = nil -- luacheck: ignore 311
    warn "@off"
    collectgarbage() collectgarbage()
    warn "@on"
    assert.are.equal(before, host.open_handles())
    task.wait_until(function() return #fs.read(path) > 0 end, { at_most = "60s" })
    assert.are.equal(1, #lines(path))
  end)
end)
