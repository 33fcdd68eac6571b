-- The runs that are kept in a folder, as the console lists them: each experiment with its latest verdict and
-- what came out before.
local fs = require "rlab.fs"
local index = require "rlab.report.index"
local json = require "rlab.json"
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

local function row(runs, id, list)
  local latest = list[1].result
  local word, tone = words.of(latest.verdict)
  local run = type(latest.run) == "table" and latest.run or {}
  local name = id .. "/" .. list[1].name
  return { id = id, name = name, title = latest.title, word = word, tone = tone, sentence = latest.sentence,
    seed = run.seed, duration = run.duration, started = run.started, past = past_of(runs, id, list),
    report = fs.exists(("%s/%s/report.html"):format(runs, name)) }
end

-- list(runs) -> { {id, name, title, word, tone, sentence, seed, duration, started, past, report} }, by id
function M.list(runs)
  local rows = {}
  for _, one in ipairs(index.experiments(runs, SHOWN)) do rows[#rows + 1] = row(runs, one.id, one.runs) end
  return json.array(rows)
end

return M
