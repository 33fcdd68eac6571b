-- rlab bench: the measurements in bench/, which are no part of the program: `make bench` runs them in a
-- checkout.
local err = require "rlab.err"

local function from_checkout(name)
  if not require("rlab.fs").exists "bench/main.lua" then
    error(err.new { domain = "rlab", code = 0, name = "USAGE",
      message = "there is no bench/main.lua here; run make bench in a checkout" }, 0)
  end
  package.path = "./?.lua;" .. package.path
  return require("bench." .. name)
end

local bench = { name = "bench", help = "measure rlab, see docs/performance.md", hidden = true }

function bench.args(parser)
  parser:argument("part",
    "kafka relay consume query proxy exporter bag start task (all of these when none is named) flat"):args "*"
  parser:option("--records", "records in a round of kafka"):default "300000"
  parser:option("--rounds", "rounds of kafka"):default "15"
  parser:option("--rows", "rows of the outbox, or events, in a round of relay and consume"):default "200000"
  parser:option("--few", "rounds of what takes long"):default "5"
  parser:flag("--java", "relay and consume beside Debezium and a Java consumer too (Java 17, and Maven once)")
  parser:option("--warm", "events that a Java peer handles before its clock starts"):default "200000"
  parser:option("--many", "rows of the larger outbox of flat"):default "5000000"
  parser:option("--seconds", "of one measurement of query"):default "3"
  parser:option("--groups", "groups of exporter"):default "1000"
  parser:option("--partitions", "that each of them has committed"):default "100"
  parser:option("--ids", "ids in each bag"):default "10000000"
  parser:option("--starts", "starts of each command"):default "21"
  parser:option("--brokers", "use these instead of a stack of our own")
  parser:option("--mysql", "with --brokers: MySQL's 'host:port user password'")
  parser:option("--peers", "folder of the loops in C"):default "build/bench"
end

function bench.run(args)
  return from_checkout "main"(args)
end

local loop = { name = "bench-loop", help = "one measurement of rlab bench, in a process of its own",
  hidden = true, raw = true }

function loop.run(words)
  return from_checkout "loops"(words)
end

return { bench, loop }
