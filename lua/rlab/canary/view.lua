-- What a canary says of its rounds: a line of each, and one more where a verdict is corrected; as JSON for a
-- program.
local clock = require "rlab.clock"
local json = require "rlab.json"
local tables = require "rlab.tables"
local term = require "rlab.term"
local units = require "rlab.units"

local M = {}

local COLOURS = { held = "right", late = "inconclusive", inconclusive = "inconclusive", lost = "wrong",
  doubled = "wrong" }
local sep = term.utf8() and " · " or " | "

local function took(seconds) return units.print_duration(math.floor(seconds * 1e4 + 0.5) / 1e4) end

local function hops_of(hops)
  local parts = {}
  for _, hop in ipairs { "command", "relay", "consumer" } do
    if hops[hop] then parts[#parts + 1] = ("%s %s"):format(hop, took(hops[hop])) end
  end
  return table.concat(parts, sep)
end

local function line_of(round, before)
  local hops = round.hops
  local says = round.why or hops and hops_of(hops) or ""
  if before then says = ("was %s: %s"):format(before, says) end
  return ("  %s  %6d  %s  %9s   %s"):format(os.date "%H:%M:%S", round.n,
    term.colour(COLOURS[round.verdict], term.pad(round.verdict, 12)), hops and took(hops.total) or "", says)
end

local function json_of(round, before)
  return { say = "round", round = round.n, verdict = round.verdict, was = before, why = round.why,
    seconds = round.hops and round.hops.total, hops = round.hops, at_ms = clock.unix_ms() }
end

local function put(line)
  term.live(1):above(line)
  io.stdout:flush()
end

-- new(as_json) -> view {round(round, before), starts(canary, about), ends(tally)}
function M.new(as_json)
  local view = {}
  function view.round(round, before)
    put(as_json and json.encode(json_of(round, before)) or line_of(round, before))
  end
  function view.starts(about)
    if as_json then return put(json.encode(tables.merged({ say = "ready" }, about))) end
    put(("canary  every %s, within %s%smetrics %s"):format(units.print_duration(about.every),
      units.print_duration(about.within), sep, about.metrics))
  end
  function view.ends(tally)
    if as_json then return put(json.encode { say = "ends", rounds = tally.rounds, now = tally.now }) end
    put("  " .. tally:says())
  end
  return view
end

return M
