-- exporter: what the services of a stack tell, passed on. They come and go with the arms of experiments, at
-- ports of their own, sooner than Prometheus looks for targets: so it asks one that stays.
local http = require "rlab.http"
local metrics = require "rlab.metrics"
local notes = require "rlab.stack.notes"
local task = require "rlab.task"

local M = {}

local AT_MOST = "700ms" -- less than Prometheus waits for: one that is frozen hides no other

local UP = [[
# HELP up 1 while the service answers.
# TYPE up gauge
up{%s} %d
]]

-- ask(note) -> what it tells | nil
local function ask(note)
  local url = note.metrics or ("http://127.0.0.1:%d/actuator/prometheus"):format(note.port)
  local answer = http.get(url, { timeout = AT_MOST })
  return answer and answer.status == 200 and answer.body or nil
end

-- instance("relay-1", 40123) -> the labels that tell it from others
local function instance(note)
  return metrics.labels { instance = ("%s:%d"):format(note.name, note.port) }
end

local Families = {}
Families.__index = Families

-- The lines of a metric stand together, below one HELP and one TYPE.
function Families:of(name)
  local family = self.by_name[name]
  if not family then
    family = { head = {}, lines = {} }
    self.by_name[name], self[#self + 1] = family, family
  end
  return family
end

local function labelled(line, labels)
  local name, own = line:match "^([%w_:]+){(.*)$"
  if name then return ("%s{%s,%s"):format(name, labels, own) end
  return (line:gsub("^[%w_:]+", function(bare) return ("%s{%s}"):format(bare, labels) end))
end

-- put(families, text[, labels]): each line of the text, with these labels in front of its own
local function put(families, text, labels)
  local current
  for line in text:gmatch "[^\n]+" do
    local word, name = line:match "^# (%u+) (%S+)"
    if word then
      current = families:of(name)
      current.head[word] = line
    else
      table.insert(current.lines, labels and labelled(line, labels) or line)
    end
  end
end

-- text(folder) -> the metrics of all services and consoles that have a note there, with the `instance` and
--   the `up` of each
function M.text(folder)
  local families, answers, list = setmetatable({ by_name = {} }, Families), {}, {}
  for _, note in ipairs(notes.list(folder)) do
    if note.service ~= "exporter" then list[#list + 1] = note end
  end
  task.group(function(group)
    for i, note in ipairs(list) do group:spawn(function() answers[i] = ask(note) or false end) end
  end)
  for i, note in ipairs(list) do
    local labels = instance(note)
    put(families, UP:format(labels, answers[i] and 1 or 0))
    if answers[i] then put(families, answers[i], labels) end
  end
  local out = {}
  for _, family in ipairs(families) do
    out[#out + 1] = family.head.HELP
    out[#out + 1] = family.head.TYPE
    out[#out + 1] = table.concat(family.lines, "\n")
  end
  return #out > 0 and table.concat(out, "\n") .. "\n" or ""
end

return M
