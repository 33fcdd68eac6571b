-- Who works on a stack just now: one small file per process, which counts for as long as that process lives.
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"

local M = {}

local function folder(home)
  return home .. "/users"
end

-- enter(home, what) -> token for leave
function M.enter(home, what)
  local pid, start = process.self()
  fs.mkdir(folder(home))
  local path = ("%s/%d.json"):format(folder(home), pid)
  fs.write(path, json.encode { pid = pid, start = start, what = what } .. "\n")
  return path
end

function M.leave(token)
  fs.remove(token)
end

-- list(home) -> {{pid=, what=}} of the others; what is stale is removed
function M.list(home)
  local me, found = process.self(), {}
  for _, name in ipairs(fs.list(folder(home)) or {}) do
    local path = folder(home) .. "/" .. name
    local text = fs.read(path)
    local note = text and json.decode(text)
    local live = type(note) == "table" and note.pid and process.alive(note.pid, note.start)
    if live and note.pid ~= me then
      found[#found + 1] = note
    elseif not live then
      fs.remove(path)
    end
  end
  return found
end

return M
