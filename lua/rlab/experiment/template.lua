-- What `rlab new service --lang L` writes: the right program of that example of docs/bring-your-own, with
-- what it needs to be built, and an experiment that kills it in the middle of a transaction.
local embedded = require("rlab.core_host").embedded

local M = {}

local HOME = "docs/bring-your-own/"

-- By language: the files, and the command as the words of a Lua list; %s is the folder.
local LANGUAGES = {
  go = { files = { "go.mod", "go.sum", "run.sh", "consumer/main.go" },
    cmd = '"sh", "%s/run.sh", "consumer"' },
  node = { files = { "package.json", "package-lock.json", "run.sh", "consumer.js" },
    cmd = '"sh", "%s/run.sh", "consumer"' },
  java = { files = { "run.sh", "AccountConsumer.java" }, cmd = '"sh", "%s/run.sh", "AccountConsumer"' },
  python = { files = { "consumer.py" },
    cmd = 'os.getenv "RLAB_PYTHON" or "python3", "-B", "%s/consumer.py"' },
}

local experiment = [=[
-- Our consumer is killed in the middle of a transaction, and started again. Is each event applied once?
-- Run it with: rlab %s
-- What the program is told by its environment: docs/bring-your-own.md; what the checks mean: docs/checks.md.
local EVENTS, ACCOUNTS, HELD = 60, 6, 4 -- the account whose row is locked
local COMMAND = { %s }

return experiment {
  id = "%s",
  title = "Our consumer, killed in the middle of a transaction",
  claim = "Each event is applied once, whatever it was doing when it died.",
  needs = { "kafka", "mysql" },
  arms = { right "ours" { says = "killed while it waits for a row, and started again" } },

  run = function(lab)
    local topic = lab:event_topic { partitions = 1 }
    lab:publish { events = EVENTS, accounts = ACCOUNTS }
    must(lab:db():exec("INSERT INTO account_view (account_id) VALUES (?)", HELD))

    -- A row that it must write is locked, so it stands still in its transaction, and InnoDB says so.
    local held = lab:lock_rows("account " .. HELD, "SELECT * FROM account_view WHERE account_id = ?", HELD)
    local consumer = lab:process { name = "consumer", cmd = COMMAND }
    held:await_waiter "180s" -- the first run may have to build it
    consumer:kill()
    held:release()

    local second = consumer:restart()
    lab:drain { outbox = false, at_most = "60s" } -- until its group has no lag, else "drained" is violated
    lab:owed("applied", "an effect of each event", function() return #lab:stores().effects >= EVENTS end)
    second:stop()
    return { records = lab:records(topic), stores = lab:stores(), committed = { [0] = EVENTS } }
  end,

  checks = function(lab, seen)
    lab.check.lost_effect { of = seen.records, committed = seen.committed, effects = seen.stores.effects }
      :expect "holds"
    lab.check.duplicate_effect { of = seen.stores.effects, at_least = EVENTS }:expect "holds"
    lab.check.conservation { ledger = seen.stores.sums.ledger, view = seen.stores.sums.view, unit = "cents" }
      :expect "holds"
  end,
}
]=]

-- languages() -> their names, sorted
function M.languages()
  local list = {}
  for name in pairs(LANGUAGES) do list[#list + 1] = name end
  table.sort(list)
  return list
end

-- files(language, folder) -> list of {path, text}: a folder that runs as it is, its experiment last
function M.files(language, folder)
  local wanted, list = LANGUAGES[language], {}
  for i, name in ipairs(wanted.files) do
    list[i] = { path = folder .. "/" .. name, text = embedded(HOME .. language .. "/" .. name) }
  end
  local path = folder .. ".lua"
  list[#list + 1] = { path = path,
    text = experiment:format(path, wanted.cmd:format(folder), folder:match "[^/]+$") }
  return list
end

return M
