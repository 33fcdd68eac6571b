-- The hit log of a process (RLAB_FAILPOINT_LOG): a line for each arming of a failpoint, one for each hit
-- while it is armed, written before it acts, and of who stands still there one when he begins and one when
-- he goes on (engine/fault/point/hitlog.h).
local fs = require "rlab.fs"
local json = require "rlab.json"

local M = {}

-- read_on(path, known) -> known: what was read before and what came since, as {list = lines, bytes =};
--   without `known` from the beginning. For those who look often.
function M.read_on(path, known)
  known = known or { list = {}, bytes = 0 }
  local text = fs.read(path) or ""
  for line, behind in text:gmatch("([^\n]+)\n()", known.bytes + 1) do
    known.list[#known.list + 1], known.bytes = json.decode(line), behind - 1
  end
  return known
end

-- read(path) -> its lines, decoded; one without its end is being written
function M.read(path)
  return M.read_on(path).list
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

local STANDS = { pause = true, barrier = true }

-- stands(hit) -> whether who comes there is to stand still
function M.stands(hit)
  return STANDS[hit.action] == true
end

-- has_stopped(lines, hit) -> whether the hit, if it is one that stands still, has begun to; what another
--   program writes has no number of an arming, and does not say so
function M.has_stopped(lines, hit)
  if not (M.stands(hit) and hit.arming) then return true end
  for _, line in ipairs(lines) do
    if line.waits == hit.hit and line.arming == hit.arming and line.name == hit.name then return true end
  end
  return false
end

-- What a line says of the hit of an arming: who stood still there has held until he was let go, holds on, or
-- went on by himself.
local function note_stand(arming, line)
  local hit = line.waits or line.left
  arming.held[hit] = line.waits and "holds" or line.let_go and "let go" or "went on"
end

-- Lines without the number of their arming, as somebody else's program may write them, are of the last.
-- armings(lines, point) -> { {expr =, pid =, hits = all of them, held = {[hit] = "holds" | "let go" |
--   "went on"}}, ... } in their order
function M.armings(lines, point)
  local list, of = {}, {}
  for _, line in ipairs(lines) do
    local arming = line.name == point and of[line.arming or #list]
    if line.name == point and line.armed then
      list[#list + 1] = { expr = line.armed, pid = line.pid, hits = {}, held = {} }
      of[line.arming or #list] = list[#list]
    elseif arming and line.hit then
      table.insert(arming.hits, line)
    elseif arming then
      note_stand(arming, line)
    end
  end
  return list
end

return M
