local process = require "rlab.process"
local task = require "rlab.task"
local host = require "rlab.core_host"

local function sh(script, more)
  local options = { cmd = { "sh", "-c", script } }
  for key, value in pairs(more or {}) do options[key] = value end
  return assert(process.spawn(options))
end

-- a process that is no child of ours: its parent is gone when this returns
local function orphan(script)
  local p <close> = sh("setsid sh -c '" .. script .. "' </dev/null >/dev/null 2>&1 & echo $!")
  local pid = tonumber(p:lines()())
  p:wait()
  return pid
end

describe("rlab", function()
  it("starts itself although its file was replaced while it ran", function()
    local fs = require "rlab.fs"
    local copy = os.tmpname()
    local script = ([[os.remove "%s"
      local p <close> = assert(process.spawn { cmd = { fs.self_exe(), "--version" }, stdout = "capture" })
      p:wait() print((p:output()))]]):format(copy)
    local p <close> = sh(("cp '%s' %s && chmod 700 %s && %s <<'END'\n%s\nEND"):format(fs.self_exe(), copy,
      copy, copy, script))
    assert.equal(0, p:wait("60s").code)
    assert.matches("rlab %d", (p:output()))
  end)

  it("runs with its standard input, output or error closed", function()
    local rlab = require("rlab.fs").self_exe()
    for _, closed in ipairs { "<&-", ">&-", "2>&-", "<&- >&- 2>&-" } do
      local p <close> = sh(("('%s' list %s) >/dev/null 2>&1; echo $?"):format(rlab, closed))
      p:wait()
      assert.equal("0\n", (p:output()), closed)
    end
  end)
end)

-- what rlab says on stderr, and its exit status, after `before` in a shell
local function said(before, words)
  local rlab = require("rlab.fs").self_exe()
  local p <close> = sh(("ulimit -c 0; %s '%s' %s; echo $?"):format(before, rlab, words))
  p:wait "60s"
  local out, err = p:output()
  return err, tonumber(out:match "(%d+)\n$")
end

describe("rlab, given an empty path", function()
  it("says so, and does not take the root for it", function()
    for option, words in pairs { ["record: --runs"] = "record --runs ''",
      ["list: --runs"] = "list --runs ''" } do
      local line, code = said("", words)
      assert.equal(("rlab: %s takes a folder or a file, not ''\n"):format(option), line)
      assert.equal(64, code)
    end
  end)
end)

describe("rlab, when its output is refused", function()
  local function refused(words, reason)
    local line, code = said("", words)
    assert.equal("rlab: standard output did not take all that was said: " .. reason .. "\n", line, words)
    assert.equal(74, code, words)
  end

  it("says so by every command that prints, with 74", function()
    for _, words in ipairs { "--version", "--help", "list", "list --help", "list --json", "explain E-001",
      "api --markdown" } do
      refused(words .. " >/dev/full", "is the disk full?")
    end
  end)

  it("says nothing where a pipe's reader has seen enough, and keeps its code", function()
    local fs = require "rlab.fs"
    local folder = fs.tmpdir()
    for words, want in pairs { list = 0, ["check /nowhere"] = 64 } do
      local line, code = said(("mkfifo '%s/p'; exec 3<>'%s/p' 4>'%s/p' 3<&-;"):format(folder, folder, folder),
        words .. " >&4")
      assert.is_nil(line:find("standard output", 1, true), line)
      assert.equal(want, code)
      fs.remove(folder .. "/p")
    end
    fs.remove(folder)
  end)

  it("keeps the code of what failed by itself", function()
    local line, code = said("", "check /nowhere >/dev/full")
    assert.matches("^rlab: [^\n]*/nowhere[^\n]*\n$", line)
    assert.not_equal(74, code)
  end)
end)

describe("rlab, when a file is refused", function()
  it("names it, with 74", function()
    local line, code = said("cd /proc;", "new E-901")
    assert.matches("^rlab: cannot [^\n]+\n$", line)
    assert.equal(74, code)
  end)
end)

local function address_space_is_taken()
  local exe = require("rlab.fs").self_exe()
  return exe:find "build%-asan" or exe:find "build%-tsan"
end

describe("rlab, when its memory is limited", function()
  if address_space_is_taken() then return end -- sanitizers reserve more than any limit
  local fs = require "rlab.fs"

  it("says that it is out, in one line, with 71", function()
    local folder = fs.tmpdir()
    local p <close> = sh(("truncate -s 4G '%s/result.json'"):format(folder))
    assert.are.same({ code = 0 }, p:wait())
    local line, code = said("ulimit -v 400000;", ("check '%s'"):format(folder))
    fs.remove(folder)
    assert.equal("rlab: out of memory\n", line)
    assert.equal(71, code)
  end)

  it("says so where a library gives up", function()
    local line, code = said("ulimit -v 150000;", "doctor >/dev/null") -- no room for libuv's threads
    assert.equal("rlab: out of memory\n", line)
    assert.equal(71, code)
  end)
end)

describe("process", function()
  it("reports exit codes and signals", function()
    local p <close> = sh "exit 7"
    assert.are.same({ code = 7 }, p:wait())
    assert.are.same({ code = 7 }, p:wait("1s"))
    local q <close> = sh "kill -9 $$"
    assert.are.same({ signal = "KILL" }, q:wait())
  end)

  it("has all output when wait returns, also while a grandchild holds the pipe", function()
    local p <close> = sh "sleep 30 & echo $! >&2; seq 1 20000"
    assert.are.same({ code = 0 }, p:wait "60s")
    local out, err, dropped = p:output()
    assert.are.equal(108894, #out)
    assert.is_true(process.signal(math.tointeger(err:match "^(%d+)\n$"), "KILL"))
    assert.are.equal(0, dropped)
  end)

  -- An exit that is noticed together with another child's may come before the output has been read.
  it("has the output of every one of many children", function()
    local short = {}
    for _ = 1, 4 do
      local children = {}
      for i = 1, 60 do children[i] = assert(process.spawn { cmd = { "/bin/echo", i } }) end
      for i, p in ipairs(children) do
        p:wait()
        if p:output() ~= i .. "\n" then short[#short + 1] = i end
        p:close()
      end
    end
    assert.are.same({}, short)
  end)

  it("keeps a bounded tail of the output", function()
    local p <close> = sh("seq 1 100000", { max_output = "1KiB" })
    p:wait()
    local out, _, dropped = p:output()
    assert.are.equal(1024, #out)
    assert.are.equal(588895 - 1024, dropped)
    assert.matches("99999\n100000\n$", out)
  end)

  it("gives lines as they come, the last without its end too", function()
    local p <close> = sh "echo one; echo two; printf three"
    local lines = {}
    for line in p:lines() do lines[#lines + 1] = line end
    assert.are.same({ "one", "two", "three" }, lines)
  end)

  it("writes to the child's stdin", function()
    local p <close> = assert(process.spawn { cmd = { "cat" }, stdin = "pipe" })
    local big = ("x"):rep(300000) .. "\n"
    assert.is_true(p:write(big))
    p:end_input()
    assert.are.same({ code = 0 }, p:wait "60s")
    assert.are.equal(big, (p:output()))
    local _, err = p:write "late"
    assert.are.equal("EPIPE", err.name)
  end)

  it("merges stderr into stdout in order, and appends to files", function()
    local p <close> = sh("echo a; echo b >&2; echo c", { stderr = "stdout" })
    p:wait()
    assert.are.equal("a\nb\nc\n", (p:output()))
    local path = os.tmpname()
    for _ = 1, 2 do
      local q <close> = sh("echo x; echo y >&2", { stdout = path, stderr = path })
      q:wait()
    end
    local f <close> = assert(io.open(path))
    assert.are.equal("x\ny\nx\ny\n", f:read "a")
    os.remove(path)
  end)

  it("sets, removes and clears the environment, and the directory", function()
    local p <close> = sh("echo $FOO-$HOME-$PWD", { env = { FOO = "bar", HOME = false }, cwd = "/proc/self" })
    p:wait()
    assert.matches("^bar%-%-/proc/", (p:output()))
    local q <close> = assert(process.spawn { cmd = { "/usr/bin/env" }, env = { ONLY = 1 }, clear_env = true })
    q:wait()
    assert.are.equal("ONLY=1\n", (q:output()))
  end)

  it("hands no open file of ours to the child", function()
    local ours <close> = assert(io.open("/proc/self/status"))
    local p <close> = sh "ls /proc/self/fd"
    p:wait()
    assert.are.equal("0\n1\n2\n3\n", (p:output())) -- 3 is the listing itself
    assert.is_truthy(ours:read "l")
  end)

  it("says what cannot be started", function()
    local nothing, err = process.spawn { cmd = { "/no/such/program" } }
    assert.is_nil(nothing)
    assert.are.equal("system ENOENT (2): cannot start /no/such/program: No such file or directory",
      tostring(err))
    nothing, err = process.spawn { cmd = { "true" }, cwd = "/no/such/dir" }
    assert.is_nil(nothing)
    assert.matches("in /no/such/dir", err.message)
    nothing, err = process.spawn { cmd = { "true" }, stdout = "/no/such/dir/log" }
    assert.is_nil(nothing)
    assert.matches("cannot open /no/such/dir/log", err.message)
  end)

  it("raises on wrong usage", function()
    assert.error_matches(function() process.spawn { cmd = { "true" }, stdot = "null" } end,
      "did you mean 'stdout'")
    assert.error_matches(function() process.spawn { cmd = { "true" }, stdout = "captur" } end,
      "did you mean 'capture'")
    assert.error_matches(function() process.spawn { cmd = "true" } end, "cmd = {")
    local detached = { cmd = { "true" }, detached = true, stdout = "capture" }
    assert.error_matches(function() process.spawn(detached) end, "outlives")
    assert.error_matches(function() process.signal(1, "KILL") end, "pid 1")
    assert.error_matches(function() process.signal(process.self(), "KILL") end, "own pid")
    assert.error_matches(function() process.signal(-5, "KILL") end, "positive")
    assert.error_matches(function() process.signal(99, "KIL") end, "no signal")
  end)

  it("bounds a wait, and a cancelled wait leaves the child running", function()
    local p <close> = sh "exec sleep 60"
    local nothing, err = p:wait "5ms"
    assert.is_nil(nothing)
    assert.are.equal("TIMEOUT", err.name)
    local waiting = task.spawn(function() return p:wait() end)
    task.yield()
    waiting:cancel()
    waiting:join()
    assert.is_nil(p:status())
    assert.is_true(process.alive(p.pid, p.start))
  end)

  it("stops and continues, and says so only when it is so", function()
    local p <close> = sh "while :; do :; done"
    assert.is_true(p:stop())
    assert.are.equal("T", process.state(p.pid))
    assert.is_true(process.stop(p.pid, p.start))
    assert.is_true(p:cont())
    assert.are_not.equal("T", process.state(p.pid))
    assert.is_true(p:kill())
    assert.are.same({ signal = "KILL" }, p:wait())
    local _, err = p:stop()
    assert.are.equal("ESRCH", err.name)
    _, err = p:kill()
    assert.are.equal("ESRCH", err.name)
    assert.matches("sh %(pid " .. p.pid .. "%) has ended by signal 9", err.message)
  end)

  it("kills the child and its group when the handle is closed", function()
    local pid, grandchild
    do
      local p <close> = sh "sleep 600 & echo $!; wait"
      pid = p.pid
      grandchild = tonumber(p:lines()())
      assert.is_true(process.alive(grandchild))
    end
    assert.is_false(process.alive(pid))
    assert.is_true(process.wait_gone(grandchild, nil, "60s"))
  end)

  it("wakes whoever waits when the handle is closed", function()
    local p = sh "exec sleep 60"
    local waiting = task.spawn(function() return p:wait() end)
    local reading = task.spawn(function() return p:lines()() end)
    task.yield()
    p:close()
    local _, err = waiting:join()
    assert.are.equal("CLOSED", err.name)
    assert.is_nil(reading:join())
    assert.error_matches(function() p:wait() end, "this process is closed")
    assert.is_number(p.pid)
  end)

  it("kills a dropped child, and forgives dropping one that has exited", function()
    local before = host.open_handles()
    local pid = (function() return sh("exec sleep 600").pid end)()
    assert.are.equal(before + 1, host.open_handles())
    warn "@off"
    collectgarbage() collectgarbage()
    warn "@on"
    assert.are.equal(before, host.open_handles())
    assert.is_true(process.wait_gone(pid, nil, "60s"))
    sh("true"):wait()
    assert.are.equal(before, host.open_handles())
    collectgarbage() collectgarbage()
    assert.are.equal(before, host.open_handles())
  end)

  it("lets a detached child live on", function()
    local pid, start
    do
      local p <close> = sh("exec sleep 600", { detached = true })
      pid, start = p.pid, p.start
    end
    assert.is_true(process.alive(pid, start))
    assert.is_false(process.alive(pid, start + 1))
    assert.is_true(process.signal(pid, "KILL", start))
    assert.is_true(process.wait_gone(pid, start, "60s"))
    local _, err = process.signal(pid, "KILL", start)
    assert.are.equal("ESRCH", err.name)
  end)

  it("takes its children along when rlab ends or is interrupted, but not the detached", function()
    local fs = require "rlab.fs"
    local dir = assert(fs.tmpdir())
    fs.write(dir .. "/end_spec.lua", [[
      it("ends", function()
        local process = require "rlab.process"
        _G.child = process.spawn { cmd = { "sleep", "600" } }
        local kept = process.spawn { cmd = { "sleep", "600" }, detached = true }
        io.stderr:write(child.pid, " ", kept.pid, "\n")
        if os.getenv "STAY" then _G.child:wait() end
      end)]])
    for _, stay in ipairs { false, "INT", "TERM" } do
      local p <close> = process.spawn { cmd = { fs.self_exe(), "busted", dir .. "/end_spec.lua" },
        env = { STAY = stay } }
      local child, kept = p:lines "stderr"():match "(%d+) (%d+)"
      child, kept = math.tointeger(child), math.tointeger(kept)
      if stay then p:kill(stay) end
      assert.is_truthy(p:wait "60s")
      assert.is_true(process.wait_gone(child, nil, "60s"))
      assert.is_true(process.alive(kept))
      process.signal(kept, "KILL")
    end
    fs.remove(dir)
  end)

  it("waits for the end of a process that is no child", function()
    local pid = orphan "exec sleep 600"
    local start = process.start_time(pid)
    local _, err = process.wait_gone(pid, start, "5ms")
    assert.are.equal("TIMEOUT", err.name)
    local waiting = task.spawn(function() return process.wait_gone(pid, start) end)
    task.yield()
    process.signal(pid, "TERM")
    assert.is_true(waiting:join())
    assert.is_true(process.wait_gone(pid, start))
  end)

  it("knows itself", function()
    local pid, start = process.self()
    assert.are.equal(start, process.start_time(pid))
    assert.is_true(process.alive(pid, start))
    assert.is_true(process.rss(pid) > 1000000)
    assert.matches("rlab", process.name(pid))
    assert.is_nil(process.state(4194999))
    assert.is_true(process.threads(pid)[pid].run > 0)
    assert.are.same({}, process.threads(4194999))
  end)

  it("finds free ports, the owner of a taken one, and unread bytes", function()
    local ports = process.free_ports(3, 25000)
    assert.are.equal(3, #ports)
    assert.are.equal(ports[1] + 2, ports[3])
    assert.is_nil(process.port_owner(ports[1]))
    -- a listener that accepts and reads nothing
    local server <close> = assert(process.spawn { cmd = { "perl", "-MIO::Socket::INET", "-e", [[
my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1", LocalPort => $ARGV[0]);
my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $ARGV[0]);
my $a = $s->accept;
syswrite $a, "x" x 1000;
syswrite STDOUT, "ready\n";
sleep 600]], ports[1] } })
    assert.are.equal("ready", server:lines()())
    local pid, name = process.port_owner(ports[1])
    assert.are.equal(server.pid, pid)
    assert.matches("^perl", name)
    assert.are_not.equal(ports[1], process.free_ports(1, ports[1])[1])
    assert.are.same({ 1000, 1 }, { process.recv_queue(server.pid, ports[1]) })
    assert.are.same({ 0, 0 }, { process.recv_queue(server.pid, 1) })
    assert.is_nil((process.recv_queue(4194999, 1)))
  end)
end)
