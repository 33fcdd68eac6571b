-- A Python consumer (confluent-kafka) is killed in the middle of a record's transaction. Is the record
-- still processed?
local EVENTS, ACCOUNTS, HELD = 60, 6, 4 -- the account whose row is locked
local PYTHON = os.getenv "RLAB_PYTHON" or "python3"

return experiment {
  id = "BYO-python",
  title = "Your own Python consumer: enable.auto.offset.store",
  claim = "With its defaults the client commits a record that is still being worked on; a crash then \z
    loses it.",
  needs = { "kafka", "mysql" },

  arms = {
    wrong "as-written" { says = "the client's defaults: an offset is stored when the record is handed over",
      file = "consumer_as_written.py" },
    right "mended" { says = "enable.auto.offset.store = false, the offset is stored after the transaction",
      file = "consumer.py" },
  },

  run = function(lab, arm)
    local topic = lab:event_topic { partitions = 1 }
    local events = lab:publish { events = EVENTS, accounts = ACCOUNTS }
    must(lab:db():exec("INSERT INTO account_view (account_id) VALUES (?)", HELD))
    local held = lab:lock_rows("account " .. HELD, "SELECT * FROM account_view WHERE account_id = ?", HELD)
    local consumer = lab:process { name = "consumer",
      cmd = { PYTHON, "-B", "docs/bring-your-own/python/" .. arm.settings.file } }
    held:await_waiter()
    local first
    for i = #events, 1, -1 do
      if events[i].account == HELD then first = i end
    end
    -- the record in work is number `first`, at offset first - 1; a commit beyond it says that it counts as
    -- done
    local function passed()
      return (must(lab.run.admin:group_offsets(lab:group()))[1] or { offset = 0 }).offset >= first
    end
    if lab:within("1500ms", passed) then lab:anomaly("the offset of a record in work is committed") end
    consumer:kill()
    held:release()
    local second = consumer:restart()
    lab:drain { outbox = false }
    second:stop() -- a polite end finishes what it has in hand, whose offset may be committed already
    return { records = lab:records(topic), stores = lab:stores(), in_work = events[first].id,
      committed = { [0] = EVENTS } }
  end,

  checks = function(lab, seen)
    lab.check.lost_effect { of = seen.records, committed = seen.committed, effects = seen.stores.effects }
      :expect { wrong = { seen.in_work }, right = "holds" }
    lab.check.duplicate_effect { of = seen.stores.effects }:expect "holds"
  end,
}
