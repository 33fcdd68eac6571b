-- E-007: a producer dies in the middle of a transaction. Who still sees what is written behind it?
local IN_TRANSACTION, PLAIN, WINDOW, FOLLOWER_RECORDS = 10, 20, "3s", 5
local LIMIT = 3

local function ids_of(prefix, n)
  local list = {}
  for i = 1, n do list[i] = ("%s-%02d"):format(prefix, i) end
  return list
end

local function messages(topic, partition, ids)
  local list = {}
  for i, id in ipairs(ids) do list[i] = { topic = topic, partition = partition, value = id } end
  return list
end

local function with_prefix(list, prefix)
  local found = {}
  for _, id in ipairs(list) do
    if id:sub(1, #prefix) == prefix then found[#found + 1] = id end
  end
  return found
end

-- ---- the transactional writer, a process of its own ----

local function writer(ctx)
  local timeout = ctx.args.timeout_ms
  local producer <close> = must(kafka.producer { brokers = ctx.brokers,
    transactional_id = ctx.args.transactional_id, linger_ms = 0,
    ["transaction.timeout.ms"] = timeout, ["message.timeout.ms"] = timeout })
  must(producer:init_transactions "20s")
  ctx.say "initialised"
  if not ctx.args.topic then return end
  must(producer:begin())
  must(producer:submit(messages(ctx.args.topic, 0, ids_of("tx", IN_TRANSACTION))))
  must(producer:flush "10s")
  ctx.say "flushed"
  fail.point("writer.before_commit", {})
  must(producer:commit "10s")
end

-- ---- readers: tasks that note what they saw and when ----

local function reader(lab, topic, isolation, name)
  local consumer = lab:consumer { isolation_level = isolation, group = lab:name(name),
    enable_auto_commit = false, fetch_wait_max_ms = 50 }
  must(consumer:assign { { topic = topic, partition = 0, offset = "earliest" },
    { topic = topic, partition = 1, offset = "earliest" } })
  local seen = { [0] = {}, [1] = {}, at = {} }
  lab:background("the " .. isolation .. " reader", function()
    while true do
      for record in must(consumer:poll(100, "50ms")):each() do
        if record.err and not record.eof then error(record.err, 0) end
        if not record.eof then
          table.insert(seen[record.partition], record.value)
          seen.at[record.value] = lab:now()
        end
      end
    end
  end)
  return seen
end

-- When the reader had seen all of the list (seconds since the arm's start), or nil.
local function seen_at(seen, list)
  local last = 0
  for _, id in ipairs(list) do
    if not seen.at[id] then return nil end
    last = math.max(last, seen.at[id])
  end
  return last
end

local function copy(list)
  return table.move(list, 1, #list, 1, {})
end

-- ---- the story ----

-- The writer has flushed its ten records and is killed before it can end the transaction.
local function crash(lab, topic, id, timeout_ms)
  local role = lab:start("writer", { topic = topic, transactional_id = id, timeout_ms = timeout_ms },
    { must_fire = { ["writer.before_commit"] = "pause" } })
  role:expect("flushed", "20s")
  lab:await("HW(p0) grown by 10", function()
    local now = lab:offsets(topic, 0)
    return now and now.hw and now.hw >= IN_TRANSACTION
  end)
  role:await_hit "writer.before_commit"
  role:kill()
  return role
end

local function write_behind(lab, producer, topic, seen)
  seen.plain0, seen.plain1 = ids_of("plain0", PLAIN), ids_of("plain1", PLAIN)
  local list = messages(topic, 0, seen.plain0)
  for _, message in ipairs(messages(topic, 1, seen.plain1)) do list[#list + 1] = message end
  local sent = lab:op("producer", "send", { p0 = PLAIN, p1 = PLAIN },
    function() return must(producer:send_batch(list)) end)
  if #sent:acked() ~= #list then lab:give_up("%d of %d plain records acknowledged", #sent:acked(), #list) end
  lab:event("%d plain records on p0 and %d on p1 acknowledged, acks=all", PLAIN, PLAIN)
end

-- true or false, nil when the broker did not say
local function window_open(lab, topic)
  local now = lab:offsets(topic, 0)
  return now and now.lso and now.hw and now.lso < now.hw
end

-- The fault: the writer is dead, its transaction is not.
local function prove_window(lab, topic, id, seen, dead)
  local fault = lab:fault "a transaction left open"
  if process.alive(dead.pid) then lab:give_up("the writer (pid %d) was not killed", dead.pid) end
  lab:await("an open transaction of the dead writer (LSO < HW on p0)",
    function() return window_open(lab, topic) end, "5s")
  local state = must(lab.run.admin:transaction(id)).state
  if state ~= "Ongoing" then
    lab:give_up("the dead writer's transaction is not open: the coordinator says %s", state)
  end
  local now = lab:watermarks(topic, 0)
  seen.lso, seen.hw, seen.leo = now.lso, now.hw, now.leo
  return fault:fired("coordinator: %s; LSO %d < HW %d", state, now.lso, now.hw)
end

-- What the operator does after the crash; returns when it was done, in seconds since the arm's start.
local function recover(lab, arm, id)
  local kind = arm.settings.restart
  if kind == "none" then return lab:now() end
  local new_id = kind == "same id" and id or lab:name("writer-" .. lab.rng:split("restart"):id():sub(1, 8))
  local from = lab:now()
  lab:start("writer", { transactional_id = new_id, timeout_ms = 60000 }):expect("initialised", "20s")
  lab:event("writer restarted with %s", kind == "same id" and "the same id" or kind)
  return from
end

-- Ends what the dead writer left, as init_transactions of its own id does; no later run may inherit it.
-- Returns when.
local function free(lab, topic, id)
  local producer = lab:producer { transactional_id = id, linger_ms = 0 }
  must(producer:init_transactions "20s")
  local at = lab:now()
  lab:event "init_transactions of the old id ended it"
  lab:settled(topic, 0, "10s")
  return at
end

-- Where a wrong arm first shows what is wrong with it.
local function mark_unseen(lab, arm, seen, main)
  if arm.name == "random-id" and not seen_at(main, seen.plain0) then
    lab:anomaly(("%d records acknowledged, none of them visible"):format(PLAIN))
  end
end

local function mark_aborted_read(lab, arm, dirty)
  local first = with_prefix(dirty[0], "tx")[1]
  if arm.name == "read-uncommitted" and first then
    lab:anomaly(("delivered %s of a transaction that never committed"):format(first),
      { at = dirty.at[first] })
  end
end

-- Seconds in which a right arm must show the records again: after the restart, or after the crash when the
-- timeout of 1 s does the work.
local function limit_of(arm)
  return arm.settings.restart == "none" and 1 + LIMIT or LIMIT
end

-- What is visible when the window ends is for the checks to judge: a right arm that is late is violated,
-- not in doubt.
local function watch_window(lab, arm, topic, seen, readers)
  local window = lab:span("window", "3 s window")
  if arm.class == "wrong" then
    seen.window_held = not lab:within(WINDOW, function() return window_open(lab, topic) == false end)
  else
    lab:within(limit_of(arm), function()
      return seen_at(readers.main, seen.plain0) and seen_at(readers.second, seen.plain0)
        and window_open(lab, topic) == false
    end)
  end
  lab:within("1s", function() return seen_at(readers.main, seen.plain1) end)
  window.over()
end

local function story(lab, arm)
  local topic, id = lab:topic("orders", { partitions = 2 }), lab:name "writer"
  local seen = { topic = topic }
  lab:watch(topic, 0, "p0")
  lab:watch(topic, 1, "p1")
  local main, second = reader(lab, topic, "read_committed", "reader-1"),
    reader(lab, topic, "read_committed", "reader-2")
  local dirty = reader(lab, topic, "read_uncommitted", "reader-uncommitted")
  local plain = lab:producer { linger_ms = 0 }
  local dead = crash(lab, topic, id, arm.settings.transaction_timeout_ms)
  local crashed = lab:now()
  write_behind(lab, plain, topic, seen)
  local fault = prove_window(lab, topic, id, seen, dead)
  mark_unseen(lab, arm, seen, main)
  local from = recover(lab, arm, id)
  if arm.settings.restart == "none" then from = crashed end
  watch_window(lab, arm, topic, seen, { main = main, second = second })
  lab:within("1s", function() return seen_at(dirty, seen.plain0) end)
  mark_aborted_read(lab, arm, dirty)
  seen.rc0, seen.rc1, seen.second0, seen.ru0 = copy(main[0]), copy(main[1]), copy(second[0]), copy(dirty[0])
  seen.coordinator = must(lab.run.admin:transaction(id)).state
  local ended_at = lab:now()
  if window_open(lab, topic) ~= false then ended_at = free(lab, topic, id) end
  lab:await("the plain records of p0 on the reader", function() return seen_at(main, seen.plain0) end)
  fault:over()
  if arm.class == "wrong" then
    lab:number("abort to visibility", math.max(0, seen_at(main, seen.plain0) - ended_at), "s")
  end
  seen.unseen_seconds = lab:number("unseen", seen_at(main, seen.plain0) - from, "s")
  local now = lab:settled(topic, 0)
  seen.end_lso, seen.end_hw = now.lso, now.hw
  seen.rc, seen.ru = lab:read_both(topic)
  return seen
end

-- HW against LEO: an in-sync follower is frozen for a moment, so acks=1 writes lift the LEO and not the HW.
local function frozen_follower(lab)
  local topic = lab:topic("orders", { partitions = 1 })
  local producer = lab:producer { acks = 1, enable_idempotence = false, linger_ms = 0 }
  must(producer:send { topic = topic, partition = 0, value = "warm" })
  local before = lab:settled(topic, 0)
  local part, follower = must(lab:partition(topic, 0)), nil
  for _, id in ipairs(part.isr) do
    if id ~= part.leader then follower = id end
  end
  lab:watch(topic, 0, "p0")
  local frozen = lab:freeze("kafka-" .. follower)
  local sent = must(producer:send_batch(messages(topic, 0, ids_of("acks1", FOLLOWER_RECORDS))))
  local now = lab:watermarks(topic, 0, "800ms")
  frozen.thaw()
  lab:await("HW = LEO after SIGCONT", function()
    local later = lab:offsets(topic, 0)
    return later and later.hw == before.hw + FOLLOWER_RECORDS
  end)
  return { acked = #sent:acked(), hw = now.hw, leo = now.leo,
    says = ("HW %d, LEO %d: %d acks=1 records wait for a frozen in-sync follower"):format(now.hw, now.leo,
      #sent:acked()) }
end

-- ---- the picture ----

local function picture(lab, seen)
  local cells = {}
  for _, record in ipairs(seen.ru.records) do
    if record.partition == 0 then
      cells[#cells + 1] = { offset = record.offset, kind = record.id:find "^tx" and "open" or "plain",
        id = record.id }
    end
  end
  lab:moment {
    title = "The window: one open transaction hides the records behind it",
    note = "Offsets 0 to 9 belong to the open transaction. The LSO stands at its first record; everything \z
      above is acknowledged, replicated and unseen.",
    partitions = { { topic = seen.topic, partition = 0, cells = cells,
      marks = { low = 0, lso = seen.lso, hw = seen.hw, leo = seen.leo } } },
  }
end

local function sentence(seen, arm)
  if arm.name == "random-id" then
    return ("%d acknowledged records unseen for the whole window of 3 s"):format(
      PLAIN - #with_prefix(seen.rc0, "plain0"))
  elseif arm.name == "read-uncommitted" then
    return ("sees them at once, and %d records of a transaction that was aborted"):format(
      #with_prefix(seen.ru0, "tx"))
  end
  return ("visible %.1f s after the %s"):format(seen.unseen_seconds,
    arm.settings.restart == "none" and "crash" or "restart")
end

local function both(a, b)
  return table.move(b, 1, #b, #a + 1, copy(a))
end

local function check_story(lab, seen, arm)
  local aborted, delivered = ids_of("tx", IN_TRANSACTION), {}
  for _, record in ipairs(seen.rc.records) do delivered[#delivered + 1] = record.id end
  lab.check.unseen { name = "unseen-p1", of = seen.plain1, seen = seen.rc1 }:expect "holds"
  if arm.name == "read-uncommitted" then
    lab.check.unseen { name = "unseen-p0", of = seen.plain0, seen = seen.ru0 }:expect "holds"
    lab.check.aborted_read { aborted = aborted, of = seen.ru0, details = seen.ru.records }:expect(aborted)
  else
    for _, one in ipairs { { "unseen-p0", seen.rc0 }, { "unseen-p0-second", seen.second0 } } do
      lab.check.unseen { name = one[1], of = seen.plain0, seen = one[2],
        details = seen.ru.records }:expect { wrong = seen.plain0, right = "holds" }
    end
  end
  lab.check.aborted_read { name = "aborted-read-log", aborted = aborted, of = delivered }:expect "holds"
  lab.check.same { name = "log", got = delivered, want = both(seen.plain0, seen.plain1),
    what = "plain ids in the log" }:expect "holds"
  lab.check.equals { name = "lso-at-end", got = seen.end_lso, want = seen.end_hw,
    what = "is the LSO at the end" }:expect "holds"
  lab.check.equals { name = "transaction", got = seen.coordinator == "Ongoing" and "open" or "ended",
    want = arm.class == "wrong" and "open" or "ended",
    what = "is the old transaction when the window ends" }:expect "holds"
  if arm.class == "wrong" then
    lab.check.equals { name = "window", got = seen.window_held, want = true,
      what = "is whether LSO < HW lasted 3 s" }:expect "holds"
  else
    lab.check.bound { name = "visible-again", value = seen.unseen_seconds, at_most = limit_of(arm),
      unit = "s",
      what = "visible after" }:expect "holds"
  end
end

return experiment {
  id = "E-007",
  title = "An open transaction holds back the last stable offset",
  question = "Why does a read_committed consumer see nothing although records arrive and are acknowledged?",
  claim = "One open transaction hides everything behind it in its partition; a stable transactional.id or \z
    a short timeout ends it.",
  lesson = "One open transaction hides everything behind it in its partition, other producers' records too.",
  needs = { "kafka" },
  disrupts = true, -- freezes or kills brokers: has the stack alone

  arms = {
    wrong "random-id" { says = "a new transactional.id at every start: nobody ends the old transaction",
      restart = "a new random id",
      transaction_timeout_ms = 60000 },
    wrong "read-uncommitted" { says = "the reader's isolation level as the fix",
      restart = "a new random id", transaction_timeout_ms = 60000,
      isolation = "read_uncommitted" },
    right "stable-id" { says = "init_transactions of the restarted writer ends the old transaction",
      restart = "same id", transaction_timeout_ms = 60000 },
    right "short-timeout" { says = "transaction.timeout.ms = 1000: the coordinator aborts by itself",
      restart = "none", transaction_timeout_ms = 1000 },
    observe "hw-against-leo" { says = "an in-sync follower frozen while acks=1 records arrive", acks = 1 },
  },

  roles = { writer = writer },

  run = function(lab, arm)
    if arm.class == "observe" then return frozen_follower(lab) end
    local seen = story(lab, arm)
    seen.says = sentence(seen, arm)
    if arm.name == "random-id" then picture(lab, seen) end
    return seen
  end,

  checks = function(lab, seen, arm)
    if arm.class ~= "observe" then return check_story(lab, seen, arm) end
    lab.check.equals { name = "leo-minus-hw", got = seen.leo - seen.hw, want = seen.acked,
      what = "offsets between HW and LEO" }:expect "holds"
    lab.check.equals { name = "acked", got = seen.acked, want = FOLLOWER_RECORDS,
      what = "records acknowledged" }:expect "holds"
  end,

  verdict = function(arms)
    local wrong, stable, short = arms["random-id"], arms["stable-id"], arms["short-timeout"]
    if not (wrong and stable and short) then return nil end
    local words = "With a random transactional.id %d acknowledged records stayed unseen until the old \z
      transaction was ended by hand; a stable id freed them in %.1f s, a short timeout in %.1f s."
    return words:format(#wrong.plain0, stable.unseen_seconds, short.unseen_seconds)
  end,
}
