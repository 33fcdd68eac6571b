-- That the jars which are about to run are those of deps/NAME.lock, byte by byte. sha256sum is asked once,
-- and again when a jar's size, time or place has changed since; what it found is noted beside the jars.
local err = require "rlab.err"
local fs = require "rlab.fs"
local process = require "rlab.process"
local task = require "rlab.task"

local M = {}

local function names_of(lock)
  local names = {}
  for name in lock:gmatch "%x+  ([^\n]+)" do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function jars_in(folder)
  local names = {}
  for _, name in ipairs(fs.list(folder) or {}) do
    if name:match "%.jar$" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

-- the first name that only one of two sorted lists has | nil
local function stranger(some, others)
  local seen = {}
  for _, name in ipairs(some) do seen[name] = true end
  for _, name in ipairs(others) do
    if not seen[name] then return name end
  end
end

local function print_of(folder, lock, names)
  local lines = { lock }
  for i, name in ipairs(names) do
    local file = fs.stat(folder .. "/" .. name) or {}
    lines[i + 1] = ("%s %s %s %s"):format(name, file.size, file.mtime, file.inode)
  end
  return table.concat(lines, "\n") .. "\n"
end

-- -> what sha256sum complains of, "" when all is well
local function sums(folder, lock)
  local p <close>, failure = process.spawn { cmd = { "sha256sum", "--quiet", "-c", "-" }, cwd = folder,
    stdin = "pipe", stdout = "capture", stderr = "null", env = { LC_ALL = "C" } }
  if not p then return tostring(failure) end
  task.spawn(function()
    p:write(lock)
    p:end_input()
  end)
  local status, late = p:wait "60s"
  if not status then return tostring(late) end
  local out = p:output()
  return status.code == 0 and "" or out:match "([^\n:]+):" or "sha256sum failed"
end

local function problem(root, lock)
  local folder, names = root .. "/libs", names_of(lock)
  local jars = jars_in(folder)
  local odd = stranger(names, jars) or stranger(jars, names)
  if odd then return odd end
  local note, now = root .. "/verified", print_of(folder, lock, names)
  if fs.read(note) == now then return nil end
  local wrong = sums(folder, lock)
  if wrong ~= "" then return wrong end
  fs.write(note, now) -- where the cache is read-only, the next one looks again
  return nil
end

-- jars(root, name, lock) -> true | nil, err; lock: the text of deps/NAME.lock, NAME of it for people
function M.jars(root, name, lock)
  local wrong = problem(root, lock)
  if not wrong then return true end
  return nil, err.new { domain = "rlab", code = 0, name = "MISSING",
    message = ("%s in %s is not what deps/%s.lock says; run %s"):format(wrong, root, name,
      require("rlab.installed").get "deps") }
end

return M
