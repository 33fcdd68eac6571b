-- How long a call takes, by the monotonic clock.
local clock = require "rlab.clock"

--- seconds(f) -> seconds, what f() returned
return function(f)
  local from = clock.ns()
  local results = table.pack(f())
  return (clock.ns() - from) / 1e9, table.unpack(results, 1, results.n)
end
