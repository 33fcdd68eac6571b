-- What the rounds of a canary came to: counters that only grow, how many are lost at the moment, the time
-- of each hop, and the exit code. A verdict may be corrected: who is lost may come late, who held may come
-- twice.
local exit = require "rlab.exit"
local hdr = require "rlab.hdr"

local M = {}

M.HOPS = { "command", "relay", "consumer", "total" }
M.VERDICTS = { "held", "late", "lost", "doubled", "inconclusive" }

local Tally = {}
Tally.__index = Tally

local HIGHEST, DIGITS = 24 * 3600 * 1000000000, 3 -- of a histogram: a day, in ns

-- new() -> tally
function M.new()
  local self = setmetatable({ rounds = 0, counts = {}, now = {}, hops = {} }, Tally)
  for _, verdict in ipairs(M.VERDICTS) do self.counts[verdict], self.now[verdict] = 0, 0 end
  for _, hop in ipairs(M.HOPS) do self.hops[hop] = hdr.new { highest = HIGHEST, digits = DIGITS } end
  return self
end

-- tally:note(verdict, before): a round has this verdict from now on, and had another one before | nil
function Tally:note(verdict, before)
  if not before then self.rounds = self.rounds + 1 end
  if before then self.now[before] = self.now[before] - 1 end
  self.now[verdict], self.counts[verdict] = self.now[verdict] + 1, self.counts[verdict] + 1
end

-- tally:took(hops): seconds by hop, of a round whose effect came
function Tally:took(hops)
  for _, hop in ipairs(M.HOPS) do
    if hops[hop] then self.hops[hop]:record(math.max(1, math.floor(hops[hop] * 1e9))) end
  end
end

-- tally:code() -> exit code: an effect that is lost or doubled outranks a deadline that was missed, and that
--   one a round that cannot be judged, or that there was none
function Tally:code()
  local now = self.now
  if now.lost > 0 or now.doubled > 0 then return exit.right_violated end
  if now.late > 0 then return exit.threshold end
  if now.inconclusive > 0 or self.rounds == 0 then return exit.inconclusive end
  return exit.ok
end

-- tally:says() -> "12 rounds: 11 held, 1 late"
function Tally:says()
  local parts = {}
  for _, verdict in ipairs(M.VERDICTS) do
    local n = self.now[verdict]
    if n > 0 then parts[#parts + 1] = ("%d %s"):format(n, verdict) end
  end
  return ("%d round%s%s"):format(self.rounds, self.rounds == 1 and "" or "s",
    #parts > 0 and ": " .. table.concat(parts, ", ") or "")
end

local helps = {
  held = "Rounds whose effect came in time",
  late = "Rounds whose effect came after the deadline",
  doubled = "Rounds whose effect is there more than once",
  inconclusive = "Rounds of which nobody could say anything",
}

-- tally:metrics(last_success) -> list for rlab.metrics; last_success: seconds since 1970 | nil
function Tally:metrics(last_success)
  local list = { { name = "rlab_canary_rounds_total", type = "counter", value = self.rounds,
    help = "Rounds that have a verdict." } }
  local function add(name, kind, help, value)
    list[#list + 1] = { name = "rlab_canary_" .. name, type = kind, help = help .. ".", value = value }
  end
  for _, verdict in ipairs { "held", "late", "doubled", "inconclusive" } do
    add(verdict .. "_total", "counter", helps[verdict], self.counts[verdict])
  end
  add("overdue_total", "counter", "Rounds without an effect at their deadline", self.counts.lost)
  add("lost", "gauge", "Of these, those whose effect is not there yet: one that comes late is taken off",
    self.now.lost)
  add("last_success_timestamp_seconds", "gauge", "When the last round ended that held, 0 when none has",
    last_success or 0)
  for _, hop in ipairs(M.HOPS) do
    list[#list + 1] = { name = "rlab_canary_latency_seconds", type = "histogram", labels = { hop = hop },
      help = "From a command to its effect, by hop.", hdr = self.hops[hop], scale = 1e-9 }
  end
  return list
end

return M
