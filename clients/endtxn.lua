-- E-028 for the clients of others: what becomes of a transaction when its EndTxn is late, lost or too late,
-- by client library and by the cluster's transaction.version. `make matrix` builds them and runs it.
local end_txn = require "rlab.story.race.end_txn"
local kafka = require "rlab.kafka"
local tables = require "rlab.tables"

local ROUNDS = { "late-commit", "late-abort", "fresh-abort", "lost-request", "lost-answer", "raced" }

-- Those that the command line asks for.
local function chosen(lab)
  local asked, list = "," .. lab.options.rounds .. ",", {}
  for _, name in ipairs(ROUNDS) do
    if asked:find("," .. name .. ",", 1, true) then list[#list + 1] = name end
  end
  return list
end

local function play(lab, kind, name)
  local prefix = name .. "/"
  local way, what = name:match "^(%l+)%-?(%l*)$"
  if way == "late" or way == "fresh" then
    return end_txn.late(lab, { kind = kind, held = what, prefix = prefix, fresh = way == "fresh" })
  end
  if way == "lost" then return end_txn.lost(lab, { kind = kind, lost = what, prefix = prefix }) end
  return end_txn.raced(lab, { kind = kind, prefix = prefix })
end

-- ---- what one round showed ----

local function steps_text(seen)
  local words = {}
  for i, step in ipairs(seen.steps) do words[i] = step.kind .. (step.ok and " OK" or " failed") end
  if seen.dead then words[#words + 1] = "the producer is dead" end
  return table.concat(words, ", ")
end

-- What the client was told, or the coordinator's answer: as the arm foretells it.
local function outcome(seen)
  return seen.second and seen.second.late or seen.told or seen.answer
end

local function cell(seen)
  local promise = end_txn.promised(seen)
  local wrong = #promise.torn > 0 and table.concat(promise.torn, ", ") .. " delivered"
    or #promise.gone > 0 and table.concat(promise.gone, ", ") .. " gone"
  local got = seen.steps and steps_text(seen) or ("answered %d"):format(outcome(seen))
  return ("%s: %s"):format(wrong and "NOT as promised, " .. wrong:gsub("[%l-]+/", "") or "as promised", got)
end

-- The version of the requests that end a transaction, as the proxy saw them.
local function end_version(seen)
  for _, round in pairs(seen.rounds) do
    for _, row in ipairs(round.wire) do
      if row.api == "EndTxn" and row.direction == "request" then return row.version end
    end
  end
end

local function matrix(lab, seen)
  local row = { seen.version, ("v%s"):format(end_version(seen)) }
  for i, name in ipairs(ROUNDS) do
    row[i + 2] = seen.rounds[name] and cell(seen.rounds[name]) or "not run"
  end
  lab:table { title = "What each client does", rows = { row },
    head = { "version", "EndTxn", "commit late", "abort late", "abort late, new producer",
      "requests of a commit lost", "answers to a commit lost", "commit after the coordinator's abort" },
    note = "As promised: a read_committed reader gets what the client was told is committed, and nothing \z
      that it was told is aborted." }
end

local function says(seen)
  local wrong = {}
  for _, name in ipairs(seen.names) do
    local promise = end_txn.promised(seen.rounds[name])
    if #promise.torn + #promise.gone > 0 then wrong[#wrong + 1] = name end
  end
  return #wrong == 0 and "every record as promised" or "not as promised: " .. table.concat(wrong, ", ")
end

-- The ids that are not as promised where a late EndTxn tears, and where an abort after a lost commit is
-- none.
local READ, GONE = { "late-commit/T2-a" }, { "late-abort/T2-a" }
local REQUEST = { "lost-request/T1-a", "lost-request/T1-b" }
local ANSWER = { "lost-answer/T1-a", "lost-answer/T1-b" }

local function together(...)
  local list = {}
  for _, ids in ipairs { ... } do tables.append(list, ids) end
  return list
end

-- Of the ids that are foretold those of the rounds that were run, as a check expects them.
local function foreseen(seen, ids)
  local list = {}
  for _, id in ipairs(ids) do
    if seen.rounds[id:match "^[^/]+"] then list[#list + 1] = id end
  end
  return #list > 0 and list or "holds"
end

local LIBRARIES = {
  librdkafka = { kind = "reuse", says = "librdkafka" },
  sarama = { kind = "sarama", says = "sarama (Go)" },
  ["franz-go-old"] = { kind = "franz-go-old", says = "franz-go (Go) before its mend" },
  ["franz-go"] = { kind = "franz-go", says = "franz-go (Go)" },
  java = { kind = "java", says = "Kafka's Java client" },
}

-- The settings of an arm: the library, the level, and what is foretold: the answers to an end that is late
-- and to one that comes after the coordinator's own abort, what the client is told of one that was lost, and
-- the ids that are not as promised.
local function of(library, level, foretold)
  local one = LIBRARIES[library]
  return { says = ("%s at transaction.version %d"):format(one.says, level), library = one.kind,
    level = level, ["late-commit"] = foretold.late, ["late-abort"] = foretold.late,
    ["fresh-abort"] = foretold.fresh, ["lost-request"] = foretold.request,
    ["lost-answer"] = foretold.answer, raced = foretold.raced, read = foretold.read or {},
    gone = foretold.gone or {} }
end

return experiment {
  id = "E-028-clients", title = "EndTxn late, lost or too late, by client",
  question = "Which client keeps a transaction whole when its end goes astray, at which \z
    transaction.version?",
  claim = "EndTxn below v5 cannot say which transaction it means, whoever sends it. With v5 a late one is \z
    refused; what a client tells of an end that got no answer is another matter.",
  needs = { "kafka", "proxy" }, disrupts = true, seconds = 30,
  side_by_side = "level",
  options = { rounds = { default = table.concat(ROUNDS, ","), of = ROUNDS,
    help = "which rounds, by commas; a wrong arm that none of them breaks does not fail" } },
  telling = { { "aborted-read + lost", "records not as promised" } },
  arms = {
    wrong "librdkafka-tv2" (of("librdkafka", 2, { late = 0, fresh = 47,
      request = "committed", answer = "committed", raced = 47, read = READ, gone = GONE })),
    wrong "sarama-tv2" (of("sarama", 2, { late = 0, fresh = 90,
      request = "aborted", answer = "unknown", raced = 90, read = READ, gone = GONE })),
    wrong "franz-go-old-tv2" (of("franz-go-old", 2, { late = 90, fresh = 90,
      request = "aborted", answer = "aborted", raced = 48, read = together(REQUEST, ANSWER) })),
    wrong "franz-go-tv2" (of("franz-go", 2, { late = 90, fresh = 90,
      request = "aborted", answer = "aborted", raced = 48, read = ANSWER })),
    right "java-tv2" (of("java", 2, { late = 90, fresh = 90,
      request = "committed", answer = "committed", raced = 48 })),
    wrong "librdkafka-tv1" (of("librdkafka", 1, { late = 0, fresh = 47,
      request = "committed", answer = "committed", raced = 47, read = READ, gone = GONE })),
    wrong "sarama-tv1" (of("sarama", 1, { late = 0, fresh = 90,
      request = "aborted", answer = "unknown", raced = 90, read = READ, gone = GONE })),
    wrong "franz-go-old-tv1" (of("franz-go-old", 1, { late = 0, fresh = 90,
      request = "aborted", answer = "aborted", raced = 90, read = together(READ, REQUEST, ANSWER),
      gone = GONE })),
    wrong "franz-go-tv1" (of("franz-go", 1, { late = 0, fresh = 90,
      request = "aborted", answer = "aborted", raced = 90, read = together(READ, ANSWER), gone = GONE })),
    wrong "java-tv1" (of("java", 1, { late = 0, fresh = 90,
      request = "committed", answer = "committed", raced = 90, read = READ, gone = GONE })),
  },

  run = function(lab, arm)
    lab:feature("transaction.version", arm.settings.level)
    local seen = { rounds = {}, names = chosen(lab) }
    for _, name in ipairs(seen.names) do
      local round = play(lab, arm.settings.library, name)
      seen.rounds[name], seen.version = round, round.version or seen.version or kafka.version()
    end
    matrix(lab, seen)
    for _, name in ipairs(seen.names) do
      local round = seen.rounds[name]
      lab:wire_table(("On the wire: %s, %s"):format(lab.label, name), round.wire, round.transactional_id)
    end
    seen.says = says(seen)
    return seen
  end,

  checks = function(lab, seen, arm)
    local all = { rc = {}, ru = {}, committed = {}, aborted = {} }
    for _, name in ipairs(seen.names) do
      local round = seen.rounds[name]
      local promise = end_txn.promised(round)
      for key, list in pairs { rc = round.rc, ru = round.ru, committed = promise.committed,
        aborted = promise.aborted } do tables.append(all[key], list) end
      lab.check.equals { name = name, got = tostring(outcome(round)), want = tostring(arm.settings[name]),
        what = name:find "^lost" and "is what the client was told" or "is the answer" }:expect "holds"
    end
    lab.check.aborted_read { aborted = all.aborted, of = all.rc }:expect(foreseen(seen, arm.settings.read))
    lab.check.lost { of = all.committed, in_ = all.rc, details = all.ru }:expect(foreseen(seen,
      arm.settings.gone))
  end,
}
