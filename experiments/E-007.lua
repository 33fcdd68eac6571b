-- E-007: a producer dies in the middle of a transaction. Who still sees what is written behind it?
local batch = require "rlab.story.batch"
local tables = require "rlab.tables"
local writer = require "rlab.story.writer"

local PLAIN, WINDOW, LIMIT = 20, "3s", 3
local PLAIN0, PLAIN1 = batch.ids("plain0-", PLAIN), batch.ids("plain1-", PLAIN) -- by partition
local ABORTED, FOLLOWER_RECORDS = batch.ids("tx-", 10), batch.ids("acks1-", 5)

local function write_behind(lab, producer, topic)
  local list = tables.append(batch.of(topic, 0, PLAIN0), batch.of(topic, 1, PLAIN1))
  lab:send_all(producer, list, { p0 = PLAIN, p1 = PLAIN })
  lab:event("%d plain records on p0 and %d on p1 acknowledged, acks=all", PLAIN, PLAIN)
end

-- What the operator does after the crash; returns when, in seconds of the arm.
local function recover(lab, arm, id, crashed)
  local kind = arm.settings.restart
  if kind == "none" then return crashed end
  local new_id = kind == "same id" and id or lab:name("writer-" .. lab.rng:split("restart"):id():sub(1, 8))
  local from = writer.restart(lab, new_id)
  lab:event("writer restarted with %s", kind == "same id" and "the same id" or kind)
  return from
end

-- Seconds until a right arm shows them again: after the restart, or after the crash and a timeout of 1 s.
local function limit_of(arm)
  return arm.settings.restart == "none" and 1 + LIMIT or LIMIT
end

-- What is visible when the window ends is for the checks: a right arm that is late is violated.
local function watch_window(lab, arm, topic, readers)
  local window, held = lab:span("window", "3 s window"), nil
  if arm.class == "wrong" then
    held = not lab:within(WINDOW, function() return writer.held_back(lab, topic) == false end)
  else
    lab:within(limit_of(arm), function()
      return readers.main:all_at(PLAIN0) and readers.second:all_at(PLAIN0)
        and writer.held_back(lab, topic) == false
    end)
  end
  lab:within("1s", function() return readers.main:all_at(PLAIN1) end)
  window.over()
  lab:within("1s", function() return readers.dirty:all_at(PLAIN0) end)
  return held
end

local function story(lab, arm)
  local topic, id = lab:topic("orders", { partitions = 2 }), lab:name "writer"
  lab:watch(topic, 0, "p0")
  lab:watch(topic, 1, "p1")
  local main = lab:reader { topic = topic, partitions = 2, name = "reader-1" }
  local second = lab:reader { topic = topic, partitions = 2, name = "reader-2" }
  local dirty = lab:reader { topic = topic, partitions = 2, name = "reader-uncommitted",
    isolation = "read_uncommitted" }
  local plain = lab:producer { linger_ms = 0 }
  local crashed = writer.crash(lab, { topic = topic, transactional_id = id, ids = ABORTED,
    timeout_ms = arm.settings.transaction_timeout_ms })
  write_behind(lab, plain, topic)
  local fault, now = writer.left_open(lab, topic, id)
  if arm.name == "random-id" and not main:all_at(PLAIN0) then
    lab:anomaly(("%d records acknowledged, none of them visible"):format(PLAIN))
  end
  local seen = { topic = topic, lso = now.lso, hw = now.hw, leo = now.leo }
  local from = recover(lab, arm, id, crashed)
  seen.window_held = watch_window(lab, arm, topic, { main = main, second = second, dirty = dirty })
  seen.rc0, seen.rc1, seen.second0 = main:values(0), main:values(1), second:values(0)
  seen.ru0, seen.second1 = dirty:values(0), second:values(1)
  local aborted = batch.with_prefix(seen.ru0, "tx")
  if arm.name == "read-uncommitted" and aborted[1] then
    lab:anomaly(("delivered %s of a transaction that never committed"):format(aborted[1]),
      { at = dirty.at[aborted[1]] })
  end
  seen.coordinator = must(lab.run.admin:transaction(id)).state
  local ended_at = lab:now()
  if writer.held_back(lab, topic) ~= false then ended_at = writer.finish(lab, topic, id) end
  lab:await("the plain records of p0 on the reader", function() return main:all_at(PLAIN0) end)
  fault:over()
  if arm.class == "wrong" then
    lab:number("abort to visibility", math.max(0, main:all_at(PLAIN0) - ended_at), "s")
  end
  seen.unseen_seconds = lab:number("unseen", main:all_at(PLAIN0) - from, "s")
  now = lab:settled(topic, 0)
  seen.end_lso, seen.end_hw = now.lso, now.hw
  seen.rc, seen.ru = lab:read_both(topic)
  return seen
end

-- HW against LEO: an in-sync follower is frozen for a moment, so acks=1 writes lift the LEO and not the HW.
local function frozen_follower(lab)
  local topic = lab:topic("orders", { partitions = 1 })
  local producer = lab:producer { acks = 1, enable_idempotence = false, linger_ms = 0 }
  must(producer:send { topic = topic, partition = 0, value = "warm" })
  lab:settled(topic, 0)
  lab:watch(topic, 0, "p0")
  local frozen = lab:freeze("kafka-" .. lab:follower(topic))
  local sent = must(producer:send_batch(batch.of(topic, 0, FOLLOWER_RECORDS)))
  local now = lab:watermarks(topic, 0, "800ms")
  frozen.thaw()
  lab:settled(topic, 0) -- HW = LEO after SIGCONT
  local acked = #sent:acked()
  return { acked = acked, hw = now.hw, leo = now.leo,
    says = ("HW %d, LEO %d: %d acks=1 records wait for a frozen in-sync follower"):format(now.hw, now.leo,
      acked) }
end

local function show_window(lab, seen)
  lab:picture { title = "The window: one open transaction hides the records behind it", topic = seen.topic,
    note = "Offsets 0 to 9 belong to the open transaction. The LSO stands at its first record; everything \z
      above is acknowledged, replicated and unseen.", records = seen.ru.records,
    kind = function(record) return record.id:find "^tx" and "open" or "plain" end,
    marks = { low = 0, lso = seen.lso, hw = seen.hw, leo = seen.leo } }
end

local function sentence(seen, arm)
  local seen0, aborted = batch.with_prefix(seen.rc0, "plain0"), batch.with_prefix(seen.ru0, "tx")
  if arm.name == "random-id" then
    return ("%d acknowledged records unseen for the whole window of 3 s"):format(PLAIN - #seen0)
  elseif arm.name == "read-uncommitted" then
    return ("sees them at once, and %d records of a transaction that was aborted"):format(#aborted)
  end
  return ("visible %.1f s after the %s"):format(seen.unseen_seconds,
    arm.settings.restart == "none" and "crash" or "restart")
end

local function check_story(lab, seen, arm)
  local wrong, log = arm.class == "wrong", seen.rc.records
  lab.check.unseen { name = "unseen-p1", of = PLAIN1, seen = seen.rc1 }:expect "holds"
  if arm.name == "read-uncommitted" then
    lab.check.unseen { name = "unseen-p0", of = PLAIN0, seen = seen.ru0 }:expect "holds"
    lab.check.aborted_read { aborted = ABORTED, of = seen.ru0, details = seen.ru.records }:expect(ABORTED)
  else
    for name, got in pairs { [""] = { seen.rc0, seen.rc1 }, ["-second"] = { seen.second0, seen.second1 } } do
      lab.check.unseen { name = "unseen-p0" .. name, of = PLAIN0, seen = got[1], details = seen.ru.records,
        control = { what = "p1 on this reader", seen = #got[2] } }:expect { wrong = PLAIN0, right = "holds" }
    end
  end
  local there = #(bag.from(ABORTED) & bag.from(seen.ru.records))
  lab.check.aborted_read { name = "aborted-read-log", aborted = ABORTED, of = log,
    control = { what = "aborted records in the log", seen = there } }:expect "holds"
  lab.check.same { name = "log", got = log, want = tables.append(batch.ids("plain0-", PLAIN), PLAIN1),
    what = "plain ids in the log" }:expect "holds"
  lab.check.agree { { "lso-at-end", seen.end_lso, seen.end_hw, "is the LSO at the end" },
    { "transaction", seen.coordinator == "Ongoing" and "open" or "ended", wrong and "open" or "ended",
      "is the old transaction when the window ends" } }
  if wrong then
    lab.check.agree { { "window", seen.window_held, true, "is whether LSO < HW lasted 3 s" } }
  else
    lab.check.bound { name = "visible-again", value = seen.unseen_seconds, at_most = limit_of(arm),
      unit = "s", what = "visible after", why = "the window of the wrong arms" }:expect "holds"
  end
end

return experiment {
  id = "E-007", title = "An open transaction holds back the last stable offset",
  question = "Why does a read_committed consumer see nothing although records arrive and are acknowledged?",
  claim = "One open transaction hides everything behind it in its partition; a stable transactional.id or \z
    a short timeout ends it.",
  lesson = "One open transaction hides everything behind it in its partition, other producers' records too.",
  needs = { "kafka" }, disrupts = { "kafka" }, faults = { kafka = { "freeze" } }, seconds = 9,
  side_by_side = { { "random-id", "read-uncommitted", "stable-id" } }, -- a timeout of 1 s needs quiet
  telling = { { "p0.hw - p0.lso", "offsets hidden", nil, "for" }, { "aborted-read", "aborted ones read" } },
  arms = {
    wrong "random-id" { says = "a new transactional.id at every start: nobody ends the old transaction",
      restart = "a new random id", transaction_timeout_ms = 60000 },
    wrong "read-uncommitted" { says = "the reader's isolation level as the fix",
      restart = "a new random id", transaction_timeout_ms = 60000, isolation = "read_uncommitted" },
    right "stable-id" { says = "init_transactions of the restarted writer ends the old transaction",
      restart = "same id", transaction_timeout_ms = 60000 },
    right "short-timeout" { says = "transaction.timeout.ms = 1000: the coordinator aborts by itself",
      restart = "none", transaction_timeout_ms = 1000 },
    observe "hw-against-leo" { says = "an in-sync follower frozen while acks=1 records arrive", acks = 1 },
  },

  roles = { writer = writer.role },

  run = function(lab, arm)
    if arm.class == "observe" then return frozen_follower(lab) end
    local seen = story(lab, arm)
    seen.says = sentence(seen, arm)
    if arm.name == "random-id" then show_window(lab, seen) end
    return seen
  end,

  moment = require "rlab.story.moment.transaction",
  checks = function(lab, seen, arm)
    if arm.class ~= "observe" then return check_story(lab, seen, arm) end
    lab.check.agree { { "leo-minus-hw", seen.leo - seen.hw, seen.acked, "offsets between HW and LEO" },
      { "acked", seen.acked, #FOLLOWER_RECORDS, "records acknowledged" } }
  end,

  verdict = function(arms)
    local wrong, stable, short = arms["random-id"], arms["stable-id"], arms["short-timeout"]
    if not (wrong and stable and short) then return nil end
    local words = "With a random transactional.id %d acknowledged records stayed unseen until the old \z
      transaction was ended by hand; a stable id freed them in %.1f s, a short timeout in %.1f s."
    return words:format(PLAIN, stable.unseen_seconds, short.unseen_seconds)
  end,
}
