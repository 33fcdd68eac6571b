-- The entry point: picks the command and returns the exit code.
local core = require "rlab.core.task"
return function(args)
  local t = core.spawn(function() core.sleep(0.05) return 7 end)
  print(t:join())
  local f = function() local x <close> = setmetatable({}, {__close = function() core.sleep(0.1) print "closed" end}); core.sleep(100) end
  local u = core.spawn(f)
  core.sleep(0.01)
  u:cancel()
  print(u:join())
  print(select(2, core.spawn(function() error "boom" end):join()))
  if args[1] == "hang" then core.sleep(10) end
  return 0
end
