-- What the heartbeat makes of servers and of the services' own logs, and which arm a disturbance belongs to.
local clock = require "rlab.clock"
local fs = require "rlab.fs"
local heartbeat = require "rlab.run.heartbeat"
local json = require "rlab.json"
local patience = require "spec.support.patience"
local process = require "rlab.process"
local task = require "rlab.task"

local function no_hits() return {} end

local function stack_of(...)
  local list = { ... }
  return { servers = function() return list end }
end

-- A lab that began so many seconds ago.
local function lab_of(dir, stack, seconds)
  local lab = { children = {}, stack = stack or stack_of(), run = { dir = dir },
    started_ns = clock.ns() - math.floor((seconds or 0) * 1e9) }
  function lab.now() return (clock.ns() - lab.started_ns) / 1e9 end
  return lab
end

local function kinds_of(rows)
  local list = {}
  for i, row in ipairs(rows) do list[i] = row.what .. " " .. row.kind end
  table.sort(list)
  return list
end

describe("a server", function()
  local sleeper
  before_each(function() sleeper = assert(process.spawn { cmd = { "sleep", "30" } }) end)
  after_each(function() sleeper:close() end)

  local function seen(act, fields)
    local server = { name = "mysql", pid = sleeper.pid, start_time = sleeper.start }
    for key, value in pairs(fields or {}) do server[key] = value end
    local stack = stack_of(server)
    local beat = heartbeat.start { stack = stack }
    local lab = lab_of(nil, stack)
    act(server)
    task.sleep "300ms"
    beat:stop()
    local list = {}
    for _, row in ipairs(beat:disturbances(lab)) do
      if row.what == "mysql" and row.kind ~= "starved" then list[#list + 1] = row end
    end
    return kinds_of(list), beat
  end

  local function stop() sleeper:stop() end
  local function kill()
    sleeper:kill "KILL"
    sleeper:wait "5s"
  end

  it("is seen when it is stopped, killed, or another process under its number", function()
    assert.are.same({ "mysql stopped" }, (seen(stop)))
    sleeper:cont()
    assert.are.same({ "mysql gone" }, (seen(function() end, { start_time = sleeper.start + 1 })))
    assert.are.same({ "mysql gone" }, (seen(kill)))
  end)

  it("takes quiet time while it is stopped", function()
    local _, beat = seen(function()
      stop()
      task.sleep "1s"
    end)
    assert.is_true(beat:quiet() < 0.7)
  end)

  it("is none of the run's where the lab means it, or did not start it", function()
    assert.are.same({}, (seen(stop, { meant = "stopped" })))
    sleeper:cont()
    assert.are.same({}, (seen(kill, { meant = "gone" })))
    assert.are.same({}, (seen(function(server) server.pid = nil end)))
  end)
end)

describe("rlab itself", function()
  -- Nothing else runs on its loop meanwhile.
  local function spin(seconds)
    local until_ns = clock.ns() + math.floor(seconds * 1e9)
    repeat until clock.ns() >= until_ns
  end

  local function own(rows, kind)
    for _, row in ipairs(rows) do
      if row.what == "rlab" and row.kind == kind then return row end
    end
  end

  it("is seen to stand still", function()
    local beat, lab = heartbeat.start { stack = stack_of() }, lab_of()
    task.sleep "20ms"
    spin(0.6)
    task.sleep "200ms"
    local row, quiet = own(beat:disturbances(lab), "stall"), beat:quiet()
    assert.is_true(row.seconds > 0.4 and row.longest > 0.4, row.seconds)
    assert.is_true(quiet < 0.4)
    -- and quiet time goes on when it is over
    assert.is_true(task.wait_until(function() return beat:quiet() > quiet end, { at_most = patience }))
    beat:stop()
  end)

  it("has stood still for no longer than once", function()
    local beat, lab = heartbeat.start { stack = stack_of() }, lab_of()
    for _, seconds in ipairs { 0.7, 0.4, 0.4 } do
      task.sleep "150ms" -- a beat in time is no end of it
      spin(seconds)
    end
    task.sleep "200ms"
    beat:stop()
    local row = own(beat:disturbances(lab), "stall")
    assert.is_true(row.seconds > 1 and row.longest > 0.5 and row.longest < row.seconds - 0.5,
      row.seconds .. " " .. row.longest)
  end)

  it("loses quiet time by each beat that comes late", function()
    local beat, began = heartbeat.start { stack = stack_of() }, clock.ns()
    for _ = 1, 12 do
      spin(0.2)
      task.sleep "1ms"
    end
    task.sleep "200ms"
    local all = (clock.ns() - began) / 1e9
    beat:stop()
    assert.is_true(beat:quiet() < 0.7 * all, ("%.2f of %.2f s"):format(beat:quiet(), all))
  end)
end)

describe("a heartbeat that ends by itself", function()
  it("says why, as nobody has looked since", function()
    local server = { name = "mysql", pid = {}, start_time = 1 } -- no process can have that number
    local beat = heartbeat.start { stack = stack_of(server) }
    assert.is_true(task.wait_until(function() return beat.task:done() end, { at_most = patience }))
    assert.error_matches(function() beat:stop() end, "number expected")
  end)
end)

describe("who waits for a processor", function()
  local real = process.threads
  after_each(function() process.threads = real end)

  -- What was told, in seconds, where a thread of the target waits so much of each second; `looks` looks long,
  -- however late a busy machine makes them. -> seconds told, seconds due, quiet seconds, at most so many
  local function seen(share, target, as)
    local stack, looks, turns = as == "server" and stack_of(target) or stack_of(), {}, 0
    local began = clock.ns()
    function process.threads(asked)
      local now = clock.ns()
      if asked == process.self() then turns = turns + 1 end
      if asked ~= target.pid then return {} end
      looks[#looks + 1] = (now - began) / 1e9
      return { [asked] = { run = 1, delay = share * looks[#looks] } }
    end
    local beat, lab = heartbeat.start { stack = stack }, lab_of(nil, stack)
    target.lab = lab
    if as ~= "server" then beat:watch(target) end
    while turns < 4 do task.sleep "20ms" end
    beat:stop()
    local sum = 0
    for _, row in ipairs(beat:disturbances(lab)) do
      if row.what == target.name and row.kind == "starved" then sum = sum + row.seconds end
    end
    local first, last = looks[1] or 0, looks[#looks] or 0
    return sum, share * (last - first), beat:quiet(), first + (1 - share) * (last - first)
  end

  local pid = 1 -- of whom nothing is read but that he lives
  local function child(fields)
    local one = { name = "child", pid = pid, hits = no_hits,
      process = { status = function() return nil end } }
    for key, value in pairs(fields or {}) do one[key] = value end
    return one
  end

  local function tells(share, target, as)
    local sum, due, quiet, most = seen(share, target, as)
    assert.is_true(sum > 0.9 * due and sum < 1.1 * due, ("%.2f of %.2f"):format(sum, due))
    assert.is_true(quiet <= most + 0.05, ("quiet %.2f of %.2f"):format(quiet, most))
  end

  it("is told with the seconds, from a tenth of the time on", function()
    tells(0.5, child())
    assert.are.equal(0, (seen(0.05, child())))
    tells(0.15, child())
  end)

  it("is a server, too", function()
    tells(0.5, { name = "mysql", pid = pid, start_time = process.start_time(pid) }, "server")
  end)

  it("is nobody whom the lab has stopped", function()
    assert.are.equal(0, (seen(0.5, child { meant = "stopped" })))
  end)
end)

describe("a child", function()
  local function killed(action, signal)
    local sleeper = assert(process.spawn { cmd = { "sleep", "30" } })
    local beat, lab = heartbeat.start { stack = stack_of() }, lab_of()
    beat:watch { name = "child", pid = sleeper.pid, process = sleeper, lab = lab,
      hits = function() return { { action = action } } end }
    sleeper:kill(signal or "KILL")
    sleeper:wait "5s"
    task.sleep "300ms"
    beat:stop()
    sleeper:close()
    local list = {}
    for _, row in ipairs(beat:disturbances(lab)) do
      if row.kind == "gone" then list[#list + 1] = row end
    end
    return kinds_of(list)
  end

  it("that a failpoint killed was killed by the lab", function()
    assert.are.same({}, killed "kill")
    assert.are.same({ "child gone" }, killed "error")
    assert.are.same({ "child gone" }, killed("error", "TERM"))
  end)
end)

describe("a disturbance", function()
  local function told(lab, seconds, row_lab)
    local beat = heartbeat.start { stack = stack_of() }
    beat:add(row_lab, "stopped", "a friend", seconds)
    beat:stop()
    local list = {}
    for _, row in ipairs(beat:disturbances(lab)) do
      if row.what == "a friend" then list[#list + 1] = row end
    end
    return list
  end

  it("is its own arm's, or everybody's", function()
    local lab = lab_of(nil, nil, 10)
    assert.are.equal(1, #told(lab, 1, lab))
    assert.are.equal(1, #told(lab, 1, nil))
    assert.are.equal(0, #told(lab, 1, lab_of()))
  end)

  it("counts as far as the arm was there", function()
    local row = told(lab_of(nil, nil, 2), 8)[1]
    assert.is_true(row.from >= 0 and row.from < 0.01 and row.seconds > 1.9 and row.seconds < 3, row.seconds)
    row = told(lab_of(nil, nil, 10), 8)[1]
    assert.is_true(row.from > 1.9 and row.from < 3 and math.abs(row.seconds - 8) < 0.1, row.from)
  end)

  it("is none of an arm that began when it was over", function()
    local beat = heartbeat.start { stack = stack_of() }
    beat:add(nil, "stopped", "a friend", 1)
    task.sleep "20ms"
    beat:stop()
    assert.are.same({}, kinds_of(beat:disturbances(lab_of())))
  end)
end)

describe("a service's log", function()
  local dir
  before_each(function() dir = assert(fs.tmpdir "rlab-spec") end)
  after_each(function() assert(fs.remove(dir)) end)

  -- lines: messages, by how many seconds ago they were written; the service was spawned a minute ago.
  local function rows(lines, fields, stack)
    local lab, now, text = lab_of(dir, stack, 40), clock.unix_ms(), {}
    local child = { name = "consumer-1", lab = lab, hits = no_hits, spawned_ms = now - 60000 }
    for key, value in pairs(fields or {}) do child[key] = value end
    lab.children[1] = child
    for i, line in ipairs(lines) do
      text[i] = json.encode { message = line[1], at_ms = now - math.floor(line[2] * 1000) } .. "\n"
    end
    assert(fs.write(dir .. "/consumer-1.log", table.concat(text)))
    local beat = heartbeat.start { stack = stack_of() }
    beat:stop()
    return beat:disturbances(lab)
  end

  it("tells who lost a session, was fenced or gave partitions away", function()
    local list = rows { { "started", 30 }, { "lost", 20 }, { "fenced", 10 }, { "revoked", 5 }, { "done", 1 } }
    assert.are.same({ "consumer-1 rebalance", "consumer-1 session lost", "consumer-1 session lost" },
      kinds_of(list))
    assert.is_true(math.abs(list[1].from - 20) < 0.1, list[1].from)
  end)

  it("tells of nothing new near a change that the lab made", function()
    local now = clock.unix_ms()
    assert.are.same({}, rows({ { "revoked", 20 } }, { spawned_ms = now - 22000 }))
    assert.are.same({}, rows({ { "revoked", 20 } }, { meant_ms = now - 29000 }))
    assert.are.same({}, rows({ { "revoked", 20 } },
      { hits = function() return { { action = "sleep", time = (now - 25000) * 1000000 } } end }))
    assert.are.equal(1, #rows({ { "revoked", 20 } }, { meant_ms = now - 33000 }))
    assert.are.equal(1, #rows({ { "revoked", 20 } }, { meant_ms = now - 15000 }))
  end)

  it("tells of nothing new where the lab hurt that service, or a server of this arm", function()
    assert.are.same({}, rows({ { "lost", 20 } }, { meant = "gone", meant_ms = clock.unix_ms() - 2000 }))
    local function hurt(seconds)
      return stack_of { name = "kafka-1", meant_ms = clock.unix_ms() - math.floor(seconds * 1000) }
    end
    assert.are.same({}, rows({ { "lost", 20 } }, nil, hurt(30)))
    assert.are.equal(1, #rows({ { "lost", 20 } }, nil, hurt(50)))
  end)

  it("is read over what is no line of its own", function()
    local lab = lab_of(dir, nil, 10)
    lab.children[1] = { name = "consumer-1", lab = lab, hits = no_hits, spawned_ms = 0 }
    assert(fs.write(dir .. "/consumer-1.log", "a panic\n7\n{\"message\":\"lost\"}\n{\"message\":\"lo"))
    local beat = heartbeat.start { stack = stack_of() }
    beat:stop()
    assert.are.same({}, beat:disturbances(lab))
  end)
end)
