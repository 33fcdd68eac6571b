-- E-028: one EndTxn arrives late. It ends a transaction that it does not belong to.
local end_txn = require "rlab.story.race.end_txn"

local PARTITIONS, ENDS, ENDED = end_txn.PARTITIONS, end_txn.ENDS, end_txn.ENDED

-- The same two transactions in every arm and round: T1 is ended first and its end is late; T2 is written
-- around the late one's arrival, and ended the other way. A value is its id.
local function run_round(lab, arm, held)
  return end_txn.late(lab, { kind = arm.settings.producer, held = held,
    prefix = #arm.settings.held > 1 and held .. "/" or "" })
end

local function sentence(lab, seen)
  local promise = end_txn.promised(seen)
  local torn, gone = promise.torn[1], promise.gone[1]
  if torn then lab:anomaly(torn .. " was aborted, and is delivered") end
  if gone then lab:anomaly(gone .. " was acknowledged and committed, and is gone") end
  return torn and ("%s of an aborted transaction is delivered"):format(torn)
    or gone and ("%s, acknowledged and committed, is gone without an error"):format(gone)
    or ("the late %s is answered %d, nothing is torn"):format(seen.held, seen.second.late)
end

local function picture(lab, seen)
  local delivered, wanted, partitions = bag.from(seen.rc), bag.from(end_txn.promised(seen).committed), {}
  for partition = 0, PARTITIONS - 1 do
    partitions[partition + 1] = { topic = seen.topic, partition = partition,
      cells = lab:log_cells { records = seen.ru, partition = partition, to = seen.ends[tostring(partition)],
        fate = function(record)
          if delivered:count(record.id) > 0 then return "committed" end
          return wanted:count(record.id) > 0 and "lost" or "aborted"
        end } }
  end
  lab:moment { title = ("T1 %s late, T2 %s: what a read_committed reader gets"):format(ENDED[seen.held],
      ENDED[ENDS[seen.held]]), partitions = partitions,
    note = "T2-a was written before the late EndTxn arrived, T2-b after it. The marker between them ends \z
      half of T2 the way T1 was ended." }
end

-- ---- checks ----

local function check_round(lab, seen, arm)
  local promise, held = end_txn.promised(seen), arm.class == "wrong" and seen.held
  local function named(word) return ("%s-%s"):format(word, seen.held) end
  lab.check.all_or_nothing { name = named "all-or-nothing", of = seen.rc,
    transactions = { seen.first, seen.second.acked } }:expect { wrong = "violated", right = "holds" }
  lab.check.aborted_read { name = named "aborted-read", aborted = promise.aborted,
    of = seen.rc }:expect(held == "commit" and { "T2-a" } or "holds")
  lab.check.lost { name = named "lost", of = promise.committed, in_ = seen.rc,
    details = seen.ru, control = #seen.ru }:expect(held == "abort" and { "T2-a" } or "holds")
  lab.check.equals { name = named "told", got = seen.second.error or "OK", want = "OK",
    what = "is what the client heard at the end of T2" }:expect "holds"
  lab.check.equals { name = named "late-answer", got = seen.second.late and "error " .. seen.second.late,
    want = "error " .. arm.settings.answer,
    what = "is the answer to the late EndTxn" }:expect "holds"
  lab.check.agree { { named "records", #seen.first + #seen.second.acked, 4, "records of two transactions" } }
  if arm.settings.producer ~= "kafka.transactional" then return seen.held end
  lab.check.equals { name = named "replaced", got = seen.replaced, want = 1,
    what = "is how often the helper replaced the producer" }:expect "holds"
  return seen.held
end

return experiment {
  id = "E-028", title = "A late EndTxn tears the next transaction",
  question = "Can a record be lost that was acknowledged and committed, with no error anywhere?",
  claim = "An EndTxn that was repeated after a lost connection and arrives late ends the producer's next \z
    transaction. After a new producer's init_transactions, or with EndTxn v5, it is refused.",
  lesson = "After a connection was lost while a transaction was ended, go on with a new producer of the \z
    same transactional.id.",
  needs = { "kafka", "proxy" }, seconds = 4,
  side_by_side = true,
  telling = { { "all-or-nothing-commit + all-or-nothing-abort", "records of torn transactions" } },
  arms = {
    wrong "reuse-commit-late" { says = "the same producer goes on; T1's commit arrives late, T2 is aborted",
      producer = "reuse", held = { "commit" }, answer = 0 },
    wrong "reuse-abort-late" { says = "the same producer goes on; T1's abort arrives late, T2 is committed",
      producer = "reuse", held = { "abort" }, answer = 0 },
    right "fresh-producer" { says = "a new producer with the same transactional.id for T2",
      producer = "fresh", held = { "commit", "abort" }, answer = 47 },
    right "kafka.transactional" {
      says = "rlab's helper notices the lost connection and replaces the producer",
      producer = "kafka.transactional", held = { "commit", "abort" }, answer = 47 },
    right "java-client" { says = "Kafka's Java client: EndTxn v5 carries an epoch for each transaction \z
      (KIP-890)", producer = "java", held = { "commit", "abort" }, answer = 90 },
  },

  run = function(lab, arm)
    local all = {}
    if arm.settings.producer == "java" then
      lab:event("kafka-clients %s in a process of its own", lab:java_version())
    end
    lab:each(arm.settings.held, function(held)
      local seen = run_round(lab, arm, held)
      all[held == arm.settings.held[1] and 1 or 2] = seen
      lab:wire_table(("On the wire: %s, %s of T1 late"):format(lab.label, held), seen.wire,
        seen.transactional_id)
    end)
    if arm.name == "reuse-abort-late" then picture(lab, all[1]) end
    lab:fact("EndTxn version %d", all[1].second.version)
    local parts = {}
    for i, seen in ipairs(all) do parts[i] = sentence(lab, seen) end
    return { rounds = all, says = table.concat(parts, "; ") }
  end,

  moment = require "rlab.story.moment.late_end",
  checks = function(lab, result, arm)
    local held = {}
    for i, seen in ipairs(result.rounds) do held[i] = check_round(lab, seen, arm) end
    lab.check.same { name = "rounds", got = held, want = arm.settings.held, what = "rounds" }:expect "holds"
  end,

  verdict = function(arms)
    local lost = arms["reuse-abort-late"]
    if not (lost and arms["java-client"] and arms["fresh-producer"]) then return nil end
    return ("librdkafka's EndTxn v%d cannot say which transaction it means: a late one took %s, \z
      acknowledged and committed, without an error. A new producer has it refused (47), Java's v%d too \z
      (90)."):format(lost.rounds[1].second.version, "T2-a", arms["java-client"].rounds[1].second.version)
  end,
}
