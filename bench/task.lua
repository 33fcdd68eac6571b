-- What a task costs: handing over to another one, and a blocking call on the thread pool.
local json = require "rlab.json"
local must = require "rlab.must"

local TURNS = 100000

return function(ctx)
  local r = must(json.decode(ctx.run { ctx.rlab, "bench-loop", "task", tostring(TURNS) }))
  ctx.title("task", "time of one, over " .. TURNS)
  ctx.table({ { name = "", key = "what" }, { name = "took", key = "took", align = "right" } }, {
    { what = "switch to another task", took = ("%.0f ns"):format(r.switch) },
    { what = "awaited call (thread pool and back)", took = ("%.0f ns"):format(r.await) },
  })
end
