-- What each kind of proof has seen, and when that is a proof. A judge reads plain facts alone, so that
-- `rlab check` can judge a stored proof again: judge(facts) -> sentence | nil, what is missing.
local expression = require "rlab.failpoint.expression"
local hit_log = require "rlab.failpoint.log"

local M = {}

local function number(value) return math.type(value) ~= nil end

local function ending_words(seen)
  if seen and seen.signal then return "signal " .. seen.signal end
  return seen and seen.code and "exit " .. seen.code or nil
end

-- ---- a failpoint ----

-- kill and exit have acted when the process itself ended that way.
local function has_ended(facts, act)
  if act.action ~= "kill" and act.action ~= "exit" then return true end
  local got = ending_words(facts.ended)
  local want = act.action == "kill" and "signal KILL" or "exit " .. tostring(act.number)
  if facts.ended_by_lab then return nil, "the lab ended the process itself" end
  if got ~= want then return nil, ("the process ended by %s, not by %s"):format(got or "nothing", want) end
  return true
end

-- Who was to stand still did so until he was let go, or still does: the first that did neither | nil
local function went_on(acts)
  for _, act in ipairs(acts) do
    if hit_log.stands(act) and act.held ~= "holds" and act.held ~= "let go" then
      local did = act.held and "went on by itself" or "did not"
      return ("hit %d was to stand still and %s"):format(act.hit, did)
    end
  end
end

local function acts_words(acts)
  local first, last = acts[1], acts[#acts]
  if #acts == 1 then return ("hit %d, pid %d"):format(first.hit, first.pid) end
  return ("%d hits, %d to %d, pid %d"):format(#acts, first.hit, last.hit, first.pid)
end

-- {point, expr, pid, armed = what the log says was armed, hits, ended, ended_by_lab}; a hit's `held` is what
-- the log says of who stood still there
function M.hits(facts)
  if facts.armed ~= facts.expr then
    return nil, facts.armed and ("'%s' was armed instead"):format(tostring(facts.armed)) or "it was not armed"
  end
  for _, hit in ipairs(facts.hits) do
    if hit.pid ~= facts.pid then
      return nil, ("hit %s is of process %s, not of %d"):format(tostring(hit.hit), tostring(hit.pid),
        facts.pid)
    end
  end
  local acts, why = expression.replay(facts.expr, facts.hits)
  if not acts then return nil, why end
  if not acts[1] then return nil, "it never acted" end
  local ended, how = has_ended(facts, acts[#acts])
  if not ended then return nil, how end
  local moved = went_on(acts)
  if moved then return nil, moved end
  return acts_words(acts)
end

-- ---- processes ----

-- {pid, want = {signal | code}, ended}
function M.exit(facts)
  local got, want = ending_words(facts.ended), ending_words(facts.want)
  if not want or got ~= want then
    return nil, ("pid %d ended by %s, not by %s"):format(facts.pid, got or "nothing", tostring(want))
  end
  return want == "signal KILL" and ("signal 9, pid %d"):format(facts.pid)
    or ("%s, pid %d"):format(want, facts.pid)
end

-- {pid, state, want}
function M.state(facts)
  if facts.state ~= facts.want or not facts.want then
    return nil, ("pid %d is in state %s, not %s"):format(facts.pid, tostring(facts.state),
      tostring(facts.want))
  end
  return ("process state %s, pid %d"):format(facts.state, facts.pid)
end

-- {pid, before, after: whether it lived, signal}
function M.gone(facts)
  if facts.before ~= true then return nil, ("pid %d was not there before"):format(facts.pid) end
  if facts.after ~= false then return nil, ("pid %d is still there"):format(facts.pid) end
  return ("signal %d, pid %d %s"):format(facts.signal, facts.pid,
    facts.signal == 9 and "is gone" or "has gone")
end

local UNSEEN = { refused = "refused connections", silent = "did not answer" }

-- {server, fault, seen: "refused" or "silent", why, asked, seconds, early: seconds until it answered although
-- nobody had put it back, returned: it has answered since}. Who terminates a server may start it again.
function M.away(facts)
  local server, fault = tostring(facts.server), tostring(facts.fault)
  if not UNSEEN[facts.seen] then return nil, server .. " answered all the time" end
  if fault == "freeze" and facts.seen ~= "silent" then
    return nil, ("%s %s: it was gone, not frozen"):format(server, UNSEEN[facts.seen])
  end
  if facts.early and fault ~= "terminate" then
    return nil, ("%s answered by itself %.1f s after the %s, before it was to"):format(server, facts.early,
      fault)
  end
  return ("%s, which had answered, %s for %.1f s%s"):format(server, UNSEEN[facts.seen], facts.seconds,
    facts.returned and ", and answers again" or "")
end

-- ---- the wire ----

local function wire_words(facts)
  local last = facts.last or {}
  local who = last.client_id and " of " .. last.client_id or ""
  local which = last.correlation and (", correlation %d"):format(last.correlation) or ""
  local bytes = (facts.bytes or 0) > 0 and (", %d bytes lost"):format(facts.bytes) or ""
  return ("%d of %d matched on the wire%s%s%s"):format(facts.fired, facts.matched, who, which, bytes)
end

-- The request it acted on was the n-th: a rule that is spent counts no more matches.
local function right_one(facts)
  local times = facts.times or 1
  if not facts.nth or facts.chance or facts.fired < times then return true end
  local due = facts.nth + times - 1
  return facts.matched == due or nil, ("it acted on match %d, not on %d"):format(facts.matched, due)
end

-- {fired, matched, nth, times, chance, at_least, bytes, last}: what the counters moved since it was armed
function M.wire(facts)
  if not (number(facts.fired) and number(facts.at_least) and facts.at_least > 0) then
    return nil, "the proxy has no counter of it"
  end
  if facts.fired < facts.at_least then
    return nil, ("it acted %d of %d times, %d requests matched"):format(facts.fired, facts.at_least,
      facts.matched)
  end
  local right, why = right_one(facts)
  if not right then return nil, why end
  return wire_words(facts)
end

-- {directions = {{from, to, must, fired, bytes}}}: who asks whom, and what was swallowed
function M.parted(facts)
  local due, fired, bytes = 0, 0, 0
  for _, one in ipairs(facts.directions or {}) do
    due, bytes = due + (one.must and 1 or 0), bytes + one.bytes
    fired = fired + (one.must and one.fired > 0 and 1 or 0)
  end
  if due == 0 then return nil, "nobody asks anybody" end
  if fired < due then return nil, ("%d of %d directions were swallowed"):format(fired, due) end
  return ("%d of %d directions in which a follower asks swallowed, %d bytes so far"):format(fired, due, bytes)
end

-- {want, unheard, passed = {{up, down}}}: requests whose client heard nothing, and of each the bytes that the
-- proxy let through
function M.unheard(facts)
  local through = 0
  for _, one in ipairs(facts.passed) do through = through + (one.up > 0 and one.down == 0 and 1 or 0) end
  if not number(facts.want) or facts.want == 0 or through ~= facts.want or facts.unheard ~= facts.want then
    return nil, ("of %s requests %d passed with nothing coming back, and %s were not heard of"):format(
      tostring(facts.want), through, tostring(facts.unheard))
  end
  return ("%d requests passed the proxy, no byte of their answers did"):format(through)
end

-- ---- what an independent reader was told ----

local function as_wanted(got, want)
  if type(want) ~= "table" then return want ~= nil and got == want end
  return number(got) and number(want.at_least) and want.at_least > 0 and got >= want.at_least
end

local function want_words(want)
  return type(want) == "table" and "at least " .. tostring(want.at_least) or tostring(want)
end

-- {what, from, got, want, control}: that something is not there says nothing unless the same reader has seen
-- it somewhere
function M.read(facts)
  if facts.got == 0 then
    local control = facts.control
    local sees = type(control) == "table" and number(control.got) and control.got > 0
    if not sees then return nil, facts.what .. ": nothing was seen, and no control has seen anything" end
  end
  if not as_wanted(facts.got, facts.want) then
    return nil, ("%s: %s, not %s, says %s"):format(facts.what, tostring(facts.got), want_words(facts.want),
      facts.from)
  end
  return ("%s: %s, says %s"):format(facts.what, tostring(facts.got), facts.from)
end

-- {before, after}: how many there were of a key in Redis
function M.removed(facts)
  if facts.before ~= 1 then return nil, "the key was not there before" end
  if facts.after ~= 0 then return nil, "the key is still there" end
  return "EXISTS: 1 before, 0 after"
end

-- {got, want}: a committed offset
function M.offset(facts)
  if not number(facts.want) or facts.got ~= facts.want then
    return nil, ("the broker says offset %s, not %s"):format(tostring(facts.got), tostring(facts.want))
  end
  return ("the broker says offset %d"):format(facts.got)
end

-- {lso, hw}
function M.held_back(facts)
  if not (number(facts.lso) and number(facts.hw) and facts.lso < facts.hw) then
    return nil, ("LSO %s, HW %s: nothing is held back"):format(tostring(facts.lso), tostring(facts.hw))
  end
  return ("LSO %d < HW %d"):format(facts.lso, facts.hw)
end

-- {count, ends = ms at which each key ends, within}
function M.expiry(facts)
  local low, high = math.huge, -math.huge
  for _, at in ipairs(facts.ends) do
    if not (number(at) and at > 0) then return nil, ("a key has no end: %s"):format(tostring(at)) end
    low, high = math.min(low, at), math.max(high, at)
  end
  if #facts.ends ~= facts.count or facts.count == 0 then
    return nil, ("%d of %d keys have an end"):format(#facts.ends, facts.count)
  end
  if facts.within and high - low > facts.within then
    return nil, ("they end within %d ms, not %d"):format(high - low, facts.within)
  end
  return ("PEXPIRETIME of %d keys: they end within %d ms"):format(facts.count, high - low)
end

-- {before, after: bytes in the receive queue of a socket}
function M.queue(facts)
  if not (number(facts.before) and facts.before > 0) then return nil, "nothing is in its receive queue" end
  if facts.before ~= facts.after then
    return nil, ("its receive queue went from %d to %s bytes"):format(facts.before, tostring(facts.after))
  end
  return ("Recv-Q %d bytes, unchanged by the records behind it"):format(facts.before)
end

-- {thread, schema}: of a transaction that waits for a lock
function M.lock_wait(facts)
  if not number(facts.thread) then return nil, "no transaction waits for a lock" end
  return ("InnoDB shows a transaction of %s in LOCK WAIT, thread %d"):format(facts.schema, facts.thread)
end

return M
