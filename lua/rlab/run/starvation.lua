-- Starvation: how much of its time a process lost to waiting for a processor, by what the scheduler says of
-- its threads (rlab.process.threads) at two moments. It is the wait of the thread that waited most: that one
-- was ready and stood still so long. The waits of many threads lie beside one another, so their sum says
-- nothing: the 70 threads of a server that wake up together wait 0.8 s in a second in which none waits 0.2 s.
local M = {}

-- What a thread waited since then; one that was not there began since, also where its number is used again.
local function waited(before, now)
  if not before or now.delay < before.delay then return now.delay end
  return now.delay - before.delay
end

-- lost(before, now, window) -> seconds of the window's seconds; 0 where nothing is known of the first moment.
--   A wait counts where it ends, so one may be longer than its window.
function M.lost(before, now, window)
  local worst = 0
  for tid, thread in pairs(next(before) and now or {}) do
    worst = math.max(worst, waited(before[tid], thread))
  end
  return math.min(worst, window)
end

-- quiet(window, still, lost) -> seconds of the window in which what is owed could come nearer. still: seconds
--   in which somebody stood still; lost: by the worst service, the worst server and by rlab. The work goes
--   through a service and a server, one after the other; rlab looks on meanwhile.
function M.quiet(window, still, lost)
  return math.max(0, window - still - math.max(lost.service + lost.server, lost.rlab))
end

return M
