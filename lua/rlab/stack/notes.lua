-- Small files in a folder, one per process: each counts for as long as the process lives that wrote it.
local fs = require "rlab.fs"
local json = require "rlab.json"
local process = require "rlab.process"
local tables = require "rlab.tables"

local M = {}

-- put(folder, fields) -> token for drop
function M.put(folder, fields)
  local pid, start = process.self()
  fs.mkdir(folder)
  local path = ("%s/%d.json"):format(folder, pid)
  fs.write(path, json.encode(tables.merged(fields, { pid = pid, start = start })) .. "\n")
  return path
end

function M.drop(token)
  fs.remove(token)
end

-- Of a file that is being written (fs.write gives it its name once it is whole), who writes it.
local function writer_of(name) return tonumber(name:match "%.tmp%.(%d+)%.") end

-- list(folder) -> the notes of the other processes that live; what is stale is removed
function M.list(folder)
  local me, found = process.self(), {}
  for _, name in ipairs(fs.list(folder) or {}) do
    local path, writer = folder .. "/" .. name, writer_of(name)
    local text = not writer and fs.read(path)
    local note = text and json.decode(text)
    local told = type(note) == "table" and note.pid and process.alive(note.pid, note.start)
    local live = told or writer and process.alive(writer)
    if told and note.pid ~= me then
      found[#found + 1] = note
    elseif not live then
      fs.remove(path)
    end
  end
  return found
end

return M
