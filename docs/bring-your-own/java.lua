-- A Java consumer (kafka-clients) is killed in the middle of a batch whose first records are in MySQL
-- already. Are they applied again?
local EVENTS, ACCOUNTS, HELD = 60, 6, 4 -- the account whose row is locked

return experiment {
  id = "BYO-java",
  title = "Your own Java consumer: at least once without an inbox",
  claim = "A batch that is committed at its end is repeated after a crash; without a table of processed \z
    ids its effects are doubled.",
  needs = { "kafka", "mysql" },

  arms = {
    wrong "as-written" { says = "commitSync after each batch, every record is applied as it comes",
      class = "AccountConsumerAsWritten" },
    right "mended" { says = "the event's id is inserted in the transaction of its effect",
      class = "AccountConsumer" },
  },

  run = function(lab, arm)
    local topic = lab:event_topic { partitions = 1 }
    lab:publish { events = EVENTS, accounts = ACCOUNTS }
    must(lab:db():exec("INSERT INTO account_view (account_id) VALUES (?)", HELD))
    local held = lab:lock_rows("account " .. HELD, "SELECT * FROM account_view WHERE account_id = ?", HELD)
    local consumer = lab:process { name = "consumer",
      cmd = { "docs/bring-your-own/java/run.sh", arm.settings.class } }
    held:await_waiter()
    local before = lab:stores().effects -- in MySQL, and not committed to the brokers
    local committed = must(lab.run.admin:group_offsets(lab:group()))[1]
    if #before == 0 or (committed and (committed.offset or 0) > 0) then
      lab:give_up("the batch was not in its middle: %d effects", #before)
    end
    consumer:kill()
    held:release()
    local second = consumer:restart()
    lab:drain { outbox = false, at_most = "30s" }
    second:stop()
    local stores = lab:stores()
    if #stores.effects > EVENTS then
      lab:anomaly(("%d effects of %d events"):format(#stores.effects, EVENTS))
    end
    return { records = lab:records(topic), before = lab:ids { records = before }, stores = stores,
      committed = { [0] = EVENTS } }
  end,

  checks = function(lab, seen)
    lab.check.duplicate_effect { of = seen.stores.effects }:expect { wrong = seen.before, right = "holds" }
    lab.check.lost_effect { of = seen.records, committed = seen.committed,
      effects = seen.stores.effects }:expect "holds"
    lab.check.conservation { ledger = seen.stores.sums.ledger, view = seen.stores.sums.view, unit = "cents" }
      :expect { wrong = "violated", right = "holds" }
  end,
}
