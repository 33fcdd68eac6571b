-- Shards: a set of runs split over several machines, each with a stack of its own, and joined again. Which
-- run belongs to which shard follows from the set alone, so that nobody has to tell the others; what a shard
-- was to do it writes down, so that a run that is missing is missed.
local fs = require "rlab.fs"
local json = require "rlab.json"
local must = require "rlab.must"
local tables = require "rlab.tables"
local track_record = require "rlab.run.track_record"

local M = {}

-- Seconds of one that does not say: as much as most may take.
local UNKNOWN = 30

-- of("2/4") -> {shard = 2, of = 4} | nil
function M.of(text)
  local i, n = tostring(text):match "^(%d+)/(%d+)$"
  i, n = math.tointeger(tonumber(i)), math.tointeger(tonumber(n))
  return i and n and i >= 1 and i <= n and n <= 1000 and { shard = i, of = n } or nil
end

local function seconds(run) return run.experiment.seconds or UNKNOWN end

local function comes_before(a, b)
  local x, y = a.experiment, b.experiment
  if seconds(a) ~= seconds(b) then return seconds(a) > seconds(b) end
  if x.id ~= y.id then return x.id < y.id end
  if x.path ~= y.path then return x.path < y.path end
  return a.seed < b.seed
end

-- In an order that does not depend on how this machine was told to run them.
local function longest_first(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted, comes_before)
  return sorted
end

-- share(list, shard) -> the runs {experiment, seed} of the list that are this shard's, as they stood: each
--   goes, longest first, to the shard that has least to do
function M.share(list, shard)
  local load, mine, kept = {}, {}, {}
  for i = 1, shard.of do load[i] = 0 end
  for _, run in ipairs(longest_first(list)) do
    local least = 1
    for i = 2, shard.of do least = load[i] < load[least] and i or least end
    load[least] = load[least] + seconds(run)
    mine[run] = least == shard.shard
  end
  for _, run in ipairs(list) do kept[#kept + 1] = mine[run] and run or nil end
  return kept
end

-- ---- what a shard was to do ----

local function note_file(runs, shard)
  return ("%s/shard-%d-of-%d.json"):format(runs, shard.shard, shard.of)
end

-- Notes of a set that was split into another number of shards are of another set.
local function forget_others(runs, shard)
  for _, name in ipairs(fs.list(runs) or {}) do
    local of = name:match "^shard%-%d+%-of%-(%d+)%.json$"
    if of and tonumber(of) ~= shard.of then must(fs.remove(runs .. "/" .. name)) end
  end
end

-- plan(runs, shard, list): what the shard is to do, written down before it begins
function M.plan(runs, shard, list)
  local rows = json.array {}
  for i, run in ipairs(list) do rows[i] = { id = run.experiment.id, seed = run.seed } end
  must(fs.mkdir(runs))
  forget_others(runs, shard)
  must(fs.write(note_file(runs, shard), json.encode({ shard = shard.shard, of = shard.of, plan = rows },
    { pretty = true }) .. "\n"))
end

local function plans(dirs)
  local list = {}
  for _, dir in ipairs(dirs) do
    for _, name in ipairs(fs.list(dir) or {}) do
      local text = name:find "^shard%-%d+%-of%-%d+%.json$" and fs.read(dir .. "/" .. name)
      local ok, plan = pcall(json.decode, text or "")
      if ok and type(plan) == "table" and type(plan.plan) == "table" then list[#list + 1] = plan end
    end
  end
  return list
end

local function key(id, seed) return ("%s seed %s"):format(id, seed) end

-- missing(dirs, results) -> words on each shard and each planned run without a result among these
function M.missing(dirs, results)
  local words, there, ran, of = {}, {}, {}, 0
  for _, result in ipairs(results) do ran[key(result.id, result.run and result.run.seed)] = true end
  for _, plan in ipairs(plans(dirs)) do
    there[plan.shard], of = true, math.max(of, plan.of)
    for _, run in ipairs(plan.plan) do
      local name = key(run.id, run.seed)
      if not ran[name] then
        words[#words + 1] = ("%s of shard %d/%d has no result"):format(name, plan.shard, plan.of)
      end
    end
  end
  for i = 1, of do
    if not there[i] then words[#words + 1] = ("nothing is here of shard %d/%d"):format(i, of) end
  end
  return words
end

-- ---- joining ----

-- A name that is taken by another run gets a number.
local function free_name(into, id, name)
  local n, free = 1, name
  while fs.exists(("%s/%s/%s"):format(into, id, free)) do
    n = n + 1
    free = ("%s-%d"):format(name, n)
  end
  return free
end

local function same(a, b)
  return a.run and b.run and a.run.seed == b.run.seed and a.run.started == b.run.started
end

local function is_there(into, id, name, result)
  local ok, old = pcall(json.decode, fs.read(("%s/%s/%s/result.json"):format(into, id, name)) or "")
  return ok and type(old) == "table" and same(old, result)
end

local function rename(dir, id, name, result)
  result.run.name = ("%s/%s"):format(id, name)
  must(fs.write(dir .. "/result.json", json.encode(result, { pretty = true, gaps = true }) .. "\n"))
  must(require("rlab.report").write(dir))
end

-- copy(into, from, id, run) -> the name under which a run's folder stands in `into` then, whether it is new
function M.copy(into, from, id, run)
  if is_there(into, id, run.name, run.result) then return run.name, false end
  local name = free_name(into, id, run.name)
  local dir = ("%s/%s/%s"):format(into, id, name)
  local whole = into .. "/.merging" -- what is cut off is not taken for a run
  must(fs.remove(whole))
  must(fs.mkdir(("%s/%s"):format(into, id)))
  must(fs.copy(("%s/%s/%s"):format(from, id, run.name), whole))
  must(fs.rename(whole, dir))
  if name ~= run.name then rename(dir, id, name, run.result) end
  return name, true
end

local function join_runs(dir, into, one, results)
  for i = #one.runs, 1, -1 do
    local run = one.runs[i]
    local _, is_new = M.copy(into, dir, one.id, run)
    if is_new then track_record.add(into, run.result) end
    results[#results + 1] = tables.merged(run.result, { id = run.result.id or one.id })
  end
end

-- join(dirs, into, [except = {[id] = true}]) -> results of all of them, but for these ids; each run's folder
--   stands in `into` then, with its line in the record there. What is there already stays as it is.
function M.join(dirs, into, except)
  local results = {}
  must(fs.mkdir(into))
  for _, dir in ipairs(dirs) do
    for _, one in ipairs(require("rlab.run.kept").experiments(dir)) do
      if not (except and except[one.id]) then join_runs(dir, into, one, results) end
    end
  end
  must(require("rlab.report.index").write(into))
  return results
end

return M
