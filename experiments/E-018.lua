-- E-018: a handler that takes longer than its member may be silent, and a member that stands still for longer
-- than its session: what that does to the whole group, under each protocol.
local members = require "rlab.story.members"

local EVENTS, SLOW = 400, { 61, 121 } -- both slow ones are on partition 0
local WINDOW_S, FREEZES, FREEZE_S = 10, 3, 1.5
local STORM = 3 -- rebalances in the window
local LEAST_EXCEEDED = 2

local function freezes(arm)
  return arm.settings.frozen == true
end

-- Who is thrown out for its handler comes to no end: the window ends it.
local function goes_round(arm)
  return not freezes(arm) and arm.class ~= "right"
end

local function stand_still(group, arm)
  for i = 1, FREEZES do
    group:stop_short(EVENTS * i // FREEZES - EVENTS * (i - 1) // FREEZES, FREEZE_S, arm.class == "wrong")
    group:divided_again()
  end
end

-- The slow event that the group has not passed, else the first.
local function stuck_at(seen)
  for _, slow in ipairs(seen.slow) do
    if slow.offset >= (seen.committed["0"] or 0) then return slow end
  end
  return seen.slow[1]
end

local function says(arm, seen)
  if goes_round(arm) and not seen.drained_s then
    local slow = stuck_at(seen)
    return ("%d rebalances, the slow event %s came %d times and is still to be done"):format(seen.rebalances,
      slow.id:match "%d+", bag.from(seen.deliveries):count(slow.id))
  elseif freezes(arm) and arm.class == "wrong" then
    return ("%d rebalances for %d pauses of %.1f s, %d records again"):format(seen.rebalances, FREEZES,
      FREEZE_S, seen.again)
  end
  return ("%d rebalances, %d records again, all done after %.1f s"):format(seen.rebalances, seen.again,
    seen.drained_s)
end

local function run(lab, arm)
  local group = members.open(lab, arm.settings)
  if freezes(arm) then
    stand_still(group, arm)
  else
    group:publish(EVENTS, SLOW)
  end
  if goes_round(arm) then group:go_round(WINDOW_S, STORM + 1) else group:drain() end
  local seen = group:look()
  lab:issued("events", #seen.records, EVENTS)
  seen.says = says(arm, seen)
  if arm.class == "wrong" then lab:anomaly(seen.says, { at = seen.upset_at }) end
  return seen
end

local function session_of(arm)
  return (arm.settings.session_timeout_ms or 2000) / 1000
end

-- A member that had no processor for most of its session (or interval) loses it by that, if it was since all
-- were settled, or just before.
local function of_a_member(check, seen, seconds)
  check:explained_by({ from = seen.watched.from - seconds, to = seen.watched.to }, seconds)
end

local function check_rebalances(lab, seen, arm)
  local wrong, control = arm.class == "wrong", #seen.deliveries
  local stays = lab.check.bound { name = "rebalances", value = seen.rebalances, at_most = 0,
    what = "once all were settled", unit = "rebalances", control = control }
  stays:expect { wrong = "violated", right = "holds" }
  of_a_member(stays, seen, session_of(arm))
  if wrong then
    local storm = lab.check.bound { name = "storm", value = seen.rebalances, at_least = STORM,
      what = "once all were settled", unit = "rebalances" }
    storm:expect "holds"
    of_a_member(storm, seen, session_of(arm))
  end
  if goes_round(arm) then
    lab.check.bound { name = "poll-interval-exceeded", value = seen.exceeded, at_least = LEAST_EXCEEDED,
      control = control, what = "times a member left for its silence" }:expect "holds"
  else
    local silent = lab.check.equals { name = "poll-interval-exceeded", got = seen.exceeded, want = 0,
      control = control, what = "times a member left for its silence" }
    silent:expect "holds"
    of_a_member(silent, seen, arm.settings.max_poll_interval_ms / 1000)
  end
end

local function check_progress(lab, seen, arm)
  if freezes(arm) or arm.class == "observe" then return end
  local slow, count = seen.slow[1], bag.from(seen.deliveries)
  local once = lab.check.bound { name = "deliveries", value = count:count(slow.id), at_most = 1,
    what = "of the first slow event", unit = "deliveries", control = #seen.deliveries }
  once:expect { wrong = "violated", right = "holds" }
  of_a_member(once, seen, session_of(arm))
  if arm.class == "right" then return end
  lab.check.equals { name = "stays", got = seen.committed["0"], want = slow.offset, control = #seen.records,
    what = "is the committed offset of the slow partition" }:expect "holds"
  lab.check.bound { name = "comes-again", value = count:count(slow.id), at_least = STORM,
    what = "of the first slow event", unit = "deliveries" }:expect "holds"
end

return experiment {
  id = "E-018",
  title = "Rebalance storm",
  question = "Why does one slow handler stop the whole group, and what stops the storm?",
  claim = "A handler that takes longer than max.poll.interval.ms is thrown out before it can commit and \z
    starts over for ever, and each time the whole group stops.",
  lesson = "Go on polling while you work: pause the partition. Give the interval and the session room for \z
    the longest handler and the longest pause.",
  needs = { "kafka", "mysql" },
  side_by_side = 4,
  telling = { { "delivered again", "records delivered again" },
    { "seconds.no progress", "without progress at most", "s", "most" } },
  arms = {
    wrong "slow-handler-eager" { says = "classic, range: the handler runs in the poll loop",
      partition_assignment_strategy = "range", session_timeout_ms = 1000, heartbeat_interval_ms = 300,
      max_poll_interval_ms = 1500 },
    wrong "frozen-short-session" { says = "a member stands still for 1.5 s, its session is 1 s",
      frozen = true, partition_assignment_strategy = "range", session_timeout_ms = 1000,
      heartbeat_interval_ms = 300, max_poll_interval_ms = 10000 },
    wrong "slow-handler-no-dedup" { says = "the first one without a dedup row",
      partition_assignment_strategy = "range", session_timeout_ms = 1000, heartbeat_interval_ms = 300,
      max_poll_interval_ms = 1500, dedup = false },
    observe "slow-handler-kip-848" { says = "the new protocol with the handler in the poll loop",
      group_protocol = "consumer", max_poll_interval_ms = 1500 },
    right "paused-and-polled" { says = "the first one, with the partition paused and the handler beside the \z
      poll loop", partition_assignment_strategy = "range", session_timeout_ms = 1000,
      heartbeat_interval_ms = 300, max_poll_interval_ms = 1500, aside = true },
    right "cooperative-patient" { says = "the handler in the poll loop, cooperative-sticky, 10 s of silence",
      partition_assignment_strategy = "cooperative-sticky", session_timeout_ms = 1000,
      heartbeat_interval_ms = 300, max_poll_interval_ms = 10000 },
    right "frozen-long-session" { says = "a member stands still for 1.5 s, its session is 4 s", frozen = true,
      partition_assignment_strategy = "range", session_timeout_ms = 4000, heartbeat_interval_ms = 500,
      max_poll_interval_ms = 10000 },
    right "paused-kip-848" { says = "the new protocol, paused and polled", group_protocol = "consumer",
      max_poll_interval_ms = 1500, aside = true },
  },

  roles = { member = members.role },

  run = run,

  moment = require "rlab.story.moment.members",
  checks = function(lab, seen, arm)
    local twice = bag.from(seen.effects):duplicates()
    lab.check.lost_effect { of = seen.records, committed = seen.committed, effects = seen.effects }
      :expect "holds"
    lab.check.duplicate_effect { of = seen.effects }
      :expect { ["slow-handler-no-dedup"] = "violated", wrong = "holds", right = "holds", observe = "holds" }
    if arm.settings.dedup == false then
      lab.check.lost { name = "the slow event is among them", of = { seen.slow[1].id }, in_ = twice }
        :expect "holds"
    end
    if arm.class ~= "observe" then check_rebalances(lab, seen, arm) end
    check_progress(lab, seen, arm)
    lab.check.agree { { "protocol", seen.protocol, arm.settings.group_protocol
      or arm.settings.partition_assignment_strategy, "is what the coordinator calls it" } }
    if arm.class == "wrong" and goes_round(arm) then
      lab.check.unseen { of = seen.behind, seen = seen.deliveries }:expect(seen.behind)
    end
  end,

  verdict = function(arms)
    local eager, paused, cooperative, new = arms["slow-handler-eager"], arms["paused-and-polled"],
      arms["cooperative-patient"], arms["paused-kip-848"]
    if not (eager and paused and cooperative and new) then return nil end
    return ("One slow handler cost an eager group %d rebalances in %.0f s, %.1f s of them without progress \z
      (%.1f s healthy by heartbeat); paused and polled all is done after %.1f s (KIP-848 %.1f s), with \z
      0."):format(eager.rebalances, eager.window_s, eager.still_s, eager.healthy_s, paused.drained_s,
      new.drained_s)
  end,
}
