-- What became of the requests of a schedule while a server was out: shares of the schedule, not of what was
-- answered, and latencies from the time at which each request was to begin.
local M = {}

-- Seconds that a caller waits. Only requests whose whole patience lies in the outage are judged: a later one
-- is answered when it is over.
M.PATIENCE = 0.5
local SECOND = 1.0 -- peaks are counted in windows of that length
M.AFTER = 0.8 -- how long after an outage somebody looks for requests that still fail, before the next one

local function percentile(list, p)
  table.sort(list)
  return list[math.max(1, math.ceil(#list * p / 100))]
end

local function taken(row) return row.status ~= nil and row.status >= 200 and row.status < 300 end

-- 503, or 504 where a server did not answer in time: an answer all the same.
local function refused(row) return row.status == 503 or row.status == 504 end

-- Of an answer: from where it says to be, and how old.
local function origin(row)
  local body = row.body or ""
  return body:match '"source":"([%w%-]+)"', tonumber(body:match '"age_ms":(%d+)')
end

local function add_answer(sum, row, ms)
  local source, age = origin(row)
  sum.answered = sum.answered + 1
  sum.ms[#sum.ms + 1] = ms
  if source == "stale" then sum.stale = sum.stale + 1 end
  if source == "cache" then
    sum.cached = sum.cached + 1
    sum.oldest_cached = math.max(sum.oldest_cached, age or math.huge)
  end
end

-- Milliseconds after the end of the outage at which the last request began that was not answered.
local function recovery(rows, window)
  local last = 0
  for _, row in ipairs(rows) do
    local after = row.intended - window.to
    if after >= 0 and after < M.AFTER * 1e9 and not taken(row) then last = math.max(last, after) end
  end
  return last / 1e6
end

-- of(rows, window) -> figures of the requests that had to be answered within the window: scheduled, answered
--   (of them marked stale, or said to be from the cache, with the age of the oldest), refused, p50, p99
--   of the answers and refusal_p99 in ms, normal_after in ms
function M.of(rows, window)
  local sum = { scheduled = 0, answered = 0, refused = 0, stale = 0, cached = 0, oldest_cached = 0, ms = {} }
  local no = {}
  for _, row in ipairs(rows) do
    if row.intended >= window.from and row.intended < window.to - M.PATIENCE * 1e9 then
      local ms = (row.ended - row.intended) / 1e6
      sum.scheduled = sum.scheduled + 1
      if taken(row) then add_answer(sum, row, ms) end
      if refused(row) then sum.refused, no[#no + 1] = sum.refused + 1, ms end
    end
  end
  sum.p50, sum.p99, sum.refusal_p99 = percentile(sum.ms, 50), percentile(sum.ms, 99), percentile(no, 99)
  sum.ms, sum.normal_after = nil, recovery(rows, window)
  return sum
end

-- acked(rows) -> ids of the requests that were answered with success
function M.acked(rows)
  local ids = {}
  for _, row in ipairs(rows) do
    if taken(row) then ids[#ids + 1] = row.id end
  end
  return ids
end

-- burst(rows) -> {scheduled, answered, refused}
function M.burst(rows)
  local sum = { scheduled = #rows, answered = 0, refused = 0 }
  for _, row in ipairs(rows) do
    if taken(row) then sum.answered = sum.answered + 1 end
    if refused(row) then sum.refused = sum.refused + 1 end
  end
  return sum
end

-- ---- what MySQL was asked ----

local function within(times, from, to)
  local n = 0
  for _, t in ipairs(times) do
    if t >= from and t < to then n = n + 1 end
  end
  return n
end

-- The most in any window of a second between the two.
local function peak(times, from, to)
  local most, inside, first = 0, {}, 1
  for _, t in ipairs(times) do
    if t >= from and t <= to then inside[#inside + 1] = t end
  end
  for i, t in ipairs(inside) do
    while inside[first] <= t - SECOND do first = first + 1 end
    most = math.max(most, i - first + 1)
  end
  return most
end

-- The most that were under way at once: a connection has one at a time.
local function at_once(rows, from, to)
  local busy, now, most = {}, 0, 0
  for _, row in ipairs(rows) do
    if row.direction == "request" and row.time >= from and row.time < to and not busy[row.conn] then
      busy[row.conn], now = true, now + 1
      most = math.max(most, now)
    elseif row.direction == "response" and busy[row.conn] then
      busy[row.conn], now = nil, now - 1
    end
  end
  return most
end

-- selects(lab, log, windows) -> reads of MySQL on the wire: quiet and killed (a second, while Redis
--   was gone), at_once (while it was frozen and just after), recovery and peak (in a second of it)
function M.selects(lab, log, windows)
  local rows, times = log:rows(), {}
  for _, row in ipairs(rows) do
    if row.direction == "request" then times[#times + 1] = row.time end
  end
  table.sort(times)
  local function seconds(window)
    return (window.from - lab.started_ns) / 1e9, (window.to - lab.started_ns) / 1e9
  end
  local function count(window) return within(times, seconds(window)) end
  local function rate(window) return count(window) / ((window.to - window.from) / 1e9) end
  local from, to = seconds(windows.redis_frozen)
  local since, till = seconds(windows.recovery)
  return { quiet = rate(windows.quiet), killed = rate(windows.redis_killed),
    at_once = at_once(rows, from, to + M.PATIENCE), peak = peak(times, since, till),
    recovery = count(windows.recovery) }
end

-- ---- what is shown and checked ----

M.WORDS = { quiet = "all is well", redis_frozen = "Redis frozen", mysql_frozen = "MySQL frozen",
  redis_killed = "Redis killed", back = "Redis back", kafka_away = "Kafka out of reach" }
local ORDER = { "quiet", "redis_frozen", "redis_killed", "back", "mysql_frozen", "kafka_away" }

-- share(figures) -> per cent of the schedule that was answered
function M.share(figures) return 100 * figures.answered / figures.scheduled end

-- says(seen, {judged =}) -> the shares that are judged, in words
function M.says(seen, s)
  local words, db = {}, seen.selects
  for i, judged in ipairs(s.judged) do
    words[i] = ("%s: %.0f %% of the %s answered"):format(M.WORDS[judged.when],
      M.share(seen[judged.of][judged.when]), judged.of)
  end
  if db then
    words[#words + 1] = ("MySQL: %.0f reads/s, %.0f without Redis, %d when it is back"):format(db.quiet,
      db.killed, db.peak)
  end
  return table.concat(words, "; ")
end

local function whole(value) return value and ("%.0f"):format(value) or "" end

-- show(lab, seen): every outage as a row of a table
function M.show(lab, seen)
  local rows = {}
  for _, of in ipairs { "reads", "writes" } do
    for _, when in ipairs(ORDER) do
      local f = (seen[of] or {})[when]
      rows[#rows + 1] = f and f.scheduled > 0 and { of, M.WORDS[when], whole(M.share(f)) .. " %", f.refused,
        f.stale, whole(f.p50), whole(f.p99), whole(f.normal_after) } or nil
    end
  end
  lab:table { title = "Each outage", rows = rows, head = { "what", "when", "answered", "refused",
    "marked stale", "p50 (ms)", "p99 (ms)", "last failure after its end (ms)" } }
end

-- numbers(lab, seen, judged): what is compared between arms; judged: list of {of = "reads", when =}
function M.numbers(lab, seen, judged)
  for _, one in ipairs(judged) do
    local f, name = seen[one.of][one.when], ("%s, %s"):format(one.of, M.WORDS[one.when])
    lab:number(name .. ": answered", M.share(f), "%")
    lab:number(name .. ": p99", f.p99, "ms")
    lab:number(name .. ": last failure after its end", f.normal_after, "ms")
  end
  local db = seen.selects
  if not db then return end
  lab:number("reads of MySQL when all is well", db.quiet, "/s")
  lab:number("reads of MySQL while Redis is gone", db.killed, "/s")
  lab:number("reads of MySQL at once", db.at_once)
  lab:number("reads of MySQL in the worst second after Redis is back", db.peak)
end

local QUIET_SHARE, FLOOR = 95, 0.8 -- per cent; of what the schedule has in a second, the time that is judged

-- check_share(lab, seen, {of = "reads", when =, rate =, at_least =, at_most =}): the share that was answered.
--   With at_most, which is a wrong arm's, it must be as low as that. For checks.
function M.check_share(lab, seen, judged)
  local f, quiet, when = seen[judged.of][judged.when], seen[judged.of].quiet, M.WORDS[judged.when]
  local shown = { name = "answered, " .. when, value = M.share(f), at_least = judged.at_least, unit = "%",
    what = ("%s answered, %s:"):format(judged.of, when),
    control = { what = judged.of .. " of the schedule", seen = f.scheduled } }
  lab.check.enough { name = ("%s, %s"):format(judged.of, M.WORDS.quiet), seen = M.share(quiet),
    at_least = QUIET_SHARE, unit = "%", what = judged.of .. " answered" }
  lab.check.enough { name = ("%s, %s"):format(judged.of, when), seen = f.scheduled, unit = judged.of,
    at_least = math.floor(FLOOR * judged.rate), what = "the schedule" }
  lab.check.bound(shown):expect { wrong = "violated", right = "holds" }
  if not judged.at_most then return end
  shown.name, shown.at_least, shown.at_most = "hangs, " .. when, nil, judged.at_most
  lab.check.bound(shown):expect "holds"
end

return M
