-- What the runs of mutants ask of the system: commands, files, time.
local M = {}

-- shell(fmt, ...) -> whether the command ended well; raises "interrupted!"
function M.shell(fmt, ...)
  local ok, how, code = os.execute(fmt:format(...))
  if how == "signal" and code == 2 then error("interrupted!", 0) end
  return ok == true
end

-- capture(fmt, ...) -> what it wrote, its status
function M.capture(fmt, ...)
  local pipe <close> = assert(io.popen(fmt:format(...), "r"))
  local text = pipe:read "a"
  local _, how, code = pipe:close()
  if how == "signal" and code == 2 or code == 130 then error("interrupted!", 0) end
  return text, code or 0
end

function M.read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

function M.write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(text))
end

function M.exists(path)
  local file = io.open(path)
  return file ~= nil and file:close()
end

function M.uptime() return tonumber(M.read("/proc/uptime"):match "^%S+") end

return M
