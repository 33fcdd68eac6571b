-- The track record: of each arm how often it ran, how often as predicted, and why not. A run that is over
-- adds a line to runs/record.jsonl, so that it counts when its folder is gone; the first line brings those
-- of all runs that are kept there.
local fs = require "rlab.fs"
local json = require "rlab.json"
local kept = require "rlab.run.kept"
local must = require "rlab.must"
local tables = require "rlab.tables"
local verdict = require "rlab.run.verdict"

local M = {}

local function file(runs) return runs .. "/record.jsonl" end

-- ---- a line for each run ----

local function line_of(result, id, name)
  local run, arms = type(result.run) == "table" and result.run or {}, json.array {}
  for i, arm in ipairs(result.arms or {}) do
    arms[i] = { name = arm.name, class = arm.class, outcome = arm.outcome, reason = arm.reason }
  end
  return { id = result.id or id, run = run.name or ("%s/%s"):format(id, name), seed = run.seed,
    started = run.started, rlab = run.rlab, arms = arms }
end

local function of_folders(runs)
  local list = {}
  for _, one in ipairs(kept.experiments(runs)) do
    for _, run in ipairs(one.runs) do list[#list + 1] = line_of(run.result, one.id, run.name) end
  end
  return list
end

-- add(runs, result): of a run whose folder is written
function M.add(runs, result)
  local text = {}
  for i, line in ipairs(fs.exists(file(runs)) and { line_of(result) } or of_folders(runs)) do
    text[i] = json.encode(line) .. "\n"
  end
  must(fs.append(file(runs), table.concat(text)))
end

-- A line that a full disk cut off is no run. Two that wrote the first lines side by side wrote some twice.
local function lines(runs)
  local text = fs.read(file(runs))
  if not text then return of_folders(runs) end
  local list, seen = {}, {}
  for line in text:gmatch "[^\n]+" do
    local ok, one = pcall(json.decode, line)
    if ok and type(one) == "table" and type(one.arms) == "table" and not seen[one.run] then
      seen[one.run], list[#list + 1] = true, one
    end
  end
  return list
end

-- ---- summed up ----

local function zero(row)
  row.runs, row.predicted, row.inconclusive, row.otherwise = 0, 0, 0, 0
  return row
end

local function word_of(arm)
  if verdict.as_predicted(arm.outcome) then return "predicted" end
  return arm.outcome == "inconclusive" and "inconclusive" or "otherwise"
end

-- One reason with other figures in it is the same.
local function add_reason(row, arm)
  local text = ("%s: %s"):format(arm.outcome, arm.reason or "no reason")
  local key = text:gsub("%d+%.?%d*", "N")
  local known = row.reasons[key]
  if not known then
    known = { times = 0 }
    row.reasons[key] = known
  end
  known.times, known.says = known.times + 1, text
end

local function count(row, word)
  row.runs, row[word] = row.runs + 1, row[word] + 1
end

local function add_arm(experiment, arm)
  local row = experiment.by_name[arm.name]
  if not row then
    row = zero { name = arm.name, class = arm.class, reasons = {} }
    experiment.by_name[arm.name] = row
    table.insert(experiment.arms, row)
  end
  local word = word_of(arm)
  count(row, word)
  if word ~= "predicted" then add_reason(row, arm) end
  return word
end

-- A run is what its worst arm is.
local function worst(a, b)
  if a == "otherwise" or b == "otherwise" then return "otherwise" end
  return (a == "inconclusive" or b == "inconclusive") and "inconclusive" or "predicted"
end

local function add_line(total, line)
  local one = total.by_id[line.id] or zero { id = line.id, arms = {}, by_name = {} }
  total.by_id[line.id] = one
  local word = "predicted"
  for _, arm in ipairs(line.arms) do word = worst(word, add_arm(one, arm)) end
  count(one, word)
  count(total, word)
  if line.started and (not total.since or line.started < total.since) then total.since = line.started end
end

local function listed(reasons)
  local list = {}
  for _, key in ipairs(tables.sorted_keys(reasons)) do list[#list + 1] = reasons[key] end
  table.sort(list, function(a, b) return a.times > b.times end)
  return json.array(list)
end

-- read(runs [, ids]) -> { since, runs, predicted, inconclusive, otherwise, experiments = by id { id, runs,
--   ..., arms = { {name, class, runs, ..., reasons = { {says, times} }} } } }: a run counts by its worst arm
function M.read(runs, ids)
  local total, list = zero { by_id = {} }, {}
  for _, line in ipairs(lines(runs)) do
    if not ids or #ids == 0 or tables.contains(ids, line.id) then add_line(total, line) end
  end
  for _, id in ipairs(tables.sorted_keys(total.by_id)) do
    local one = total.by_id[id]
    one.by_name = nil
    for _, arm in ipairs(one.arms) do arm.reasons = listed(arm.reasons) end
    list[#list + 1] = one
  end
  total.by_id, total.experiments = nil, json.array(list)
  return total
end

-- ---- in words ----

-- says(row) -> "29 of 30 as predicted, 1 inconclusive"
function M.says(row)
  local more = row.inconclusive > 0 and (", %d inconclusive"):format(row.inconclusive) or ""
  more = more .. (row.otherwise > 0 and (", %d not"):format(row.otherwise) or "")
  return ("%d of %d as predicted%s"):format(row.predicted, row.runs, more)
end

-- sums_up(total) -> one line
function M.sums_up(total)
  local n = #total.experiments
  return ("%d run%s of %d experiment%s since %s: %s"):format(total.runs, total.runs == 1 and "" or "s", n,
    n == 1 and "" or "s", tostring(total.since):sub(1, 10), M.says(total))
end

-- reasons(total) -> rows {id, arm, class, times, says}: why arms were not as predicted, the most frequent of
--   each first
function M.reasons(total)
  local rows = {}
  for _, one in ipairs(total.experiments) do
    for _, arm in ipairs(one.arms) do
      for _, reason in ipairs(arm.reasons) do
        rows[#rows + 1] = { id = one.id, arm = arm.name, class = arm.class, times = reason.times,
          says = reason.says }
      end
    end
  end
  return rows
end

return M
