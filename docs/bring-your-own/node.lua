-- A Node consumer (kafkajs) is killed while one record's transaction waits for a row, and 59 others are in
-- MySQL. Is that record still processed?
local EVENTS, ACCOUNTS, HELD, CHOSEN = 60, 6, 4, 20 -- event 20 alone is of account 4, whose row is locked

return experiment {
  id = "BYO-node",
  title = "Your own Node consumer: an await that is missing",
  claim = "A handler that does not await its work lets the client commit a record whose work has only \z
    begun; a crash then loses it.",
  needs = { "kafka", "mysql" },

  arms = {
    wrong "as-written" { says = "the handler returns before its work has ended",
      file = "consumer_as_written" },
    right "mended" { says = "the handler awaits the transaction", file = "consumer" },
  },

  run = function(lab, arm)
    local topic, list = lab:event_topic { partitions = 1 }, lab:plan(EVENTS, ACCOUNTS)
    for i, one in ipairs(list) do
      one.account = i == CHOSEN and HELD or one.account == HELD and 1 or one.account
    end
    local events = lab:publish { list = list }
    lab:views(ACCOUNTS)
    local held = lab:lock_rows("account " .. HELD, "SELECT * FROM account_view WHERE account_id = ?", HELD)
    local consumer = lab:process { name = "consumer",
      cmd = { "docs/bring-your-own/node/run.sh", arm.settings.file } }
    held:await_waiter "180s" -- the first run installs what it needs
    local function passed()
      return (must(lab.run.admin:group_offsets(lab:group()))[1] or { offset = 0 }).offset >= EVENTS
    end
    if lab:within("5s", passed) then
      lab:anomaly("the offset of a record in work is committed")
      lab:await("the other events to be in MySQL", function() return #lab:stores().effects == EVENTS - 1 end)
    end
    consumer:kill()
    held:release()
    local second = consumer:restart()
    second:expect("ready", "30s")
    lab:drain { outbox = false }
    second:stop()
    return { records = lab:records(topic), stores = lab:stores(), in_work = events[CHOSEN].id,
      committed = { [0] = EVENTS } }
  end,

  checks = function(lab, seen)
    lab.check.lost_effect { of = seen.records, committed = seen.committed, effects = seen.stores.effects }
      :expect { wrong = { seen.in_work }, right = "holds" }
    lab.check.duplicate_effect { of = seen.stores.effects }:expect "holds"
  end,
}
