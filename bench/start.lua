-- How long a person waits for a prompt: rlab --version, rlab up on servers that run, rlab up kafka on none.
local clock = require "rlab.clock"
local term = require "rlab.term"

local function median_ms(ctx, f)
  local list = {}
  for i = 1, ctx.starts do
    local began = clock.ns()
    f()
    list[i] = (clock.ns() - began) / 1e6
  end
  return ("%.1f ms"):format(ctx.median(list))
end

return function(ctx, stack)
  local rows = { { what = "rlab --version",
    took = median_ms(ctx, function() ctx.run { ctx.rlab, "--version" } end),
    target = term.symbol "le" .. " 30 ms, not judged" } }
  if not ctx.brokers then
    stack:brokers()
    rows[2] = { what = "rlab up kafka, warm",
      took = median_ms(ctx, function() stack:rlab("up", "kafka") end) }
    rows[3] = { what = "rlab up kafka, cold, once", took = ("%.1f s"):format(stack.cold) }
  end
  ctx.title("start", ("medians of %d, with the spawn of the process"):format(ctx.starts))
  ctx.table({ { name = "", key = "what" }, { name = "took", key = "took", align = "right" },
    { name = "target", key = "target" } }, rows)
end
