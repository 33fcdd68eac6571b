-- Hunts that were split over machines (rlab hunt --shard), joined by what each wrote down: one record an arm
-- with all trials and findings, what they covered together, and one verdict.
local coverage_of = require "rlab.hunt.coverage"
local fs = require "rlab.fs"
local json = require "rlab.json"
local kept = require "rlab.run.kept"
local must = require "rlab.must"
local shard = require "rlab.run.set.shard"
local tables = require "rlab.tables"

local M = {}

local ORDER = { wrong = 1, right = 2, observe = 3 }

-- ---- what was written down ----

local function record_of(path)
  local ok, record = pcall(json.decode, fs.read(path) or "")
  local is_one = ok and type(record) == "table" and type(record.trials) == "table"
    and type(record.experiment) == "string" and type(record.arm) == "string"
  return is_one and record or nil
end

-- records(dir) -> list of the hunts' records in a folder, each with its file
function M.records(dir)
  local list = {}
  for _, name in ipairs(fs.list(dir) or {}) do
    local record = name:find "%.json$" and record_of(dir .. "/" .. name)
    if record then list[#list + 1] = tables.merged(record, { dir = dir, file = dir .. "/" .. name }) end
  end
  return list
end

-- trials_of(dirs) -> {[id] = true}: the folders of runs that are trials of hunts, and no runs of a set
function M.trials_of(dirs)
  local ids = {}
  for _, dir in ipairs(dirs) do
    for _, record in ipairs(M.records(dir)) do ids[record.experiment .. "-hunt"] = true end
  end
  return ids
end

-- A record that was joined before has the parts that it is of.
local function parts_of(record)
  return record.parts or { { shard = record.shard, seed = record.seed, started = record.started,
    seconds = record.seconds, why_not = record.why_not } }
end

local function name_of(part)
  if not part.shard then return ("seed %s"):format(part.seed) end
  return ("shard %d/%d"):format(part.shard.shard, part.shard.of)
end

-- One that is given twice counts once.
local function by_arm(records)
  local groups, seen = {}, {}
  for _, record in ipairs(records) do
    local arm = record.experiment .. " " .. record.arm
    local itself = ("%s %s"):format(arm, json.encode(parts_of(record)))
    groups[arm] = groups[arm] or {}
    if not seen[itself] then table.insert(groups[arm], record) end
    seen[itself] = true
  end
  return groups
end

-- ---- what is missing ----

local function missing_of(record)
  local words, there, of = {}, {}, {}
  for _, part in ipairs(record.parts) do
    if part.shard then
      local set = ("seed %s"):format(part.seed)
      there[set], of[set] = there[set] or {}, math.max(of[set] or 0, part.shard.of)
      there[set][part.shard.shard] = true
    end
  end
  for _, set in ipairs(tables.sorted_keys(there)) do
    for i = 1, of[set] do
      if not there[set][i] then
        words[#words + 1] = ("nothing is here of shard %d/%d of the hunt of %s %s, %s"):format(i, of[set],
          record.experiment, record.arm, set)
      end
    end
  end
  return words
end

-- missing(hunts) -> words on each shard of a hunt that is not among what was joined
function M.missing(hunts)
  local words = {}
  for _, hunt in ipairs(hunts) do tables.append(words, missing_of(hunt.record)) end
  return words
end

-- ---- one of several ----

local function all_of(records, field)
  local list, seen = {}, {}
  for _, record in ipairs(records) do
    for _, item in ipairs(record[field] or {}) do
      if not seen[item] then list[#list + 1] = item end
      seen[item] = true
    end
  end
  return list
end

local function moved(dir, places)
  return dir and (places[dir:match "[^/]+/[^/]+$" or dir] or dir) or nil
end

local function trials_with(record, list)
  local parts = parts_of(record)
  for _, one in ipairs(record.trials) do
    list[#list + 1] = tables.merged(one, { dir = moved(one.dir, record.places),
      of = one.of or #parts == 1 and name_of(parts[1]) or nil })
  end
end

-- The shortest first: fewest faults, then as the shards are numbered.
local function findings_of(records)
  local list, place = {}, {}
  for _, record in ipairs(records) do
    local found = record.findings or { record.found }
    for _, one in ipairs(found) do
      list[#list + 1] = tables.merged(one, { dir = moved(one.dir, record.places),
        of = one.of or name_of(parts_of(record)[1]),
        scenario = one.scenario or (record.file:gsub("%.json$", ".lua")) })
      place[list[#list]] = #list
    end
  end
  table.sort(list, function(a, b)
    if #a.faults ~= #b.faults then return #a.faults < #b.faults end
    return place[a] < place[b]
  end)
  return list
end

local function sum_of(records, field)
  local sum = 0
  for _, record in ipairs(records) do sum = sum + (record[field] or 0) end
  return sum
end

-- Of those that could not be hunted the first, unless another found something.
local function why_not(records, findings)
  if #findings > 0 then return nil end
  for _, record in ipairs(records) do
    if record.why_not then return ("%s: %s"):format(name_of(parts_of(record)[1]), record.why_not) end
  end
end

-- joined(records) -> record of the hunts of one arm together
function M.joined(records)
  local first, coverage, findings = records[1], coverage_of.merged(records), findings_of(records)
  local parts, trials = {}, {}
  for _, record in ipairs(records) do
    tables.append(parts, parts_of(record))
    trials_with(record, trials)
  end
  return { experiment = first.experiment, title = first.title, arm = first.arm, class = first.class,
    parts = json.array(parts), promises = json.array(all_of(records, "promises")),
    budget = sum_of(records, "budget"), seconds = sum_of(records, "seconds"), trials = json.array(trials),
    search = { trials = coverage.trials, judged = coverage.judged }, covered = json.array(coverage:rows_of()),
    not_reached = json.array(coverage.not_reached), findings = json.array(findings), found = findings[1],
    why_not = why_not(records, findings) }, coverage
end

local function hunt_of(record, coverage)
  local found = record.found
  return { base = { id = record.experiment, title = record.title or "" }, record = record,
    arm = { name = record.arm, class = record.class }, failure = record.why_not, coverage = coverage,
    trials = record.trials, seconds = record.seconds, promises = record.promises,
    found = found and { faults = found.faults, read = { broken = found.breaks, says = found.says } } or nil }
end

-- ---- the folders ----

-- Where each folder of a trial stands then, by experiment and name.
local function copy_trials(record, into, places)
  local id = record.experiment .. "-hunt"
  for _, run in ipairs(kept.runs(record.dir, id)) do
    local name = shard.copy(into, record.dir, id, run)
    places[("%s/%s"):format(id, run.name)] = ("%s/%s/%s"):format(into, id, name)
  end
  return places
end

local function scenario_file(into, record, i)
  return ("%s/%s-%s%s.lua"):format(into, record.experiment, record.arm, i > 1 and "-" .. i or "")
end

-- Each finding's scenario, which says how it is run.
local function copy_scenarios(record, into)
  local texts = {}
  for i, one in ipairs(record.findings) do texts[i] = fs.read(one.scenario) or false end
  for i, one in ipairs(record.findings) do
    local from, to = one.scenario, scenario_file(into, record, i)
    if texts[i] then
      local at, upto = texts[i]:find("--replay " .. from, 1, true)
      local text = at and texts[i]:sub(1, at - 1) .. "--replay " .. to .. texts[i]:sub(upto + 1) or texts[i]
      must(fs.write(to, text))
    end
    one.scenario = texts[i] and to or nil
  end
end

local function write(record, into)
  copy_scenarios(record, into)
  must(fs.write(("%s/%s-%s.json"):format(into, record.experiment, record.arm),
    json.encode(record, { pretty = true, gaps = true }) .. "\n"))
end

local function comes_before(a, b)
  local x, y = a.record, b.record
  if x.experiment ~= y.experiment then return x.experiment < y.experiment end
  if x.class ~= y.class then return (ORDER[x.class] or 4) < (ORDER[y.class] or 4) end
  return x.arm < y.arm
end

-- join(dirs, into) -> hunts, one an arm, as rlab.hunt.arm gives them, with .record; what was found stands in
--   `into` then, with the trials' folders
function M.join(dirs, into)
  local records, hunts, places = {}, {}, {}
  for _, dir in ipairs(dirs) do
    places[dir] = {}
    for _, record in ipairs(M.records(dir)) do
      must(fs.mkdir(into))
      record.places = copy_trials(record, into, places[dir])
      records[#records + 1] = record
    end
  end
  for _, group in pairs(by_arm(records)) do
    local record, coverage = M.joined(group)
    write(record, into)
    hunts[#hunts + 1] = hunt_of(record, coverage)
    hunts[#hunts].incomplete = #missing_of(record) > 0
  end
  table.sort(hunts, comes_before)
  return hunts
end

return M
