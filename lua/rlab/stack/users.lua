-- Who works on a stack just now.
local notes = require "rlab.stack.notes"

local M = {}

local function folder(home)
  return home .. "/users"
end

-- enter(home, what) -> token for leave
function M.enter(home, what)
  return notes.put(folder(home), { what = what })
end

M.leave = notes.drop

-- list(home) -> {{pid=, what=}} of the others
function M.list(home)
  return notes.list(folder(home))
end

return M
