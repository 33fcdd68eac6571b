local fs = require "rlab.fs"
local process = require "rlab.process"
local task = require "rlab.task"
local host = require "rlab.core_host"

describe("fs", function()
  local dir
  before_each(function() dir = assert(fs.tmpdir "rlab-spec") end)
  after_each(function() assert(fs.remove(dir)) end)

  it("lets other tasks run while a file goes to the disk", function()
    local others = false
    task.spawn(function() others = true end)
    assert.is_true(fs.write(dir .. "/synced", "x", { sync = true }))
    assert.is_true(others)
    assert.are.equal("x", fs.read(dir .. "/synced"))
    local _, failure = fs.write(dir .. "/no/such/folder", "x", { sync = true })
    assert.are.equal("ENOENT", failure.name)
  end)

  it("writes, appends, reads, lists and stats", function()
    local path = dir .. "/a/b/file"
    assert.is_true(fs.mkdir(dir .. "/a/b/"))
    assert.is_true(fs.mkdir(dir .. "/a/b"))
    assert.is_true(fs.write(path, "one\0two", { mode = tonumber("600", 8), sync = true }))
    assert.is_true(fs.append(path, "!"))
    assert.are.equal("one\0two!", fs.read(path))
    local stat = fs.stat(path)
    assert.are.equal("file", stat.type)
    assert.are.equal(8, stat.size)
    assert.are.equal(tonumber("600", 8), stat.mode)
    assert.are.same({ "file" }, fs.list(dir .. "/a/b"))
    assert.is_true(fs.exists(path))
    assert.is_true(fs.rename(path, dir .. "/z"))
    assert.is_false(fs.exists(path))
    assert.are.same({ "a", "z" }, fs.list(dir))
    assert.is_true(fs.disk_free(dir) > 0)
    assert.are.equal(fs.realpath(dir) .. "/z", fs.realpath(dir .. "/a/../z"))
    assert.matches("rlab", fs.self_exe())
  end)

  it("leaves the old file and nothing else when a write fails", function()
    fs.mkdir(dir .. "/taken")
    local _, err = fs.write(dir .. "/taken", "text")
    assert.are.equal("EISDIR", err.name)
    assert.are.same({ "taken" }, fs.list(dir))
    local nothing
    nothing, err = fs.read(dir .. "/none")
    assert.is_nil(nothing)
    assert.matches("cannot read .*/none: No such file", err.message)
    fs.write(dir .. "/f", "")
    _, err = fs.mkdir(dir .. "/f/sub")
    assert.are.equal("ENOTDIR", err.name)
  end)

  it("says why a folder cannot be made, not that it is missing", function()
    local made, err = fs.mkdir "/sys/rlab-cannot-make-this" -- nobody makes folders there, not even root
    assert.is_nil(made)
    assert.are_not.equal("ENOENT", err.name)
  end)

  it("replaces a symbolic link", function()
    assert.is_true(fs.symlink("one", dir .. "/latest"))
    assert.is_true(fs.symlink("two", dir .. "/latest"))
    fs.mkdir(dir .. "/two")
    assert.are.equal(fs.realpath(dir .. "/two"), fs.realpath(dir .. "/latest"))
    assert.are.equal("link", fs.stat(dir .. "/latest").type)
  end)

  it("copies trees with holes, modes and links", function()
    fs.mkdir(dir .. "/from/sub/empty")
    fs.write(dir .. "/from/run", "#!/bin/sh\n", { mode = tonumber("755", 8) })
    fs.write(dir .. "/from/auto.cnf", "x")
    fs.write(dir .. "/from/sub/binlog.000001", "x")
    fs.symlink("run", dir .. "/from/link")
    local sparse = io.open(dir .. "/from/sparse", "w")
    sparse:write "head"
    sparse:seek("set", 64 * 1024 * 1024)
    sparse:write "tail"
    sparse:close()
    assert.is_true(fs.copy(dir .. "/from", dir .. "/to", { except = { "auto.cnf", "binlog.*" } }))
    assert.are.same({ "link", "run", "sparse", "sub" }, fs.list(dir .. "/to"))
    assert.are.same({ "empty" }, fs.list(dir .. "/to/sub"))
    assert.are.equal(tonumber("755", 8), fs.stat(dir .. "/to/run").mode)
    assert.are.equal(fs.stat(dir .. "/from/run").mtime, fs.stat(dir .. "/to/run").mtime)
    assert.are.equal("link", fs.stat(dir .. "/to/link").type)
    local copy = fs.stat(dir .. "/to/sparse")
    assert.are.equal(64 * 1024 * 1024 + 4, copy.size)
    assert.is_true(copy.disk < 1024 * 1024)
    assert.are.equal("tail", fs.read(dir .. "/to/sparse"):sub(-4))
    local _, err = fs.copy(dir .. "/from", dir .. "/to")
    assert.are.equal("ENOTEMPTY", err.name)
    _, err = fs.copy(dir .. "/from", dir .. "/from/sub/again")
    assert.matches("into itself", err.message)
  end)

  it("removes trees without following links, and refuses what cannot be meant", function()
    fs.mkdir(dir .. "/keep")
    fs.write(dir .. "/keep/file", "x")
    fs.mkdir(dir .. "/gone/deep")
    fs.symlink(dir .. "/keep", dir .. "/gone/deep/link")
    assert.is_true(fs.remove(dir .. "/gone/"))
    assert.is_true(fs.remove(dir .. "/gone"))
    assert.are.same({ "keep" }, fs.list(dir))
    assert.is_true(fs.exists(dir .. "/keep/file"))
    for _, path in ipairs { "", "/", "//", ".", "..", dir .. "/.." } do
      local _, err = fs.remove(path)
      assert.are.equal("EINVAL", err.name)
    end
  end)

  it("gives up a copy that is cancelled", function()
    fs.mkdir(dir .. "/from")
    local f = io.open(dir .. "/from/big", "w")
    f:write(("x"):rep(32 * 1024 * 1024))
    f:close()
    local copying = task.spawn(function() return fs.copy(dir .. "/from", dir .. "/to") end)
    task.yield()
    copying:cancel()
    local _, err = copying:join()
    assert.are.equal("CANCELLED", err.name)
  end)

  it("locks between processes and says who holds it", function()
    local path = dir .. "/lock"
    local before = host.open_handles()
    do
      local lock <close> = assert(fs.lock(path, "rlab E-012"))
      assert.matches("fs.lock %(open", tostring(lock))
      local nothing, err = fs.lock(path)
      assert.is_nil(nothing)
      assert.are.equal("LOCKED", err.name)
      assert.are.equal(process.self(), err.pid)
      assert.are.equal("rlab E-012", err.text)
      assert.matches("lock is held by pid %d+ %(.*rlab.*: rlab E%-012%)", err.message)
      local other <close> = process.spawn { cmd = { "flock", "-n", path, "true" } }
      assert.are.same({ code = 1 }, other:wait())
    end
    local again = assert(fs.lock(path))
    again:close()
    fs.lock(path)
    warn "@off"
    collectgarbage() collectgarbage()
    warn "@on"
    assert.are.equal(before, host.open_handles())
  end)
end)
