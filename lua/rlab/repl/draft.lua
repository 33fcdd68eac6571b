-- save "E-0xx": the lines of a session that succeeded, as an experiment file to work on.
local err = require "rlab.err"
local history = require "rlab.repl.history"

local M = {}

local NOISE = { "^help", "^save", "^quit", "^exit", "^traceback", "^_%s*$" }

local function is_noise(line)
  if history.is_secret(line) then return true end
  for _, pattern in ipairs(NOISE) do
    if line:match "^%s*(.*)$":find(pattern) then return true end
  end
  return false
end

-- a bare expression is no statement inside a function
local function statement(line)
  if load(line) then return line end
  return "_ = " .. line
end

local function needs_of(lines)
  local text, needs = table.concat(lines, "\n"), {}
  if text:find "sql" then needs[#needs + 1] = '"mysql"' end
  if text:find "redis" then needs[#needs + 1] = '"redis"' end
  if text:find "schema" then needs[#needs + 1] = '"registry"' end
  table.insert(needs, 1, '"kafka"')
  return table.concat(needs, ", ")
end

local HEAD = [[
-- %s: a draft from a session at the prompt. The lines stand as they were typed; replace them step by step
-- by what the lab offers (lab:topic, lab:producer, lab:start, faults that must fire), say what should come
-- out, and give it a wrong and a right arm.
return experiment {
  id    = "%s",
  title = "What this shows, in a few words",
  claim = "What goes wrong under which practice, and what the right practice guarantees.",
  needs = { %s },

  arms = {
    observe "as-typed" {},
  },

  run = function(lab, arm)
    -- the words of the prompt: offsets, tail, produce, sql, ...
    local _ENV = require("rlab.repl").environment(lab)
]]

local TAIL = [[
  end,

  checks = function(lab, seen)
  end,
}
]]

--- text(id, lines) -> the file
function M.text(id, lines)
  local body = {}
  for _, line in ipairs(lines) do
    if not is_noise(line) then
      body[#body + 1] = "    " .. statement(line):gsub("\n", "\n    ") .. "\n"
    end
  end
  return HEAD:format(id, id, needs_of(lines)) .. table.concat(body) .. TAIL
end

--- save(id, lines) -> sentence | nil, err; an existing file is not overwritten
function M.save(id, lines)
  local fs = require "rlab.fs"
  local folder = require("rlab.experiment").folder()
  local path = ("%s/%s.lua"):format(folder, id)
  if fs.exists(path) then
    return nil, err.new { domain = "rlab", code = 0, name = "EXISTS",
      message = path .. " exists already; choose another id" }
  end
  local made, failure = fs.mkdir(folder)
  if not made then return nil, failure end
  local written
  written, failure = fs.write(path, M.text(id, lines))
  if not written then return nil, failure end
  return ("%s written; edit it, then: rlab %s"):format(path, id)
end

return M
