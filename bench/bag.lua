-- What the checks of a long run cost: bench/bag.c builds a bag of acknowledged records and one of those in
-- the log, and asks for the differences.
return function(ctx)
  local output = ctx.run { ctx.peers .. "/bag", tostring(ctx.ids) }
  local rows, total = {}, 0
  for what, n, seconds in output:gmatch "  (%l[%l ]-)%s+(%d+)%s+([%d.]+) s\n" do
    rows[#rows + 1] = { what = what, n = n, took = seconds .. " s" }
    total = total + tonumber(seconds)
  end
  rows[#rows + 1] = { what = "all", took = ("%.2f s"):format(total), target = "<= 6 s, not judged" }
  rows[#rows + 1] = { what = "peak memory", took = output:match "(%d+ MiB) at most",
    target = "<= 1.2 GiB, not judged" }
  ctx.title("bag", ("%s ids acknowledged and read from the log; processor time"):format(
    ctx.count_text(ctx.ids)))
  ctx.table({ { name = "", key = "what" }, { name = "records", key = "n", align = "right" },
    { name = "took", key = "took", align = "right" },
    { name = "target", key = "target" } }, rows)
end
