-- An experiment's page: what it asks, does, checks and teaches, from its own file and its prose. As text for
-- a terminal, as Markdown for docs/experiments; rlab.experiment.prose reads the latter.
local classes = require("rlab.run.words").classes
local term = require "rlab.term"

local M = {}

local function arms_of(exp)
  local list = {}
  for i, arm in ipairs(exp.arms) do
    local says = type(arm.says) == "string" and arm.says or "" -- what a module gives is none (M.peek)
    list[i] = { class = arm.class, name = arm.name, says = says, settings = arm.settings }
  end
  return list
end

local function settings_words(settings)
  local words = {}
  for key, value in pairs(settings) do
    if type(value) ~= "table" and type(value) ~= "function" then
      words[#words + 1] = key .. "=" .. tostring(value)
    end
  end
  table.sort(words)
  return table.concat(words, ", ")
end

-- text(exp) -> the page for a terminal
function M.text(exp)
  local out = {}
  local function say(line) out[#out + 1] = line end
  local function paragraph(head, text)
    if not text then return end
    say("\n" .. term.colour("bold", head))
    for _, line in ipairs(term.wrap(text, 92)) do say("  " .. line) end
  end
  say(term.colour("bold", exp.id .. "  " .. exp.title))
  paragraph("question", exp.question)
  paragraph("claim", exp.claim)
  say("\n" .. term.colour("bold", "arms"))
  for _, arm in ipairs(arms_of(exp)) do
    local word = classes[arm.class]
    say("  " .. term.colour(word, term.pad(word, 10)) .. term.pad(arm.name, 24) .. arm.says)
  end
  paragraph("why it happens", exp.why and exp.why.text)
  if exp.production then
    say("\n" .. term.colour("bold", "in production"))
    for _, point in ipairs(exp.production) do
      for i, line in ipairs(term.wrap(point, 90)) do say((i == 1 and "  - " or "    ") .. line) end
    end
  end
  local word = require("rlab.experiment").word(exp.path)
  say(("\nrun it: rlab %s      needs %s      source %s"):format(word, table.concat(exp.needs, ", "),
    exp.path))
  return table.concat(out, "\n")
end

local function markdown_list(out, head, items, words)
  if not items then return end
  out[#out + 1] = "\n## " .. head .. "\n"
  for _, item in ipairs(items) do out[#out + 1] = "- " .. words(item) end
end

local function cell(text)
  return (text:gsub("|", "\\|"))
end

local function folder_of(path)
  return path:match "^(.*)/[^/]*$" or "."
end

-- Where the file lies as seen from its page, beside it or in docs/experiments.
local function link_to_source(exp)
  if folder_of(exp.path) == folder_of(exp.page) then return exp.path:match "[^/]*$" end
  return "../../" .. exp.path:gsub("^%./", "")
end

-- markdown(exp) -> the page of docs/experiments
function M.markdown(exp)
  local out = { ("# %s: %s\n"):format(exp.id, exp.title) }
  local function say(fmt, ...) out[#out + 1] = fmt:format(...) end
  if exp.question then say("**Question.** %s\n", exp.question) end
  say("**Claim.** %s\n", exp.claim)
  if exp.lesson and exp.lesson ~= exp.claim then say("**Lesson.** %s\n", exp.lesson) end
  say("Needs %s. Source: [`%s`](%s).\n", table.concat(exp.needs, ", "), exp.path,
    link_to_source(exp))
  say("```\nrlab %s\n```\n", exp.id)
  say "## Arms\n\n| class | arm | practice | settings |\n|---|---|---|---|"
  for _, arm in ipairs(arms_of(exp)) do
    say("| %s | `%s` | %s | %s |", classes[arm.class], arm.name, arm.says,
      settings_words(arm.settings))
  end
  if exp.why then
    say("\n## Why it happens\n\n%s\n", exp.why.text)
    if exp.why.sequence then
      say "| from | to | message | class |\n|---|---|---|---|"
      for _, step in ipairs(exp.why.sequence) do
        say("| %s | %s | %s | %s |", cell(step.from), cell(step.to), cell(step.text), step.class or "")
      end
    end
  end
  markdown_list(out, "In production", exp.production, function(line) return line end)
  markdown_list(out, "References", exp.references,
    function(ref) return ref.text .. (ref.where and " (" .. ref.where .. ")" or "") end)
  return table.concat(out, "\n") .. "\n"
end

return M
