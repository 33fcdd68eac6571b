-- overview.markdown(runs, experiments): the table of the README: what breaks and what holds, in the words of
-- the latest run of each. One that is not as predicted is told by its verdict, one that is not there as such.
local fs = require "rlab.fs"
local json = require "rlab.json"
local verdict_words = require "rlab.run.words"

local M = {}

local BEGIN, END = "<!-- experiments: made by rlab list --readme -->", "<!-- end of experiments -->"
local BROKEN_MOST = 2

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

-- replace(text, table) -> text with the table between the two marks | nil, why
function M.replace(text, made)
  local from, head = text:find(BEGIN, 1, true)
  local tail = head and text:find(END, head, true)
  if not tail then return nil, ("there is no place for it: %s ... %s"):format(BEGIN, END) end
  return text:sub(1, head) .. "\n" .. made .. "\n" .. text:sub(tail), from
end

return M
