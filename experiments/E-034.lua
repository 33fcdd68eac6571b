-- E-034: four members are restarted one after the other, with and without names of their own; and two members
-- have one name. What does each restart cost the three that stay?
local rolling = require "rlab.story.group.rolling"

local RESTARTS = 4

local function says(seen, arm)
  local one = seen.refused[1]
  if seen.lost[1] and (one or arm.class ~= "observe") then
    return seen.lost[1] .. " lost its session, although it lived"
  end
  if arm.settings.rival then
    return ("two with one name: %s is refused with %d"):format(one.member, one.code)
  end
  return ("%d restarts, rebalances: %d, %.1f member-seconds without a partition"):format(RESTARTS,
    seen.rebalances, seen.idle_s)
end

local function run(lab, arm)
  local group = rolling.open(lab, arm.settings)
  if arm.settings.rival then
    group:rival()
  else
    for i = 1, RESTARTS do
      if not group:restart(i) then break end
    end
  end
  group:drain()
  local seen = group:look()
  seen.says = says(seen, arm)
  if arm.class == "wrong" then lab:anomaly(seen.says) end
  return seen
end

local function session_s(arm) return (arm.settings.session_timeout_ms or 2000) / 1000 end

-- Whether the restarts can be told of: nothing is known of them where one that lived lost its session, or,
-- under observation, was out for good by it.
local function of_sessions(lab, seen, arm)
  if arm.class == "observe" and not seen.refused[1] then return true end
  local kept = lab.check.bound { name = "sessions", value = #seen.lost, at_most = 0, unit = "sessions",
    what = "lost by members that lived:", control = #seen.deliveries }:expect "holds"
  kept:explained_by(seen.watched, session_s(arm))
  return #seen.lost == 0
end

local function check_rebalances(lab, seen, arm)
  local stays = lab.check.bound { name = "rebalances", value = seen.rebalances, at_most = 0,
    unit = "rebalances", what = "by four restarts", control = #seen.deliveries }
  stays:expect { wrong = "violated", right = "holds" }
  local slowest = seen.slowest
  if slowest.to - slowest.from < session_s(arm) then slowest = { from = slowest.to, to = slowest.to } end
  stays:explained_by(slowest, session_s(arm)) -- no machine makes a restart of less a rebalance, or undoes one
  if arm.class ~= "wrong" then return end
  local each = arm.settings.thrown_out and 2 or 1 -- out, and in again: two that cannot be one
  lab.check.bound { name = "each-restart", value = seen.rebalances, at_least = each * RESTARTS,
    unit = "rebalances", what = "by four restarts", control = #seen.deliveries }:expect "holds"
end

return experiment {
  id = "E-034", title = "Static membership and rolling restarts",
  question = "Does group.instance.id make a rolling restart harmless, and what does it take in exchange?",
  claim = "A dynamic member costs the group up to two rebalances each time it restarts, a static one none, \z
    as long as it is back within its session. Two with the same name are one too many: the classic protocol \z
    ends the old one, KIP-848 the new one.",
  lesson = "Give each member a name that is its own for ever, such as a StatefulSet's ordinal, and a \z
    session longer than a restart. Nobody takes over its partitions meanwhile.",
  needs = { "kafka", "mysql" }, seconds = 25,
  side_by_side = { { "dynamic", "static-short-session", "static" },
    { "one-name-twice", "one-name-twice-kip-848", "dynamic-kip-848", "static-kip-848" } },
  telling = { { "rebalances + refused", "rebalances, or members refused" },
    { "member-seconds without a partition", "without a partition", "s" } },
  arms = {
    wrong "dynamic" { says = "classic, range: members without a name",
      partition_assignment_strategy = "range", session_timeout_ms = 7000, heartbeat_interval_ms = 300 },
    wrong "static-short-session" { says = "static members whose session is shorter than a restart",
      static = true, thrown_out = true, partition_assignment_strategy = "range", session_timeout_ms = 2000,
      heartbeat_interval_ms = 300 },
    wrong "one-name-twice" { says = "a second process with the name of one that lives", static = true,
      rival = true, partition_assignment_strategy = "range", session_timeout_ms = 5000,
      heartbeat_interval_ms = 300, refuses = 82, who = "member-4" },
    wrong "one-name-twice-kip-848" { says = "the same under the new protocol", static = true, rival = true,
      group_protocol = "consumer", refuses = 111, who = "rival" },
    right "static" { says = "static members, a session of 7 s", static = true,
      partition_assignment_strategy = "range", session_timeout_ms = 7000, heartbeat_interval_ms = 300 },
    observe "dynamic-kip-848" { says = "the new protocol, members without a name",
      group_protocol = "consumer" },
    observe "static-kip-848" { says = "the new protocol, static members", static = true,
      group_protocol = "consumer" },
  },

  roles = { member = rolling.role },

  run = run,

  moment = require "rlab.story.moment.rolling",
  checks = function(lab, seen, arm)
    local s = arm.settings
    if not of_sessions(lab, seen, arm) then return end
    lab.check.lost_effect { of = seen.records, committed = seen.committed, effects = seen.effects }
      :expect "holds"
    lab.check.duplicate_effect { of = seen.effects }:expect "holds"
    if arm.class ~= "observe" then
      lab.check.bound { name = "refused", value = #seen.refused, at_most = 0, unit = "members",
        what = "were refused for their name:", control = #seen.deliveries }
        :expect(s.rival and "violated" or "holds")
    end
    if s.rival then
      lab.check.agree { { "code", seen.refused[1].code, s.refuses, "is the coordinator's error" },
        { "who", seen.refused[1].member, s.who, "is told so" } }
    elseif arm.class ~= "observe" then
      check_rebalances(lab, seen, arm)
    end
  end,

  verdict = function(arms)
    local dynamic, short, static, new = arms["dynamic"], arms["static-short-session"], arms["static"],
      arms["static-kip-848"]
    if not (dynamic and short and static and new) then return nil end
    return ("Four restarts cost a dynamic group %d rebalances, a static one %d, and %d where the session is \z
      shorter than a restart; KIP-848 with names %d."):format(dynamic.rebalances, static.rebalances,
      short.rebalances, new.rebalances)
  end,
}
