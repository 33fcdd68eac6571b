-- overview.markdown(runs, experiments): the table of the README: what breaks and what holds, in the words of
-- the latest run of each. One that is not as predicted is told by its verdict, one that is not there as such.
-- overview.record(runs, experiments): the track record, by experiment, with the reasons of what was not as
-- predicted.
-- overview.written(text, runs, experiments): a README with all that is made from runs made anew: those
-- tables, and what the terminal showed of one.
local fs = require "rlab.fs"
local json = require "rlab.json"
local tables = require "rlab.tables"
local track_record = require "rlab.run.track_record"
local verdict_words = require "rlab.run.words"

local M = {}

-- What stands between two such marks is made: "experiments", "record", or the id of one.
local BEGIN = "<!%-%- ([%w-]+): made by rlab list %-%-readme %-%->\n"
local END = "<!-- end of %s -->"
local BROKEN_MOST = 2

M.READMES = { "README.md", "README.ko.md" }

local function cell(text) return (text:gsub("%s+", " "):gsub("|", "\\|")) end

local function latest(runs, id)
  local text = fs.read(("%s/%s/latest/result.json"):format(runs, id))
  local ok, result = pcall(json.decode, text or "")
  return ok and type(result) == "table" and result or nil
end

local function said(result, class, most)
  local list = {}
  for _, arm in ipairs(result.arms) do
    if arm.class == class and arm.sentence ~= "" then
      list[#list + 1] = ("*%s*: %s"):format(arm.name, cell(arm.sentence))
    end
  end
  local more = #list - most
  if more > 0 then list = table.move(list, 1, most, 1, {}) end
  return table.concat(list, "<br>") .. (more > 0 and ("<br>+%d more"):format(more) or "")
end

local function row(exp, result)
  local head = ("| [%s](%s) | %s | "):format(exp.id, exp.page or exp.path, cell(exp.title))
  if not result then return head .. "not run yet | |" end
  if result.exit ~= 0 then
    return head .. ("%s: %s | |"):format(verdict_words.of(result.verdict), cell(result.sentence))
  end
  return head .. ("%s | %s |"):format(said(result, "wrong", BROKEN_MOST), said(result, "right", 1))
end

-- markdown(runs, experiments) -> lines
function M.markdown(runs, experiments)
  local lines = { "| id | title | what breaks | what holds |", "|---|---|---|---|" }
  for _, exp in ipairs(experiments) do lines[#lines + 1] = row(exp, latest(runs, exp.id)) end
  return table.concat(lines, "\n")
end

-- In one cell: which arms, how often, why.
local function reasons_of(total, id)
  local list = {}
  for _, reason in ipairs(track_record.reasons(total)) do
    if reason.id == id then
      list[#list + 1] = ("%d x *%s* %s"):format(reason.times, reason.arm, cell(reason.says))
    end
  end
  local more = #list - BROKEN_MOST
  if more > 0 then list = table.move(list, 1, BROKEN_MOST, 1, {}) end
  return table.concat(list, "<br>") .. (more > 0 and ("<br>+%d more"):format(more) or "")
end

-- record(runs, experiments) -> lines: a run counts by its worst arm; those of scenarios are left out
function M.record(runs, experiments)
  local total = track_record.read(runs, tables.ids_of(experiments))
  if total.runs == 0 then return ("Nothing is recorded in `%s` yet: `rlab run all`."):format(runs) end
  local lines = { track_record.sums_up(total) .. ".", "",
    "| id | arms | runs | as predicted | inconclusive | not | why, by arm |",
    "|---|---|---|---|---|---|---|" }
  for _, one in ipairs(total.experiments) do
    lines[#lines + 1] = ("| %s | %d | %d | %d | %d | %d | %s |"):format(one.id, #one.arms, one.runs,
      one.predicted, one.inconclusive, one.otherwise, reasons_of(total, one.id))
  end
  return table.concat(lines, "\n")
end

local function screen(runs, experiments, id)
  for _, exp in ipairs(experiments) do
    local result = exp.id == id and latest(runs, id)
    if result then
      return ("```\n$ ./rlab %s\n%s\n```"):format(id, require("rlab.report.screen").text(exp, result))
    end
  end
  return nil, ("there is no run of %s in %s; run it first: rlab %s"):format(id, runs, id)
end

local function made(runs, experiments, name)
  if name == "experiments" then return M.markdown(runs, experiments) end
  if name == "record" then return M.record(runs, experiments) end
  return screen(runs, experiments, name)
end

-- written(text, runs, experiments) -> text | nil, why
function M.written(text, runs, experiments)
  local parts, at = {}, 1
  while true do
    local _, head, name = text:find(BEGIN, at)
    if not head then break end
    local tail = text:find(END:format(name), head, true)
    if not tail then return nil, ("'%s' has no end"):format(name) end
    local block, why = made(runs, experiments, name)
    if not block then return nil, why end
    parts[#parts + 1] = text:sub(at, head) .. block .. "\n"
    at = tail
  end
  if #parts == 0 then return nil, "there is no place in it for what runs say" end
  return table.concat(parts) .. text:sub(at)
end

-- unmade(text) -> what of it is written by hand
function M.unmade(text)
  local from, head, name = text:find(BEGIN)
  if not from then return text end
  local _, tail = text:find(END:format(name), head, true)
  return text:sub(1, from - 1) .. M.unmade(text:sub((tail or #text) + 1))
end

return M
