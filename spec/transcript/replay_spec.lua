-- rlab replay without servers: its help, and what it says to a slip.
local pty = dofile "spec/transcript/support/pty.lua"
local compare = dofile "spec/transcript/support/compare.lua"

local function check(command, expected, code)
  local seen, status = pty.run(command)
  local difference = compare.difference(expected, seen)
  assert(not difference, difference)
  assert.equal(code, status)
end

describe("rlab replay", function()
  it("says what there is", function()
    check("rlab replay --help", [[
usage: rlab replay VERB ...

Dead-letter topics and group offsets by hand; rlab service replay does it as long as it runs.

  list      the records of a dead-letter topic
  show      one record of a dead-letter topic with all its headers
  run       send records of a dead-letter topic back: all, or those of a filter
  offsets   move a group's offsets: a plan first, the change with --execute
  backfill  run a job over a table in chunks with checkpoints; again after a crash, it goes on

rlab replay VERB --help says more. The headers of failed records are in docs/dlq.md.]], 0)
  end)

  it("describes each verb", function()
    check("rlab replay offsets --help", [[
Usage: rlab replay offsets ([--to <to>] | [--shift <shift>]) [-h]
       [--partition <partition>] [--execute] [--json]
       [--brokers <brokers>] <group> <topic>

move a group's offsets: a plan first, the change with --execute

Arguments:
   group                 the group, which must have no live member
   topic                 the topic

Options:
   -h, --help            Show this help message and exit.
   --to <to>             earliest, latest, an offset, -5m (ago) or 2026-11-23T15:00:00Z
   --shift <shift>       so many records forward, or back when negative
   --partition <partition>
                         only this one
   --execute             do it; without it nothing is changed
   --json                print JSON
   --brokers <brokers>   host:port,... (default RLAB_BROKERS, or the running stack)]], 0)
  end)

  it("names what was meant", function()
    check("rlab replay ofsets", "rlab: replay: no 'ofsets'; did you mean 'offsets'?", 64)
    check("rlab replay run",
      "rlab: replay: run: missing argument 'topic' (rlab replay run --help shows the options)", 64)
    check("rlab replay list orders",
      "rlab: replay: no brokers: start the stack by rlab up, or say --brokers host:port,...", 64)
  end)
end)
