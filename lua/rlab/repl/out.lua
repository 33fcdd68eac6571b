-- Where output goes while a prompt may be open: above the prompt, above a block that is redrawn in place,
-- or plainly.
local defer = require "rlab.defer"
local edit = require "rlab.edit"

local M = { live = nil }

local real = { print = print, write = getmetatable(io.stdout).__index.write }
local partial = ""

--- runs f, which draws the block itself, past the redirection
function M.draw(f, ...)
  local live = M.live
  M.live = nil
  f(...)
  M.live = live
end

--- shows text as whole lines without touching the line being typed
function M.line(text)
  local live = M.live
  if live and not edit.active() then return M.draw(live.above, live, text) end
  edit.print_above(text)
end

local function joined(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  return table.concat(parts, "\t")
end

local function write(file, ...)
  if not (edit.active() or M.live) or (file ~= io.stdout and file ~= io.stderr) then
    return real.write(file, ...)
  end
  local text = partial .. table.concat({ ... })
  local whole, rest = text:match "^(.*\n)(.*)$"
  partial = rest or text
  if whole then M.line(whole) end
  return file
end

--- from here on print and io.write respect the prompt; returns a closer
function M.install()
  print = function(...) M.line(joined(...) .. "\n") end -- luacheck: ignore 121
  io.write = function(...) -- luacheck: ignore 122
    write(io.output(), ...)
    return io.output()
  end
  getmetatable(io.stdout).__index.write = write
  edit.capture_errors(true)
  return defer(function()
    if partial ~= "" then M.line(partial) end
    partial = ""
    edit.capture_errors(false)
    print = real.print -- luacheck: ignore 121
    getmetatable(io.stdout).__index.write = real.write
  end)
end

return M
