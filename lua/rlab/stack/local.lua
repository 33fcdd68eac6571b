-- The supervisor of the servers on this machine: starts what is missing, proves that it serves, stops it.
-- The servers outlive rlab, so everything here begins with what the state file and the machine say, and an
-- rlab may die at any line.
local clock = require "rlab.clock"
local defer = require "rlab.defer"
local err = require "rlab.err"
local fs = require "rlab.fs"
local layout = require "rlab.stack.layout"
local lock = require "rlab.stack.lock"
local process = require "rlab.process"
local servers = require "rlab.stack.servers"
local state = require "rlab.stack.state"
local task = require "rlab.task"
local tables = require "rlab.tables"
local users = require "rlab.stack.users"
local words = require "rlab.stack.words"

local M = {}

local READY_AT_MOST = "90s"
local BIND_TRIES, BIND_PAUSE = 5, "1s"
local TAIL = 65536

local function fail(name, message)
  error(err.new { domain = "rlab", code = 0, name = name, message = message }, 0)
end

local function must(value, failure)
  if not value then error(failure, 0) end
  return value
end

-- Errors of the world become nil, err; a bug or a cancelled task keeps going up.
local function guarded(f, ...)
  local results = table.pack(pcall(f, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  local failure = results[2]
  if not err.is(failure) then error(failure, 0) end
  local name = failure.name
  if name == "CANCELLED" or name == "INTERRUPTED" or name == "TERMINATED" then error(failure, 0) end
  return nil, failure
end

function M.lock(ctx, what)
  must(fs.mkdir(ctx.home))
  return lock.take(ctx.home .. "/lock", what, { at_most = "2m", say = ctx:waiting() })
end

-- ---- one server ----

local function end_process(pid, start)
  process.signal(pid, "KILL", start)
  return process.wait_gone(pid, start, "10s")
end

-- Processes of this stack that its state does not know: an rlab was killed between starting them and
-- writing that down.
local function end_strays(ctx)
  for name, list in pairs(state.marked(ctx.home)) do
    local entry = ctx.state.servers[name]
    for _, stray in ipairs(list) do
      if not (entry and entry.pid == stray.pid and entry.start == stray.start) then
        end_process(stray.pid, stray.start)
      end
    end
  end
end

local function forget_dead(ctx)
  for name in pairs(ctx.state.servers) do
    if not ctx:alive(name) then ctx.state.servers[name] = nil end
  end
end

local function rotate(log)
  if fs.exists(log) then fs.rename(log, log .. ".1") end
end

-- spawn(ctx, name): starts the process and notes it; does not wait until it serves
function M.spawn(ctx, name)
  local server, description = ctx:server(name), servers.of(name)
  must(description.needs(ctx))
  must(fs.mkdir(ctx.home .. "/logs"))
  must(description.files(ctx, server))
  local options = description.command(ctx, server)
  rotate(server.log)
  ctx.state.servers[name] = { phase = "spawning", port = server.port }
  ctx:save()
  options.env = options.env or {}
  options.env.RLAB_SERVER = ctx.home .. "/" .. name
  options.env.RLAB_HOME = ctx.home
  options.stdout, options.stderr, options.detached = server.log, "stdout", true
  local p = must(process.spawn(options))
  ctx.state.servers[name] = { phase = "starting", pid = p.pid, start = p.start, port = server.port,
    since = clock.unix_ms() // 1000 }
  ctx.state.versions[description.part] = ctx.versions[description.part]
  ctx:save()
end

local function tail(path, bytes)
  local f = io.open(path, "rb")
  if not f then return "" end
  local size = f:seek "end"
  f:seek("set", math.max(0, size - bytes))
  local text = f:read "a"
  f:close()
  return text
end

local function last_line(text)
  local last
  for line in text:gmatch "[^\n]*%S[^\n]*" do last = line end
  return last or "its log is empty"
end

local function taken_port(ctx, name)
  for _, port in ipairs(servers.of(name).ports(ctx, ctx:server(name))) do
    local pid, program = process.port_owner(port)
    if pid then return port, pid, program end
  end
end

local function complain_of_port(port, pid, program)
  local who = pid > 0 and ("pid %d (%s)"):format(pid, program) or program
  fail("PORT_TAKEN", ("port %d is taken by %s; stop it or set RLAB_PORT_BASE"):format(port, who))
end

-- why(ctx, name): why a server is gone, from its own log
function M.why(ctx, name)
  local text = tail(ctx:server(name).log, TAIL)
  return servers.of(name).cause(text) or last_line(text)
end

local function found_port_taken(ctx, name)
  return M.why(ctx, name):find("Address already in use", 1, true) ~= nil
end

-- again(ctx, name) -> whether a server that has just ended is started anew: one that found a port taken, as
--   an outgoing connection takes any for a moment
function M.again(ctx, name)
  local tries = ctx.bind_tries[name] or { count = 0 }
  ctx.bind_tries[name] = tries
  if tries.busy then return true end
  if tries.count >= BIND_TRIES or not found_port_taken(ctx, name) then return false end
  tries.count, tries.busy = tries.count + 1, true
  ctx:tell("wait", "for a port of " .. name .. ", which is taken")
  task.sleep(BIND_PAUSE)
  M.spawn(ctx, name)
  tries.busy = false
  return true
end

local function complain_of_death(ctx, name)
  local port, pid, program = taken_port(ctx, name)
  if port then complain_of_port(port, pid, program) end
  if found_port_taken(ctx, name) then
    fail("PORT_TAKEN", ("%s found one of its ports taken, %d times, by a connection that is gone now (%s); \z
      rlab doctor says whether the ports lie where the kernel takes those of connections: set \z
      RLAB_PORT_BASE, or try again"):format(name, ctx.bind_tries[name].count + 1,
      table.concat(servers.of(name).ports(ctx, ctx:server(name)), ", ")))
  end
  fail("SERVER_DIED", ("%s ended at its start: %s (%s)"):format(name, M.why(ctx, name),
    layout.short(ctx:server(name).log)))
end

-- wait_ready(ctx, name): until it serves by itself
function M.wait_ready(ctx, name)
  local server, description = ctx:server(name), servers.of(name)
  local ok, failure = task.wait_until(function()
    if not ctx:alive(name) then
      if not M.again(ctx, name) then complain_of_death(ctx, name) end
      return false
    end
    return description.ready(ctx, server, ctx:listening())
  end, { at_most = READY_AT_MOST, every = "30ms", what = name .. " serving" })
  if not ok then
    fail("NOT_READY", ("%s: %s; see rlab logs %s"):format(failure.message,
      last_line(tail(server.log, TAIL)), name))
  end
end

-- ---- starting ----

-- The servers of the parts that do not serve: gone, frozen, or left half-started by an rlab that was killed.
local function not_serving(ctx, parts)
  local listening, list = layout.listening(), {}
  for _, part in ipairs(parts) do
    for _, name in ipairs(servers.names(part)) do
      local outdated = servers.of(name).outdated
      if ctx:word(name) ~= "up" or not listening[ctx.ports[name]]
        or outdated and outdated(ctx, name, listening) then
        list[#list + 1] = name
      end
    end
  end
  return list
end
M.not_serving = not_serving

local function check_ports(ctx, names)
  local listening = layout.listening()
  for _, name in ipairs(names) do
    for _, port in ipairs(servers.of(name).ports(ctx, ctx:server(name))) do
      if listening[port] then
        local pid, program = process.port_owner(port)
        if pid then complain_of_port(port, pid, program) end
      end
    end
  end
end

local function check_disk(ctx, names)
  local need = 0
  for _, name in ipairs(names) do need = need + servers.of(name).disk end
  local free = fs.disk_free(ctx.home)
  if free and free < need then
    local text = "only %s free in %s, %s needed; free some space or set RLAB_HOME to another disk"
    fail("DISK_FULL", text:format(words.size(free), layout.short(ctx.home), words.size(need)))
  end
end

local function thaw(ctx, names)
  for _, name in ipairs(names) do
    local entry = ctx.state.servers[name]
    if ctx:word(name) == "frozen" then
      must(process.cont(entry.pid, entry.start))
      ctx:tell("thaw", name)
    end
  end
end

local function part_title(ctx, part)
  local what = part .. " " .. (ctx.versions[part] or ctx.state.versions[part] or "")
  for _, description in ipairs(servers.descriptions(part)) do
    if description.title then
      return words.line("ready", ("%-15s %s"):format(what, description.title(ctx)))
    end
  end
  return words.line("ready", what)
end

-- Waits until the part's servers serve, each and together, then notes and tells it.
local function wait_part(ctx, part, began)
  local full
  for _, description in ipairs(servers.descriptions(part)) do full = full or description.full end
  task.group(function(group)
    for _, name in ipairs(servers.names(part)) do group:spawn(M.wait_ready, ctx, name) end
    if full then group:spawn(M.watched, ctx, part, full) end
  end)
  for _, name in ipairs(servers.names(part)) do ctx.state.servers[name].phase = "ready" end
  ctx:save()
  local took = words.seconds(clock.ns() - began)
  ctx.say(require("rlab.term").pad(part_title(ctx, part), 76 - #took) .. "  " .. took)
end

-- Runs f(ctx) while the part's servers live: one that dies ends it with the cause in its log, not with a
-- timeout.
function M.watched(ctx, part, f)
  local names, dead = servers.names(part), nil
  local work = task.spawn(f, ctx)
  local watch = task.spawn(function()
    while not dead do
      task.sleep(0.05)
      for _, name in ipairs(names) do
        if not ctx:alive(name) and not M.again(ctx, name) then dead = name end
      end
    end
    work:cancel()
  end)
  local _ <close> = defer(function()
    work:cancel()
    watch:cancel()
    watch:join()
  end)
  local ok, failure = work:join()
  if dead then complain_of_death(ctx, dead) end
  must(ok, failure)
end

local function stop_again(ctx, names)
  M.stop(ctx, names, { firm = true })
  ctx:save()
end

-- Ends those that run without what the stack is to have now, unless somebody works on them.
local function end_outdated(ctx, names)
  local listening, list = layout.listening(), {}
  for _, name in ipairs(names) do
    local outdated = servers.of(name).outdated
    if outdated and outdated(ctx, name, listening) then list[#list + 1] = name end
  end
  if #list == 0 then return end
  local user = users.list(ctx.home)[1]
  if user then
    fail("BUSY", ("%s would be started anew, and pid %d (%s) works on this stack; wait for it"):format(
      table.concat(list, ", "), user.pid, user.what))
  end
  ctx:tell("restart", table.concat(list, ", "))
  M.stop(ctx, list)
  ctx:save()
end

-- raise(ctx, parts) -> names of the servers that were started (none: everything served already). Needs the
--   lock.
function M.raise(ctx, parts)
  ctx:reload()
  local broken = not_serving(ctx, parts)
  if #broken == 0 then return {} end
  thaw(ctx, broken)
  end_outdated(ctx, broken)
  forget_dead(ctx)
  end_strays(ctx)
  local missing, affected = {}, {}
  for _, name in ipairs(broken) do
    affected[servers.of(name).part] = true
    if not ctx:alive(name) then missing[#missing + 1] = name end
  end
  for _, name in ipairs(missing) do must(servers.of(name).needs(ctx)) end
  check_ports(ctx, missing)
  check_disk(ctx, missing)
  if #missing > 0 then
    ctx:tell("start", M.describe(ctx, affected), layout.short(ctx.home))
    local unsafe, mend = layout.unsafe(ctx.base)
    if unsafe then ctx:tell("note", unsafe .. "; " .. mend) end
    M.prepare(ctx, missing)
  end
  M.start_all(ctx, missing, affected)
  return broken
end

function M.describe(ctx, parts)
  local list = {}
  for _, part in ipairs(servers.parts) do
    if parts[part] then
      list[#list + 1] = part .. " " .. (ctx.versions[part] or ctx.state.versions[part] or "")
    end
  end
  return table.concat(list, ", ")
end

-- What is made once per machine, before the clock of this start runs.
function M.prepare(ctx, names)
  local seen = {}
  for _, name in ipairs(names) do
    local prepare = servers.of(name).prepare
    if prepare and not seen[prepare] then
      seen[prepare] = true
      must(prepare(ctx))
    end
  end
end

function M.start_all(ctx, missing, affected)
  local done, began = false, clock.ns()
  local _ <close> = defer(function()
    if not done then stop_again(ctx, missing) end
  end)
  for _, early in ipairs { true, false } do
    for _, name in ipairs(missing) do
      if (servers.of(name).early or false) == early then M.spawn(ctx, name) end
    end
  end
  task.group(function(group)
    for _, part in ipairs(servers.parts) do
      if affected[part] then group:spawn(wait_part, ctx, part, began) end
    end
  end)
  done = true
end

-- up(ctx, parts, what) -> true, reused | nil, err
function M.up(ctx, parts, what)
  ctx.watch = tables.contains(parts, "observe")
  if #not_serving(ctx, parts) == 0 then return true, true end -- nothing to change: no lock is needed
  return guarded(function()
    local _ <close> = must(M.lock(ctx, what or "rlab up"))
    return true, #M.raise(ctx, parts) == 0
  end)
end

-- ---- stopping ----

local function stop_one(ctx, name, firm)
  local entry, how = ctx.state.servers[name], servers.of(name).stop
  local pid, start = entry.pid, entry.start
  if not firm then
    process.signal(pid, how.signal, start)
    process.signal(pid, "CONT", start) -- a frozen one hears it now
    if process.wait_gone(pid, start, how.at_most) then return end
  end
  entry.forced = not firm
  end_process(pid, start)
end

-- stop(ctx, names, {firm=}) -> names that had to be killed. Brokers before the controller, through which
--   they say goodbye.
function M.stop(ctx, names, opts)
  local firm, forced = opts and opts.firm, {}
  for rank = 1, 2 do
    task.group(function(group)
      for _, name in ipairs(names) do
        if servers.of(name).stop.rank == rank and ctx:alive(name) then
          group:spawn(stop_one, ctx, name, firm)
        end
      end
    end)
  end
  for _, name in ipairs(names) do
    local entry = ctx.state.servers[name]
    if entry and entry.forced then forced[#forced + 1] = name end
    if entry and ctx:alive(name) then
      fail("STOP", ("%s (pid %d) does not go away"):format(name, entry.pid))
    end
    ctx.state.servers[name] = nil
  end
  return forced
end

-- down(ctx, parts, {wipe=}) -> names stopped, names that had to be killed | nil, err
function M.down(ctx, parts, opts)
  opts = opts or {}
  if not fs.exists(ctx.home) then return {}, {} end
  return guarded(function()
    local _ <close> = must(M.lock(ctx, "rlab down"))
    ctx:reload()
    local names, stopped = {}, {}
    for _, part in ipairs(parts) do
      for _, name in ipairs(servers.names(part)) do
        names[#names + 1] = name
        if ctx:alive(name) then stopped[#stopped + 1] = name end
      end
    end
    local forced = M.stop(ctx, names)
    forget_dead(ctx)
    end_strays(ctx)
    if next(ctx.state.servers) then ctx:save() else must(state.forget(ctx.home)) end
    if opts.wipe then M.wipe(ctx, names) end
    return stopped, forced
  end)
end

function M.wipe(ctx, names)
  for _, name in ipairs(names) do
    local server = ctx:server(name)
    must(fs.remove(server.dir))
    must(fs.remove(server.log))
    must(fs.remove(server.log .. ".1"))
  end
end

M.guarded = guarded

return M
