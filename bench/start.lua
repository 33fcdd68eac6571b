-- How long a person waits for a prompt: rlab --version, rlab up on servers that run, rlab up kafka on none;
-- and until Prometheus says that all its targets are up.
local clock = require "rlab.clock"
local term = require "rlab.term"
local tools = require "rlab.stack.tools"

local function median_ms(ctx, f)
  local list = {}
  for i = 1, ctx.starts do
    local began = clock.ns()
    f()
    list[i] = (clock.ns() - began) / 1e6
  end
  return ("%.1f ms"):format(ctx.median(list))
end

-- The servers alone, then they and who watches them, each from nothing; then who watches them beside servers
-- that run.
local function watched(ctx, stack, rows)
  local function add(what, fmt, took) rows[#rows + 1] = { what = what, took = fmt:format(took) } end
  for _, words in ipairs { { "up" }, { "up", "--observe" } } do
    stack:rlab "down"
    local _, took = stack:rlab(table.unpack(words))
    add(("rlab %s, cold, once"):format(table.concat(words, " ")), "%.1f s", took)
  end
  local list = {}
  for i = 1, ctx.few do
    stack:rlab("down", "observe")
    local _, took = stack:rlab("up", "--observe")
    list[i] = took
  end
  add("rlab up --observe beside servers that run", "%.1f s", ctx.median(list))
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
    if tools.observe() then watched(ctx, stack, rows) end
  end
  ctx.title("start", ("medians of %d, with the spawn of the process"):format(ctx.starts))
  ctx.table({ { name = "", key = "what" }, { name = "took", key = "took", align = "right" },
    { name = "target", key = "target" } }, rows)
end
