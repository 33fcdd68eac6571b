-- The form of a history, held strictly before anything of a run is judged: Jepsen's, one operation a line.
-- Indices from 0 without a gap, times that never go back, a process is a number of one actor and has one
-- operation outstanding; nothing is completed that was not invoked, and after info a process does no more.
-- The engine writes no other form (engine/evidence/history.h); a file that has one was cut or changed.
local json = require "rlab.json"
local tables = require "rlab.tables"

local M = {}

local FIELDS = tables.set_of { "index", "time", "process", "type", "f", "value", "error", "actor" }
local TYPES = tables.set_of { "invoke", "ok", "fail", "info" }

local Form = {}
Form.__index = Form

local function natural(value) return math.type(value) == "integer" and value >= 0 end

-- What one line is by itself: decoded, with the fields it must have and no other.
local function operation_of(line)
  local ok, op = pcall(json.decode, line)
  if not ok or type(op) ~= "table" then return nil, "not a JSON object" end
  for field in pairs(op) do
    if not FIELDS[field] then return nil, ("a field '%s'"):format(tostring(field)) end
  end
  for _, field in ipairs { "index", "time", "process" } do
    if not natural(op[field]) then return nil, field .. " is not a number from 0" end
  end
  if not TYPES[op.type] then return nil, ("a type '%s'"):format(tostring(op.type)) end
  for _, field in ipairs { "f", "actor" } do
    if type(op[field]) ~= "string" or op[field] == "" then return nil, field .. " is not a word" end
  end
  if op.value == nil then return nil, "no value" end
  return op
end

local function error_fits(op)
  if op.error == nil then return true end
  return type(op.error) == "string" and (op.type == "fail" or op.type == "info")
end

local function begins(form, op)
  local process = form.processes[op.process]
  if not process then
    form.processes[op.process] = { actor = op.actor, f = op.f }
    return
  end
  if process.actor ~= op.actor then return ("process %d is %s's"):format(op.process, process.actor) end
  if process.retired then return ("process %d goes on after info"):format(op.process) end
  if process.f then return ("process %d has an operation outstanding"):format(op.process) end
  process.f = op.f
end

local function ends(form, op)
  local process = form.processes[op.process]
  if not (process and process.f) then
    return ("%s of process %d without invoke"):format(op.type, op.process)
  end
  if process.actor ~= op.actor then return ("process %d is %s's"):format(op.process, process.actor) end
  if process.f ~= op.f then return ("%s of %s, invoked was %s"):format(op.type, op.f, process.f) end
  process.f, process.retired = nil, op.type == "info"
end

local function wrong(form, line)
  local op, why = operation_of(line)
  if not op then return why end
  if op.index ~= form.lines then return ("index %d, %d is due"):format(op.index, form.lines) end
  if op.time < form.time then return ("time goes back from %d to %d"):format(form.time, op.time) end
  if not error_fits(op) then return "an error that is no text of a fail or info" end
  form.time, form.lines = op.time, form.lines + 1
  return (op.type == "invoke" and begins or ends)(form, op)
end

-- add(line): the next one. What is wrong with the first bad line stays in form.problem.
function Form:add(line)
  if self.problem then return end
  local number, why = self.lines + 1, wrong(self, line)
  if why then self.problem = ("the history is not well-formed: line %d: %s"):format(number, why) end
end

-- new() -> form: what has been read so far
function M.new()
  return setmetatable({ lines = 0, time = 0, processes = {} }, Form)
end

-- A file that is still written may end in the middle of a line; what there is of it is read next time.
function Form:read_on(file)
  for line in file:lines "L" do
    if line:sub(-1) ~= "\n" then
      file:seek("cur", -#line)
      return #line
    end
    self:add(line:sub(1, -2))
  end
  return 0
end

-- problem(path) -> why the history in a stored file is not well-formed | nil
function M.problem(path)
  local file <close> = io.open(path)
  if not file then return "the history is not well-formed: it cannot be read" end
  local form = M.new()
  local rest = form:read_on(file)
  if rest > 0 and not form.problem then
    return ("the history is not well-formed: line %d is cut off"):format(form.lines + 1)
  end
  return form.problem
end

return M
