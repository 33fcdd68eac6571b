-- The copy of the tree in which mechanisms are broken, one at a time.
local system = require "mutants.system"

local M = {}

local root, path = "build-mutants", "build-mutants/tree"

-- choose(n | nil): the n-th of many beside each other has a copy of its own
function M.choose(n)
  root = n and ("build-mutants-%s"):format(n) or "build-mutants"
  path = root .. "/tree"
end

function M.root() return root end
function M.path() return path end

function M.remove() system.shell("rm -rf %s", root) end

-- copy(): of what git tracks, with the objects that are built: a mutant costs one file and a link
function M.copy()
  M.remove()
  local copied = system.shell("mkdir -p %s && git ls-files -z | tar --null -T - -cf - | tar -xf - -C %s",
    path, path) and system.shell("cp -a build rlab %s/", path)
  if not copied then error("the tree could not be copied", 0) end
end

-- build(m) -> true | nil, what the compiler said
function M.build(m)
  local what = m.unit and "build/test/" .. m.unit or "rlab"
  local text, code = system.capture("make -C %s -s -j2 WERROR= %s 2>&1", path, what)
  if code == 0 then return true end
  return nil, text:sub(-600)
end

local function replaced(text, before, after)
  local from, to = text:find(before, 1, true)
  if not from then return nil, "its text is not there any more: " .. before end
  if text:find(before, to + 1, true) then return nil, "its text is there more than once: " .. before end
  return text:sub(1, from - 1) .. after .. text:sub(to + 1)
end

-- apply(m) -> undo | nil, why
function M.apply(m)
  local file = path .. "/" .. m.file
  local whole = system.read(file)
  local text = whole
  for _, edit in ipairs(m.edits) do
    local changed, why = replaced(text, edit[1], edit[2])
    if not changed then return nil, why end
    text = changed
  end
  system.write(file, text)
  return function() system.write(file, whole) end
end

return M
