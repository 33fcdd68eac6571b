-- One consumer and one producer, written on each client library, under the core of ten stories: first with
-- the library's own settings, then with those that mend what can be mended. `make conformance` builds the
-- programs and runs it; docs/findings/conformance.md is what was seen.
local app = require "rlab.story.conformance.app"
local reading = require "rlab.story.conformance.reading"
local tables = require "rlab.tables"
local writing = require "rlab.story.conformance.writing"

local ROUNDS = { "killed", "closed", "straddle", "forgotten", "deleted", "strict", "rival", "answer", "keys",
  "zombie" }
local LOSES = { lost = true, ["at the end"] = true } -- with these outcomes what was at stake is gone

-- Those of the arm that the command line asks for.
local function chosen(lab, arm)
  local asked, list = "," .. lab.options.rounds .. ",", {}
  for _, name in ipairs(ROUNDS) do
    if arm.settings[name] and asked:find("," .. name .. ",", 1, true) then list[#list + 1] = name end
  end
  return list
end

-- What most of them do.
local WAITS, FENCED = "waits for the poll", "the new one has it, the old one hears of it"
local SAYS_SO, BEGINNING, JAVA = "stands still, and says so", "at the log's beginning", "where Java puts them"

local MANUAL = { ["enable.auto.commit"] = "false", ["auto.offset.reset"] = "earliest" }
local BLOCKED = { ["enable.auto.commit"] = "false", ["auto.offset.reset"] = "earliest",
  ["block.rebalance"] = "true" }

return experiment {
  id = "conformance", title = "One application, four client libraries",
  question = "Which promise is Kafka's, and which only one client library's?",
  claim = "With its own settings each library breaks another promise; with a few settings all keep them.",
  needs = { "kafka", "mysql", "proxy" }, seconds = 60, limit = "10m",
  side_by_side = 2,
  options = { rounds = { default = table.concat(ROUNDS, ","), of = ROUNDS,
    help = "which rounds, by commas; a wrong arm that none of them breaks does not fail" } },
  telling = { { "lost", "records never worked on" } },
  arms = {
    wrong "librdkafka" { says = "librdkafka (confluent-kafka for Python), its own settings",
      library = "librdkafka", killed = "lost", closed = "lost", straddle = WAITS, forgotten = "at the end",
      deleted = "at the end", strict = SAYS_SO, rival = FENCED, answer = "written twice", keys = "elsewhere",
      zombie = "stays out" },
    wrong "java" { says = "Kafka's Java client, its own settings", library = "java", killed = "kept",
      closed = "lost", straddle = WAITS, forgotten = "at the end", deleted = "at the end", strict = SAYS_SO,
      rival = FENCED, answer = "written once", keys = JAVA, zombie = "stays out" },
    wrong "franz-go" { says = "franz-go (Go), its own settings", library = "franz-go", killed = "kept",
      closed = "kept", straddle = "goes back", forgotten = BEGINNING, deleted = BEGINNING, strict = SAYS_SO,
      rival = FENCED, answer = "written once", keys = JAVA, zombie = "stays out" },
    wrong "sarama" { says = "sarama (Go), its own settings", library = "sarama", killed = "kept",
      closed = "kept", straddle = WAITS, forgotten = "at the end", deleted = "at the end", strict = SAYS_SO,
      rival = FENCED, answer = "written twice", keys = "elsewhere", zombie = "stays out" },
    right "librdkafka-mended" { says = "commits by hand, earliest, idempotent, murmur2_random",
      library = "librdkafka", consumer = MANUAL, killed = "kept", closed = "kept", straddle = WAITS,
      forgotten = BEGINNING, deleted = BEGINNING, answer = "written once", keys = JAVA,
      producer = { ["enable.idempotence"] = "true", partitioner = "murmur2_random" } },
    right "java-mended" { says = "commits by hand, earliest", library = "java", consumer = MANUAL,
      killed = "kept", closed = "kept", straddle = WAITS, forgotten = BEGINNING, deleted = BEGINNING },
    right "franz-go-mended" { says = "commits by hand, earliest, BlockRebalanceOnPoll", library = "franz-go",
      consumer = BLOCKED, killed = "kept", closed = "kept", straddle = WAITS, forgotten = BEGINNING,
      deleted = BEGINNING },
    right "sarama-mended" { says = "commits by hand, OffsetOldest, Idempotent", library = "sarama",
      consumer = MANUAL, killed = "kept", closed = "kept", straddle = WAITS, forgotten = BEGINNING,
      deleted = BEGINNING, answer = "written once", producer = { ["enable.idempotence"] = "true" } },
  },

  run = function(lab, arm)
    app.tables_of(lab)
    local seen, row = { rounds = {}, names = chosen(lab, arm) }, {}
    for i, name in ipairs(seen.names) do
      local round = (reading[name] or writing[name])(lab, arm.settings)
      seen.rounds[name], row[i] = round, round.outcome
      lab:event("%s: %s", name, round.outcome)
    end
    lab:table { title = "What it does", head = seen.names, rows = { row } }
    local last = seen.names[#seen.names]
    seen.says = ("%s: %s"):format(last, seen.rounds[last].outcome)
    return seen
  end,

  checks = function(lab, seen, arm)
    local all, lost, done = {}, {}, {}
    for _, name in ipairs(seen.names) do
      local round, want = seen.rounds[name], arm.settings[name]
      lab.check.equals { name = name, got = round.outcome, want = want, what = "is what it does" }
        :expect "holds"
      tables.append(all, round.ids)
      tables.append(done, round.done)
      if LOSES[want] then tables.append(lost, round.at_stake) end
    end
    local moved, sent = seen.rounds.straddle, seen.rounds.answer
    if moved then
      lab.check.bound { name = "went-back", value = moved.fell, at_most = 0, unit = "offsets",
        what = "a commit went back by", control = #done }
        :expect(arm.settings.straddle == "goes back" and reading.MORE or "holds")
    end
    if sent then
      lab.check.bound { name = "copies", value = sent.copies, at_most = 0, unit = "records",
        what = "were written besides:", control = sent.copies + 1 }
        :expect(arm.settings.answer == "written twice" and 1 or "holds")
    end
    if #all == 0 then return end
    lab.check.lost { of = all, in_ = done }:expect(#lost > 0 and lost or "holds")
  end,
}
