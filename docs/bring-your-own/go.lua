-- A Go consumer (franz-go) meets a row that is locked for longer than MySQL lets it wait (1205); nothing
-- crashes. Is the event still processed?
local EVENTS, ACCOUNTS, HELD, CHOSEN = 60, 6, 4, 20 -- event 20 alone is of account 4, whose row is locked

return experiment {
  id = "BYO-go",
  title = "Your own Go consumer: an error that is logged is not handled",
  claim = "A transaction that MySQL ends is logged and passed over, the next commit covers it, and the \z
    event is lost; one that is tried again is late.",
  needs = { "kafka", "mysql" },

  arms = {
    wrong "as-written" { says = "an error is logged, and the loop goes on", program = "as_written" },
    right "mended" { says = "1205 and 1213 are tried again, other errors end it before the commit",
      program = "consumer" },
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
      cmd = { "docs/bring-your-own/go/run.sh", arm.settings.program } }
    held:await_waiter "180s" -- the first run builds it
    lab:await("MySQL to end the wait, as the row stays locked",
      function() return not lab:lock_waiter() end, "30s")
    lab:anomaly(("the transaction of event %d has failed"):format(CHOSEN))
    held:release()
    lab:drain { outbox = false }
    consumer:stop()
    return { records = lab:records(topic), stores = lab:stores(), chosen = events[CHOSEN].id,
      committed = { [0] = EVENTS } }
  end,

  checks = function(lab, seen)
    lab.check.lost_effect { of = seen.records, committed = seen.committed, effects = seen.stores.effects }
      :expect { wrong = { seen.chosen }, right = "holds" }
    lab.check.duplicate_effect { of = seen.stores.effects }:expect "holds"
  end,
}
