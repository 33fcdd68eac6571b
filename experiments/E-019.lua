-- E-019: transfers in opposite directions run into each other twenty times, and twice one waits for a lock
-- that is held for too long. What decides is what the consumer does on 1213 and on 1205.
local transfers = require "rlab.story.transfers"

local PAIRS, WAITS = 20, 2
local BESIDE, BESIDE_A_WAIT = 2, 10 -- deposits with each of them
local DEPOSITS = PAIRS * BESIDE + WAITS * BESIDE_A_WAIT
local EVENTS, LEGS = 2 * (PAIRS + WAITS) + DEPOSITS, 4 * (PAIRS + WAITS) + DEPOSITS

-- What else has to happen while a lock is held: nothing where its holder has both.
local function until_(arm)
  if arm.settings.lock_order == "id" then return nil end
  return arm.settings.on_lock_wait == "repeat-statement" and "deposit-waits" or "deposit-goes-on"
end

local function says(arm, seen)
  local lost = #(bag.from(seen.planned) - bag.from(seen.legs))
  if #seen.parked > 0 then return ("%d healthy transfers in the DLQ"):format(#seen.parked) end
  if lost > 0 then return ("%d legs lost: %+d cents"):format(lost, seen.off) end
  if until_(arm) == "deposit-waits" then
    return ("a deposit waits %.1f s for a transaction that waits itself"):format(seen.held_s)
  end
  return ("%d deadlocks, %d lock waits, each of %d legs once"):format(#seen.deadlocked, #seen.timed_out,
    #seen.legs)
end

local function run(lab, arm)
  local bank = transfers.open(lab, { pairs = PAIRS, waits = WAITS })
  lab:watch_pipeline { "applied" }
  bank:start(arm.settings)
  for k = 1, PAIRS + WAITS do
    if k <= PAIRS then bank:meet(k, BESIDE) else bank:hold(k, BESIDE_A_WAIT, until_(arm)) end
    lab:progress(k, PAIRS + WAITS, "pairs")
  end
  lab:issued("events", bank.transferred + bank.deposited, EVENTS)
  local seen = bank:look()
  seen.says = says(arm, seen)
  if arm.class == "wrong" then lab:anomaly(seen.says) end
  if #seen.parked > 0 then seen.after = bank:replay() end
  return seen
end

-- The legs that the answer to these errors loses, and how far that puts the view off.
local function expected(seen, s)
  local lost, off = {}, 0
  local function lose(ids, word)
    for _, id in ipairs(ids) do lost[#lost + 1] = ("%s %s"):format(id, word) end
  end
  if s.on_deadlock == "dlq" then
    for _, word in ipairs { "debit", "credit" } do lose(seen.parked, word) end
  elseif s.on_deadlock == "repeat-statement" then
    lose(seen.deadlocked, "debit")
    off = seen.deadlocked_cents
  elseif s.on_lock_wait == "restart" then
    lose(seen.timed_out, "credit")
    off = -seen.timed_out_cents
  end
  return lost, off
end

local function check_answers(lab, seen, arm)
  local in_order = arm.settings.lock_order == "id"
  lab.check.agree { { "pairs-that-cannot-meet", seen.blocked, in_order and PAIRS or 0,
    "pairs of which one waits for the other's first lock", control = #seen.legs } }
  if in_order then
    lab.check.equals { name = "deadlocks", got = #seen.deadlocked, want = 0, what = "deadlocks",
      control = #seen.legs }:expect "holds"
    return
  end
  lab.check.enough { name = "deadlocked", seen = #seen.deadlocked, at_least = PAIRS,
    what = "transfers ended by 1213" }
  lab.check.bound { name = "others-go-on", value = seen.went_on, at_least = WAITS, control = #seen.legs,
    what = "committed while the lock that their account's transfer waits for was held", unit = "deposits" }
    :expect { ["repeats-holding-its-lock"] = "violated", wrong = "holds", right = "holds" }
  if arm.class == "right" then
    lab.check.bound { name = "retries", value = seen.repeats, at_least = PAIRS,
      what = "transactions repeated" }:expect "holds"
  end
end

return experiment {
  id = "E-019",
  title = "Deadlocks and lock waits in the processing transaction",
  question = "What must a consumer do on error 1213 and on 1205?",
  claim = "Roll back and do the whole transaction again: 1213 has rolled back everything, 1205 one \z
    statement only. Locks in one order leave no deadlock to answer.",
  lesson = "1213 rolled back everything, 1205 only one statement: in both cases ROLLBACK, and repeat it all.",
  needs = { "kafka", "mysql" }, seconds = 14,
  side_by_side = true,
  telling = { { "leg-lost", "legs of transfers lost" }, { "conservation", "money off" },
    { "others-go-on", "deposits that went on meanwhile" } },
  arms = {
    wrong "parks-at-once" { says = "any SQL error: ROLLBACK, and to the DLQ", lock_order = "event",
      on_deadlock = "dlq", on_lock_wait = "dlq" },
    wrong "repeats-the-statement" { says = "after 1213 the failed statement once more", lock_order = "event",
      on_deadlock = "repeat-statement" },
    wrong "begins-without-rollback" { says = "after 1205 START TRANSACTION, without a ROLLBACK",
      lock_order = "event", on_lock_wait = "restart" },
    wrong "repeats-holding-its-lock" { says = "after 1205 the statement again and again, its first lock in \z
      hand", lock_order = "event", on_lock_wait = "repeat-statement" },
    right "retries-the-whole" { says = "ROLLBACK and all of it again, 5 tries, 10 to 160 ms with full jitter",
      lock_order = "event" },
    right "locks-in-order" { says = "the same, and accounts are locked in the order of their ids",
      lock_order = "id" },
  },

  setup = transfers.check_server,
  run = run,

  moment = require "rlab.story.moment.transfers",
  checks = function(lab, seen, arm)
    local s, victims = arm.settings, bag.from(seen.deadlocked)
    local lost, off = expected(seen, s)
    for _, id in ipairs(seen.timed_out) do victims:add(id) end
    lab.check.lost { name = "leg-lost", of = seen.planned, in_ = seen.legs, at_least = LEGS }:expect(lost)
    lab.check.duplicate { name = "leg-twice", of = seen.legs }:expect "holds"
    lab.check.phantom { of = seen.legs, in_ = seen.planned }:expect "holds"
    lab.check.same { name = "parked", got = seen.parked, what = "parked transfers", control = #seen.legs,
      want = s.on_deadlock == "dlq" and victims:ids() or {} }:expect "holds"
    lab.check.conservation { ledger = seen.sums.ledger, view = seen.sums.view, unit = "cents" }:expect(off)
    lab.check.enough { name = "timed-out", seen = #seen.timed_out, at_least = WAITS,
      what = "transfers answered 1205" }
    lab.check.enough { name = "held", seen = seen.held_s, at_least = 1, unit = "s", what = "a lock was held" }
    check_answers(lab, seen, arm)
    if s.on_deadlock == "dlq" then
      lab.check.lost { name = "healthy-when-replayed", of = seen.planned, in_ = seen.after }:expect "holds"
    end
  end,

  verdict = function(arms)
    local parks, statement, begins, right = arms["parks-at-once"], arms["repeats-the-statement"],
      arms["begins-without-rollback"], arms["retries-the-whole"]
    if not (parks and statement and begins and right) then return nil end
    return ("Of %d events, %d healthy ones went to the DLQ where an error is final; repeating a statement \z
      is %+d cents off, beginning again without ROLLBACK %+d, the whole again %d."):format(EVENTS,
      #parks.parked, statement.off, begins.off, right.off)
  end,
}
