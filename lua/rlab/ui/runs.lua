-- The runs that are kept in a folder, as the console lists them: each experiment with its latest verdict,
-- what came out before, and the track record of its arms.
local fs = require "rlab.fs"
local json = require "rlab.json"
local kept = require "rlab.run.kept"
local track_record = require "rlab.run.track_record"
local words = require "rlab.run.words"

local M = {}

local SHOWN = 10

local function past_of(runs, id, list)
  local past = {}
  for i = #list, 1, -1 do
    local result = list[i].result
    local word, tone = words.of(result.verdict)
    local run = type(result.run) == "table" and result.run or {}
    past[#past + 1] = { name = list[i].name, word = word, tone = tone, seed = run.seed,
      duration = run.duration, started = run.started,
      report = fs.exists(("%s/%s/%s/report.html"):format(runs, id, list[i].name)) }
  end
  return json.array(past)
end

-- Of each arm in words, beside how often it was otherwise.
local function record_of(record)
  local arms = {}
  for i, arm in ipairs(record.arms) do
    arms[i] = { name = arm.name, class = arm.class, says = track_record.says(arm), reasons = arm.reasons,
      right = arm.predicted == arm.runs }
  end
  return { says = track_record.says(record), arms = json.array(arms) }
end

local function row(runs, id, list, record)
  local latest = list[1].result
  local word, tone = words.of(latest.verdict)
  local run = type(latest.run) == "table" and latest.run or {}
  local name = id .. "/" .. list[1].name
  return { id = id, name = name, title = latest.title, word = word, tone = tone, sentence = latest.sentence,
    seed = run.seed, duration = run.duration, started = run.started, past = past_of(runs, id, list),
    record = record and record_of(record),
    report = fs.exists(("%s/%s/report.html"):format(runs, name)) }
end

-- list(runs) -> { {id, name, title, word, tone, sentence, seed, duration, started, past, record, report} },
--   by id; record = {says, arms = { {name, class, says, reasons, right} } }, of all runs, kept or not
function M.list(runs)
  local rows, record = {}, {}
  for _, one in ipairs(track_record.read(runs).experiments) do record[one.id] = one end
  for _, one in ipairs(kept.experiments(runs, SHOWN)) do
    rows[#rows + 1] = row(runs, one.id, one.runs, record[one.id])
  end
  return json.array(rows)
end

return M
