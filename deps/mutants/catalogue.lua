-- The mutants of spec/mutants, as deps/mutants.lua says what they are.
local system = require "mutants.system"

local M = {}

-- judge_of(m): the experiment, spec or C test that is to notice it
function M.judge_of(m) return m.run or m.unit or m.spec end

-- is_live(m): its judge needs servers
function M.is_live(m) return m.run ~= nil or m.spec ~= nil and m.spec:find "^spec/live/" ~= nil end

-- all() -> list of mutants, with .group and .edits
function M.all()
  local list, seen = {}, {}
  for path in system.capture("ls spec/mutants/*.lua"):gmatch "%S+" do
    for _, m in ipairs(dofile(path)) do
      if seen[m.id] then error(("two mutants are called '%s'"):format(m.id), 0) end
      if not M.judge_of(m) then error(("mutant '%s' names no judge"):format(m.id), 0) end
      m.group, m.edits = path:match "([^/]+)%.lua$", m.edits or { { m.before, m.after } }
      seen[m.id], list[#list + 1] = true, m
    end
  end
  return list
end

-- shuffled(list, seed) -> them in an order that the seed decides, the same everywhere
function M.shuffled(list, seed)
  local state, all = seed, table.move(list, 1, #list, 1, {})
  for i = #all, 2, -1 do
    state = state * 6364136223846793005 + 1442695040888963407
    local j = (state >> 33) % i + 1
    all[i], all[j] = all[j], all[i]
  end
  return all
end

return M
