-- One rlab at a time changes a stack (or the shared templates). The lock is the kernel's and ends with its
-- holder; the file says who that is, for the others to read.
local err = require "rlab.err"
local fs = require "rlab.fs"
local task = require "rlab.task"

local M = {}

local function name_holder(busy)
  return ("pid %d (%s)"):format(busy.pid or 0, busy.text ~= "" and busy.text or "another rlab")
end

-- take(path, what, {at_most=, say=}) -> lock (closable) | nil, err. `what` is what others read, such as
--   "rlab up";
-- say(holder) is called once when there is somebody to wait for.
function M.take(path, what, opts)
  opts = opts or {}
  local told, busy
  local got = task.wait_until(function()
    local handle, failure = fs.lock(path, what)
    if handle then return handle end
    if failure.name ~= "LOCKED" then error(failure, 0) end
    busy = failure
    if not told and opts.say then
      told = true
      opts.say(name_holder(busy))
    end
  end, { at_most = opts.at_most or "30s", every = "20ms", what = "the lock" })
  if got then return got end
  return nil, err.new { domain = "rlab", code = 0, name = "BUSY", retriable = true,
    message = ("the stack is being changed by %s; try again when it is done"):format(name_holder(busy)) }
end

return M
