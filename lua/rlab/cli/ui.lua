-- rlab ui, rlab top: what runs now, in a browser and in the terminal.
local err = require "rlab.err"
local exit = require "rlab.exit"
local usage = require "rlab.usage" ()

local ui = { name = "ui",
  help = "what runs now, topics, groups, pipeline, services, faults and runs, in a browser" }

local function args(parser)
  parser:option("--replay", "a stored run's folder, shown at the pace at which it happened")
  parser:option("--speed", "of the replay: 2 is twice as fast", "1")
  parser:option("--runs", "folder of the runs", "runs")
end

function ui.args(parser)
  parser:option("--port", "0 is any that is free", "18090")
  parser:option("--bind", "another address to listen on; wider than loopback it asks for a key", "127.0.0.1")
  parser:option("--host", "a name that it is asked by, with --bind (may be repeated)"):count "*"
  args(parser)
end

local function port_of(text)
  local n = require("rlab.units").whole(text)
  if not n or n > 65535 then usage("--port takes a whole number from 0 to 65535, not '%s'", text) end
  return n
end

-- Every address of the machine is no name that a browser could ask by.
local function hosts_of(given)
  local wide = given.bind == "0.0.0.0" or given.bind == "::"
  if wide and #given.host == 0 then
    usage("--bind %s wants the name or address that browsers ask by: --host NAME", given.bind)
  end
  return #given.host > 0 and given.host or nil
end

local function speed_of(text)
  local n = require("rlab.units").number(text)
  if not n or n < 0.1 or n > 100 then usage("--speed takes a number from 0.1 to 100, not '%s'", text) end
  return n
end

local function recorded_in(dir)
  if not dir then return nil end
  local data, why = require("rlab.report").load((dir:gsub("/+$", "")))
  if not data then usage("%s cannot be replayed: %s", dir, tostring(why)) end
  return require("rlab.ui.record").events(data, (data.result.run or {}).name)
end

-- Where a stack is, its exporter passes on to Prometheus what this console tells of runs; what it tells of
-- the cluster the exporter tells itself. One that asks for a key answers nobody who has none.
local function note(console)
  local fs, layout, notes = require "rlab.fs", require "rlab.stack.layout", require "rlab.stack.notes"
  local task = require "rlab.task"
  return task.spawn(function()
    while not fs.exists(layout.home()) do task.sleep "1s" end
    local token = notes.put(layout.services(), { name = "console", port = console.port,
      metrics = console.url .. "/metrics?collect%5B%5D=runs" })
    local _ <close> = require "rlab.defer"(function() notes.drop(token) end)
    task.event():wait()
  end)
end

local function until_stopped()
  local ok, ended = pcall(function() require("rlab.task").event():wait() end)
  if not ok and not (err.is(ended) and (ended.name == "TERMINATED" or ended.name == "INTERRUPTED")) then
    error(ended, 0)
  end
end

function ui.run(given)
  local console <close>, failure = require("rlab.ui").serve { port = port_of(given.port),
    bind = given.bind, hosts = hosts_of(given),
    speed = speed_of(given.speed), recorded = recorded_in(given.replay), runs = given.runs }
  if not console then
    if failure.name == "EADDRINUSE" then
      failure.message = failure.message .. "; end what listens there, or give --port 0 for any that is free"
    end
    error(failure, 0)
  end
  print(("rlab ui  %s   Ctrl-C ends it"):format(console.url))
  local noted = not console.door and note(console)
  until_stopped()
  if noted then
    noted:cancel()
    noted:join()
  end
  return exit.ok
end

local top = { name = "top", help = "what runs now, in this terminal; q ends it", args = args }

function top.run(given)
  local speed, recorded = speed_of(given.speed), recorded_in(given.replay)
  require("rlab.ui.top").show { runs = given.runs, recorded = recorded, speed = speed }
  return exit.ok
end

return { ui, top }
