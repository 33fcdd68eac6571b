-- The hit log of a process (RLAB_FAILPOINT_LOG): a line for each arming of a failpoint, and one for each hit
-- while it is armed, written before it acts.
local fs = require "rlab.fs"
local json = require "rlab.json"

local M = {}

-- read(path) -> its lines, decoded; one without its end is being written
function M.read(path)
  local list = {}
  for line in (fs.read(path) or ""):gmatch "([^\n]+)\n" do list[#list + 1] = json.decode(line) end
  return list
end

-- acted(lines, [point]) -> the hits that did something
function M.acted(lines, point)
  local list = {}
  for _, line in ipairs(lines) do
    if line.action and line.action ~= "off" and (not point or line.name == point) then
      list[#list + 1] = line
    end
  end
  return list
end

-- armings(lines, point) -> { {expr =, pid =, hits = all of them until it was armed anew}, ... }
function M.armings(lines, point)
  local list = {}
  for _, line in ipairs(lines) do
    if line.name == point and line.armed then
      list[#list + 1] = { expr = line.armed, pid = line.pid, hits = {} }
    elseif line.name == point and list[1] then
      table.insert(list[#list].hits, line)
    end
  end
  return list
end

return M
