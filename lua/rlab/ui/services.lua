-- The services that run on this machine, with their health: those that have noted their port (rlab.stack
-- notes them where somebody looks), and those that answer at the port that is their own.
local fs = require "rlab.fs"
local http = require "rlab.http"
local json = require "rlab.json"
local layout = require "rlab.stack.layout"
local notes = require "rlab.stack.notes"
local service = require "rlab.service"
local task = require "rlab.task"

local M = {}

local AT_MOST = "700ms" -- one that is frozen hides no other

-- {port, name, service} of each that is noted, or may be at its own port
local function places()
  local list, known = {}, {}
  local function add(place)
    if not known[place.port] then list[#list + 1] = place end
    known[place.port] = true
  end
  local folder, listening = layout.services(), layout.listening()
  if fs.exists(folder:match "^(.*)/") then fs.mkdir(folder) end -- somebody looks
  for _, note in ipairs(notes.list(folder)) do
    if note.service then -- a console is none
      add { port = note.port, name = note.name, service = note.service, noted = true }
    end
  end
  for _, name in ipairs(service.names()) do
    local ok, description = pcall(service.load, name)
    local port = ok and description.port or 0
    if port > 0 and listening[port] then add { port = port, name = name, service = name } end
  end
  return list
end

local function components_of(said)
  local list = json.array {}
  for name, one in pairs(said.components or {}) do
    list[#list + 1] = { name = name, status = one.status, why = one.details and one.details.why }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- What answers says which service it is; what does not say so is none of ours.
local function ask(place)
  local url = ("http://127.0.0.1:%d/actuator/health"):format(place.port)
  local answer, failure = http.get(url, { timeout = AT_MOST })
  local said = answer and json.decode(answer.body)
  if type(said) == "table" and type(said.service) == "string" then
    return { port = place.port, name = said.name or place.name, service = said.service, status = said.status,
      components = components_of(said) }
  end
  if not place.noted then return nil end
  return { port = place.port, name = place.name, service = place.service, status = "no answer",
    why = failure and failure.message, components = json.array {} }
end

-- list() -> rows {name, service, port, status, why, components = {name, status, why}}, by name
function M.list()
  local rows, answers = json.array {}, {}
  local all = places()
  task.group(function(group)
    for i, place in ipairs(all) do group:spawn(function() answers[i] = ask(place) end) end
  end)
  for i = 1, #all do rows[#rows + 1] = answers[i] end
  table.sort(rows, function(a, b) return a.name .. a.port < b.name .. b.port end)
  return rows
end

return M
