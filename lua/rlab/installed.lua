-- What lies beside the program: experiments/ and deps/ of its checkout, or of share/rlab where it is
-- installed.
-- folder(name) -> path | nil
-- get(target) -> what fetches what `make TARGET` does: "make deps" in a checkout, else "rlab fetch"
local fs = require "rlab.fs"

local M = {}

local function own_folder() return (fs.self_exe() or "."):match "^(.*)/[^/]*$" end

-- The checkout of a program, whose variants lie in build-asan, build-tsan, ...
local function checkout()
  local folder = own_folder():gsub("/build[%w-]*$", "")
  return fs.exists(folder .. "/Makefile") and fs.exists(folder .. "/deps/pins.sh") and folder or nil
end

function M.folder(name)
  local root = checkout() or own_folder():gsub("/[^/]*$", "") .. "/share/rlab"
  local path = root .. "/" .. name
  return fs.exists(path) and path or nil
end

function M.get(target)
  if checkout() then return "make " .. target end
  return target == "deps" and "rlab fetch" or "rlab fetch " .. target
end

return M
