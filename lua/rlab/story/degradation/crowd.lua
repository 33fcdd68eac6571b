-- A crowd that a cold cache cannot carry: when Redis is back, empty, the misses wait so long for MySQL that
-- their callers have gone, and one key is loaded for each of them. What is answered is measured with all of
-- the load, then with less and less of it.
local clock = require "rlab.clock"
local task = require "rlab.task"

local M = {}

local KEYS, READS, PARTS = 50, 300, 4 -- accounts; a second; loads that make up all of it
M.READS = READS
local STAY, STEP, SHOWN = 1.8, 1.0, 0.5 -- seconds; of each the last part is judged
local AGAIN = 95 -- per cent that are answered where all is well

-- Two reads of MySQL at once, each 25 ms: 80 a second. Warm it is asked for 33.
M.QUERY = { ttl = "1500ms", jitter = 0.9, single = "none", fill = "plain", stale = "0s", workers = 2,
  db_reads_max = 2, db_wait = "1s", redis_timeout = "50ms", breaker = 5, breaker_pause = "300ms" }

local Crowd = {}
Crowd.__index = Crowd

-- Which account is asked for is drawn by the run's seed.
local function requests(lab, part)
  local rng, list = lab.rng:split("crowd " .. part), {}
  for i = 1, 3000 do list[i] = { path = "/accounts/" .. rng:int(1, KEYS) } end
  return list
end

-- warm(at): all of its keys are in the cache; before reads of MySQL are slow
function M.warm(at)
  at.lab:each({ 1, 2 }, function(first)
    for id = first, KEYS, 2 do at.query:get("/accounts/" .. id) end
  end)
end

-- begin(at, load) -> the crowd, with stats and stop as a load has them; load(name, rate, requests)
function M.begin(at, load)
  local self = setmetatable({ parts = {}, rows = {}, steps = {} }, Crowd)
  for i = 1, PARTS do self.parts[i] = load("crowd", READS // PARTS, requests(at.lab, i)) end
  return self
end

function Crowd:stats()
  local ok = 0
  for _, part in ipairs(self.parts) do ok = ok + part:stats().ok end
  return { ok = ok }
end

local function drop(self, part)
  local rows = part:stop()
  table.move(rows, 1, #rows, #self.rows + 1, self.rows)
end

function Crowd:stop()
  while self.parts[1] do drop(self, table.remove(self.parts)) end
  return self.rows
end

local function step(self, seconds)
  local load = 100 * #self.parts // PARTS
  task.sleep(seconds)
  local now = clock.ns()
  table.insert(self.steps, { load = load, from = now - math.floor(SHOWN * seconds * 1e9), to = now })
end

-- crowd:shed(): Redis is back: all of the load for a while, then a quarter less each time
function Crowd:shed()
  task.group(function(group)
    step(self, STAY)
    while #self.parts > 1 do
      group:spawn(drop, self, table.remove(self.parts))
      step(self, STEP)
    end
  end)
end

-- crowd:seen() -> {steps = list of {load = per cent, asked, answered = per cent}, leaves = the first load
--   at which all is well again | nil}; stop comes before
function Crowd:seen()
  local seen = { steps = {} }
  for i, one in ipairs(self.steps) do
    local asked, answered = 0, 0
    for _, row in ipairs(self.rows) do
      if row.intended >= one.from and row.intended < one.to then
        asked, answered = asked + 1, answered + (row.status == 200 and 1 or 0)
      end
    end
    local share = 100 * answered / math.max(1, asked)
    seen.steps[i] = { load = one.load, asked = asked, answered = share }
    if not seen.leaves and share >= AGAIN then seen.leaves = one.load end
  end
  return seen
end

-- numbers(lab, crowd)
function M.numbers(lab, crowd)
  for _, one in ipairs(crowd.steps) do
    lab:number(("Redis back: answered of %d %% of the load"):format(one.load), one.answered, "%")
  end
  lab:number("load at which all is well again", crowd.leaves, "%")
end

-- says(crowd, before) -> in words; before: per cent answered before the outage
function M.says(crowd, before)
  local words = {}
  for i, one in ipairs(crowd.steps) do words[i] = ("%.0f %% of %d %%"):format(one.answered, one.load) end
  return ("%d reads/s: %.0f %% answered before the outage; Redis back: %s of that load"):format(READS, before,
    table.concat(words, ", "))
end

-- check(lab, crowd, before): what must have been seen; it is measured, not judged
function M.check(lab, crowd, before)
  lab.check.enough { name = "crowd, all is well", seen = before, at_least = AGAIN, unit = "%",
    what = "reads answered before the outage" }
  lab.check.enough { name = "crowd, loads", seen = #crowd.steps, at_least = PARTS, unit = "loads",
    what = "tried once Redis is back" }
  for _, one in ipairs(crowd.steps) do
    lab.check.enough { name = ("crowd, %d %%"):format(one.load), seen = one.asked, unit = "reads",
      at_least = READS * one.load // 500, what = "the schedule" }
  end
end

return M
