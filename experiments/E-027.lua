-- E-027: a relay has ten rows in its hands and stands still for longer than its lease. Another publishes
-- them, and the next version of each account. Then the first goes on. What does it send, and what mark?
local tables = require "rlab.tables"
local zombie = require "rlab.story.relay.zombie"

local ACCOUNTS, ROUNDS = 10, 3 -- each round is the next version of each account

local function plan(lab)
  local list = lab:plan(ACCOUNTS * ROUNDS, ACCOUNTS, "evt")
  for i, one in ipairs(list) do one.account = 1 + (i - 1) % ACCOUNTS end
  return list
end

local function publish(lab, list, round, name, what)
  local first = (round - 1) * ACCOUNTS + 1
  local part = table.move(list, first, first + ACCOUNTS - 1, 1, {})
  local operation = lab:invoke("writer", "commit", part)
  lab:publish { list = part, outbox = true }
  operation:over "ok"
  if name then lab:owed(name, what, function() return lab:unsent() == 0 end, "15s") end
  return tables.ids_of(part)
end

local function story(lab, arm)
  local s, list, seen = arm.settings, plan(lab), {}
  seen.claimed = publish(lab, list, 1)
  local first = zombie.stop(lab, s)
  zombie.start(lab, s)
  lab:owed("taken-over", "the other relay publishes what the first had claimed",
    function() return lab:unsent() == 0 end, "15s")
  publish(lab, list, 2, "goes-on", "the other relay publishes what comes next")
  seen.marks, seen.holder = zombie.marks(lab), zombie.holder(lab)
  seen.first = zombie.go_on(lab, first)
  seen.other_holder = first.holder and first.holder ~= seen.holder or nil
  seen.zombie, seen.marks_then = lab:records(lab:event_topic()), zombie.marks(lab)
  publish(lab, list, 3, "goes-on-afterwards", "what comes when both run is published")
  seen.all, seen.records = tables.ids_of(list), lab:records(lab:event_topic())
  seen.outbox = lab:stores().outbox
  return seen
end

local function says(seen)
  if #seen.twice == 0 then
    return ("%d events once each, %d rows marked by a stranger"):format(#seen.zombie, #seen.foreign)
  end
  return ("%d events twice, %d of %d accounts end at an old version, %d rows marked by a stranger"):format(
    #seen.twice, #seen.old, ACCOUNTS, #seen.foreign)
end

local function show(lab, seen, arm)
  local again = tables.set_of(seen.twice)
  lab:picture { title = "What a zombie leaves in the topic", records = zombie.copies(seen.zombie),
    note = arm.says .. ".", kind = function(record)
      return again[record.id:gsub(" again$", "")] and "doubled" or "plain"
    end }
end

local function run(lab, arm)
  lab:event_topic { partitions = 1 }
  lab:watch_pipeline { "backlog" }
  local seen = story(lab, arm)
  seen.twice = zombie.twice(seen.zombie)
  seen.old, seen.foreign = zombie.left_old(seen.zombie), zombie.changed(seen.marks, seen.marks_then)
  seen.says = says(seen)
  lab:number("twice in the topic", #seen.twice, "events")
  lab:number("accounts whose last record is old", #seen.old)
  lab:number("rows marked by a stranger", #seen.foreign)
  if arm.class == "wrong" then
    show(lab, seen, arm)
    lab:anomaly(seen.says)
  end
  return seen
end

-- What becomes of the ten rows in the first relay's hands, by its own count; and what others' hands did.
local function check_fate(lab, seen, arm)
  local first = seen.first
  local fates = { ["mark-by-id"] = { "marked", first.marked }, ["get-lock"] = { "marked", first.marked },
    ["token-only"] = { "fenced", first.fenced }, ["token-and-transactions"] = { "refused", first.retries } }
  local fate = fates[arm.name]
  if fate then
    lab.check.agree { { fate[1], fate[2], ACCOUNTS, "rows that the first relay had claimed",
      control = first.polls } }
  else
    lab.check.agree { { "sent", first.acked, 0, "rows were sent by the first relay",
      control = #seen.marks } }
  end
  if arm.name == "get-lock" then
    lab.check.agree { { "two-leaders", seen.other_holder, true, "(another session has the lock)" } }
  end
end

return experiment {
  id = "E-027",
  title = "Zombie relay, lapsed lease",
  question = "What does a relay do that was frozen for longer than its lease?",
  claim = "It goes on with what it has claimed: events come again behind newer ones of their key. A token \z
    fences its marks, a transactional.id its records, and the clock its claims.",
  lesson = "A lease says who may begin, not who has ended. Fence every store that is written: the table by \z
    a token, the topic by a stable transactional.id.",
  needs = { "kafka", "mysql", "proxy" }, seconds = 4,
  side_by_side = true,
  telling = { { "duplicate-publish", "events twice in the topic" },
    { "accounts whose last record is old", "accounts whose last record is old" },
    { "rows marked by a stranger", "rows marked by a stranger" } },
  arms = {
    wrong "mark-by-id" { says = "a lease of 1 s, and marks by id alone", stopped = "after-claim",
      fence = false },
    wrong "get-lock" { says = "GET_LOCK elects the leader, and its session is cut", stopped = "session-cut",
      leader = "lock" },
    wrong "token-only" { says = "a token guards the marks, nothing guards the topic",
      stopped = "after-claim" },
    right "token-and-transactions" { says = "a token guards the marks, a stable transactional.id the topic",
      stopped = "after-claim", transactional = true },
    right "asks-the-clock" { says = "frozen before it has read its rows: a lapsed lease claims nothing",
      stopped = "before-answer" },
  },

  run = run,

  moment = require "rlab.story.moment.zombie",
  checks = function(lab, seen, arm)
    local wrong, again, keys = arm.class == "wrong", {}, {}
    local claimed = wrong and seen.claimed or {}
    for i, id in ipairs(claimed) do again[i], keys[i] = id .. " again", tostring(i) end
    lab.check.duplicate_publish { of = seen.zombie, at_least = 2 * ACCOUNTS }
      :expect(wrong and claimed or "holds")
    lab.check.reorder { of = zombie.copies(seen.zombie), what = "publish" }:expect(wrong and again or "holds")
    lab.check.same { name = "left-old", got = seen.old, want = wrong and keys or {},
      what = "accounts whose last record is an old one", control = #seen.zombie }:expect "holds"
    lab.check.same { name = "foreign-marks", got = seen.foreign, control = #seen.marks_then,
      want = (arm.settings.fence == false or arm.settings.leader) and claimed or {},
      what = "rows marked by a relay that has no right to them" }:expect "holds"
    lab.check.lost { of = seen.all, in_ = seen.records, at_least = ACCOUNTS * ROUNDS }:expect "holds"
    lab.check.stranger { of = seen.records, outbox = seen.outbox }:expect "holds"
    check_fate(lab, seen, arm)
  end,

  verdict = function(arms)
    local id, token, right = arms["mark-by-id"], arms["token-only"], arms["token-and-transactions"]
    if not (id and token and right) then return nil end
    return ("A relay that was frozen for longer than its lease sends %d events again and marks %d rows of \z
      another; with a token %d and %d; with a transactional.id as well %d and %d."):format(#id.twice,
      #id.foreign, #token.twice, #token.foreign, #right.twice, #right.foreign)
  end,
}
